package wire

import (
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendComma appends a comma unless dst ends in the start of a list or object.
func AppendComma(dst []byte) []byte {
	switch dst[len(dst)-1] {
	case '{', '[':
		return dst
	}
	return append(dst, ',')
}

// AppendName appends a member's name and the colon, with a comma before it where
// one is due. The name must need no escapes.
func AppendName(dst []byte, name string) []byte {
	dst = append(AppendComma(dst), '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[from:i]...)
			dst = append(dst, "\uFFFD"...)
			from = i + 1
		}
		i += size
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// AppendBlob appends b in base64.
func AppendBlob(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = appendBase64(dst, b)
	return append(dst, '"')
}

// AppendBool appends true or false.
func AppendBool(dst []byte, b bool) []byte { return strconv.AppendBool(dst, b) }

// AppendInt appends a whole number.
func AppendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// AppendTime appends t as seconds since 1970 with as many digits of milliseconds
// as it has: 1700000000, 1700000000.25.
func AppendTime(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		dst = append(dst, '-')
		ms = -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		dst = append(dst, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}

// AppendStringMap appends an object of strings in the order of their names.
func AppendStringMap(dst []byte, m map[string]string) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for _, k := range keys {
		dst = AppendString(AppendComma(dst), k)
		dst = append(dst, ':')
		dst = AppendString(dst, m[k])
	}
	return append(dst, '}')
}

// AppendStringLists appends an object of lists of strings in the order of their
// names.
func AppendStringLists(dst []byte, m map[string][]string) []byte {
	dst = append(dst, '{')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		dst = AppendString(AppendComma(dst), k)
		dst = append(dst, ':', '[')
		for _, v := range m[k] {
			dst = AppendString(AppendComma(dst), v)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// AppendAuditTime appends t as CloudTrail writes dates inside of
// requestParameters and responseElements: "May 21, 2025, 5:47:45 AM".
func AppendAuditTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "Jan 2, 2006, 3:04:05 PM")
	return append(dst, '"')
}

// NullIfEmpty replaces an empty object that begins at start of dst by null, which
// is what audit records say where there is nothing to show.
func NullIfEmpty(dst []byte, start int) []byte {
	if string(dst[start:]) == "{}" {
		return append(dst[:start], "null"...)
	}
	return dst
}
