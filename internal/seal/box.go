package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/secret"
)

// Box seals small secrets under one label of the domain key: each under a key of
// its own, derived with a fresh salt, in the form
//
//	domain-key version (4) ‖ salt (32) ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16)
//
// It is safe for concurrent use.
type Box struct {
	domain *Domain
	label  Label
}

// ErrBox is returned for what was not sealed in this box under that binding, or
// was changed since.
var ErrBox = errors.New("seal: the sealed secret does not open")

// Box returns the box of a label.
func (d *Domain) Box(label Label) (*Box, error) {
	if _, err := d.Derive(d.Current(), label); err != nil {
		return nil, err
	}
	return &Box{d, label}, nil
}

const boxHeader = 4 + saltSize

// Seal encrypts plaintext and binds it to binding, which Open needs again. rand
// gives the salt; the nonce is the cryptographic module's own.
func (b *Box) Seal(rand io.Reader, plaintext secret.Bytes, binding []byte) ([]byte, error) {
	sealed := make([]byte, boxHeader, boxHeader+len(plaintext)+28)
	binary.BigEndian.PutUint32(sealed, b.domain.Current())
	if _, err := io.ReadFull(rand, sealed[4:]); err != nil {
		return nil, fmt.Errorf("seal: sealing a secret: %w", err)
	}
	aead, err := b.aead(sealed)
	if err != nil {
		return nil, err
	}
	return aead.Seal(sealed, nil, plaintext, binding), nil
}

// BoxVersion is the version of the domain key that something says it was sealed under in
// a box; 0 for what cannot be.
func BoxVersion(sealed []byte) uint32 {
	if len(sealed) < boxHeader {
		return 0
	}
	return binary.BigEndian.Uint32(sealed)
}

// Open returns what was sealed. Its error is ErrBox whatever is wrong with sealed.
func (b *Box) Open(sealed, binding []byte) (secret.Bytes, error) {
	if len(sealed) < boxHeader {
		return nil, ErrBox
	}
	aead, err := b.aead(sealed)
	if err != nil {
		return nil, ErrBox
	}
	plaintext, err := aead.Open(nil, nil, sealed[boxHeader:], binding)
	if err != nil {
		return nil, ErrBox
	}
	return plaintext, nil
}

func (b *Box) aead(header []byte) (cipher.AEAD, error) {
	base, err := b.domain.Derive(binary.BigEndian.Uint32(header), b.label)
	if err != nil {
		return nil, err
	}
	key := make(secret.Bytes, keySize)
	defer key.Wipe()
	if err := derive(key, base, header[4:boxHeader], "strongroom/seal/box/v1"); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
