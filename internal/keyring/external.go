package keyring

import (
	"context"
	"crypto/sha256"

	"github.com/strongroom/strongroom/internal/secret"
)

// Bounds of what the proxy of an external key store answers (XKS proxy API
// specification 1.0.3, Encrypt), in bytes.
const (
	ShortIV                 = 12
	LongIV                  = 16
	MaxCiphertextMetadata   = 20
	MaxExternalPlaintext    = 4300 // every proxy takes so much
	MaxExternalAAD          = 8192
	innerOverhead           = SaltSize + CommitmentSize + NonceSize + TagSize
	minExternal             = HeaderSize + 1 + ShortIV + 1 + innerOverhead + 1 + TagSize
	maxExternal             = HeaderSize + 1 + LongIV + 1 + MaxCiphertextMetadata + innerOverhead + MaxPlaintext + TagSize
	longestExternalEnvelope = 6144 // of a CiphertextBlob (KMS API)
)

// The longest blob fits into what the API takes back; this does not compile
// otherwise.
const _ = uint(longestExternalEnvelope - maxExternal)

// Detached is a ciphertext in the parts that an external key store's proxy knows
// it by.
type Detached struct {
	IV, Metadata, Ciphertext, Tag []byte
}

// AppendExternal appends to header, HeaderSize bytes of SuiteExternal, what the
// proxy made of the body. Its error is ErrInvalidCiphertext for parts that are not
// of the sizes that the specification has.
func AppendExternal(header []byte, d Detached) ([]byte, error) {
	if len(header) != HeaderSize || len(d.IV) != ShortIV && len(d.IV) != LongIV ||
		len(d.Metadata) > MaxCiphertextMetadata || len(d.Tag) != TagSize {
		return nil, ErrInvalidCiphertext
	}
	blob := make([]byte, 0, len(header)+2+len(d.IV)+len(d.Metadata)+len(d.Ciphertext)+len(d.Tag))
	blob = append(blob, header...)
	blob = append(append(blob, byte(len(d.IV))), d.IV...)
	blob = append(append(blob, byte(len(d.Metadata))), d.Metadata...)
	blob = append(append(blob, d.Ciphertext...), d.Tag...)
	if _, _, err := SplitExternal(blob); err != nil {
		return nil, err
	}
	return blob, nil
}

// SplitExternal is the inverse of [AppendExternal]. What it returns points into
// blob. Its only error is ErrInvalidCiphertext.
func SplitExternal(blob []byte) (header []byte, d Detached, err error) {
	if len(blob) < minExternal || len(blob) > maxExternal || Suite(blob[0]) != SuiteExternal {
		return nil, Detached{}, ErrInvalidCiphertext
	}
	header, rest := blob[:HeaderSize], blob[HeaderSize:]
	size := int(rest[0])
	if size != ShortIV && size != LongIV {
		return nil, Detached{}, ErrInvalidCiphertext
	}
	// minExternal covers the short IV and no more.
	d.IV, rest = rest[1:1+size], rest[1+size:]
	size = int(rest[0])
	if size > MaxCiphertextMetadata || len(rest) < 1+size+innerOverhead+1+TagSize ||
		len(rest) > 1+size+innerOverhead+MaxPlaintext+TagSize {
		return nil, Detached{}, ErrInvalidCiphertext
	}
	d.Metadata, rest = rest[1:1+size], rest[1+size:]
	d.Ciphertext, d.Tag = rest[:len(rest)-TagSize], rest[len(rest)-TagSize:]
	return header, d, nil
}

// ExternalAAD is what the proxy gets as additional authenticated data:
// SHA-256(header ‖ context), which binds both and shows it neither. Its only error
// is ErrContextTooLarge.
func ExternalAAD(header []byte, encryptionContext map[string]string) ([]byte, error) {
	text, err := AppendContext(append(make([]byte, 0, 256), header...), encryptionContext)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// Layered is a Ring's ability to make the inner layer of ciphertexts whose outer
// layer an external proxy (SuiteExternal) or an HSM (SuiteHSM) makes.
type Layered interface {
	// EncryptInner returns the header of the ciphertext, of one of these suites, and
	// the body that is to be encrypted once more. Errors: those of [Cipher].Encrypt;
	// ErrUnsupported for another suite.
	EncryptInner(ctx context.Context, suite Suite, key KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) (header []byte, body secret.Bytes, err error)
	// DecryptInner opens a body under its header. Errors: those of
	// [Cipher].Decrypt.
	DecryptInner(ctx context.Context, key KeyRef, header []byte, body secret.Bytes, encryptionContext map[string]string) (secret.Bytes, error)
}

// DetachedCipher is a Ring's ability to serve as the keys behind the proxy of an
// external key store (suite 0xA4).
type DetachedCipher interface {
	// EncryptDetached encrypts 1 to MaxExternalPlaintext bytes under the key's
	// current material and binds up to MaxExternalAAD bytes of aad. The metadata
	// tells which material it was. Errors: ErrPlaintextSize, ErrContextTooLarge for
	// the aad, ErrKeyID, ErrUnsupported, ErrCorrupt, and whatever the source of
	// randomness returns.
	EncryptDetached(ctx context.Context, key KeyRef, plaintext secret.Bytes, aad []byte) (Detached, error)
	// DecryptDetached opens what EncryptDetached returned, with the current or an
	// older material. The caller owns the plaintext. Errors: ErrInvalidCiphertext
	// for everything that is wrong with d or aad; ErrCorrupt.
	DecryptDetached(ctx context.Context, key KeyRef, d Detached, aad []byte) (secret.Bytes, error)
}
