package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/strongroom/strongroom/internal/secret"
)

// Limits of a passphrase: characters at least, bytes at most.
const (
	MinPassphrase = 12
	MaxPassphrase = 1024
)

// The cost of Argon2id (RFC 9106). New roots get the second recommended option of
// section 4: 3 passes over 64 MiB in 4 lanes. What a stored root may ask for is
// bounded below, so that nobody who writes the keyslots can weaken the next
// passphrase, and above, so that they cannot exhaust the machine.
const (
	defaultPasses, minPasses, maxPasses          = 3, 2, 16
	defaultMemoryKiB, minMemoryKiB, maxMemoryKiB = 64 << 10, 19 << 10, 1 << 20
	defaultLanes, minLanes, maxLanes             = 4, 1, 16

	passphraseSalt = 16 // bytes; RFC 9106 section 3.1
)

// passphraseParameters is what the keyslots keep of a passphrase root: JSON with
// exactly these members in this order.
type passphraseParameters struct {
	KDF       string `json:"kdf"` // "argon2id"
	Version   int    `json:"version"`
	Passes    uint32 `json:"passes"`
	MemoryKiB uint32 `json:"memoryKiB"`
	Lanes     uint8  `json:"lanes"`
	Salt      []byte `json:"salt"`
}

// PassphraseRoot is a root of trust in someone's head, or in a file that is put in
// place for the start alone: Argon2id makes a key of the passphrase, and that key
// wraps. It is safe for concurrent use.
type PassphraseRoot struct {
	local      LocalKey
	parameters []byte
}

var (
	_ Root          = (*PassphraseRoot)(nil)
	_ Parameterised = (*PassphraseRoot)(nil)
)

// CheckPassphrase says why a passphrase is not taken for a new root: it has fewer
// than MinPassphrase characters or more than MaxPassphrase bytes.
func CheckPassphrase(passphrase secret.Bytes) error {
	if n := utf8.RuneCount(passphrase); n < MinPassphrase || len(passphrase) > MaxPassphrase {
		return &Error{
			problem: fmt.Sprintf("the passphrase is too short or too long: it has at least %d characters and at most %d bytes", MinPassphrase, MaxPassphrase),
			hint:    "Take six or more random words, or what a password manager makes:\n  openssl rand -base64 24",
			err:     ErrRootMalformed,
		}
	}
	return nil
}

// CreatePassphraseRoot makes a new root of a passphrase that CheckPassphrase takes.
// It is the passphrase's bytes that count: nothing is normalised. randomness gives
// the salts, and must be safe for concurrent use; if nil, crypto/rand.Reader.
func CreatePassphraseRoot(passphrase secret.Bytes, randomness io.Reader) (*PassphraseRoot, error) {
	return createPassphraseRoot(passphrase, randomness, defaultPasses, defaultMemoryKiB, defaultLanes)
}

func createPassphraseRoot(passphrase secret.Bytes, randomness io.Reader, passes, memoryKiB uint32, lanes uint8) (*PassphraseRoot, error) {
	if err := CheckPassphrase(passphrase); err != nil {
		return nil, err
	}
	if randomness == nil {
		randomness = rand.Reader
	}
	p := passphraseParameters{
		KDF: "argon2id", Version: argon2.Version, Passes: passes, MemoryKiB: memoryKiB, Lanes: lanes,
		Salt: make([]byte, passphraseSalt),
	}
	if _, err := io.ReadFull(randomness, p.Salt); err != nil {
		return nil, fmt.Errorf("seal: making a salt: %w", err)
	}
	return p.root(passphrase, randomness)
}

// OpenPassphraseRoot makes the root that stored describes again. Errors:
// ErrWrongRoot for another passphrase, ErrSlotsCorrupt for parameters that no root
// has, which are refused before anything is computed from them.
func OpenPassphraseRoot(stored RootInfo, passphrase secret.Bytes, randomness io.Reader) (*PassphraseRoot, error) {
	if randomness == nil {
		randomness = rand.Reader
	}
	p, err := parsePassphraseParameters(stored.Parameters)
	if err != nil {
		return nil, err
	}
	wrong := &Error{
		problem: "the passphrase does not open this deployment",
		hint:    "Try again; capital letters and spaces count. Nothing was changed.",
		err:     ErrWrongRoot,
	}
	if len(passphrase) == 0 || len(passphrase) > MaxPassphrase {
		return nil, wrong
	}
	r, err := p.root(passphrase, randomness)
	if err != nil {
		return nil, err
	}
	if r.ID() != stored.ID {
		return nil, wrong
	}
	return r, nil
}

// parsePassphraseParameters takes what fits the bounds. Its only error is
// ErrSlotsCorrupt.
func parsePassphraseParameters(b []byte) (passphraseParameters, error) {
	var p passphraseParameters
	if err := json.Unmarshal(b, &p); err != nil {
		return p, corrupt("the parameters of the passphrase are not the JSON that they were written as")
	}
	if again, err := json.Marshal(p); err != nil || !bytes.Equal(again, b) {
		return p, corrupt("the parameters of the passphrase are not the JSON that they were written as")
	}
	if p.KDF != "argon2id" || p.Version != argon2.Version || len(p.Salt) != passphraseSalt ||
		p.Passes < minPasses || p.Passes > maxPasses ||
		p.MemoryKiB < minMemoryKiB || p.MemoryKiB > maxMemoryKiB ||
		p.Lanes < minLanes || p.Lanes > maxLanes {
		return p, corrupt("the parameters of the passphrase are out of range")
	}
	return p, nil
}

func (p passphraseParameters) root(passphrase secret.Bytes, randomness io.Reader) (*PassphraseRoot, error) {
	stored, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	var key secret.Bytes
	secret.Do(func() { key = argon2.IDKey(passphrase, p.Salt, p.Passes, p.MemoryKiB, p.Lanes, keySize) })
	local, err := NewLocalKey(KindPassphrase, key, randomness)
	if err != nil {
		return nil, err
	}
	return &PassphraseRoot{local: local, parameters: stored}, nil
}

// ID implements [Root]: "passphrase:" and 32 hex digits that are derived from the
// stretched key. They let a guess be checked at the same cost as the slots do.
func (r *PassphraseRoot) ID() string { return r.local.id }

// Describe implements [Root].
func (r *PassphraseRoot) Describe() string { return "the passphrase" }

// Parameters implements [Parameterised].
func (r *PassphraseRoot) Parameters() []byte { return bytes.Clone(r.parameters) }

// Wrap implements [Root].
func (r *PassphraseRoot) Wrap(_ context.Context, plaintext secret.Bytes, place Place) ([]byte, error) {
	return r.local.Wrap(plaintext, place)
}

// Unwrap implements [Root]. Its only error is ErrUnwrap.
func (r *PassphraseRoot) Unwrap(_ context.Context, wrapped []byte, place Place) (secret.Bytes, error) {
	return r.local.Unwrap(wrapped, place)
}

// Format implements fmt.Formatter: fmt would print unexported fields raw.
func (r *PassphraseRoot) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.Describe()) }
