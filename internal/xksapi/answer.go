package xksapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/wire"
)

// ErrMalformed is returned for an answer that is not what the specification has:
// no JSON, members missing, of other sizes or values than they may have, or an
// integrity value that does not match.
var ErrMalformed = errors.New("xksapi: the proxy's answer is malformed")

// Encrypted is the answer of Encrypt.
type Encrypted struct {
	Ciphertext, CiphertextMetadata, IV, Tag []byte
}

// integrityValue is the ciphertext data integrity value (appendix C).
func (e *Encrypted) integrityValue(aad []byte) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range [][]byte{aad, e.CiphertextMetadata, e.IV, e.Ciphertext, e.Tag} {
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// AppendJSON appends the answer's body, with the integrity value over the request's
// aad if it was asked for.
func (e *Encrypted) AppendJSON(dst, aad []byte, integrity bool) []byte {
	dst = wire.AppendBlob(wire.AppendName(append(dst, '{'), "ciphertext"), e.Ciphertext)
	if len(e.CiphertextMetadata) > 0 {
		dst = wire.AppendBlob(wire.AppendName(dst, "ciphertextMetadata"), e.CiphertextMetadata)
	}
	dst = wire.AppendBlob(wire.AppendName(dst, "initializationVector"), e.IV)
	dst = wire.AppendBlob(wire.AppendName(dst, "authenticationTag"), e.Tag)
	if integrity {
		sum := e.integrityValue(aad)
		dst = wire.AppendBlob(wire.AppendName(dst, "ciphertextDataIntegrityValue"), sum[:])
	}
	return append(dst, '}')
}

// ParseEncrypted reads the answer to the encryption of size bytes with aad, which
// asked for an integrity value. Its only error is ErrMalformed.
func ParseEncrypted(body, aad []byte, size int) (*Encrypted, error) {
	e := &Encrypted{}
	var integrity []byte
	var seen uint64
	d := wire.ReadJSON(body)
	d.Object()
	for d.Next() {
		switch string(d.Key()) {
		case "ciphertext":
			member(&d, &seen, 0, &e.Ciphertext)
		case "ciphertextMetadata":
			member(&d, &seen, 1, &e.CiphertextMetadata)
		case "initializationVector":
			member(&d, &seen, 2, &e.IV)
		case "authenticationTag":
			member(&d, &seen, 3, &e.Tag)
		case "ciphertextDataIntegrityValue":
			member(&d, &seen, 4, &integrity)
		default:
			d.Unknown()
		}
	}
	if d.Close() != nil || len(e.Ciphertext) != size || len(e.CiphertextMetadata) > MaxMetadata ||
		len(e.IV) != ShortIV && len(e.IV) != LongIV || len(e.Tag) != TagSize {
		return nil, ErrMalformed
	}
	if sum := e.integrityValue(aad); subtle.ConstantTimeCompare(sum[:], integrity) != 1 {
		return nil, ErrMalformed
	}
	return e, nil
}

func member(d *wire.JSON, seen *uint64, bit int, to *[]byte) {
	if d.Member(seen, 1<<bit) {
		*to = d.Blob()
	}
}

// AppendDecrypted appends the answer of Decrypt.
func AppendDecrypted(dst []byte, plaintext secret.Bytes) []byte {
	return append(wire.AppendBlob(wire.AppendName(append(dst, '{'), "plaintext"), plaintext), '}')
}

// ParseDecrypted reads the answer to the decryption of size bytes. Its only error
// is ErrMalformed.
func ParseDecrypted(body []byte, size int) (secret.Bytes, error) {
	var plaintext []byte
	var seen uint64
	d := wire.ReadJSON(body)
	d.Object()
	for d.Next() {
		if string(d.Key()) == "plaintext" {
			member(&d, &seen, 0, &plaintext)
		} else {
			d.Unknown()
		}
	}
	if d.Close() != nil || len(plaintext) != size {
		return nil, ErrMalformed
	}
	return plaintext, nil
}

// KeyMetadata is the answer of GetKeyMetadata.
type KeyMetadata struct {
	Spec    string // "AES_256"
	Usage   []string
	Enabled bool
}

const (
	keySpec        = "AES_256"
	usageEncrypt   = "ENCRYPT"
	usageDecrypt   = "DECRYPT"
	statusEnabled  = "ENABLED"
	statusDisabled = "DISABLED"
	maxUsages      = 10
)

// AES256 describes a key that encrypts and decrypts.
func AES256(enabled bool) *KeyMetadata {
	return &KeyMetadata{Spec: keySpec, Usage: []string{usageEncrypt, usageDecrypt}, Enabled: enabled}
}

// Suits tells whether a KMS key can be made of the external key: AES-256, for
// encryption and decryption, and enabled.
func (m *KeyMetadata) Suits() bool {
	can := map[string]bool{}
	for _, u := range m.Usage {
		can[u] = true
	}
	return m.Spec == keySpec && can[usageEncrypt] && can[usageDecrypt] && m.Enabled
}

// AppendJSON appends the answer's body.
func (m *KeyMetadata) AppendJSON(dst []byte) []byte {
	dst = wire.AppendString(wire.AppendName(append(dst, '{'), "keySpec"), m.Spec)
	dst = append(wire.AppendName(dst, "keyUsage"), '[')
	for _, u := range m.Usage {
		dst = wire.AppendString(wire.AppendComma(dst), u)
	}
	status := statusDisabled
	if m.Enabled {
		status = statusEnabled
	}
	dst = wire.AppendString(wire.AppendName(append(dst, ']'), "keyStatus"), status)
	return append(dst, '}')
}

// ParseKeyMetadata reads the answer of GetKeyMetadata. Its only error is
// ErrMalformed.
func ParseKeyMetadata(body []byte) (*KeyMetadata, error) {
	m := &KeyMetadata{}
	var status string
	var seen uint64
	d := wire.ReadJSON(body)
	d.Object()
	for d.Next() {
		switch string(d.Key()) {
		case "keySpec":
			if d.Member(&seen, 1) {
				m.Spec = string(d.Text())
			}
		case "keyUsage":
			if d.Member(&seen, 2) {
				for d.Array(); d.Element(); {
					m.Usage = append(m.Usage, string(d.Text()))
				}
			}
		case "keyStatus":
			if d.Member(&seen, 4) {
				status = string(d.Text())
			}
		default:
			d.Unknown()
		}
	}
	m.Enabled = status == statusEnabled
	if d.Close() != nil || m.Spec == "" || len(m.Usage) == 0 || len(m.Usage) > maxUsages || !m.Enabled && status != statusDisabled {
		return nil, ErrMalformed
	}
	return m, nil
}
