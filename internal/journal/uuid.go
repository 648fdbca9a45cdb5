package journal

import "encoding/hex"

// UUID is an event's id.
type UUID [16]byte

// NewUUID makes a random (version 4) UUID, RFC 9562 §5.4, from 16 random bytes.
func NewUUID(random [16]byte) UUID {
	random[6] = random[6]&0x0f | 0x40
	random[8] = random[8]&0x3f | 0x80
	return UUID(random)
}

// String returns the usual form: lower-case hex, 8-4-4-4-12.
func (u UUID) String() string {
	var room [36]byte
	return string(u.Append(room[:0]))
}

// Append appends what String returns.
func (u UUID) Append(dst []byte) []byte {
	dst = hex.AppendEncode(dst, u[:4])
	for i := 4; i < 10; i += 2 {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, u[i:i+2])
	}
	dst = append(dst, '-')
	return hex.AppendEncode(dst, u[10:])
}
