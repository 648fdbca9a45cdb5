package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	"github.com/strongroom/strongroom/internal/secret"
)

// Suite is the first byte of a ciphertext: it says which layout follows.
type Suite byte

// The layouts; see the package documentation.
const (
	// SuiteSoftware is of keys that are held in memory.
	SuiteSoftware Suite = 0xA1
	// SuiteHSM is of keys in an HSM, which adds a layer.
	SuiteHSM Suite = 0xA2
	// SuiteExternal is of keys in an external key store, whose proxy adds a layer.
	SuiteExternal Suite = 0xA3
	// SuiteProxy is of keys that we offer as an external key store. No blob begins
	// with it: its ciphertexts are [Detached].
	SuiteProxy Suite = 0xA4
)

// Sizes of a ciphertext's parts, in bytes.
const (
	HeaderSize     = idsSize + HeaderTagSize
	HeaderTagSize  = 16
	SaltSize       = 32
	CommitmentSize = 32
	NonceSize      = 12
	TagSize        = 16

	// Overhead is by how much a blob of SuiteSoftware is longer than its plaintext.
	Overhead = HeaderSize + SaltSize + CommitmentSize + NonceSize + TagSize
)

// idsSize is the part of a header that its tag is made over.
const idsSize = 50

// The forms of a key id in a header.
const (
	formUUID = 1 // 8-4-4-4-12 lower-case hex digits
	formMRK  = 2 // mrk- and 32 lower-case hex digits
)

// Header is the part of a ciphertext that says what it takes to open it.
type Header struct {
	Suite Suite
	// KeyID is the bare key id: a lower-case UUID, or mrk- and 32 hex digits.
	KeyID string
	// MaterialID is 64 lower-case hex digits.
	MaterialID string
}

// Headers makes and reads the headers of one deployment's ciphertexts. It is safe
// for concurrent use.
type Headers struct {
	macs sync.Pool // of *headerMAC
}

type headerMAC struct {
	hash hash.Hash
	sum  [sha256.Size]byte
}

// HeaderKeySize is the length of a header key, in bytes.
const HeaderKeySize = 32

// NewHeaders returns the Headers of a deployment's header key, HeaderKeySize
// bytes, which it keeps.
func NewHeaders(key secret.Bytes) *Headers {
	return &Headers{macs: sync.Pool{New: func() any { return &headerMAC{hash: hmac.New(sha256.New, key)} }}}
}

// headerLabel sets the tags apart from other uses of the key.
var headerLabel = []byte("strongroom/keyring/header/v1\x00")

// withTag calls use with the tag of ids.
func (h *Headers) withTag(ids []byte, use func(tag []byte)) {
	m := h.macs.Get().(*headerMAC)
	m.hash.Reset()
	m.hash.Write(headerLabel)
	m.hash.Write(ids)
	use(m.hash.Sum(m.sum[:0])[:HeaderTagSize])
	h.macs.Put(m)
}

// Parse reads the header of a symmetric ciphertext, and checks that this
// deployment made it. Whether the rest is genuine, Decrypt tells. Its only error
// is ErrInvalidCiphertext.
func (h *Headers) Parse(blob []byte) (Header, error) {
	if len(blob) <= Overhead || len(blob) > Overhead+MaxPlaintext || Suite(blob[0]) != SuiteSoftware {
		_, _, external := SplitExternal(blob)
		_, _, inside := SplitHSM(blob)
		if external != nil && inside != nil {
			return Header{}, ErrInvalidCiphertext
		}
	}
	return h.ParseHeader(blob[:HeaderSize])
}

// ParseHeader reads a header that stands alone, HeaderSize bytes of any suite, and
// checks that this deployment made it. Its only error is ErrInvalidCiphertext.
func (h *Headers) ParseHeader(blob []byte) (Header, error) {
	if len(blob) != HeaderSize {
		return Header{}, ErrInvalidCiphertext
	}
	genuine := false
	h.withTag(blob[:idsSize], func(tag []byte) { genuine = hmac.Equal(tag, blob[idsSize:HeaderSize]) })
	if !genuine {
		return Header{}, ErrInvalidCiphertext
	}
	return parseIDs(blob)
}

// HeaderIDs reads a header that stands alone without checking who made it: whoever
// opens the ciphertext does. Its only error is ErrInvalidCiphertext.
func HeaderIDs(blob []byte) (Header, error) {
	if len(blob) != HeaderSize {
		return Header{}, ErrInvalidCiphertext
	}
	return parseIDs(blob)
}

// parseIDs reads the part of a header that its tag is made over.
func parseIDs(blob []byte) (Header, error) {
	// Both ids are cut from one string, which saves an allocation.
	var buf [36 + 64]byte
	text := buf[:0]
	id := blob[2:18]
	switch blob[1] {
	case formUUID:
		text = hex.AppendEncode(text, id[:4])
		text = hex.AppendEncode(append(text, '-'), id[4:6])
		text = hex.AppendEncode(append(text, '-'), id[6:8])
		text = hex.AppendEncode(append(text, '-'), id[8:10])
		text = hex.AppendEncode(append(text, '-'), id[10:])
	case formMRK:
		text = hex.AppendEncode(append(text, "mrk-"...), id)
	default:
		return Header{}, ErrInvalidCiphertext
	}
	ids := string(hex.AppendEncode(text, blob[18:idsSize]))
	return Header{Suite: Suite(blob[0]), KeyID: ids[:36], MaterialID: ids[36:]}, nil
}

// Append appends the header of a ciphertext, HeaderSize bytes, to dst. It is the
// inverse of Parse. Errors: ErrKeyID; ErrCorrupt for a material id that is not 64
// lower-case hex digits.
func (h *Headers) Append(dst []byte, header Header) ([]byte, error) {
	start := len(dst)
	dst, err := AppendIDs(dst, header)
	if err != nil {
		return dst, err
	}
	h.withTag(dst[start:], func(tag []byte) { dst = append(dst, tag...) })
	return dst, nil
}

// AppendIDs appends a header without its tag: what a key module binds material to.
// Its errors are those of [Headers.Append].
func AppendIDs(dst []byte, h Header) ([]byte, error) {
	var id [32]byte // hex digits of the key id
	form := byte(formUUID)
	k := h.KeyID
	switch {
	case len(k) != 36:
		return dst, ErrKeyID
	case k[:4] == "mrk-":
		form = formMRK
		copy(id[:], k[4:])
	case k[8] == '-' && k[13] == '-' && k[18] == '-' && k[23] == '-':
		copy(id[:8], k[:8])
		copy(id[8:12], k[9:13])
		copy(id[12:16], k[14:18])
		copy(id[16:20], k[19:23])
		copy(id[20:], k[24:])
	default:
		return dst, ErrKeyID
	}
	dst = append(dst, byte(h.Suite), form)
	dst, ok := appendHex(dst, id[:])
	if !ok {
		return dst, ErrKeyID
	}
	if len(h.MaterialID) != 64 {
		return dst, ErrCorrupt
	}
	var material [64]byte
	copy(material[:], h.MaterialID)
	if dst, ok = appendHex(dst, material[:]); !ok {
		return dst, ErrCorrupt
	}
	return dst, nil
}

// appendHex appends the bytes that digits spell. Unlike encoding/hex it refuses
// upper case, so that an id has one form.
func appendHex(dst, digits []byte) ([]byte, bool) {
	for i := 0; i < len(digits); i += 2 {
		hi, lo := nibble(digits[i]), nibble(digits[i+1])
		if hi|lo > 15 {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return 0xff
	}
}
