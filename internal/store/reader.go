package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// Reader reads one unchanging state: what [Store.View] and, as a [Tx],
// [Store.Update] hand to their function. It is used through a [Collection], by
// one goroutine, until the function returns.
type Reader interface {
	// Epoch returns the epoch of the state: how many changes were made before it.
	Epoch() uint64

	reading() *reader
}

// reader is what View and Tx have in common.
type reader struct {
	store    *Store
	ctx      context.Context
	epoch    uint64
	finished atomic.Bool

	snap *snapshot // View: the state
	tx   *Tx       // Update: reads what is pending too
}

func (r *reader) Epoch() uint64 { return r.epoch }

func (r *reader) reading() *reader { return r }

// get returns the sealed value under key, or ErrNotFound.
func (r *reader) get(key []byte) ([]byte, error) {
	if err := r.usable(); err != nil {
		return nil, err
	}
	snap := r.snap
	if r.tx != nil {
		if e, ok := r.tx.local.get(string(key)); ok {
			return e.found()
		}
		var e entry
		var pending bool
		var err error
		if snap, e, pending, err = r.store.lookup(r.tx.generation, key); err != nil {
			return nil, err
		}
		if pending {
			return e.found()
		}
		defer r.store.release(snap)
	}
	value, err := r.getFrom(snap, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w, reading %s", err, describeKey(key))
	}
	return value, err
}

func (e entry) found() ([]byte, error) {
	if e.value == nil {
		return nil, ErrNotFound
	}
	return e.value, nil
}

// scan calls fn in key order with the sealed values under from <= key < to until
// it returns false. The slices are valid during the call only.
func (r *reader) scan(from, to []byte, fn func(key, value []byte) bool) error {
	if err := r.usable(); err != nil {
		return err
	}
	if r.tx == nil {
		return r.scanUnder(r.snap, from, to, nil, fn)
	}
	snap, over, err := r.store.overlay(r.tx.generation, string(from), string(to))
	if err != nil {
		return err
	}
	defer r.store.release(snap)
	for _, key := range r.tx.local.within(string(from), string(to)) {
		over.put(key, r.tx.local.entries[key])
	}
	return r.scanUnder(snap, from, to, over, fn)
}

// scanUnder merges the entries that lie over a snapshot with it.
func (r *reader) scanUnder(snap *snapshot, from, to []byte, over *layer, fn func(key, value []byte) bool) error {
	if over == nil {
		over = &layer{}
	}
	waiting, more, visited := over.keys, true, 0
	var stopped error
	emit := func(key string) {
		if e := over.entries[key]; e.value != nil && more {
			more = fn([]byte(key), e.value)
		}
	}
	err := r.scanFrom(snap, from, to, func(key, value []byte) bool {
		if visited++; visited%256 == 0 {
			if stopped = r.ctx.Err(); stopped != nil {
				return false
			}
		}
		for more && len(waiting) > 0 && waiting[0] < string(key) {
			emit(waiting[0])
			waiting = waiting[1:]
		}
		if more && len(waiting) > 0 && waiting[0] == string(key) {
			emit(waiting[0])
			waiting = waiting[1:]
		} else if more {
			more = fn(key, value)
		}
		return more
	})
	if err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	for more && len(waiting) > 0 {
		emit(waiting[0])
		waiting = waiting[1:]
	}
	return nil
}

func (r *reader) usable() error {
	if r.finished.Load() {
		return ErrFinished
	}
	return r.ctx.Err()
}

// Limits of one transaction; what is beyond them is a mistake of the caller's.
const (
	maxValue  = 1 << 20 // bytes of a record before it is sealed
	maxRecord = 1 << 20 // bytes of an audit record
	maxBytes  = 8 << 20 // bytes of all that a transaction writes
	maxWrites = 10_000  // records and index entries that a transaction writes
)

// Tx is a running Update: it reads the latest state with its own writes over it,
// and collects writes and audit records. Nothing of it is seen by anyone before
// its function has returned nil, and nothing is durable before Update has. After
// a write or Append that failed, but for ErrNotFound, the Update fails with that
// error even if its function returns nil, so that half a write is never kept.
type Tx struct {
	reader
	version    uint64 // of the records that it writes
	generation uint64 // of the pending state that it builds upon
	local      layer
	records    [][]byte
	bytes      int
	spoilt     error // a write that failed
}

// Append adds an audit record that is committed with the transaction's writes:
// all of it is durable or nothing.
func (tx *Tx) Append(record []byte) (err error) {
	defer func() { tx.spoil(err) }()
	if err := tx.usable(); err != nil {
		return err
	}
	if tx.store.journal == nil {
		return ErrNoJournal
	}
	if err := checkRecord(record); err != nil {
		return err
	}
	if err := tx.grow(len(record)); err != nil {
		return err
	}
	tx.records = append(tx.records, append([]byte(nil), record...))
	return nil
}

func checkRecord(record []byte) error {
	if len(record) == 0 || len(record) > maxRecord {
		return fmt.Errorf("%w: an audit record of %d bytes; 1 to %d are allowed", ErrTooLarge, len(record), maxRecord)
	}
	return nil
}

// put seals a value under key; a nil plaintext deletes.
// before is what get returned under the key, nil for nothing, if read.
func (tx *Tx) put(key []byte, schema uint16, plaintext []byte, change *Change, before []byte, read bool) error {
	if err := tx.usable(); err != nil {
		return err
	}
	if len(key) > maxKey {
		return fmt.Errorf("%w: a key of %d bytes; %d are allowed", ErrKey, len(key), maxKey)
	}
	if len(plaintext) > maxValue {
		return fmt.Errorf("%w: %s of %d bytes; %d are allowed", ErrTooLarge, describeKey(key), len(plaintext), maxValue)
	}
	e := entry{epoch: tx.version, change: change, before: before, read: read}
	if own, again := tx.local.get(string(key)); again { // it found its own write
		e.before, e.read = own.before, own.read
	}
	if plaintext != nil {
		var err error
		e.value, err = tx.store.seal(key, sealed{schema: schema, version: tx.version}, plaintext)
		if err != nil {
			return err
		}
	}
	if len(tx.local.keys) >= maxWrites {
		return fmt.Errorf("%w: a transaction of more than %d writes", ErrTooLarge, maxWrites)
	}
	if err := tx.grow(len(key) + len(e.value)); err != nil {
		return err
	}
	tx.local.put(string(key), e)
	return nil
}

func (tx *Tx) spoil(err error) {
	if tx.spoilt == nil && !errors.Is(err, ErrNotFound) {
		tx.spoilt = err
	}
}

func (tx *Tx) grow(n int) error {
	if tx.bytes+n > maxBytes {
		return fmt.Errorf("%w: a transaction of more than %d bytes", ErrTooLarge, maxBytes)
	}
	tx.bytes += n
	return nil
}
