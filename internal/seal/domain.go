package seal

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/strongroom/strongroom/internal/secret"
)

// Label names the purpose of a key that is derived from the domain key. A label
// is never given a second purpose and never renamed: what is sealed under it
// would be lost.
type Label string

// The purposes there are.
const (
	LabelRecords        Label = "records"              // sealing of store records
	LabelMaterial       Label = "key-material"         // wrapping of key material
	LabelJournalSealing Label = "journal-sealing"      // sealing of journal frames
	LabelJournalSigning Label = "journal-signing-seed" // Ed25519 seed that signs checkpoints
	LabelSigV4Secrets   Label = "sigv4-secrets"        // sealing of secret access keys
	LabelSessionTokens  Label = "session-tokens"
	LabelGrantTokens    Label = "grant-tokens"
	LabelPagination     Label = "pagination-markers"
	LabelDelivery       Label = "audit-delivery" // credentials of buckets, private keys of digests
	LabelImportTokens   Label = "import-tokens"  // with the wrapping key's private half
	LabelRecordIndex    Label = "record-index"   // sealing of the index of audit records
	LabelRecordTerms    Label = "record-terms"   // fingerprints in that index
	LabelPendingRecord  Label = "pending-record" // an audit record that waits beside the keyslots
	LabelOfferedSlots   Label = "offered-slots"  // keyslots that are to be, and what other nodes say to them
	LabelLookupTokens   Label = "lookup-tokens"  // where a lookup of audit records goes on

	LabelApprovals Label = "approvals" // ids of requests that wait for approval

	LabelKeyStoreSecrets  Label = "key-store-secrets" // credentials for others' XKS proxies
	LabelProxyCredentials Label = "xks-proxy-secrets" // credentials of our own XKS proxy
	LabelLiveSet          Label = "live-set"          // hash of what the store holds
	LabelBackup           Label = "backup"            // MAC over a backup's manifest

	LabelCiphertextHeaders Label = "ciphertext-headers" // MAC over the headers of ciphertexts

	labelSlots Label = "keyslots" // MAC over the keyslots
)

// deriveSalt is the HKDF salt of every derivation from a domain key.
const deriveSalt = "strongroom/seal/domain/v1"

// Domain is an opened domain key in all its versions. It is safe for concurrent
// use, also while it changes.
type Domain struct {
	deployment string
	state      atomic.Pointer[state]
	look       atomic.Pointer[func(version uint32)] // see OnUnknown
}

// state is a Domain at one moment. It is never changed.
type state struct {
	current uint32
	keys    map[uint32]*[keySize]byte // pointers: fmt does not follow them here
	slots   keyslots                  // as they are stored
}

// Create makes version 1 of the domain key of a new deployment, and the slots
// that open it with root. The caller stores the slots durably before anything is
// sealed. deployment is the deployment's id, 1 to 128 printable ASCII characters,
// and never changes. randomness gives the key; if nil, crypto/rand.Reader.
func Create(ctx context.Context, root Root, deployment string, randomness io.Reader) (*Domain, []byte, error) {
	if !printable(deployment) {
		return nil, nil, fmt.Errorf("seal: a deployment id has 1 to %d printable ASCII characters", maxName)
	}
	d := &Domain{deployment: deployment}
	d.state.Store(&state{})
	c, err := d.Prepare(ctx, []Root{root}, true, randomness)
	if err != nil {
		return nil, nil, err
	}
	c.Apply()
	return d, c.Slots, nil
}

// Open opens the domain key with root. Errors: ErrWrongRoot when root has no
// slot, ErrSlotsCorrupt when the slots are not what Create or a Change returned,
// and whatever root returns when it cannot be reached.
func Open(ctx context.Context, root Root, slots []byte) (*Domain, error) {
	s, err := parseSlots(slots)
	if err != nil {
		return nil, err
	}
	if _, ok := s.slot(s.Current, root.ID()); !ok {
		return nil, noSlot(root, s.Current)
	}
	release, err := hold(ctx, root)
	if err != nil {
		return nil, err
	}
	defer release()
	opened := &state{current: s.Current, keys: make(map[uint32]*[keySize]byte, len(s.Versions)), slots: s}
	for _, v := range s.Versions {
		slot, ok := v.slot(root.ID())
		if !ok {
			return nil, noSlot(root, v.Version)
		}
		key, err := root.Unwrap(ctx, slot.Wrapped, Place{s.Deployment, v.Version})
		switch {
		case errors.Is(err, ErrUnwrap), err == nil && len(key) != keySize:
			return nil, corrupt("the slot of version %d does not open with %s", v.Version, root.Describe())
		case err != nil:
			return nil, fmt.Errorf("seal: asking %s for version %d of the domain key: %w", root.Describe(), v.Version, err)
		}
		opened.keys[v.Version] = (*[keySize]byte)(key)
	}
	mac, err := macOf(opened.keys[s.Current], s)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, s.MAC) {
		return nil, corrupt("they are not as they were written")
	}
	d := &Domain{deployment: s.Deployment}
	d.state.Store(opened)
	return d, nil
}

func noSlot(root Root, version uint32) error {
	return &Error{
		problem: fmt.Sprintf("%s is not the root of this deployment: no keyslot of version %d of the domain key was made for it", root.Describe(), version),
		hint:    "Start with the root that this deployment was made with; a copy of it may be in your backups. A new root cannot open it.",
		err:     ErrWrongRoot,
	}
}

// Deployment returns the id of the deployment that the domain key belongs to.
func (d *Domain) Deployment() string { return d.deployment }

// Current returns the version under which new things are sealed.
func (d *Domain) Current() uint32 { return d.state.Load().current }

// Derive returns the 32-byte key for label under a version of the domain key:
// always the same for the same version and label. The caller owns it. The only
// error is ErrUnknownVersion.
func (d *Domain) Derive(version uint32, label Label) (secret.Bytes, error) {
	key, ok := d.state.Load().keys[version]
	if look := d.look.Load(); !ok && look != nil && version > d.Current() {
		(*look)(version)
		key, ok = d.state.Load().keys[version]
	}
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrUnknownVersion, version)
	}
	out := make(secret.Bytes, keySize)
	var err error
	secret.Do(func() { err = derive(out, key[:], []byte(deriveSalt), string(label)) })
	return out, err
}

// derive fills out with HKDF-SHA256 of key, salt and info.
func derive(out, key, salt []byte, info string) error {
	okm, err := hkdf.Key(sha256.New, key, salt, info, len(out))
	if err != nil {
		return err
	}
	copy(out, okm)
	clear(okm)
	return nil
}

// Format implements fmt.Formatter: fmt would print unexported fields raw.
func (d *Domain) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[domain key of %s, version %d]", d.deployment, d.Current())
}
