// Package pkcs11 is a root of trust in a hardware security module: an AES-256 key
// that is made in the token, cannot be extracted, and wraps the domain key there.
//
// The module, the token and the PIN come from the operator's settings, never from
// the data folder: whoever can write there must not choose which library is loaded
// or who is shown the PIN. The root's name in the keyslots is the key's id in the
// token (CKA_ID), 16 random bytes.
//
// The token is asked at each start, when the domain key or its roots change, and
// now and then whether it is still there. In between its user is logged out and
// there is no helper process, so that nothing in a running server can be made to use
// the root. Without the token a server that runs goes on and none can be started,
// but with recovery shares.
//
// Whoever has the PIN and reaches the token can open the domain key of a data folder
// that they have, and can delete the root.
package pkcs11

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

const (
	prefix = string(seal.KindPKCS11) + ":"
	idSize = 16
	// label is the key's CKA_LABEL.
	label = "strongroom root"
	// wrapFormat is the first byte of what is wrapped:
	// format ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16), as the token makes it.
	wrapFormat = 1
	// patience is how long one request may take, with a login before it.
	patience = 30 * time.Second
)

// Config is what a Root needs.
type Config struct {
	// Open opens the token; must be set. hsm.Open does.
	Open hsm.Opener
	// HSM says which token; must be as Open wants it.
	HSM hsm.Config
}

// Root is a key in a token. It is safe for concurrent use.
type Root struct {
	cfg Config
	id  []byte

	mu      sync.Mutex
	slot    hsm.Slot     // nil while nobody is logged in
	holds   int          // by how many it is kept
	refused secret.Bytes // a PIN that the token did not take
}

var (
	_ seal.Root   = (*Root)(nil)
	_ seal.Holder = (*Root)(nil)
)

// Create makes a root in the token, once it has encrypted and decrypted with it; a
// key that cannot is taken away again. randomness gives its id.
func Create(ctx context.Context, cfg Config, randomness io.Reader) (*Root, error) {
	r := &Root{cfg: cfg, id: make([]byte, idSize)}
	if _, err := io.ReadFull(randomness, r.id); err != nil {
		return nil, fmt.Errorf("pkcs11: making the id of a key: %w", err)
	}
	release, err := r.Hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	err = r.use(ctx, func(ctx context.Context, slot hsm.Slot) error { return slot.GenerateAES256(ctx, r.id, label) })
	if err != nil {
		return nil, err
	}
	if err := r.try(ctx); err != nil {
		left := r.use(context.WithoutCancel(ctx), func(ctx context.Context, slot hsm.Slot) error { return slot.Destroy(ctx, r.id) })
		return nil, errors.Join(err, left)
	}
	return r, nil
}

// try wraps and unwraps.
func (r *Root) try(ctx context.Context) error {
	place := seal.Place{Deployment: "probe", Version: 1}
	wrapped, err := r.Wrap(ctx, secret.Bytes("probe"), place)
	if err != nil {
		return err
	}
	opened, err := r.Unwrap(ctx, wrapped, place)
	if err != nil {
		return err
	}
	if string(opened) != "probe" {
		return r.explain(errors.New("it decrypts to something else than it has encrypted"))
	}
	return nil
}

// Open returns the root that the keyslots know as id. Whether the token has it shows
// when it unwraps. Its only error is seal.ErrSlotsCorrupt.
func Open(cfg Config, id string) (*Root, error) {
	text, ours := strings.CutPrefix(id, prefix)
	key, err := hex.DecodeString(text)
	if !ours || err != nil || len(key) != idSize || hex.EncodeToString(key) != text {
		return nil, fmt.Errorf("%w: %q is no root in an HSM", seal.ErrSlotsCorrupt, id)
	}
	return &Root{cfg: cfg, id: key}, nil
}

// ID implements [seal.Root]: "pkcs11:" and the key's id in hex.
func (r *Root) ID() string { return prefix + hex.EncodeToString(r.id) }

// Describe implements [seal.Root].
func (r *Root) Describe() string {
	return fmt.Sprintf("the key %x in %v", r.id, r.cfg.HSM.Token)
}

// Wrap implements [seal.Root].
func (r *Root) Wrap(ctx context.Context, plaintext secret.Bytes, place seal.Place) ([]byte, error) {
	wrapped := []byte{wrapFormat}
	err := r.use(ctx, func(ctx context.Context, slot hsm.Slot) error {
		sealed, err := slot.EncryptGCM(ctx, r.id, place.AAD(r.ID()), plaintext)
		wrapped = append(wrapped, sealed...)
		return err
	})
	return wrapped, err
}

// Unwrap implements [seal.Root].
func (r *Root) Unwrap(ctx context.Context, wrapped []byte, place seal.Place) (plaintext secret.Bytes, err error) {
	if len(wrapped) < 1+hsm.Overhead || wrapped[0] != wrapFormat {
		return nil, seal.ErrUnwrap
	}
	err = r.use(ctx, func(ctx context.Context, slot hsm.Slot) (err error) {
		plaintext, err = slot.DecryptGCM(ctx, r.id, place.AAD(r.ID()), wrapped[1:])
		return err
	})
	return plaintext, err
}

// Hold implements [seal.Holder]: one login for all that is asked until release.
func (r *Root) Hold(ctx context.Context) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.logInLocked(ctx); err != nil {
		return nil, r.explain(err)
	}
	r.holds++
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.holds--; r.holds == 0 {
			_ = r.logOutLocked() // the helper is gone in any case
		}
	}), nil
}

// use asks the token.
func (r *Root) use(ctx context.Context, ask func(context.Context, hsm.Slot) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.logInLocked(ctx); err != nil {
		return r.explain(err)
	}
	err := ask(ctx, r.slot)
	if r.holds == 0 || errors.Is(err, hsm.ErrUnavailable) {
		err = errors.Join(err, r.logOutLocked())
	}
	if errors.Is(err, hsm.ErrDecrypt) {
		return seal.ErrUnwrap
	}
	if err != nil {
		return r.explain(err)
	}
	return nil
}

func (r *Root) logInLocked(ctx context.Context) error {
	if r.slot != nil {
		return nil
	}
	pin, err := r.cfg.HSM.PIN()
	if err != nil {
		return err
	}
	defer pin.Wipe()
	if r.refused != nil && r.refused.Equal(pin) {
		return hsm.ErrPIN // it was tried once, and never again: that would lock the token
	}
	cfg := r.cfg.HSM
	cfg.PIN = hsm.FixedPIN(pin)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	slot, err := r.cfg.Open(ctx, cfg)
	for range looks {
		if !errors.Is(err, hsm.ErrNoToken) || !sleep(ctx, lookAgain) {
			break
		}
		slot, err = r.cfg.Open(ctx, cfg)
	}
	if errors.Is(err, hsm.ErrPIN) {
		r.refused = append(secret.Bytes(nil), pin...)
	}
	r.slot = slot
	return err
}

// A token that is not there may be away for a moment, as SoftHSM's was seen to be while
// other processes used it under load. It has not been shown the PIN, and is looked for
// again, so often and after so long.
const (
	looks     = 5
	lookAgain = 200 * time.Millisecond
)

// sleep waits, and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Root) logOutLocked() error {
	if r.slot == nil {
		return nil
	}
	slot := r.slot
	r.slot = nil
	return slot.Close()
}

// explain says of an error of the token what to do about it.
func (r *Root) explain(err error) error {
	token, probe := r.cfg.HSM.Token, "strongroom hsm probe --module "+r.cfg.HSM.Module
	what, hint, is := fmt.Sprintf("%v cannot be used: %s", token, strings.ReplaceAll(err.Error(), "hsm: ", "")), "", seal.ErrRootUnreachable
	switch {
	case errors.Is(err, hsm.ErrPIN):
		what = fmt.Sprintf("%v refuses the PIN", token)
		hint = "It was tried once. Do not let a service manager try again and again: most tokens lock after a few wrong ones. Correct the file that --seal-pkcs11-pin-file names."
	case errors.Is(err, hsm.ErrPINLocked):
		what = fmt.Sprintf("the PIN of %v is locked", token)
		hint = "The HSM's security officer can set it anew."
	case errors.Is(err, hsm.ErrNoModule):
		hint = "Check --seal-pkcs11-module."
	case errors.Is(err, hsm.ErrNoToken):
		what = fmt.Sprintf("there is no such token: %v", token)
		hint = "To list those that there are:\n  " + probe
	case errors.Is(err, hsm.ErrNoKey):
		what = fmt.Sprintf("%v does not hold the root of this deployment, which is the key %x", token, r.id)
		hint = "Name the token that does with --seal-pkcs11-token. If it is gone, recovery shares open the deployment:\n  strongroom recovery open --help"
		is = seal.ErrWrongRoot
	default:
		hint = "To see what it can do:\n  " + probe
	}
	return seal.NewError(what, hint+"\nNothing was changed.", errors.Join(is, err))
}

// Format implements fmt.Formatter.
func (r *Root) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.Describe()) }
