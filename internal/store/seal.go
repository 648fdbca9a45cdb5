package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strongroom/strongroom/internal/secret"
)

// Sealer hands out the record-sealing keys. Each version of the domain key has
// one, so that the domain key can rotate while older records are still read.
// Methods are called often and at once; they answer from memory.
type Sealer interface {
	// Current returns the version that new records are sealed under.
	Current() uint32
	// Key returns the 32-byte record-sealing key of a version. The caller neither
	// keeps nor wipes it.
	Key(version uint32) (secret.Bytes, error)
}

// A sealed value is
//
//	header: format (1) ‖ domain-key version (4) ‖ schema (2) ‖ record version (8)
//	salt (32) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//
// with numbers big-endian. The AES-256-GCM key comes from the record-sealing key
// and the salt by HKDF-SHA-256, so that one key seals one message and the number
// of messages under the record-sealing key has no limit worth counting. The
// additional data is the header followed by the whole key: the header has one
// length, hence no two pairs give the same additional data, and the key names
// account, region, collection and id.
const (
	sealFormat = 1
	headerSize = 1 + 4 + 2 + 8
	saltSize   = 32
	gcmExtra   = 12 + 16
	sealExtra  = headerSize + saltSize + gcmExtra

	sealInfo = "strongroom store record v1"
)

// sealed is what a value holds beside its plaintext.
type sealed struct {
	schema  uint16
	version uint64 // the epoch of the Update that wrote it
}

func (s *Store) seal(key []byte, h sealed, plaintext []byte) ([]byte, error) {
	domain := s.sealer.Current()
	out := make([]byte, headerSize+saltSize, sealExtra+len(plaintext))
	out[0] = sealFormat
	binary.BigEndian.PutUint32(out[1:], domain)
	binary.BigEndian.PutUint16(out[5:], h.schema)
	binary.BigEndian.PutUint64(out[7:], h.version)
	_, _ = rand.Read(out[headerSize:]) // never fails; it ends the process instead
	aead, err := s.aead(domain, out[headerSize:])
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, nil, plaintext, additionalData(out[:headerSize], key)), nil
}

// unseal returns ErrCorrupt for every value that seal did not return for key.
func (s *Store) unseal(key, value []byte) (sealed, []byte, error) {
	if len(value) < sealExtra {
		return sealed{}, nil, corrupt(key, "cut short")
	}
	if value[0] != sealFormat {
		return sealed{}, nil, corrupt(key, fmt.Sprintf("unknown format %d", value[0]))
	}
	domain := binary.BigEndian.Uint32(value[1:])
	h := sealed{schema: binary.BigEndian.Uint16(value[5:]), version: binary.BigEndian.Uint64(value[7:])}
	aead, err := s.aead(domain, value[headerSize:headerSize+saltSize])
	if errors.Is(err, ErrNotFound) {
		return sealed{}, nil, corrupt(key, fmt.Sprintf("sealed under version %d of the domain key, which does not exist", domain))
	}
	if err != nil {
		return sealed{}, nil, err
	}
	plaintext, err := aead.Open(nil, nil, value[headerSize+saltSize:], additionalData(value[:headerSize], key))
	if err != nil {
		return sealed{}, nil, corrupt(key, "does not authenticate")
	}
	return h, plaintext, nil
}

func (s *Store) aead(domain uint32, salt []byte) (cipher.AEAD, error) {
	sealing, err := s.sealer.Key(domain)
	if err != nil {
		return nil, fmt.Errorf("store: record-sealing key of domain-key version %d: %w", domain, err)
	}
	if len(sealing) != 32 {
		return nil, fmt.Errorf("store: the record-sealing key of domain-key version %d has %d bytes, not 32", domain, len(sealing))
	}
	key, err := hkdf.Key(sha256.New, sealing, salt, sealInfo, 32)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return aead, nil
}

func additionalData(header, key []byte) []byte {
	ad := make([]byte, 0, len(header)+len(key))
	return append(append(ad, header...), key...)
}
