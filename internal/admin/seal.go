package admin

import "context"

// The routes of the commands about the seal.
const (
	sealStatusRoute  = "/v1/seal/status"
	rotateSealRoute  = "/v1/seal/rotate"
	migrateSealRoute = "/v1/seal/migrate"
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
}

// NewSeal is a root that is to be.
type NewSeal struct {
	// Kind is file, passphrase or aws-kms.
	Kind string `json:"kind"`
	// Passphrase is a secret; whoever has sent it wipes it.
	Passphrase []byte `json:"passphrase,omitempty"`
	// The key of another KMS, the KMS's URL and its region; the last two may be empty.
	KMSKey      string `json:"kmsKey,omitempty"`
	KMSEndpoint string `json:"kmsEndpoint,omitempty"`
	KMSRegion   string `json:"kmsRegion,omitempty"`
}

// Seal is what opens a deployment.
type Seal struct {
	Deployment string `json:"deployment"`
	// Version is the domain key's current version; all from 1 on open.
	Version uint32 `json:"version"`
	// Roots have keyslots, the recovery key's among them.
	Roots []SealRoot `json:"roots"`
}

// SealRoot is a root of trust that has keyslots.
type SealRoot struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Where says to a person what it is, if it is the one that the deployment was
	// opened with.
	Where string `json:"where,omitempty"`
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
			return o.MigrateSeal(ctx, by, in)
		}),
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
