package journal

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const keyIDSize = 16

// KeyID names a signing key: the first 16 bytes of the SHA-256 of its public
// half as a DER SubjectPublicKeyInfo (RFC 8410 §4).
type KeyID [keyIDSize]byte

// String returns the id in lower-case hex.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// KeyIDOf returns the id of a public key.
func KeyIDOf(key ed25519.PublicKey) (KeyID, error) {
	if len(key) != ed25519.PublicKeySize {
		return KeyID{}, fmt.Errorf("journal: an Ed25519 public key has %d bytes, not %d", ed25519.PublicKeySize, len(key))
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return KeyID{}, fmt.Errorf("journal: encode the public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return KeyID(sum[:keyIDSize]), nil
}

// Checkpoint is a signed statement: the stream stood at frame Seq, whose hash is
// Hash, and had Records records by then. Since each frame names the one before,
// it covers all of them. Kept where the journal's writer cannot reach, it shows
// that a stream was cut or rewritten since.
type Checkpoint struct {
	Deployment, Stream string
	Seq                uint64
	Hash               Hash
	Records            uint64
	// Time is when the frame was committed, to the microsecond.
	Time      time.Time
	KeyID     KeyID
	Signature [ed25519.SignatureSize]byte
}

// ErrCheckpoint is wrapped by every error about a checkpoint's form or
// signature.
var ErrCheckpoint = errors.New("journal: bad checkpoint")

const (
	checkpointLabel = "strongroom-journal-checkpoint-v1"
	timeFormat      = "2006-01-02T15:04:05.000000Z"
)

// Statement returns the text that is signed: one line, its words separated by
// single spaces, that a person can read.
//
//	strongroom-journal-checkpoint-v1 DEPLOYMENT STREAM SEQ HASH RECORDS TIME KEYID
func (c *Checkpoint) Statement() string {
	return strings.Join([]string{
		checkpointLabel, c.Deployment, c.Stream,
		strconv.FormatUint(c.Seq, 10), hex.EncodeToString(c.Hash[:]),
		strconv.FormatUint(c.Records, 10), c.Time.UTC().Format(timeFormat), c.KeyID.String(),
	}, " ")
}

// String returns the form in which checkpoints are shipped: the statement, a
// space and the signature in base64, without a line end.
func (c Checkpoint) String() string {
	return c.Statement() + " " + base64.StdEncoding.EncodeToString(c.Signature[:])
}

// ParseCheckpoint parses the form of [Checkpoint.String], with or without a line
// end. It does not verify the signature.
func ParseCheckpoint(line string) (Checkpoint, error) {
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	const longest = 1024
	words := strings.Split(line[:min(len(line), longest)], " ")
	if len(line) > longest || len(words) != 9 || words[0] != checkpointLabel {
		return Checkpoint{}, fmt.Errorf("%w: not a line that begins with %s and has 9 words", ErrCheckpoint, checkpointLabel)
	}
	c := Checkpoint{Deployment: words[1], Stream: words[2]}
	if err := checkNames(c.Deployment, c.Stream); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	var err error
	if c.Seq, err = strconv.ParseUint(words[3], 10, 64); err != nil || c.Seq == 0 {
		return Checkpoint{}, fmt.Errorf("%w: the frame number %q", ErrCheckpoint, words[3])
	}
	if c.Records, err = strconv.ParseUint(words[5], 10, 64); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: the record count %q", ErrCheckpoint, words[5])
	}
	if c.Time, err = time.Parse(timeFormat, words[6]); err != nil || !validTime(c.Time) {
		return Checkpoint{}, fmt.Errorf("%w: the time %q", ErrCheckpoint, words[6])
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(words[8])
	if err != nil || len(signature) != len(c.Signature) {
		return Checkpoint{}, fmt.Errorf("%w: the signature is not %d bytes in base64", ErrCheckpoint, len(c.Signature))
	}
	copy(c.Signature[:], signature)
	if !decodeHex(c.Hash[:], words[4]) || !decodeHex(c.KeyID[:], words[7]) {
		return Checkpoint{}, fmt.Errorf("%w: the hash or the key id is not hex of the right length", ErrCheckpoint)
	}
	if c.String() != line {
		return Checkpoint{}, fmt.Errorf("%w: it is not written the one way that it may be", ErrCheckpoint)
	}
	return c, nil
}

func decodeHex(dst []byte, s string) bool {
	if len(s) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// Verify reports whether one of keys made the signature.
func (c *Checkpoint) Verify(keys ...ed25519.PublicKey) error {
	set, err := newKeySet(keys)
	if err != nil {
		return err
	}
	if _, detail := set.checkpoint(c); detail != "" {
		return fmt.Errorf("%w: %s", ErrCheckpoint, detail)
	}
	return nil
}

// keySet finds public keys by their id.
type keySet map[KeyID]ed25519.PublicKey

func newKeySet(keys []ed25519.PublicKey) (keySet, error) {
	if len(keys) == 0 {
		return nil, errors.New("journal: no public key to verify with")
	}
	set := make(keySet, len(keys))
	for _, key := range keys {
		id, err := KeyIDOf(key)
		if err != nil {
			return nil, err
		}
		set[id] = key
	}
	return set, nil
}

// check verifies a signature. When it is wrong, it returns which kind of problem
// that is and what is wrong, in words.
func (s keySet) check(id KeyID, statement string, signature []byte) (kind Kind, detail string) {
	key, ok := s[id]
	switch {
	case !ok:
		return Foreign, fmt.Sprintf("it is signed by key %s, which is not among the public keys given", id)
	case !ed25519.Verify(key, []byte(statement), signature):
		return Changed, fmt.Sprintf("the signature does not fit the statement %q", statement)
	}
	return "", ""
}

// checkpoint verifies a checkpoint's signature.
func (s keySet) checkpoint(c *Checkpoint) (kind Kind, detail string) {
	return s.check(c.KeyID, c.Statement(), c.Signature[:])
}

// signer signs statements and knows its key's id.
type signer struct {
	key crypto.Signer
	id  KeyID
	pub ed25519.PublicKey
}

func newSigner(key crypto.Signer) (signer, error) {
	if key == nil {
		return signer{}, errors.New("journal: no signing key")
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return signer{}, fmt.Errorf("journal: the signing key is a %T, not Ed25519", key.Public())
	}
	id, err := KeyIDOf(pub)
	return signer{key: key, id: id, pub: pub}, err
}

// sign signs statement and checks the result: a signature that does not verify,
// by a fault of memory or of a hardware module, would be found when it is too
// late.
func (s signer) sign(statement string) (signature [ed25519.SignatureSize]byte, err error) {
	b, err := s.key.Sign(rand.Reader, []byte(statement), crypto.Hash(0))
	if err != nil {
		return signature, fmt.Errorf("journal: sign: %w", err)
	}
	if !ed25519.Verify(s.pub, []byte(statement), b) {
		return signature, errors.New("journal: the signing key made a signature that does not verify")
	}
	return [ed25519.SignatureSize]byte(b), nil
}

const pemType = "PUBLIC KEY"

// MarshalPublicKey returns the text of the file in which a deployment publishes
// the key that verifies its journal: a PEM block "PUBLIC KEY" with a
// SubjectPublicKeyInfo (RFC 7468 §13), as openssl pkey -pubin reads it. After a
// change of keys the file holds a block for each.
func MarshalPublicKey(key ed25519.PublicKey) ([]byte, error) {
	if _, err := KeyIDOf(key); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("journal: encode the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// ParsePublicKeys parses one or more blocks of [MarshalPublicKey].
func ParsePublicKeys(text []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for rest := text; strings.TrimSpace(string(rest)) != ""; {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != pemType {
			return nil, fmt.Errorf("journal: the public key file holds something other than PEM blocks of type %q", pemType)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("journal: the public key file: %w", err)
		}
		key, ok := parsed.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("journal: the public key file holds a %T, not an Ed25519 key", parsed)
		}
		keys = append(keys, key)
		rest = after
	}
	if len(keys) == 0 {
		return nil, errors.New("journal: the public key file is empty")
	}
	return keys, nil
}
