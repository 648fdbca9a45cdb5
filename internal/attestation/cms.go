package attestation

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"

	"github.com/strongroom/strongroom/internal/secret"
)

// Object identifiers of RFC 5652 §4 and §6.1, RFC 4055 §4.1 and RFC 3565 §4.1.
var (
	oidEnvelopedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidOAEP          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidAES256CBC     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// Seal encrypts plaintext for the holder of the document's public key: a CMS
// ContentInfo with EnvelopedData, AES-256-CBC under a key of its own that
// RSAES-OAEP with SHA-256 transports. Keys and vectors are read from random.
func (d *Document) Seal(random io.Reader, plaintext secret.Bytes) ([]byte, error) {
	var iv [aes.BlockSize]byte
	key := make(secret.Bytes, 32)
	defer key.Wipe()
	for _, b := range [][]byte{key, iv[:]} {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, err
		}
	}
	transported, err := rsa.EncryptOAEP(sha256.New(), random, d.key, key, nil)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	// The padding of RFC 5652 §6.3.
	pad := aes.BlockSize - len(plaintext)%aes.BlockSize
	content := append(make([]byte, 0, len(plaintext)+pad), plaintext...)
	content = append(content, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv[:]).CryptBlocks(content, content)
	return d.envelope(transported, iv[:], content)
}

// envelope writes the structure. The outer layers have indefinite lengths, as AWS
// KMS writes them; a client that reads them element by element knows no other.
func (d *Document) envelope(transported, iv, content []byte) ([]byte, error) {
	recipient, err := d.recipientInfos(transported)
	if err != nil {
		return nil, err
	}
	vector, err := asn1.Marshal(iv)
	if err != nil {
		return nil, err
	}
	var b ber
	b.open(sequence)
	b.put(oidEnvelopedData)
	b.open(explicit0)
	b.open(sequence) // EnvelopedData
	b.put(2)         // its version, as the recipient is named by a key identifier
	b.raw(recipient)
	b.open(sequence) // EncryptedContentInfo
	b.put(oidData)
	b.put(pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: vector}})
	b.open(explicit0) // [0] IMPLICIT OCTET STRING, constructed
	b.put(content)
	b.closeAll()
	return b.bytes, b.err
}

// keyTransport is a KeyTransRecipientInfo (RFC 5652 §6.2.1) of version 2. The
// recipient's key identifier is the SHA-256 of its SubjectPublicKeyInfo.
type keyTransport struct {
	Version   int
	Recipient []byte `asn1:"tag:0"`
	Algorithm pkix.AlgorithmIdentifier
	Key       []byte
}

// oaepParameters are RSAES-OAEP-params (RFC 4055 §4.1).
type oaepParameters struct {
	Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
	Mask pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
}

func (d *Document) recipientInfos(transported []byte) ([]byte, error) {
	hash := pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
	mask, err := asn1.Marshal(hash)
	if err != nil {
		return nil, err
	}
	parameters, err := asn1.Marshal(oaepParameters{
		Hash: hash,
		Mask: pkix.AlgorithmIdentifier{Algorithm: oidMGF1, Parameters: asn1.RawValue{FullBytes: mask}},
	})
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(d.spki)
	return asn1.MarshalWithParams([]keyTransport{{
		Version:   2,
		Recipient: id[:],
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidOAEP, Parameters: asn1.RawValue{FullBytes: parameters}},
		Key:       transported,
	}}, "set")
}

// Tags of constructed elements (X.690 §8.1.2).
const (
	sequence  = 0x30
	explicit0 = 0xa0
)

// ber writes elements of indefinite length (X.690 §8.1.3.6) with DER inside.
type ber struct {
	bytes []byte
	depth int
	err   error
}

func (b *ber) open(tag byte) {
	b.bytes = append(b.bytes, tag, 0x80)
	b.depth++
}

func (b *ber) put(v any) {
	der, err := asn1.Marshal(v)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.raw(der)
}

func (b *ber) raw(der []byte) { b.bytes = append(b.bytes, der...) }

// closeAll ends every open element.
func (b *ber) closeAll() {
	for ; b.depth > 0; b.depth-- {
		b.bytes = append(b.bytes, 0, 0)
	}
}
