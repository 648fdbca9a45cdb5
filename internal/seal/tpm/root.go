package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2/transport"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

// keySize is the size of the sealed key in bytes.
const keySize = 32

// Settings say where the TPM is and what its object asks for.
type Settings struct {
	// Device is a device file, or the Unix socket of an emulator; if empty,
	// DefaultDevice.
	Device string
	// Auth is what the object's auth value is made of; if empty, there is none. The
	// root copies it.
	Auth secret.Bytes
	// PCRs are the registers of the SHA-256 bank that the object is bound to, as
	// ParsePCRs returns them. For a root that there is they may be left out; others
	// than it is bound to are refused.
	PCRs []int
}

// Root is an object that a TPM has sealed. It is safe for concurrent use.
type Root struct {
	device *device
	stored parameters
	bytes  []byte // stored, as the keyslots keep it
	id     string
	auth   *secret.Bytes // a pointer: fmt follows one from an unexported field, not two
	rand   io.Reader

	mu      sync.Mutex
	holders int
	held    *seal.LocalKey // while holders > 0
}

var (
	_ seal.Root          = (*Root)(nil)
	_ seal.Parameterised = (*Root)(nil)
	_ seal.Holder        = (*Root)(nil)
)

// Create makes a root: a new object for each call, of which the TPM keeps nothing. It
// has been unsealed once when Create returns. randomness gives the key and the salts,
// and must be safe for concurrent use.
func Create(ctx context.Context, s Settings, randomness io.Reader) (*Root, error) {
	r := newRoot(s, randomness)
	key := make(secret.Bytes, keySize)
	defer key.Wipe()
	if _, err := io.ReadFull(randomness, key); err != nil {
		return nil, fmt.Errorf("tpm: making a root: %w", err)
	}
	id, err := idOf(key)
	if err != nil {
		return nil, err
	}
	sent := bytes.Clone(key) // outlives a TPM that hangs
	r.stored, err = ask(ctx, r.device, func(t transport.TPM) (parameters, error) {
		defer clear(sent)
		return sealed(t, sent, *r.auth, s.PCRs)
	})
	if err != nil {
		return nil, r.explain(err)
	}
	if r.bytes, err = json.Marshal(r.stored); err != nil {
		return nil, err
	}
	if _, err := parseParameters(r.bytes); err != nil { // what could not be read again must not be written
		return nil, err
	}
	r.id = id
	release, err := r.Hold(ctx)
	if err != nil {
		return nil, err
	}
	release()
	return r, nil
}

// Open returns the root that the keyslots know. It does not ask the TPM yet. Errors:
// [seal.ErrSlotsCorrupt], and [seal.ErrWrongRoot] for settings of another root.
func Open(stored seal.RootInfo, s Settings, randomness io.Reader) (*Root, error) {
	p, err := parseParameters(stored.Parameters)
	if err != nil {
		return nil, err
	}
	r := newRoot(s, randomness)
	r.stored, r.bytes, r.id = p, bytes.Clone(stored.Parameters), stored.ID
	switch {
	case p.Auth && len(*r.auth) == 0:
		return nil, seal.NewError("the root in the TPM opens with an auth value only, and none is given", "Name the file that holds it with --seal-tpm-auth-file. Nothing was changed.", seal.ErrWrongRoot)
	case !p.Auth && len(*r.auth) > 0:
		// Whoever writes the folder must not do away with the auth value unseen.
		return nil, seal.NewError("an auth value is given, and the root in the TPM was made without one",
			"Leave --seal-tpm-auth-file out, and make a root that has one: strongroom seal migrate --to tpm --to-tpm-auth-file FILE. Nothing was changed.", seal.ErrWrongRoot)
	case len(s.PCRs) > 0 && !slices.Equal(s.PCRs, p.pcrs()):
		return nil, seal.NewError(fmt.Sprintf("the root in the TPM is not bound to PCRs %s but to %s", listed(s.PCRs), orNone(p.pcrs())),
			"Leave --seal-tpm-pcrs out, or make a root that is: strongroom seal migrate --to tpm --to-tpm-pcrs … Nothing was changed.", seal.ErrWrongRoot)
	}
	return r, nil
}

func orNone(pcrs []int) string {
	if len(pcrs) == 0 {
		return "none"
	}
	return listed(pcrs)
}

func newRoot(s Settings, randomness io.Reader) *Root {
	if s.Device == "" {
		s.Device = DefaultDevice
	}
	auth := authValue(s.Auth)
	return &Root{device: newDevice(s.Device), auth: &auth, rand: randomness}
}

// authValue is what the TPM gets: 32 characters, the most that an object with SHA-256
// takes, of a hash. No byte of it is zero, because specification and libraries differ on
// zeros at the end.
func authValue(text secret.Bytes) secret.Bytes {
	if len(text) == 0 {
		return nil
	}
	sum := sha256.Sum256(append([]byte("strongroom/seal/tpm/auth/v1"), text...))
	return []byte(base64.RawURLEncoding.EncodeToString(sum[:24]))
}

// idOf says how the keyslots know the key.
func idOf(key secret.Bytes) (string, error) {
	local, err := seal.NewLocalKey(seal.KindTPM, bytes.Clone(key), nil)
	if err != nil {
		return "", err
	}
	defer local.Wipe()
	return local.ID(), nil
}

// ID implements [seal.Root]: "tpm:" and 32 hex digits that are derived from the key.
func (r *Root) ID() string { return r.id }

// Describe implements [seal.Root].
func (r *Root) Describe() string {
	text := "the TPM " + r.device.path
	if len(r.stored.PCRs) > 0 {
		text += ", bound to PCRs " + listed(r.stored.pcrs())
	}
	if r.stored.Auth {
		text += ", with an auth value"
	}
	return text
}

// Parameters implements [seal.Parameterised].
func (r *Root) Parameters() []byte { return bytes.Clone(r.bytes) }

// Hold implements [seal.Holder]: it unseals the key, which is wiped by the last release.
func (r *Root) Hold(ctx context.Context) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders == 0 {
		if r.held, err = r.unseal(ctx); err != nil {
			return nil, err
		}
	}
	r.holders++
	return sync.OnceFunc(r.release), nil
}

func (r *Root) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders--; r.holders == 0 {
		r.held.Wipe()
		r.held = nil
	}
}

func (r *Root) unseal(ctx context.Context) (*seal.LocalKey, error) {
	auth := *r.auth
	key, err := ask(ctx, r.device, func(t transport.TPM) (key secret.Bytes, err error) {
		secret.Do(func() { key, err = unsealed(t, r.stored, auth) })
		return key, err
	})
	if err == nil && len(key) != keySize {
		err = errWrongContent
	}
	if err != nil {
		key.Wipe()
		return nil, r.explain(err)
	}
	local, err := seal.NewLocalKey(seal.KindTPM, key, r.rand)
	if err != nil {
		return nil, err
	}
	if local.ID() != r.id {
		local.Wipe()
		return nil, corrupt()
	}
	return &local, nil
}

// Wrap implements [seal.Root].
func (r *Root) Wrap(ctx context.Context, plaintext secret.Bytes, place seal.Place) ([]byte, error) {
	release, err := r.Hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return r.held.Wrap(plaintext, place)
}

// Unwrap implements [seal.Root].
func (r *Root) Unwrap(ctx context.Context, wrapped []byte, place seal.Place) (secret.Bytes, error) {
	release, err := r.Hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return r.held.Unwrap(wrapped, place)
}

// Format implements fmt.Formatter: fmt would print unexported fields raw.
func (r *Root) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.Describe()) }
