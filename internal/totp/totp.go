// Package totp computes the time-based one-time codes of RFC 6238 as MFA devices
// show them: HMAC-SHA-1, six digits, a new one every 30 seconds.
//
// A code is one of a million, and two or three are good at any time: whoever checks
// codes bounds how often one can guess, and takes none twice (RFC 6238 §5.2).
package totp

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

// period is how long a code is shown, in seconds.
const period = 30

// Step returns the number of the time step that t is in.
func Step(t time.Time) int64 { return t.Unix() / period }

// Code returns the code of a time step (RFC 4226 §5.3).
func Code(key secret.Bytes, step int64) string {
	mac := hmac.New(sha1.New, key)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[offset:])&0x7fffffff)%1_000_000)
}

// Match returns the first of the time steps from first to last whose code it is.
// It takes the same time whatever the code.
func Match(key secret.Bytes, code string, first, last int64) (step int64, ok bool) {
	for s := last; s >= first; s-- {
		if subtle.ConstantTimeCompare([]byte(Code(key, s)), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok
}
