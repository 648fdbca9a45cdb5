package keyring

import (
	"encoding/binary"
	"slices"
)

// MaxContext is the largest canonical form of an encryption context, in bytes:
// 4, and 8 for each pair more than its name and value have.
const MaxContext = 8192

// CheckContext returns ErrContextTooLarge if Encrypt and Decrypt would.
func CheckContext(encryptionContext map[string]string) error {
	size := 4
	for name, value := range encryptionContext {
		size += 8 + len(name) + len(value)
		if size > MaxContext {
			return ErrContextTooLarge
		}
	}
	return nil
}

// AppendContext appends the canonical form of an encryption context to dst; see
// the package documentation. Its only error is ErrContextTooLarge.
func AppendContext(dst []byte, encryptionContext map[string]string) ([]byte, error) {
	if err := CheckContext(encryptionContext); err != nil {
		return dst, err
	}
	var few [16]string // most contexts fit, and then sorting allocates nothing
	names := few[:0]
	for name := range encryptionContext {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(names)))
	for _, name := range names {
		dst = appendString(dst, name)
		dst = appendString(dst, encryptionContext[name])
	}
	return dst, nil
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}
