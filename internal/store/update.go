package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
)

// request is a call that waits for a commit.
type request struct {
	epoch   uint64 // after its writes
	writes  []Write
	changes []Change
	records [][]byte
	frame   bool // wants a frame even without records
	urgent  bool // may use what is kept in reserve; then it builds upon nothing
	update  bool // is answered when every other node goes by the state that it left or found
	bytes   int
	// alone, if not nil, is called by the committer when the request is durable and
	// before any other is begun; it is in no group with others.
	alone func(frame uint64)

	answered chan struct{} // holds one element once the request is answered
	err      error         // valid once answered

	// What an append borrows, and leaves here to be used again.
	record [1][]byte
}

func newRequest() *request { return &request{answered: make(chan struct{}, 1)} }

// appends hold requests that were answered, for the next Append. Only those: one
// that its caller stopped waiting for is still the committer's.
var appends = sync.Pool{New: func() any { return newRequest() }}

// appendRequest returns a request for a frame with copies of record and of more, or
// for one without records if record is nil.
func appendRequest(record []byte, more [][]byte) *request {
	req := appends.Get().(*request)
	*req = request{frame: true, answered: req.answered, record: req.record}
	if record != nil {
		req.record[0] = append(req.record[0][:0], record...)
		req.records, req.bytes = req.record[:], len(record)
	}
	for _, r := range more {
		req.records = append(req.records, bytes.Clone(r))
		req.bytes += len(r)
	}
	return req
}

// Update calls fn with the latest state and commits what fn wrote and appended,
// all of it or nothing. It returns nil when that is durable and the watchers have
// been told. Functions of concurrent Updates run one at a time.
//
// If fn returns an error, nothing is written and Update returns that error, once
// the state that fn read is durable. fn may be run again after a conflict: it
// must not act on anything but tx, and must set, not add to, what it captures.
// It should be quick, because every other Update waits for it.
//
// Over a [Shared] backend it returns when every other node goes by the state that fn
// left, too, or by the one that it found if it changed nothing or returned an error:
// what one node refuses because of a change, no other refuses for the lack of it
// afterwards.
//
// Errors: fn's; the context's, ErrFull, ErrUnavailable or ErrStopped when nothing
// was done; ErrUnknown when that isn't known.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	for {
		again, err := s.updateOnce(ctx, fn)
		if !again {
			return err
		}
	}
}

func (s *Store) updateOnce(ctx context.Context, fn func(*Tx) error) (again bool, err error) {
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	var req *request
	defer func() { // also when fn panics
		if req == nil {
			s.leave()
		}
	}()
	req, again, result := s.execute(ctx, fn)
	if req == nil {
		return again, result
	}
	if _, err := s.await(ctx, req); err != nil {
		return errors.Is(err, ErrConflict), err
	}
	return false, result
}

// Append commits an audit record of a call that changed nothing, with the others of
// the same call if there are more, and returns nil when all are durable. They stand
// in the journal behind everything that any call has shown before. Errors are as for
// Update. Records are copied and may be used again when Append returns, whatever it
// returns.
func (s *Store) Append(ctx context.Context, record []byte, more ...[]byte) error {
	if err := checkRecord(record); err != nil {
		return err
	}
	for _, r := range more {
		if err := checkRecord(r); err != nil {
			return err
		}
	}
	return s.appendFrame(ctx, false, record, more)
}

// AppendUrgent is Append for a record of what the operator asks for, which must be
// possible while space runs out: it is made durable as long as half of what the backend
// keeps in reserve is there. What others can make happen must not be recorded so.
func (s *Store) AppendUrgent(ctx context.Context, record []byte) error {
	if err := checkRecord(record); err != nil {
		return err
	}
	return s.appendFrame(ctx, true, record, nil)
}

// Checkpoint commits a journal frame even if there is no record to put into it,
// and returns nil when it is durable. Errors are as for Update.
func (s *Store) Checkpoint(ctx context.Context) error { return s.appendFrame(ctx, false, nil, nil) }

func (s *Store) appendFrame(ctx context.Context, urgent bool, record []byte, more [][]byte) error {
	if s.journal == nil {
		return ErrNoJournal
	}
	for {
		if err := s.enter(ctx); err != nil {
			return err
		}
		req := appendRequest(record, more)
		req.urgent = urgent
		s.mu.Lock()
		err := s.stopped
		if err == nil {
			s.enqueueLocked(req)
		}
		s.mu.Unlock()
		if err != nil {
			s.leave()
			return err
		}
		answered, err := s.await(ctx, req)
		if answered && cap(req.record[0]) <= keepRecord {
			appends.Put(req)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// appendAlone commits a checkpoint in a commit of its own, and calls then before the
// next commit begins. Once it has joined the queue it waits for the commit, whatever
// ctx says, because then takes something that must be given back. After nil, the
// caller counts as a View.
func (s *Store) appendAlone(ctx context.Context, then func(frame uint64)) error {
	for {
		if err := s.enter(ctx); err != nil {
			return err
		}
		req := newRequest()
		req.frame, req.alone = true, then
		s.mu.Lock()
		err := s.stopped
		if err == nil {
			s.views.Add(1)
			s.enqueueLocked(req)
		}
		s.mu.Unlock()
		if err != nil {
			s.leave()
			return err
		}
		<-req.answered
		if req.err == nil {
			return nil
		}
		s.views.Done()
		if !errors.Is(req.err, ErrConflict) {
			return req.err
		}
	}
}

// keepRecord is the largest record whose memory is kept for the next, in bytes.
const keepRecord = 16 << 10

// enter takes one of the places of those who wait. It is given back by the
// committer, or by leave if the call never joined the queue.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.waiting <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.stopped
	}
}

func (s *Store) leave() { <-s.waiting }

// await returns the committer's answer, or ErrUnknown if ctx ends before it: then
// the request is still the committer's.
func (s *Store) await(ctx context.Context, req *request) (answered bool, err error) {
	select {
	case <-req.answered:
		return true, req.err
	default:
	}
	select {
	case <-req.answered:
		return true, req.err
	case <-ctx.Done():
		return false, fmt.Errorf("%w: stopped waiting: %v", ErrUnknown, ctx.Err())
	}
}

// execute runs fn in its turn and joins the queue with what it wrote, or with
// nothing if only what it read must become durable before its result is shown.
// Without a request there is nothing to wait for.
func (s *Store) execute(ctx context.Context, fn func(*Tx) error) (req *request, again bool, result error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if err := s.fresh(); err != nil {
		return nil, false, err
	}
	tx := &Tx{}
	tx.store, tx.ctx, tx.tx = s, ctx, tx
	s.mu.Lock()
	stopped := s.stopped
	tx.epoch, tx.version, tx.generation = s.tail, s.tail+1, s.generation
	s.mu.Unlock()
	if stopped != nil {
		return nil, false, stopped
	}
	defer tx.finished.Store(true)
	result = fn(tx)
	if result == nil {
		result = tx.spoilt
	}
	if result == nil {
		result = ctx.Err()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped != nil:
		return nil, false, s.stopped
	case tx.generation != s.generation:
		return nil, true, nil
	case result == nil && (!tx.local.empty() || len(tx.records) > 0):
		req = s.requestLocked(tx)
	case s.pending.empty() && s.agreedLocked():
		return nil, false, result
	default:
		req = newRequest()
		req.update = true
	}
	s.enqueueLocked(req)
	return req, false, result
}

// requestLocked puts what tx wrote into the pending state.
func (s *Store) requestLocked(tx *Tx) *request {
	req := newRequest()
	req.records, req.bytes, req.update = tx.records, tx.bytes, true
	if tx.local.empty() {
		return req
	}
	req.epoch, s.tail = tx.version, tx.version
	for _, key := range tx.local.keys {
		e := tx.local.entries[key]
		req.writes = append(req.writes, Write{Key: []byte(key), Value: e.value, before: e.before, read: e.read})
		if e.change != nil {
			req.changes = append(req.changes, *e.change)
		}
		s.pending.put(key, e)
	}
	return req
}

func (s *Store) enqueueLocked(req *request) {
	s.queue = append(s.queue, req)
	s.wakeLocked()
}

func (s *Store) wakeLocked() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
