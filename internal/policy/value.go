package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseBool reads "true" or "false", in any case.
func parseBool(s string) (value, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

// decimal is a number of any size, compared exactly: keys such as byte counts
// and epochs pass beyond what a float holds.
type decimal struct {
	negative bool
	whole    string // without leading zeros
	fraction string // without trailing zeros
}

// parseDecimal reads an optional sign, digits and an optional fraction. It
// allocates nothing.
func parseDecimal(s string) (decimal, bool) {
	d := decimal{}
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	whole, fraction, dot := strings.Cut(s, ".")
	if !digits(whole) || dot && !digits(fraction) {
		return decimal{}, false
	}
	d.whole = strings.TrimLeft(whole, "0")
	d.fraction = strings.TrimRight(fraction, "0")
	if d.whole == "" && d.fraction == "" {
		d.negative = false
	}
	return d, true
}

// digits reports whether s is one or more ASCII digits.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// compare returns -1, 0 or 1 as a is less than, equal to or greater than b.
func (a decimal) compare(b decimal) int {
	if a.negative != b.negative {
		if a.negative {
			return -1
		}
		return 1
	}
	c := len(a.whole) - len(b.whole)
	if c == 0 {
		c = strings.Compare(a.whole, b.whole)
	}
	if c == 0 {
		c = strings.Compare(a.fraction, b.fraction)
	}
	switch {
	case c == 0:
		return 0
	case (c < 0) != a.negative:
		return -1
	}
	return 1
}

// dateLayouts are the forms of the W3C's profile of ISO 8601 that hold more
// than a year. A fraction of a second is read after any seconds.
var dateLayouts = [...]string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04Z07:00",
	"2006-01-02",
	"2006-01",
}

// maxEpoch is the last second of the year 9999, beyond which no date is
// written.
const maxEpoch = 253402300799

// parseDate reads a date as policies write it: the W3C's profile of ISO 8601,
// or seconds since 1970, which may have a fraction. Four digits are a year.
func parseDate(s string) (time.Time, bool) {
	if len(s) == 4 && digits(s) {
		t, err := time.Parse("2006", s)
		return t, err == nil
	}
	if d, ok := parseDecimal(s); ok {
		seconds, err1 := strconv.ParseInt("0"+d.whole, 10, 64)
		nanos, err2 := strconv.ParseInt((d.fraction + "000000000")[:9], 10, 64)
		if err1 != nil || err2 != nil || seconds > maxEpoch || len(d.fraction) > 9 {
			return time.Time{}, false
		}
		if d.negative {
			seconds, nanos = -seconds, -nanos
		}
		return time.Unix(seconds, nanos).UTC(), true
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseAddr reads an IP address without a zone; an IPv4 address in IPv6 form is
// taken as IPv4.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// parsePrefix reads a CIDR block or a single address. Bits beyond the prefix
// are ignored.
func parsePrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, ok := parseAddr(s)
		return netip.PrefixFrom(a, a.BitLen()), ok
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, true
}

// arnParts is how many parts an ARN has. The last holds all further colons.
const arnParts = 6

// splitARN cuts s into the six parts of an ARN; ok is false if s has fewer, and
// those that it has are set. It allocates nothing.
func splitARN(s string) (parts [arnParts]string, ok bool) {
	for i := range arnParts - 1 {
		colon := strings.IndexByte(s, ':')
		if colon < 0 {
			parts[i] = s
			return parts, false
		}
		parts[i], s = s[:colon], s[colon+1:]
	}
	parts[arnParts-1] = s
	return parts, true
}
