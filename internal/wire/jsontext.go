package wire

import "unicode/utf8"

// Text reads a string without copying it: the bytes are valid until the next
// string is read.
func (d *JSON) Text() []byte {
	if d.peek() != '"' {
		d.mismatch("a String")
		return nil
	}
	d.pos++
	start, high := d.pos, false
	for i := start; i < len(d.data); i++ {
		switch c := d.data[i]; {
		case c == '"':
			text := d.data[start:i]
			if high && !utf8.Valid(text) {
				d.fail("A string is not valid UTF-8")
				return nil
			}
			d.pos = i + 1
			return text
		case c == '\\':
			return d.escaped(start, i)
		case c < ' ':
			d.pos = i
			d.fail("A control character in a string is not escaped")
			return nil
		case c >= utf8.RuneSelf:
			high = true
		}
	}
	d.pos = len(d.data)
	d.fail("Unexpected end of the request")
	return nil
}

// escaped reads on from the first backslash of a string, at i.
func (d *JSON) escaped(start, i int) []byte {
	out := append(d.scratch[:0], d.data[start:i]...)
	for i < len(d.data) {
		c := d.data[i]
		switch {
		case c == '"':
			d.scratch = out
			d.pos = i + 1
			if !utf8.Valid(out) {
				d.fail("A string is not valid UTF-8")
				return nil
			}
			return out
		case c < ' ':
			d.pos = i
			d.fail("A control character in a string is not escaped")
			return nil
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		d.pos = i
		if i+1 == len(d.data) {
			break
		}
		i += 2
		switch e := d.data[i-1]; e {
		case '"', '\\', '/':
			out = append(out, e)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := d.hex4(i)
			i += 4
			if r >= 0xD800 && r < 0xDC00 && i+1 < len(d.data) && d.data[i] == '\\' && d.data[i+1] == 'u' {
				low := d.hex4(i + 2)
				i += 6
				if low < 0xDC00 || low > 0xDFFF {
					r = -1
				} else {
					r = (r-0xD800)<<10 + (low - 0xDC00) + 0x10000
				}
			}
			if r < 0 || r >= 0xD800 && r <= 0xDFFF {
				d.fail("An escape in a string is no character")
				return nil
			}
			out = utf8.AppendRune(out, r)
		default:
			d.fail("An escape in a string is unknown")
			return nil
		}
	}
	d.pos = len(d.data)
	d.fail("Unexpected end of the request")
	return nil
}

// hex4 reads four hexadecimal digits at i; -1 if they are not there.
func (d *JSON) hex4(i int) rune {
	if i+4 > len(d.data) {
		return -1
	}
	var r rune
	for _, c := range d.data[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
