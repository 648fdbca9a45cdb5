package hsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

// maxPIN is the length of the longest PIN, in bytes.
const maxPIN = 256

// Config says which token, and as whom.
type Config struct {
	// Module is the absolute path of the PKCS #11 library; must be set.
	Module string
	// Token must name one token.
	Token Token
	// PIN gives the PIN of the token's user, each time a connection is made; must be
	// set. The caller of PIN wipes what it returns.
	PIN func() (secret.Bytes, error)
	// Helper is the command that runs [ServeProcess], with its arguments; must be set.
	Helper []string
	// Env is the helper's environment; if nil, that of this process, in which the
	// vendors' libraries look for their own configuration, without what begins with
	// STRONGROOM_ or AWS_, which is not for them.
	Env []string
	// Sessions is the most that are open with the token at once, and so the most that
	// it does at once; if 0, 8.
	Sessions int
	// Log is told of helpers that end, and why, never of what they were asked; if
	// nil, nobody is.
	Log func(event string, err error)

	// stuck is after how long a call without an answer ends the helper; if 0,
	// defaultStuck.
	stuck time.Duration
}

// Token says which token. Whatever is set must be as the token has it; something
// must be set.
type Token struct {
	Label  string `json:"label,omitempty"`
	Serial string `json:"serial,omitempty"`
	// Slot is a slot's number. Some modules number slots anew at each start.
	Slot *uint64 `json:"slot,omitempty"`
}

// String says to a person which token it is.
func (t Token) String() string {
	text := ""
	if t.Label != "" {
		text += fmt.Sprintf(" labelled %q", t.Label)
	}
	if t.Serial != "" {
		text += fmt.Sprintf(" with the serial number %q", t.Serial)
	}
	if t.Slot != nil {
		text += fmt.Sprintf(" in slot %d", *t.Slot)
	}
	return "the token" + text
}

// FixedPIN is a PIN that is known already.
func FixedPIN(pin secret.Bytes) func() (secret.Bytes, error) {
	held := append(secret.Bytes(nil), pin...)
	return func() (secret.Bytes, error) { return append(secret.Bytes(nil), held...), nil }
}

// PINFile reads the PIN, without the end of its line, from a file that is not every
// user's to read. It is read for each connection, so that a changed one is noticed.
func PINFile(path string) func() (secret.Bytes, error) {
	return func() (secret.Bytes, error) {
		// O_NONBLOCK keeps a pipe that nobody writes to from hanging us.
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("the PIN cannot be read: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		switch {
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("the PIN file %s is not a plain file", path)
		case info.Mode().Perm()&0o007 != 0:
			return nil, fmt.Errorf("every user of this machine may use the PIN file %s (mode %04o); chmod 600 %s", path, info.Mode().Perm(), path)
		}
		text := make(secret.Bytes, maxPIN+3) // with an end of line, and a byte that is too much
		n, err := io.ReadFull(f, text)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("the PIN cannot be read: %w", err)
		}
		text = text[:n]
		if n > 0 && text[n-1] == '\n' {
			text = text[:n-1]
			if n > 1 && text[n-2] == '\r' {
				text = text[:n-2]
			}
		}
		if len(text) == 0 || len(text) > maxPIN {
			text.Wipe()
			return nil, fmt.Errorf("the PIN in %s must have 1 to %d bytes", path, maxPIN)
		}
		return text, nil
	}
}

// Opener opens a slot: [Open], or a test's own. It returns when the user is logged
// in or that has failed; errors: ErrNoModule, ErrNoToken, ErrPIN, ErrPINLocked,
// ErrUser, ErrLoggedIn, ErrUnsupported, ErrUnavailable (which may be retried), and
// what c.PIN returns. A failed one leaves nothing behind.
type Opener func(ctx context.Context, c Config) (Slot, error)
