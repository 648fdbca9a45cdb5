package software

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
	"sync/atomic"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

const (
	messageSalt = "strongroom/keyring/message/v1"

	maxIdle       = 8    // derivers that an entry keeps
	maxIdleBuffer = 1024 // bytes of buffer that an idle deriver keeps
)

var (
	commitmentLabel = []byte("strongroom/keyring/commitment/v1\x00")
	keyLabel        = []byte("strongroom/keyring/key/v1\x00")
	firstBlock      = []byte{1} // HKDF-Expand's counter
)

// entry is what is kept of one material: of a symmetric key its HKDF pseudorandom
// key, and keyed states that are idle; of every other the parsed key.
type entry struct {
	keyID, materialID string
	spec              keyring.Spec // of parsed
	used              atomic.Bool  // since the cache's hand last passed

	mu     sync.Mutex
	prk    secret.Bytes // nil once retired
	idle   []*deriver
	parsed any // nil once retired
}

// parsedKey returns the parsed key, or nil if the entry was retired.
func (e *entry) parsedKey() any {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.parsed
}

// newEntry extracts the pseudorandom key. It does not keep material.
func newEntry(keyID, materialID string, material secret.Bytes) (*entry, error) {
	prk, err := hkdf.Extract(sha256.New, material, []byte(messageSalt))
	if err != nil {
		return nil, err
	}
	return &entry{keyID: keyID, materialID: materialID, prk: prk}, nil
}

// take returns a deriver for one goroutine's use until release, or nil if the
// entry was retired.
func (e *entry) take() *deriver {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.prk == nil {
		return nil
	}
	if n := len(e.idle); n > 0 {
		d := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return d
	}
	return &deriver{mac: hmac.New(sha256.New, e.prk)}
}

// release gives back what take returned.
func (e *entry) release(d *deriver) {
	clear(d.key[:])
	clear(d.commitment[:])
	clear(d.context)
	if cap(d.context) > maxIdleBuffer {
		d.context = nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.prk != nil && len(e.idle) < maxIdle {
		e.idle = append(e.idle, d)
	}
}

// retire wipes the entry. Derivers in use go on working and are dropped when they
// are released, so that nobody ever derives from wiped bytes.
func (e *entry) retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prk.Wipe()
	e.prk, e.idle, e.parsed = nil, nil, nil
}

// deriver makes the keys of one message at a time. Its buffers are here because
// what is written to a hash through its interface escapes to the heap.
type deriver struct {
	mac             hash.Hash // keyed with the pseudorandom key
	context         []byte    // canonical encryption context
	key, commitment [32]byte
}

// derive fills d.key and d.commitment for a message with the given header ‖ salt
// and encryption context. Its only error is ErrContextTooLarge.
func (d *deriver) derive(headerAndSalt []byte, encryptionContext map[string]string) error {
	var err error
	if d.context, err = keyring.AppendContext(d.context[:0], encryptionContext); err != nil {
		return err
	}
	d.expand(d.commitment[:], commitmentLabel, headerAndSalt)
	d.expand(d.key[:], keyLabel, headerAndSalt)
	return nil
}

// expand fills out, 32 bytes, with HKDF-Expand of label ‖ headerAndSalt ‖ context,
// whose first and only block is HMAC(prk, info ‖ 1).
func (d *deriver) expand(out, label, headerAndSalt []byte) {
	d.mac.Reset()
	d.mac.Write(label)
	d.mac.Write(headerAndSalt)
	d.mac.Write(d.context)
	d.mac.Write(firstBlock)
	d.mac.Sum(out[:0])
}
