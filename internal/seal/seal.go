// Package seal is the root of trust: the one secret that its owner guards, and
// the domain key that it protects.
//
//	root (seal) → domain key (versioned) → a key for each purpose
//
// A [Root] only wraps and unwraps, because a key inside an HSM or a TPM can do no
// more. What it wraps is the domain key: 32 random bytes in each version. Every
// version sits in authenticated keyslots, one for each root, and the caller keeps
// the slots with the public parameters of roots that have any, as bytes, in the part of its store that is not sealed. From the
// domain key [Domain.Derive] makes the keys that seal records, key material and
// the journal, each under a label of its own, so that none says anything of
// another.
//
// # What this answers
//
// Whoever holds the data folder or the database, but not the root, learns
// nothing and cannot forge: a slot is bound to its deployment, version and root,
// so that it cannot be moved, and the slots as a whole carry a MAC under the
// domain key, so that none can be dropped and the current version cannot be set
// back unless all slots are replaced by an older state of themselves. A root that
// is missing, foreign, or readable by others is refused, and nothing is created
// in its place.
//
// # What it does not answer
//
// Whoever reads the root and the data folder reads everything: the root file is
// one of the two exceptions to the rule that nothing unsealed touches a disk.
// Whoever reads the process's memory reads the domain key. An old copy of store
// and slots together is not recognised here. A root that is lost takes all keys
// with it, unless there is another slot.
//
// # Construction
//
// Derivation is HKDF-SHA256 (RFC 5869, crypto/hkdf) with a fixed salt and the
// label as info. Wrapping is AES-256-GCM under a key derived from the root with a
// fresh 32-byte salt, so that no key is used for two messages. Salts and domain
// keys come from the reader that is handed in; the 12-byte nonces come from the
// random generator of Go's FIPS module, through cipher.NewGCMWithRandomNonce,
// which takes no other source.
package seal

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/strongroom/strongroom/internal/secret"
)

// keySize is the size of a root in a file, of a domain key and of every derived
// key, in bytes.
const keySize = 32

var (
	// ErrRootMissing says that there is no root where one must be.
	ErrRootMissing = errors.New("seal: the root is missing")
	// ErrRootExists says that there is a root where one was to be made.
	ErrRootExists = errors.New("seal: there is a root already")
	// ErrRootUnsafe says that a root file may be read or replaced by others, or is
	// not a plain file.
	ErrRootUnsafe = errors.New("seal: the root is not safe to use")
	// ErrRootMalformed says that a root file does not hold a root.
	ErrRootMalformed = errors.New("seal: the root is malformed")
	// ErrWrongRoot says that no keyslot was made for this root.
	ErrWrongRoot = errors.New("seal: the root belongs to another deployment")
	// ErrRootUnreachable says that whoever holds the root does not answer, or not
	// with the root.
	ErrRootUnreachable = errors.New("seal: the root cannot be reached")
	// ErrSlotsCorrupt says that the keyslots were altered, or never were keyslots.
	ErrSlotsCorrupt = errors.New("seal: the keyslots are corrupt")
	// ErrUnwrap is returned by [Root.Unwrap] for bytes that the root did not wrap
	// with this aad.
	ErrUnwrap = errors.New("seal: the wrapped key does not open")
	// ErrUnknownVersion is returned for a version that the domain key never had.
	ErrUnknownVersion = errors.New("seal: no such version of the domain key")
)

// Root is a root of trust. Implementations are safe for concurrent use.
type Root interface {
	// ID names the root's keyslots: 1 to 128 printable ASCII characters that are
	// the same for as long as the root is, differ between roots and give nothing
	// of it away.
	ID() string
	// Describe says to a person what the root is and where, such as
	// "the file /var/lib/strongroom/root.key".
	Describe() string
	// Wrap encrypts and authenticates plaintext, of up to 64 bytes, and binds it to
	// place. It changes nothing durable and may be retried.
	Wrap(ctx context.Context, plaintext secret.Bytes, place Place) ([]byte, error)
	// Unwrap returns what was wrapped for this place, or ErrUnwrap. Any other error
	// means that the root cannot be reached now, or that it is another one
	// (ErrWrongRoot). The caller owns the result.
	Unwrap(ctx context.Context, wrapped []byte, place Place) (secret.Bytes, error)
}

// Parameterised is a root that is not found again by its ID alone.
type Parameterised interface {
	// Parameters are what the keyslots keep of the root, authenticated and in the
	// clear: no secrets, at most 4,096 bytes, the same for as long as the root is.
	Parameters() []byte
}

// WrapOnly is a root that this process cannot unwrap with: the public half of a
// recovery key.
type WrapOnly interface{ WrapOnly() bool }

// Holder is a root that is asked once for several keyslots: one for whom each answer
// takes long, or leaves a trace elsewhere.
type Holder interface {
	// Hold makes ready for Wraps and Unwraps, until release is called. Its errors are
	// those of Unwrap, without ErrUnwrap.
	Hold(ctx context.Context) (release func(), err error)
}

// hold makes any root ready.
func hold(ctx context.Context, root Root) (release func(), err error) {
	if h, ok := root.(Holder); ok {
		return h.Hold(ctx)
	}
	return func() {}, nil
}

// Kind is the kind of a root: what stands before the colon in its ID.
type Kind string

// The kinds there are.
const (
	KindFile       Kind = "file"
	KindPassphrase Kind = "passphrase"
	KindAWSKMS     Kind = "aws-kms"
	KindTPM        Kind = "tpm"
	KindPKCS11     Kind = "pkcs11"
	KindRecovery   Kind = "recovery"
)

// Place is where a slot is: the deployment and the version of its domain key.
type Place struct {
	Deployment string
	Version    uint32
}

// AAD binds a slot of a root to its place: a label, then deployment and root with
// their lengths, and the version.
func (p Place) AAD(root string) []byte {
	aad := []byte("strongroom/seal/slot/v1")
	for _, s := range []string{p.Deployment, root} {
		aad = binary.BigEndian.AppendUint32(aad, uint32(len(s)))
		aad = append(aad, s...)
	}
	return binary.BigEndian.AppendUint32(aad, p.Version)
}

// NewError returns a refusal: what happened in a sentence without a full stop, what
// to do next, and the Err… value that it is one of.
func NewError(problem, hint string, err error) *Error { return &Error{problem, hint, err} }

// Error is a refusal that a person has to act on. Error says what happened and
// why; Hint says what to do next.
type Error struct {
	problem, hint string
	err           error
}

// Error returns what happened, in a sentence without a full stop.
func (e *Error) Error() string { return e.problem }

// Hint returns what to do next, with the command to type where there is one.
func (e *Error) Hint() string { return e.hint }

// Unwrap returns the Err… value that the refusal is one of.
func (e *Error) Unwrap() error { return e.err }
