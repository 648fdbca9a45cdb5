package wire

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
)

// Blob reads base64 in the standard alphabet, padded, without line breaks. The
// result is not nil unless the reader failed.
func (d *JSON) Blob() []byte {
	if d.peek() != '"' {
		d.mismatch("a Blob")
		return nil
	}
	text := d.blobText()
	if d.err != nil {
		return nil
	}
	out := d.take(base64Strict.DecodedLen(len(text)))
	n, err := base64Strict.Decode(out, text)
	// The decoder steps over line breaks, as the standard library's does.
	if err != nil || bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		d.fail("A blob is not valid base64")
		return nil
	}
	return out[:n]
}

// take returns n bytes that nobody else has, never nil.
func (d *JSON) take(n int) []byte {
	if n == 0 || n > len(d.room) {
		return make([]byte, n)
	}
	out := d.room[:n:n]
	d.room = d.room[n:]
	return out
}

// blobText reads a string that will be decoded as base64, which finds whatever
// Text would have: so the quote at the end is enough, unless there are escapes.
func (d *JSON) blobText() []byte {
	rest := d.data[d.pos+1:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return d.Text()
	}
	d.pos += end + 2
	return rest[:end]
}

// Bool reads a boolean.
func (d *JSON) Bool() bool {
	switch d.peek() {
	case 't':
		return d.literal("true")
	case 'f':
		d.literal("false")
	default:
		d.mismatch("a Boolean")
	}
	return false
}

// number reads a number's text by JSON's grammar.
func (d *JSON) number() []byte {
	start := d.pos
	digits := func() bool {
		from := d.pos
		for d.pos < len(d.data) && d.data[d.pos] >= '0' && d.data[d.pos] <= '9' {
			d.pos++
		}
		return d.pos > from
	}
	at := func(set string) bool {
		if d.pos < len(d.data) && strings.IndexByte(set, d.data[d.pos]) >= 0 {
			d.pos++
			return true
		}
		return false
	}
	at("-")
	ok := at("0") || digits()
	if ok && at(".") {
		ok = digits()
	}
	if ok && at("eE") {
		at("+-")
		ok = digits()
	}
	if !ok {
		d.unexpected("A number is malformed")
		return nil
	}
	return d.data[start:d.pos]
}

func (d *JSON) isNumber() bool {
	c := d.peek()
	return c == '-' || c >= '0' && c <= '9'
}

// Int32 reads a whole number of 32 bits.
func (d *JSON) Int32() int32 {
	if !d.isNumber() {
		d.mismatch("an Integer")
		return 0
	}
	v, err := strconv.ParseInt(string(d.number()), 10, 32)
	if err != nil {
		d.fail("A number is not an integer of 32 bits")
		return 0
	}
	return int32(v)
}

// The seconds from 1970 to the first moment of year 1 and the last of year 9999.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
)

// Time reads seconds since 1970 and rounds them to the millisecond, as
// [AppendTime] writes them.
func (d *JSON) Time() time.Time {
	if !d.isNumber() {
		d.mismatch("a Timestamp")
		return time.Time{}
	}
	text := d.number()
	if d.err != nil {
		return time.Time{}
	}
	t, ok := parseSeconds(string(text))
	if !ok {
		d.fail("A timestamp is out of range")
	}
	return t
}

func parseSeconds(s string) (time.Time, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < minSeconds || f > maxSeconds {
		return time.Time{}, false
	}
	// A float64 holds these seconds to about 8 µs.
	return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), true
}
