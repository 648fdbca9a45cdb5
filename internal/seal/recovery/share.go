package recovery

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/strongroom/strongroom/internal/secret"
)

// A share's text is 20 groups of 4 characters of Crockford's alphabet, in which no
// two look alike: the 50 bytes
//
//	format (1) ‖ deployment (6) ‖ set (4) ‖ k (1) ‖ x (1) ‖ y (32) ‖ checksum (5)
//
// where deployment is the beginning of a hash of its id, set that of the set's id,
// and checksum that of a hash of all before it.
const (
	shareFormat   = 1
	deploymentTag = 6
	setTag        = 4
	shareBody     = 1 + deploymentTag + setTag + 1 + 1 + keySize
	shareSize     = shareBody + 5
	shareText     = shareSize * 8 / 5
	group         = 4
)

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var crockford = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// Share is one share of a recovery key. It does not print itself.
type Share struct {
	deployment [deploymentTag]byte
	set        [setTag]byte
	needed     int
	point      point
}

// Index is the share's number in its set, from 1.
func (s Share) Index() int { return int(s.point.x) }

// Set is the id of the set: 8 hex digits.
func (s Share) Set() string { return fmt.Sprintf("%x", s.set) }

// Text is the share as a person keeps and types it.
func (s Share) Text() string {
	b := append([]byte{shareFormat}, s.deployment[:]...)
	b = append(b, s.set[:]...)
	b = append(b, byte(s.needed), s.point.x)
	b = append(b, s.point.y...)
	b = append(b, checksum(b)...)
	text := crockford.EncodeToString(b)
	clear(b)
	groups := make([]string, 0, shareText/group)
	for at := 0; at < len(text); at += group {
		groups = append(groups, text[at:at+group])
	}
	return strings.Join(groups, "-")
}

// Format implements fmt.Formatter for every verb.
func (s Share) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[share of a recovery key]") }

func checksum(body []byte) []byte {
	sum := sha256.Sum256(append([]byte("strongroom/seal/recovery/share/v1"), body...))
	return sum[:shareSize-shareBody]
}

// ErrShare is what ParseShare returns, wrapped, for what is no share.
var ErrShare = errors.New("not a share")

// ParseShare reads a share. Spaces and hyphens, lower case, and O, I and L for 0, 1
// and 1 are taken. The error says what is wrong without repeating the text.
func ParseShare(text string) (Share, error) {
	symbols := make([]byte, 0, shareText)
	for _, r := range text {
		switch {
		case strings.ContainsRune(" -\t\r\n", r):
			continue
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		}
		switch r {
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if !strings.ContainsRune(alphabet, r) {
			return Share{}, fmt.Errorf("%w: character %d is none of a share's", ErrShare, len(symbols)+1)
		}
		if len(symbols) == shareText {
			return Share{}, fmt.Errorf("%w: it is longer than the %d characters that a share has", ErrShare, shareText)
		}
		symbols = append(symbols, byte(r))
	}
	if len(symbols) < shareText {
		return Share{}, fmt.Errorf("%w: it has %d characters, and a share has %d", ErrShare, len(symbols), shareText)
	}
	b := make([]byte, shareSize)
	defer clear(b)
	if _, err := crockford.Decode(b, symbols); err != nil {
		return Share{}, ErrShare
	}
	clear(symbols)
	if subtle.ConstantTimeCompare(checksum(b[:shareBody]), b[shareBody:]) != 1 {
		return Share{}, fmt.Errorf("%w: the checksum does not fit, so that something is mistyped", ErrShare)
	}
	if b[0] != shareFormat {
		return Share{}, fmt.Errorf("%w: it has format %d; a newer release may know it", ErrShare, b[0])
	}
	s := Share{deployment: [deploymentTag]byte(b[1:]), set: [setTag]byte(b[1+deploymentTag:])}
	rest := b[1+deploymentTag+setTag : shareBody]
	s.needed = int(rest[0])
	s.point = point{x: rest[1], y: append(secret.Bytes{}, rest[2:]...)}
	if s.needed < MinNeeded || s.needed > MaxShares || s.point.x == 0 || s.point.x > MaxShares {
		return Share{}, fmt.Errorf("%w: its numbers are out of range", ErrShare)
	}
	return s, nil
}
