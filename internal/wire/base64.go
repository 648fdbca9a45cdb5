package wire

import (
	"slices"

	"github.com/segmentio/asm/base64"
)

// base64Strict is base64 in the standard alphabet, padded (RFC 4648 §4), with bits that
// say nothing zero. It uses vector instructions where the processor has them, and is the
// standard library's otherwise and at the end of a text.
var base64Strict = base64.StdEncoding.Strict()

func appendBase64(dst, b []byte) []byte {
	from, to := len(dst), len(dst)+base64Strict.EncodedLen(len(b))
	dst = slices.Grow(dst, to-from)
	base64Strict.Encode(dst[from:to:to], b)
	return dst[:to]
}
