package journal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sync"

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

	// Room for what would otherwise be allocated for each record.
	index [4]byte
	sum   Hash
	// digests are what the three HMACs of a frame are made of; nil until the first.
	digests [6]hash.Hash
}

// hmac returns the HMAC-SHA-256 under key that is the i-th of three: it takes the
// memory of the i-th before. hmac.New asks for two digests; with fips140=only it looks at
// one more before.
func (k *frameKeys) hmac(i int, key []byte) hash.Hash {
	asked := 0
	return hmac.New(func() hash.Hash {
		digest := &k.digests[2*i+asked%2]
		asked++
		if *digest == nil {
			*digest = sha256.New()
		} else {
			(*digest).Reset()
		}
		return *digest
	}, key)
}

// derive makes k the keys of the frame with this salt.
func (k *frameKeys) derive(journalKey secret.Bytes, salt *Hash) error {
	// HKDF-Extract is HMAC(salt, key) (RFC 5869 §2.2). Both keys are one block of
	// HKDF-Expand long, T(1) = HMAC(PRK, info ‖ 0x01) (§2.3).
	h := k.hmac(0, salt[:])
	h.Write(journalKey)
	prk := h.Sum(k.sum[:0])
	h = k.hmac(1, prk)
	h.Write(infoBody)
	bodyKey := h.Sum(k.sum[:0])
	defer clear(bodyKey)
	h.Reset()
	h.Write(infoSalts)
	h.Sum(k.seed[:0])
	k.salts = nil
	block, err := aes.NewCipher(bodyKey)
	if err == nil {
		k.body, err = cipher.NewGCMWithRandomNonce(block)
	}
	if err != nil {
		return fmt.Errorf("journal: a frame's cipher: %w", err)
	}
	return nil
}

// RecentKeys hands the keys of the frames that were made last from writers to those who
// read the frames at once. The zero value is ready for use, by any number at the same
// time.
type RecentKeys struct {
	mu sync.Mutex
	of [256]recentFrame // by the frames' numbers
}

type recentFrame struct {
	salt, seed Hash
	keyVersion uint32
	body       cipher.AEAD
}

func (r *RecentKeys) add(f *frame, k *frameKeys) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[f.seq%uint64(len(r.of))] = recentFrame{f.salt, k.seed, f.keyVersion, k.body}
}

// find makes k the keys of f, if they are there.
func (r *RecentKeys) find(f *frame, k *frameKeys) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := &r.of[f.seq%uint64(len(r.of))]
	if at.salt != f.salt || at.keyVersion != f.keyVersion || at.body == nil {
		return false
	}
	k.seed, k.body, k.salts = at.seed, at.body, nil
	return true
}

// salt returns the salt of the commitment to record index.
func (k *frameKeys) salt(index int) Hash {
	binary.BigEndian.PutUint32(k.index[:], uint32(index))
	if k.salts == nil {
		k.salts = k.hmac(2, k.seed[:])
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
	keys    frameKeys
}

// open decrypts the body of f and splits it. The error wraps ErrKey when the
// body does not open. That the records are those of the Merkle root is not
// checked: the cipher's tag has said so already, unless its writer was at fault.
func (f *frame) open(journalKey secret.Bytes) (*opened, error) {
	o := new(opened)
	return o, o.open(f, nil, journalKey)
}

// open makes o the body of f, in the memory that o has if that is enough.
func (o *opened) open(f *frame, recent *RecentKeys, journalKey secret.Bytes) error {
	o.body, o.records = o.body[:0], o.records[:0]
	if f.count == 0 {
		return nil
	}
	if !recent.find(f, &o.keys) {
		if err := o.keys.derive(journalKey, &f.salt); err != nil {
			return err
		}
	}
	plain, err := o.keys.body.Open(o.body, nil, f.body, f.additional())
	if err != nil {
		return fmt.Errorf("%w (frame %d, key version %d)", ErrKey, f.seq, f.keyVersion)
	}
	o.body, o.records = plain, slices.Grow(o.records, int(f.count))
	for len(plain) > 0 {
		if len(plain) < recordOverhead {
			return errors.New("journal: the body ends within a length")
		}
		n := binary.BigEndian.Uint32(plain)
		plain = plain[recordOverhead:]
		if n > MaxRecord || int(n) > len(plain) {
			return fmt.Errorf("journal: record %d claims %d bytes", len(o.records), n)
		}
		o.records = append(o.records, plain[:n:n])
		plain = plain[n:]
	}
	if len(o.records) != int(f.count) {
		return fmt.Errorf("journal: the body holds %d records, the header says %d", len(o.records), f.count)
	}
	return nil
}

// leaves returns the commitments to the opened records.
func (o *opened) leaves() []Hash {
	leaves, _ := o.keys.leaves(nil, nil, o.records)
	return leaves
}
