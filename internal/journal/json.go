package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendText appends s as a JSON string whose encoded form, without the quotes,
// has at most limit bytes; what goes beyond is clipped before a character, never
// within an escape. Bytes that are not UTF-8 become U+FFFD.
//
// Beyond what JSON asks for, it escapes DEL and the C1 controls, so that a user
// agent cannot steer the terminal that shows it, and U+2028 and U+2029, which
// end a line for some readers.
func appendText(dst []byte, s string, limit int) []byte {
	dst = append(dst, '"')
	end := len(dst) + limit
	for i := 0; i < len(s); {
		// A run of plain ASCII is copied in one go.
		run := i
		for run < len(s) && plain[s[run]] {
			run++
		}
		if n := run - i; n > 0 {
			if room := end - len(dst); n > room {
				dst = append(dst, s[i:i+room]...)
				break
			}
			dst = append(dst, s[i:run]...)
			i = run
			continue
		}
		var buf [6]byte
		piece, size := escape(buf[:0], s[i:])
		if len(dst)+len(piece) > end {
			break
		}
		dst = append(dst, piece...)
		i += size
	}
	return append(dst, '"')
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// escape appends the encoded form of the first character of s and returns how
// many bytes of s that is.
func escape(dst []byte, s string) (piece []byte, size int) {
	switch c := s[0]; {
	case c == '"' || c == '\\':
		return append(dst, '\\', c), 1
	case c == '\n':
		return append(dst, '\\', 'n'), 1
	case c == '\r':
		return append(dst, '\\', 'r'), 1
	case c == '\t':
		return append(dst, '\\', 't'), 1
	case c < 0x20 || c == 0x7f:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15]), 1
	}
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && size == 1:
		return append(dst, `\ufffd`...), 1
	case r < 0xa0:
		return append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15]), size
	case r == '\u2028':
		return append(dst, `\u2028`...), size
	case r == '\u2029':
		return append(dst, `\u2029`...), size
	}
	return append(dst, s[:size]...), size
}

// appendValue appends raw, a JSON value, as it is. A value of more than limit
// bytes is left out, as CloudTrail does, and so is one that would break the
// record's line and isn't JSON either: a record without its parameters is worth
// more than none. name is the member that the value is for.
func appendValue(dst, raw []byte, name string, limit int) []byte {
	if len(raw) == 0 {
		return append(dst, "null"...)
	}
	if len(raw) > limit {
		return appendOmitted(dst, len(raw), name+" too large")
	}
	if !oneLine(raw) {
		var line bytes.Buffer
		if json.Compact(&line, raw) != nil {
			return appendOmitted(dst, len(raw), name+" is not JSON")
		}
		raw = line.Bytes()
	}
	return append(dst, raw...)
}

func appendOmitted(dst []byte, size int, reason string) []byte {
	dst = append(dst, `{"omitted":true,"originalSize":`...)
	dst = strconv.AppendInt(dst, int64(size), 10)
	dst = append(dst, `,"reason":"`...)
	dst = append(dst, reason...)
	return append(dst, `"}`...)
}

// oneLine reports whether b has no control character: a record is one line.
func oneLine(b []byte) bool {
	// Eight at a time: what borrows from a byte's top bit, in a byte that had
	// none, was below 0x20. Every record passes here.
	const each = ^uint64(0) / 0xff
	const low, top = each * 0x20, each * 0x80
	for ; len(b) >= 8; b = b[8:] {
		if x := binary.LittleEndian.Uint64(b); (x-low)&^x&top != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < 0x20 {
			return false
		}
	}
	return true
}
