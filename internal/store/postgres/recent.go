package postgres

import (
	"bytes"
	"sync"
)

// recent is what this node has read and written of the records lately, in memory: most
// of what a change reads it has read to decide upon it, and what its commit replaces it
// has read as well. Each of these would be a round trip to the database, most of them
// while other changes wait.
//
// What is there holds from the epoch at which it was read or written up to known, the
// epoch up to which this node has been told what changed. Nothing is kept of what was
// read at any other epoch, and nothing is shown at one that is later.
type recent struct {
	mu    sync.Mutex
	known uint64
	since map[string]held
	bytes int
}

// held is a record, or that there is none when its value is nil.
type held struct {
	value []byte
	epoch uint64
}

// recentBytes bounds what is held, keys included; nothing is held that alone takes a
// sixteenth of it.
const recentBytes = 8 << 20

// heldSize is about what an entry takes beside its key and value.
const heldSize = 100

// begin forgets everything: the database is at an epoch, and nothing is known of those
// before.
func (r *recent) begin(epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beginLocked(epoch)
}

func (r *recent) beginLocked(epoch uint64) {
	r.known, r.since, r.bytes = epoch, map[string]held{}, 0
}

// get returns a copy of what a record was at an epoch, nil for none, and whether that is
// known.
func (r *recent) get(key []byte, epoch uint64) (value []byte, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.since[string(key)]
	if !ok || epoch > r.known || epoch < h.epoch {
		return nil, false
	}
	return bytes.Clone(h.value), true
}

// read keeps what was read at an epoch; nil for no record.
func (r *recent) read(key, value []byte, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.since[string(key)]; epoch == r.known && !there {
		r.putLocked(key, value, epoch)
	}
}

// wrote keeps what a commit of this node upon base made of the records.
func (r *recent) wrote(base, epoch uint64, keys, values [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if base != r.known {
		r.beginLocked(epoch)
	}
	r.known = epoch
	for i, key := range keys {
		r.putLocked(key, values[i], epoch)
	}
}

// changed takes in what was changed after an epoch and up to another: some with what
// they are at the latter, the others are forgotten.
func (r *recent) changed(after, upTo uint64, keys [][]byte, now map[string]held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known < after {
		r.beginLocked(upTo)
	}
	for _, key := range keys {
		r.dropLocked(string(key))
	}
	if upTo < r.known {
		return
	}
	r.known = upTo
	for key, h := range now {
		r.putLocked([]byte(key), h.value, h.epoch)
	}
}

func (r *recent) putLocked(key, value []byte, epoch uint64) {
	r.dropLocked(string(key))
	size := heldSize + len(key) + len(value)
	if size > recentBytes/16 {
		return
	}
	for victim := range r.since { // any will do: a miss costs one question
		if r.bytes+size <= recentBytes {
			break
		}
		r.dropLocked(victim)
	}
	r.since[string(key)] = held{bytes.Clone(value), epoch}
	r.bytes += size
}

func (r *recent) dropLocked(key string) {
	if h, ok := r.since[key]; ok {
		delete(r.since, key)
		r.bytes -= heldSize + len(key) + len(h.value)
	}
}
