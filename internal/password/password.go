// Package password keeps people's passwords as what Argon2id (RFC 9106) makes of them.
//
// It answers the threat of a store that is read after all: each guess then costs 19
// MiB of memory and two passes over it, the least that OWASP's Password Storage Cheat
// Sheet recommends for Argon2id. Guesses through the server are for the caller to
// slow down; how many are worked on at once is bounded here, so that they take
// neither the memory nor the processors from others.
package password

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/strongroom/strongroom/internal/secret"
)

const (
	passes    = 2
	memoryKiB = 19 << 10
	lanes     = 1
	saltSize  = 16
	hashSize  = 32

	// places is how many passwords are worked on at once.
	places = 2
)

var busy = make(chan struct{}, places)

// header begins every hash, in the PHC string format.
var header = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, memoryKiB, passes, lanes)

// ErrMalformed is returned for what Hash has not made.
var ErrMalformed = errors.New("password: not a hash of a password")

// Hash returns what is kept of a password: its salted hash in the PHC string format.
// It returns ctx's error if no place comes free before.
func Hash(ctx context.Context, randomness io.Reader, password secret.String) (secret.Bytes, error) {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(randomness, salt); err != nil {
		return nil, err
	}
	hash, err := stretch(ctx, password, salt)
	if err != nil {
		return nil, err
	}
	encode := base64.RawStdEncoding.EncodeToString
	return secret.Bytes(header + encode(salt) + "$" + encode(hash)), nil
}

// Matches reports whether kept is what Hash has made of that password, in time that
// tells nothing of where they differ.
func Matches(ctx context.Context, kept secret.Bytes, password secret.String) (bool, error) {
	rest, ok := strings.CutPrefix(string(kept), header)
	first, second, both := strings.Cut(rest, "$")
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(first)
	hash, err2 := base64.RawStdEncoding.Strict().DecodeString(second)
	if !ok || !both || err1 != nil || err2 != nil || len(salt) != saltSize || len(hash) != hashSize {
		return false, ErrMalformed
	}
	made, err := stretch(ctx, password, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(made, hash) == 1, nil
}

// Waste takes as long as Matches does, for a password that nobody has.
func Waste(ctx context.Context, password secret.String) error {
	_, err := stretch(ctx, password, make([]byte, saltSize))
	return err
}

func stretch(ctx context.Context, password secret.String, salt []byte) (hash []byte, err error) {
	select {
	case busy <- struct{}{}:
		defer func() { <-busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	text := secret.Bytes(password)
	defer text.Wipe()
	secret.Do(func() { hash = argon2.IDKey(text, salt, passes, memoryKiB, lanes, hashSize) })
	return hash, nil
}
