package hsm

import "errors"

// Errors of a slot. Which of them a method returns, bare or wrapped, stands at the
// method; beyond these there is *Failure, and ctx's error wrapped in ErrUnavailable.
var (
	// ErrUnavailable says that the HSM could not be asked or has not answered: the
	// helper process ended, the token is gone, the time ran out. Whether the call had
	// an effect is unknown. It may be retried. Where the cause is known, such as
	// ErrNoToken or ErrPIN, the error is both.
	ErrUnavailable = errors.New("hsm: the HSM is not available")

	// ErrNoModule says that the PKCS #11 library cannot be loaded.
	ErrNoModule = errors.New("hsm: the PKCS #11 module cannot be loaded")
	// ErrNoToken says that no slot, or more than one, has the token that is asked for.
	ErrNoToken = errors.New("hsm: there is no such token")
	// ErrPIN says that the token refuses the PIN. It was tried once.
	ErrPIN = errors.New("hsm: the token refuses the PIN")
	// ErrPINLocked says that the token takes no PIN of its user any more: too many
	// wrong ones, or one that has expired.
	ErrPINLocked = errors.New("hsm: the PIN of the token's user is locked")
	// ErrUser says that the token has no such user, or that its PIN was never set.
	ErrUser = errors.New("hsm: the token has no such user")
	// ErrLoggedIn says that the token has somebody else logged in, and no room for us.
	ErrLoggedIn = errors.New("hsm: another user is logged in to the token")
	// ErrUnsupported says that the HSM lacks a mechanism, or does it in a way that
	// cannot be used.
	ErrUnsupported = errors.New("hsm: the HSM does not support this")

	// ErrNoKey says that the token holds no key of this id.
	ErrNoKey = errors.New("hsm: the token does not hold this key")
	// ErrKeyExists says that the token holds a key of this id already.
	ErrKeyExists = errors.New("hsm: the token holds a key of this id already")
	// ErrDecrypt is the one answer to a sealed message that does not open: altered,
	// with other aad, or of another key.
	ErrDecrypt = errors.New("hsm: the message does not open")
	// ErrSize is returned for arguments that are longer than a method takes.
	ErrSize = errors.New("hsm: the message is too long")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("hsm: the slot was closed")
)

// Failure is an answer of the HSM that no other error stands for.
type Failure struct {
	// Function and Code are as PKCS #11 names them: C_GenerateKey, CKR_FUNCTION_FAILED.
	Function, Code string
}

// Error implements error.
func (f *Failure) Error() string { return "hsm: " + f.Function + " answers " + f.Code }
