package attestation

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// MaxAge is how far a document's timestamp may lie before or behind the time of a
// request.
const MaxAge = 5 * time.Minute

// signatureSize is r ‖ s of ECDSA on P-384 (RFC 9053 §2.1).
const signatureSize = 96

// Bounds of the public key in a document, in bits.
const (
	shortestKey = 2048
	longestKey  = 4096
)

// Kind is what a document is about.
type Kind uint8

const (
	// Enclave is a Nitro enclave, NitroTPM an EC2 instance with that module.
	Enclave Kind = 1 << iota
	NitroTPM
)

// Document is a verified attestation document.
type Document struct {
	Kind     Kind
	ModuleID string
	Created  time.Time

	pcrs [maxPCRs][]byte
	key  *rsa.PublicKey
	spki []byte
}

// PCR returns a platform configuration register in lower-case hexadecimal digits,
// and whether the document has it.
func (d *Document) PCR(index int) (value string, ok bool) {
	if index < 0 || index >= maxPCRs || d.pcrs[index] == nil {
		return "", false
	}
	return hex.EncodeToString(d.pcrs[index]), true
}

// Verifier verifies documents. It is safe for concurrent use.
type Verifier struct {
	roots []*x509.Certificate
}

// New returns a verifier that trusts these roots, at least one.
func New(roots []*x509.Certificate) *Verifier { return &Verifier{roots: roots} }

// Verify returns what a document says if it holds at that time, and an *Error
// otherwise. A document without a public key is refused, as nobody can be answered
// by it.
func (v *Verifier) Verify(document []byte, now time.Time) (*Document, error) {
	d, refused := v.verify(document, now)
	if refused != nil {
		return nil, refused
	}
	return d, nil
}

func (v *Verifier) verify(document []byte, now time.Time) (*Document, *Error) {
	envelope, refused := parseSign1(document)
	if refused != nil {
		return nil, refused
	}
	s, refused := parseStatement(envelope.payload)
	if refused != nil {
		return nil, refused
	}
	signer, refused := v.signer(s, now)
	if refused != nil {
		return nil, refused
	}
	if !envelope.signedBy(signer) {
		return nil, refuse("its signature does not verify")
	}
	if age := now.Sub(s.created); age > MaxAge || age < -MaxAge {
		return nil, refuse("its timestamp is more than 5 minutes away from the time of the request")
	}
	key, refused := publicKey(s.publicKey)
	if refused != nil {
		return nil, refused
	}
	return &Document{
		Kind: s.kind, ModuleID: s.moduleID, Created: s.created,
		pcrs: s.pcrs, key: key, spki: s.publicKey,
	}, nil
}

// signedBy checks the signature over the Sig_structure of RFC 9052 §4.4.
func (s *signed) signedBy(key *ecdsa.PublicKey) bool {
	structure, err := cbor.Marshal([]any{"Signature1", es384, []byte{}, s.payload})
	if err != nil {
		return false
	}
	digest := sha512.Sum384(structure)
	half := signatureSize / 2
	return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(s.signature[:half]), new(big.Int).SetBytes(s.signature[half:]))
}

// publicKey reads the key that answers are encrypted for.
func publicKey(der []byte) (*rsa.PublicKey, *Error) {
	if der == nil {
		return nil, refuse("it has no public_key")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, refuse("its public_key is not an RSA key as a DER SubjectPublicKeyInfo")
	}
	if bits := key.N.BitLen(); bits < shortestKey || bits > longestKey {
		return nil, refuse("its public_key does not have 2048 to 4096 bits")
	}
	if key.N.Bit(0) == 0 || key.E < 3 || key.E&1 == 0 {
		return nil, refuse("its public_key is not an RSA key that can be used")
	}
	return key, nil
}
