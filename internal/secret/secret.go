// Package secret holds bytes that must not be shown: key material, plaintexts,
// tokens and passwords.
//
// A [Bytes] prints, formats, logs and marshals as "[secret]" or not at all, so
// that a careless %v or a struct in a log line gives nothing away. One gap is
// left: fmt cannot call the methods of an unexported field and prints it raw, so a
// struct that keeps a secret in one holds it behind a pointer of its own and has a
// Format method. It is no
// protection against code that means to read it, nor against a memory dump; the
// process hardening of the daemon is for that.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const shown = "[secret]"

// ErrMarshal is returned when something tries to marshal a secret.
var ErrMarshal = errors.New("secret: a secret cannot be marshalled")

// Bytes are secret bytes. Being a slice, a Bytes cannot be compared with ==; use
// [Bytes.Equal], which takes constant time for equal lengths. Code that needs the
// value converts it to []byte, which is easy to find with grep.
type Bytes []byte

// Equal reports whether b and other hold the same bytes, in time that depends on
// their lengths only.
func (b Bytes) Equal(other []byte) bool { return subtle.ConstantTimeCompare(b, other) == 1 }

// Wipe overwrites b with zeros. Copies that the runtime or a library made stay.
func (b Bytes) Wipe() { clear(b) }

// Format implements fmt.Formatter for every verb.
func (Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, shown) }

// String implements fmt.Stringer.
func (Bytes) String() string { return shown }

// LogValue implements slog.LogValuer.
func (Bytes) LogValue() slog.Value { return slog.StringValue(shown) }

// MarshalJSON always fails with ErrMarshal.
func (Bytes) MarshalJSON() ([]byte, error) { return nil, ErrMarshal }

// MarshalText always fails with ErrMarshal.
func (Bytes) MarshalText() ([]byte, error) { return nil, ErrMarshal }

// MarshalBinary always fails with ErrMarshal.
func (Bytes) MarshalBinary() ([]byte, error) { return nil, ErrMarshal }

// String is secret text; everything said of [Bytes] holds for it, but that it can
// be compared with ==, in time that depends on the values.
type String string

// Format implements fmt.Formatter for every verb.
func (String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, shown) }

// String implements fmt.Stringer.
func (String) String() string { return shown }

// LogValue implements slog.LogValuer.
func (String) LogValue() slog.Value { return slog.StringValue(shown) }

// MarshalJSON always fails with ErrMarshal.
func (String) MarshalJSON() ([]byte, error) { return nil, ErrMarshal }

// MarshalText always fails with ErrMarshal.
func (String) MarshalText() ([]byte, error) { return nil, ErrMarshal }
