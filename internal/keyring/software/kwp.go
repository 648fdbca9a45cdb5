package software

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"github.com/strongroom/strongroom/internal/secret"
)

// errUnwrap says that what was to be unwrapped is not what that key wrapped.
var errUnwrap = errors.New("software: the AES key wrap does not open")

const (
	semiblock = 8
	// kwpICV is the fixed half of the alternative initial value (RFC 5649 §3); the
	// other is the length of the plaintext.
	kwpICV = 0xA65959A6
)

// unwrapKWP is AES key unwrap with padding (RFC 5649 §4.2, SP 800-38F KWP-AD).
// Whatever is wrong with wrapped, the error is one, and all is looked at before it
// is returned.
func unwrapKWP(key secret.Bytes, wrapped []byte) (secret.Bytes, error) {
	if len(wrapped) < 2*semiblock || len(wrapped)%semiblock != 0 {
		return nil, errUnwrap
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make(secret.Bytes, len(wrapped))
	if len(wrapped) == aes.BlockSize {
		block.Decrypt(out, wrapped)
	} else {
		copy(out, wrapped)
		var b [aes.BlockSize]byte
		n := len(wrapped)/semiblock - 1
		for t := 6 * n; t > 0; t-- { // W⁻¹ of RFC 3394 §2.2.2, in place
			r := out[semiblock*((t-1)%n+1):][:semiblock]
			copy(b[:], out[:semiblock])
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(t))
			copy(b[semiblock:], r)
			block.Decrypt(b[:], b[:])
			copy(out[:semiblock], b[:semiblock])
			copy(r, b[semiblock:])
		}
		clear(b[:])
	}
	padded := out[semiblock:]
	length := int64(binary.BigEndian.Uint32(out[4:semiblock]))
	good := subtle.ConstantTimeEq(int32(binary.BigEndian.Uint32(out)^kwpICV), 0)
	padding := int64(len(padded)) - length
	if length < 1 || padding < 0 || padding >= semiblock {
		good, padding = 0, 0
	}
	var zeros [semiblock]byte
	good &= subtle.ConstantTimeCompare(padded[int64(len(padded))-padding:], zeros[:padding])
	if good != 1 {
		out.Wipe()
		return nil, errUnwrap
	}
	return padded[:length], nil
}
