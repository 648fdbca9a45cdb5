package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// groupBytes is how much one commit takes before it leaves the rest of the queue
// to the next; the last request may go beyond it by its own size.
const groupBytes = 4 << 20

// gatherMost is how many requests are as good as more of them: a group that waited for
// all who are under way would leave the processors idle while it is synced.
const gatherMost = 16

// run is the committer: one group after another, until the store is stopped and
// the queue is empty.
func (s *Store) run() {
	defer close(s.done)
	if s.shared != nil {
		defer close(s.unconfirmed)
	}
	for {
		if !s.refresh(context.Background()) {
			return
		}
		s.gather()
		group, stopped := s.take()
		switch {
		case len(group) > 0:
			if !s.commit(group) {
				return
			}
			s.reuse(group)
		case stopped:
			return
		default:
			select {
			case <-s.wake:
			case <-s.closing:
			}
		}
	}
}

// gather lets those join the next group who can do so at once: as long as the
// queue grows while others run, they are let run. A group that starts with the
// first request instead makes the second wait for a whole sync, and under load
// pays for three syncs where one would do. An idle machine yields at once.
func (s *Store) gather() {
	for before := s.queued(); before > 0; {
		runtime.Gosched()
		after := s.queued()
		if after == before || after >= gatherMost {
			return
		}
		before = after
	}
}

func (s *Store) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// take returns the next group, and whether nothing can join the queue any more.
func (s *Store) take() (group []*request, stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < len(s.queue) && size < groupBytes {
		if s.queue[n].alone != nil {
			if n == 0 {
				n = 1
			}
			break
		}
		if s.queue[n].urgent != s.queue[0].urgent {
			break
		}
		size += s.queue[n].bytes
		n++
	}
	if n > 0 && n == len(s.queue) {
		group, s.queue, s.spare = s.queue, s.spare, nil
	} else {
		group, s.queue = s.queue[:n:n], s.queue[n:]
	}
	return group, s.stopped != nil
}

// reuse lets a later queue be written where a group was, which nobody looks at any
// more.
func (s *Store) reuse(group []*request) {
	clear(group)
	s.spare = group[:0]
}

// commit makes a group durable, tells the watchers, shows the new state and
// answers, in this order. It reports whether the store may go on.
func (s *Store) commit(group []*request) bool {
	ctx := context.Background() // callers stop waiting by themselves
	base := s.epoch.Load()
	batch := Batch{Epoch: base}
	records := s.records[:0]
	var changes []Change
	frame := false
	for _, req := range group {
		batch.Epoch = max(batch.Epoch, req.epoch)
		batch.Writes = append(batch.Writes, req.writes...)
		changes = append(changes, req.changes...)
		records = append(records, req.records...)
		frame = frame || req.frame || len(req.records) > 0
	}
	defer func() {
		clear(records) // they belong to the requests
		s.records = records
	}()
	if len(batch.Writes) > 0 || frame {
		s.begins()
		before, err := s.replaced(batch.Writes) // so that others need not wait for that
		if err == nil {
			err = s.prepare(ctx, base, group[0].urgent)
		}
		if err != nil {
			s.ends(group, len(records), err)
			return s.refuse(ctx, group, err)
		}
		live := s.live
		err = s.write(ctx, &batch, before, frame, records)
		s.ends(group, len(records), err)
		if s.shared != nil && isNothing(err) {
			s.live = live
			return s.refuse(ctx, group, err)
		}
		if err != nil {
			s.fail(group, err)
			return false
		}
	}
	if len(batch.Writes) > 0 {
		state, err := s.backend.Snapshot(ctx)
		if err == nil && state.Epoch() != batch.Epoch {
			err = fmt.Errorf("store: the backend is at epoch %d after a commit of epoch %d", state.Epoch(), batch.Epoch)
		}
		if err != nil {
			s.fail(group, err)
			return false
		}
		s.watchers.tell(changes)
		s.show(state, func() { s.pending.drop(batch.Epoch) })
	}
	if then := group[0].alone; then != nil {
		then(batch.Seq)
	}
	s.acknowledge(group, batch.Epoch)
	return true
}

// prepare asks the backend for a commit.
func (s *Store) prepare(ctx context.Context, base uint64, urgent bool) error {
	if reserver, ok := s.backend.(Reserver); ok && urgent {
		return reserver.PrepareUrgent(ctx, base)
	}
	return s.backend.Prepare(ctx, base)
}

// begins and ends tell the observer of a commit.
func (s *Store) begins() {
	if s.observe != nil {
		s.observe.CommitBegins()
	}
}

func (s *Store) ends(group []*request, records int, err error) {
	if s.observe == nil {
		return
	}
	bytes := 0
	for _, req := range group {
		bytes += req.bytes
	}
	s.observe.CommitEnds(len(group), records, bytes, err)
}

func (s *Store) write(ctx context.Context, batch *Batch, before map[string][]byte, frame bool, records [][]byte) error {
	if err := s.writeLive(batch, before); err != nil {
		return err
	}
	if frame {
		if err := s.follow(); err != nil {
			return fmt.Errorf("following the journal: %w", err)
		}
		seq, bytes, err := s.journal.Frame(records)
		if err != nil {
			return fmt.Errorf("framing audit records: %w", err)
		}
		if len(bytes) == 0 {
			return fmt.Errorf("framing audit records: frame %d is empty", seq)
		}
		batch.Seq, batch.Frame = seq, bytes
	}
	return s.backend.Commit(ctx, *batch)
}

// show makes a durable state the one that is read, and changes the pending state
// that lies over it, both at once.
func (s *Store) show(state Snapshot, change func()) {
	s.mu.Lock()
	old := s.durable
	s.durable = &snapshot{state: state, users: 1}
	s.epoch.Store(state.Epoch())
	change()
	s.mu.Unlock()
	s.release(old)
}

// refuse answers a group that could not be begun, and all that may have been
// built upon it. After a conflict they run again, on the state that the other
// node left. It reports whether the store may go on.
func (s *Store) refuse(ctx context.Context, group []*request, reason error) bool {
	if errors.Is(reason, ErrConflict) {
		err := s.adopt(ctx, group, reason)
		switch {
		case err == nil:
			return true
		case errors.Is(err, ErrOutrun):
			s.fail(group, err)
			return false
		}
		reason = err
	}
	s.mu.Lock()
	rest := s.resetLocked()
	if errors.Is(reason, ErrFull) && !group[0].urgent {
		// What is urgent builds upon nothing, and there may be space for it.
		rest, s.queue = splitUrgent(rest)
	}
	s.mu.Unlock()
	s.answer(group, reason)
	s.answer(rest, reason)
	return true
}

// isNothing tells whether a commit is known to have come to nothing.
func isNothing(err error) bool {
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFull)
}

func splitUrgent(requests []*request) (others, urgent []*request) {
	for _, req := range requests {
		if req.urgent {
			urgent = append(urgent, req)
		} else {
			others = append(others, req)
		}
	}
	return others, urgent
}

// fail stops the store because nobody knows what a commit left on disk. What is
// queued behind it was never begun.
func (s *Store) fail(group []*request, reason error) {
	stopped := fmt.Errorf("%w: a commit failed: %v", ErrStopped, reason)
	_ = s.stop(stopped)
	s.fatal(fmt.Errorf("store: a commit failed: %w", reason))
	s.mu.Lock()
	rest := s.queue
	s.queue = nil
	refreshes := s.refreshes
	s.refreshes = nil
	s.mu.Unlock()
	for _, answer := range refreshes {
		answer <- stopped
	}
	s.answer(group, fmt.Errorf("%w: the commit failed: %v", ErrUnknown, reason))
	s.answer(rest, stopped)
}

func (s *Store) answer(requests []*request, err error) {
	for _, req := range requests {
		req.err = err
		req.answered <- struct{}{} // req is its caller's again
		s.leave()
	}
}
