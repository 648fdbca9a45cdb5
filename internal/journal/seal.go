package journal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/strongroom/strongroom/internal/secret"
)

// From the journal key and a frame's salt come, by HKDF (RFC 5869), the key that
// seals its body and the seed of the salts in its commitments, under a label
// each. A key seals one body, so no limit on nonces is ever near; the nonce is
// random all the same, because that is how the approved mode is used.
const (
	labelBody  = "strongroom journal v1 body key"
	labelSalts = "strongroom journal v1 commitment salts"

	// keySize is the length of the journal key.
	keySize = 32
	// sealOverhead is the nonce and the tag.
	sealOverhead = 12 + 16
	// recordOverhead is the length before each record in a body.
	recordOverhead = 4
)

// What HKDF-Expand hashes for its first block.
var (
	infoBody  = []byte(labelBody + "\x01")
	infoSalts = []byte(labelSalts + "\x01")
)

// frameKeys are what one frame's body and commitments are made with.
type frameKeys struct {
	body cipher.AEAD
	seed Hash
	// HMAC-SHA-256 under the seed; nil until a salt is asked for, which who only
	// reads records does not.
	salts hash.Hash

	// Room for salt, which would otherwise be allocated for each record.
	index [4]byte
	sum   Hash
}

func deriveFrameKeys(journalKey secret.Bytes, salt *Hash) (*frameKeys, error) {
	prk, err := hkdf.Extract(sha256.New, []byte(journalKey), salt[:])
	if err != nil {
		return nil, fmt.Errorf("journal: derive a frame's keys: %w", err)
	}
	defer clear(prk)
	// Both keys are one block of HKDF-Expand long, T(1) = HMAC(PRK, info ‖ 0x01)
	// (RFC 5869 §2.3); hkdf.Expand would set up an HMAC for each.
	keys := &frameKeys{}
	var room [sha256.Size]byte
	defer clear(room[:])
	h := hmac.New(sha256.New, prk)
	h.Write(infoBody)
	bodyKey := h.Sum(room[:0])
	h.Reset()
	h.Write(infoSalts)
	h.Sum(keys.seed[:0])
	block, err := aes.NewCipher(bodyKey)
	if err != nil {
		return nil, fmt.Errorf("journal: a frame's cipher: %w", err)
	}
	if keys.body, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("journal: a frame's cipher: %w", err)
	}
	return keys, nil
}

// salt returns the salt of the commitment to record index.
func (k *frameKeys) salt(index int) Hash {
	binary.BigEndian.PutUint32(k.index[:], uint32(index))
	if k.salts == nil {
		k.salts = hmac.New(sha256.New, k.seed[:])
	}
	k.salts.Reset()
	k.salts.Write(k.index[:])
	k.salts.Sum(k.sum[:0])
	return k.sum
}

// leaves returns the commitments to records, in dst's memory if it is enough.
func (k *frameKeys) leaves(dst []Hash, scratch []byte, records [][]byte) ([]Hash, []byte) {
	dst = dst[:0]
	for i, record := range records {
		salt := k.salt(i)
		var leaf Hash
		leaf, scratch = commit(scratch, &salt, record)
		dst = append(dst, leaf)
	}
	return dst, scratch
}

// appendBody appends a body in the clear: each record after its length.
func appendBody(dst []byte, records [][]byte) []byte {
	for _, r := range records {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(r)))
		dst = append(dst, r...)
	}
	return dst
}

// opened is a frame's body in the clear.
type opened struct {
	body    []byte
	records [][]byte
	keys    *frameKeys
}

// open decrypts the body of f and splits it. The error wraps ErrKey when the
// body does not open. That the records are those of the Merkle root is not
// checked: the cipher's tag has said so already, unless its writer was at fault.
func (f *frame) open(journalKey secret.Bytes) (*opened, error) { return f.openIn(nil, journalKey) }

// openIn is open into room, if that is large enough.
func (f *frame) openIn(room []byte, journalKey secret.Bytes) (*opened, error) {
	if f.count == 0 {
		return &opened{}, nil
	}
	keys, err := deriveFrameKeys(journalKey, &f.salt)
	if err != nil {
		return nil, err
	}
	plain, err := keys.body.Open(room[:0], nil, f.body, f.additional())
	if err != nil {
		return nil, fmt.Errorf("%w (frame %d, key version %d)", ErrKey, f.seq, f.keyVersion)
	}
	o := &opened{body: plain, records: make([][]byte, 0, f.count), keys: keys}
	for len(plain) > 0 {
		if len(plain) < recordOverhead {
			return nil, errors.New("journal: the body ends within a length")
		}
		n := binary.BigEndian.Uint32(plain)
		plain = plain[recordOverhead:]
		if n > MaxRecord || int(n) > len(plain) {
			return nil, fmt.Errorf("journal: record %d claims %d bytes", len(o.records), n)
		}
		o.records = append(o.records, plain[:n:n])
		plain = plain[n:]
	}
	if len(o.records) != int(f.count) {
		return nil, fmt.Errorf("journal: the body holds %d records, the header says %d", len(o.records), f.count)
	}
	return o, nil
}

// leaves returns the commitments to the opened records.
func (o *opened) leaves() []Hash {
	leaves, _ := o.keys.leaves(nil, nil, o.records)
	return leaves
}
