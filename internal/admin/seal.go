package admin

import (
	"context"
	"time"
)

// The routes of the commands about the seal.
const (
	sealStatusRoute  = "/v1/seal/status"
	rotateSealRoute  = "/v1/seal/rotate"
	migrateSealRoute = "/v1/seal/migrate"

	initRecoveryRoute   = "/v1/recovery/init"
	verifyRecoveryRoute = "/v1/recovery/verify"
)

// Seals is a deployment's seal as it can be asked and changed; see [Operator] for
// what its methods promise.
type Seals interface {
	// Seal says what opens the domain key.
	Seal(ctx context.Context) (Seal, error)
	// RotateDomainKey makes a new version of the domain key. What earlier ones
	// sealed still opens.
	RotateDomainKey(ctx context.Context, by Peer) (Seal, error)
	// MigrateSeal puts another root in the place of the one that there is.
	MigrateSeal(ctx context.Context, by Peer, in NewSeal) (Seal, error)
	// InitRecovery makes a recovery key and returns its shares, which exist nowhere
	// else.
	InitRecovery(ctx context.Context, by Peer, in NewRecovery) (RecoveryShares, error)
	// VerifyRecovery says whether these shares open every version of the domain key.
	// It changes nothing but the audit trail.
	VerifyRecovery(ctx context.Context, by Peer, in RecoveryProof) (Seal, error)
}

// NewRecovery is a recovery key that is to be made.
type NewRecovery struct {
	// Needed of Shares shares are to open.
	Needed int `json:"needed"`
	Shares int `json:"shares"`
	// Replace ends the recovery key that there is.
	Replace bool `json:"replace,omitempty"`
}

// RecoveryShares is a recovery key that was made.
type RecoveryShares struct {
	Deployment string   `json:"deployment"`
	Recovery   Recovery `json:"recovery"`
	// Texts are the shares. They are secrets.
	Texts []string `json:"shares"`
	// Problem is what went wrong once the shares were in force, such as with the record
	// of their making, which is then made later; empty when nothing did.
	Problem string `json:"problem,omitempty"`
}

// RecoveryProof is shares of the recovery key, which are secrets.
type RecoveryProof struct {
	Texts []string `json:"shares"`
}

// Recovery is the recovery key that is in force.
type Recovery struct {
	// Set is its id, which stands in its shares: 8 hex digits.
	Set string `json:"set"`
	// Needed of Shares shares open.
	Needed int       `json:"needed"`
	Shares int       `json:"shares"`
	Made   time.Time `json:"made"`
}

// NewSeal is a root that is to be.
type NewSeal struct {
	// Kind is file, passphrase, aws-kms, pkcs11 or tpm.
	Kind string `json:"kind"`
	// Passphrase is a secret; whoever has sent it wipes it.
	Passphrase []byte `json:"passphrase,omitempty"`
	// The key of another KMS, the KMS's URL and its region; the last two may be empty.
	KMSKey      string `json:"kmsKey,omitempty"`
	KMSEndpoint string `json:"kmsEndpoint,omitempty"`
	KMSRegion   string `json:"kmsRegion,omitempty"`
	// The TPM, the auth value, which is a secret that its sender wipes, and the PCRs,
	// with commas; each may be empty.
	TPMDevice string `json:"tpmDevice,omitempty"`
	TPMAuth   []byte `json:"tpmAuth,omitempty"`
	TPMPCRs   string `json:"tpmPCRs,omitempty"`
	// The library of an HSM, its token's label or serial number, and the file that
	// holds the PIN; absolute paths, which the server opens.
	PKCS11Module  string `json:"pkcs11Module,omitempty"`
	PKCS11Token   string `json:"pkcs11Token,omitempty"`
	PKCS11Serial  string `json:"pkcs11Serial,omitempty"`
	PKCS11PINFile string `json:"pkcs11PinFile,omitempty"`
}

// Seal is what opens a deployment.
type Seal struct {
	Deployment string `json:"deployment"`
	// Version is the domain key's current version; all from 1 on open.
	Version uint32 `json:"version"`
	// Roots have keyslots, the recovery key's among them.
	Roots []SealRoot `json:"roots"`
	// Recovery is nil where there is none.
	Recovery *Recovery `json:"recovery,omitempty"`
}

// SealRoot is a root of trust that has keyslots.
type SealRoot struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Where says to a person what it is, if it is the one that the deployment was
	// opened with.
	Where string `json:"where,omitempty"`
	// Problem says why the next start could not open the deployment with this root; it
	// is known of the one that Where says something of.
	Problem string `json:"problem,omitempty"`
}

// sealRows are the commands about the seal, by their route.
func (s *Server) sealRows() map[string]commandRow {
	if s.cfg.Seals == nil {
		return nil
	}
	o := s.cfg.Seals
	return map[string]commandRow{
		sealStatusRoute: asking("GetSealStatus", func(none) map[string]string { return nil },
			func(ctx context.Context, _ none) (Seal, error) { return o.Seal(ctx) }),
		rotateSealRoute: changing(func(ctx context.Context, by Peer, _ none) (Seal, error) { return o.RotateDomainKey(ctx, by) }),
		migrateSealRoute: changing(func(ctx context.Context, by Peer, in NewSeal) (Seal, error) {
			defer clear(in.Passphrase)
			defer clear(in.TPMAuth)
			return o.MigrateSeal(ctx, by, in)
		}),
		initRecoveryRoute:   changing(o.InitRecovery),
		verifyRecoveryRoute: changing(o.VerifyRecovery),
	}
}

var _ Seals = (*Client)(nil)

// Seal implements [Seals].
func (c *Client) Seal(ctx context.Context) (Seal, error) {
	return command[none, Seal](ctx, c, sealStatusRoute, none{})
}

// RotateDomainKey implements [Seals]. The server sees itself who asks.
func (c *Client) RotateDomainKey(ctx context.Context, _ Peer) (Seal, error) {
	return command[none, Seal](ctx, c, rotateSealRoute, none{})
}

// MigrateSeal implements [Seals].
func (c *Client) MigrateSeal(ctx context.Context, _ Peer, in NewSeal) (Seal, error) {
	return command[NewSeal, Seal](ctx, c, migrateSealRoute, in)
}

// InitRecovery implements [Seals].
func (c *Client) InitRecovery(ctx context.Context, _ Peer, in NewRecovery) (RecoveryShares, error) {
	return command[NewRecovery, RecoveryShares](ctx, c, initRecoveryRoute, in)
}

// VerifyRecovery implements [Seals].
func (c *Client) VerifyRecovery(ctx context.Context, _ Peer, in RecoveryProof) (Seal, error) {
	return command[RecoveryProof, Seal](ctx, c, verifyRecoveryRoute, in)
}
