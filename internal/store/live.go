package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"math/bits"

	"github.com/strongroom/strongroom/internal/secret"
)

// The live set is what the store should hold: a keyed hash of the set of all
// (key, sealed value) that are there, index entries included. It is kept with each
// commit that writes, in the same batch, and its digest is signed into the
// journal's checkpoints. So a record that was deleted, put back to an older value
// or put back after its deletion, behind the store's back, is found, although each
// value by itself is authentic.
//
// The hash is additive: the sum modulo 2^256 of HMAC-SHA256 over each element
// (MSet-Add-Hash: Clarke, Devadas, van Dijk, Gassend and Suh, "Incremental
// Multiset Hash Functions and Their Application to Memory Integrity Checking",
// ASIACRYPT 2003). Key and sums stay secret, as its proof asks for: the sums are
// kept in a sealed record, and only a MAC over them leaves the store.
//
// A sum says that something is wrong, not what. So that it can be said, the set is
// kept in a few cells by a hash of the record's key, and each cell also sums up its
// elements' versions, a tag of key and version, and the first bytes of the keys.
// One record that is wrong in a cell is named exactly.
const (
	liveCells = 8
	liveName  = 192 // bytes of a key that are summed up
	liveCell  = 8 + 8 + 32 + 16 + liveName
	liveSize  = 8 + liveCells*liveCell

	liveSchema = 1

	// LiveStateSize is the size of [Store.LiveState] in bytes.
	LiveStateSize = 8 + sha256.Size
)

// What a MAC under the live set's key is over.
const (
	liveElement = 1
	liveTag     = 2
	liveDigest  = 3
)

// liveKey is where the live set is kept. It is not an element of itself.
var liveKey = recordKey(Deployment, "live-set", "all")

// ErrRolledBack says that the records are not those that the store held last: some
// were removed or put back to an older state behind its back.
var ErrRolledBack = errors.New("store: records were removed or put back")

// element is one entry of the store as the live set sees it.
type element struct {
	cell    int
	key     []byte
	version uint64
	hash    [4]uint64
	tag     [2]uint64
}

// liveMAC makes elements. It is used by one goroutine.
type liveMAC struct{ mac hash.Hash }

func newLiveMAC(key secret.Bytes) liveMAC { return liveMAC{hmac.New(sha256.New, key)} }

func (m liveMAC) sum(what byte, key, rest []byte) (out [sha256.Size]byte) {
	m.mac.Reset()
	var head [5]byte
	head[0] = what
	binary.BigEndian.PutUint32(head[1:], uint32(len(key)))
	m.mac.Write(head[:])
	m.mac.Write(key)
	m.mac.Write(rest)
	m.mac.Sum(out[:0])
	return out
}

// element takes value as it is stored; whether it opens is not asked.
func (m liveMAC) element(key, value []byte) element {
	e := element{cell: cellOf(key), key: key}
	if len(value) >= headerSize {
		e.version = binary.BigEndian.Uint64(value[7:])
	}
	sum := m.sum(liveElement, key, value)
	for i := range e.hash {
		e.hash[i] = binary.LittleEndian.Uint64(sum[8*i:])
	}
	e.tag = m.tag(key, e.version)
	return e
}

func (m liveMAC) tag(key []byte, version uint64) (tag [2]uint64) {
	sum := m.sum(liveTag, key, binary.BigEndian.AppendUint64(nil, version))
	for i := range tag {
		tag[i] = binary.LittleEndian.Uint64(sum[8*i:])
	}
	return tag
}

func cellOf(key []byte) int {
	h := fnv.New32a()
	_, _ = h.Write(key) // never fails
	return int(h.Sum32() % liveCells)
}

// cell is the sums over some elements. Numbers wrap around.
type cell struct {
	count, versions uint64
	hash            [4]uint64
	tags            [2]uint64
	name            [liveName]byte // exclusive or
}

func (c *cell) add(e element) {
	c.count++
	c.versions += e.version
	addTo(c.hash[:], e.hash[:])
	addTo(c.tags[:], e.tag[:])
	c.mix(e.key)
}

func (c *cell) remove(e element) {
	c.count--
	c.versions -= e.version
	subtractFrom(c.hash[:], e.hash[:])
	subtractFrom(c.tags[:], e.tag[:])
	c.mix(e.key)
}

// minus returns what there is in c and not in other.
func (c cell) minus(other cell) cell {
	c.count -= other.count
	c.versions -= other.versions
	subtractFrom(c.hash[:], other.hash[:])
	subtractFrom(c.tags[:], other.tags[:])
	for i := range c.name {
		c.name[i] ^= other.name[i]
	}
	return c
}

func (c *cell) mix(key []byte) {
	for i := range min(len(key), liveName) {
		c.name[i] ^= key[i]
	}
}

func addTo(sum, n []uint64) {
	var carry uint64
	for i := range sum {
		sum[i], carry = bits.Add64(sum[i], n[i], carry)
	}
}

func subtractFrom(sum, n []uint64) {
	var borrow uint64
	for i := range sum {
		sum[i], borrow = bits.Sub64(sum[i], n[i], borrow)
	}
}

// liveSet is the set at one epoch.
type liveSet struct {
	epoch uint64
	cells [liveCells]cell
}

func (l *liveSet) encode() []byte {
	out := make([]byte, 0, liveSize)
	out = binary.BigEndian.AppendUint64(out, l.epoch)
	for i := range l.cells {
		c := &l.cells[i]
		out = binary.BigEndian.AppendUint64(out, c.count)
		out = binary.BigEndian.AppendUint64(out, c.versions)
		for _, n := range c.hash {
			out = binary.BigEndian.AppendUint64(out, n)
		}
		for _, n := range c.tags {
			out = binary.BigEndian.AppendUint64(out, n)
		}
		out = append(out, c.name[:]...)
	}
	return out
}

func decodeLive(text []byte) (*liveSet, error) {
	if len(text) != liveSize {
		return nil, corrupt(liveKey, fmt.Sprintf("%d bytes where %d belong", len(text), liveSize))
	}
	next := func() (n uint64) {
		n, text = binary.BigEndian.Uint64(text), text[8:]
		return n
	}
	l := &liveSet{epoch: next()}
	for i := range l.cells {
		c := &l.cells[i]
		c.count, c.versions = next(), next()
		for j := range c.hash {
			c.hash[j] = next()
		}
		for j := range c.tags {
			c.tags[j] = next()
		}
		copy(c.name[:], text)
		text = text[liveName:]
	}
	return l, nil
}

// count is the number of elements.
func (l *liveSet) count() (n uint64) {
	for i := range l.cells {
		n += l.cells[i].count
	}
	return n
}

// digest is what a checkpoint signs: the epoch, and a MAC over the whole set.
func (l *liveSet) digest(m liveMAC) []byte {
	mac := m.sum(liveDigest, nil, l.encode())
	return append(binary.BigEndian.AppendUint64(nil, l.epoch), mac[:]...)
}

// openLive reads the set that a state holds, or returns ErrNotFound.
func (s *Store) openLive(state Snapshot) (*liveSet, error) {
	value, err := state.Get(liveKey)
	if err != nil {
		return nil, err
	}
	h, text, err := s.unseal(liveKey, value)
	if err != nil {
		return nil, err
	}
	if h.schema > liveSchema {
		return nil, fmt.Errorf("%w: %s has schema %d", ErrNewerSchema, describeKey(liveKey), h.schema)
	}
	return decodeLive(text)
}

// sealLive is the write that keeps a set.
func (s *Store) sealLive(l *liveSet) (Write, error) {
	value, err := s.seal(liveKey, sealed{schema: liveSchema, version: l.epoch}, l.encode())
	return Write{Key: liveKey, Value: value}, err
}

// liveAfter returns the set after a batch on top of a state, which l describes and get
// reads: nil, or ErrNotFound, for what is not there.
func (l *liveSet) liveAfter(m liveMAC, get func(key []byte) ([]byte, error), batch Batch) (*liveSet, error) {
	next := *l
	next.epoch = batch.Epoch
	last := make(map[string][]byte, len(batch.Writes)) // of two to one key the later one holds
	for _, w := range batch.Writes {
		before, again := last[string(w.Key)]
		switch {
		case again:
		case w.read: // of the state that the writes before this one leave
			before = w.before
		default:
			var err error
			if before, err = get(w.Key); err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
		if before != nil {
			e := m.element(w.Key, before)
			next.cells[e.cell].remove(e)
		}
		if w.Value != nil {
			e := m.element(w.Key, w.Value)
			next.cells[e.cell].add(e)
		}
		last[string(w.Key)] = w.Value
	}
	return &next, nil
}

// computeLive takes the set from what a state holds.
func computeLive(m liveMAC, state Snapshot) (*liveSet, error) {
	l := &liveSet{epoch: state.Epoch()}
	err := state.Scan(nil, []byte{0xff}, func(key, value []byte) bool {
		if !bytes.Equal(key, liveKey) {
			e := m.element(key, value)
			l.cells[e.cell].add(e)
		}
		return true
	})
	return l, err
}

// checkSigned compares a set with what a checkpoint signs for. The set may be newer
// by what was committed since.
func (l *liveSet) checkSigned(m liveMAC, epoch uint64, signed []byte) error {
	if l.epoch != epoch {
		return fmt.Errorf("%w: what is known of them is of change %d, the database is at %d", ErrRolledBack, l.epoch, epoch)
	}
	if len(signed) == 0 {
		return nil
	}
	if len(signed) != LiveStateSize {
		return fmt.Errorf("%w: a checkpoint holds a state of %d bytes", ErrCorrupt, len(signed))
	}
	switch at := binary.BigEndian.Uint64(signed); {
	case at > epoch:
		return fmt.Errorf("%w: the audit trail signs for change %d, the records are those of change %d", ErrRolledBack, at, epoch)
	case at == epoch && !hmac.Equal(l.digest(m), signed):
		return fmt.Errorf("%w: they are not those of change %d that the audit trail signs for", ErrRolledBack, at)
	}
	return nil
}
