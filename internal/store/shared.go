package store

import (
	"context"
	"errors"
	"fmt"
)

// Shared is a [Backend] over a database that other nodes commit to as well. A Store
// over one follows what the others change: whatever they committed is told to the
// watchers before it is shown, and an Update that was built upon an older state runs
// again.
type Shared interface {
	Backend

	// Advance makes the newest state of the database the one that Snapshot returns.
	// Commit, and a Prepare that returns ErrConflict, do so too.
	Advance(ctx context.Context) error

	// Newest returns the newest state of the database, whatever Snapshot returns.
	Newest(ctx context.Context) (Snapshot, error)

	// Changed returns what commits after one epoch and up to another wrote or
	// deleted, in the order of the epochs and then of the keys; of several changes of
	// one key the last is enough. It returns ErrOutrun when the database does not
	// remember that far back.
	Changed(ctx context.Context, after, upTo uint64) ([]Changed, error)

	// Tip returns the number of the newest journal frame and its first FrameHead
	// bytes, or all of them if it has fewer, as the last Prepare found them: 0 and nil when there is no
	// frame. It is called after a Prepare that returned nil, before the Commit.
	Tip() (seq uint64, head []byte)

	// Confirm returns nil when no other node answers by a state before epoch any
	// more, and otherwise waits until ctx ends. A change is acknowledged after it.
	Confirm(ctx context.Context, epoch uint64) error

	// Fresh returns nil while this node may answer by what it holds in memory, and
	// otherwise ErrUnavailable: others may have been told of a change that this node
	// has not heard of. It is called often, and asks nobody.
	Fresh() error
}

// FrameHead is how many of a frame's first bytes are enough to continue it.
const FrameHead = 1024

// Changed is a key that was written, or deleted.
type Changed struct {
	Key     []byte
	Epoch   uint64 // of the commit that changed it
	Deleted bool
}

// Follower is a [Journal] whose stream others write to as well. The Journal of a
// Store over a [Shared] backend must be one.
type Follower interface {
	// Follow makes the frame with this number, whose first FrameHead bytes are head,
	// the one that the next continues, whatever the Journal made itself: its frames
	// behind that one were not committed. 0 begins the stream. It is called by the
	// goroutine that calls Frame, before each.
	Follow(seq uint64, head []byte) error
}

// Refresh brings the store to the newest state of a [Shared] backend, tells the
// watchers what other nodes changed, and returns the epoch that this node has then.
// For any other backend there is nothing to do.
func (s *Store) Refresh(ctx context.Context) (epoch uint64, err error) {
	if s.shared == nil {
		return s.Epoch(), nil
	}
	answer := make(chan error, 1)
	s.mu.Lock()
	if err := s.stopped; err != nil {
		s.mu.Unlock()
		return 0, err
	}
	s.refreshes = append(s.refreshes, answer)
	s.wakeLocked()
	s.mu.Unlock()
	select {
	case err := <-answer:
		return s.Epoch(), err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// refresh answers those who wait in Refresh. It reports whether the store may go on.
func (s *Store) refresh(ctx context.Context) bool {
	s.mu.Lock()
	waiting := s.refreshes
	s.refreshes = nil
	s.mu.Unlock()
	if len(waiting) == 0 {
		return true
	}
	err := s.shared.Advance(ctx)
	if err == nil {
		err = s.adopt(ctx, nil, ErrConflict)
	}
	for _, answer := range waiting {
		answer <- err
	}
	if errors.Is(err, ErrOutrun) {
		s.fail(nil, err)
		return false
	}
	return true
}

// adopt shows the backend's newest state, after it has told the watchers what led
// there. What is pending was built upon an older one: group and all that waits are
// answered with reason, and so run again. Without a newer state nothing happens,
// unless there is a group.
func (s *Store) adopt(ctx context.Context, group []*request, reason error) error {
	state, err := s.backend.Snapshot(ctx)
	if err != nil {
		return err
	}
	if len(group) == 0 && state.Epoch() == s.epoch.Load() {
		return state.Close()
	}
	changes, err := s.changes(ctx, state.Epoch())
	if err == nil {
		err = s.reloadLive(state)
	}
	if err != nil {
		return errors.Join(err, state.Close())
	}
	s.watchers.tell(changes)
	var rest []*request
	s.show(state, func() { rest = s.resetLocked() })
	s.answer(group, reason)
	s.answer(rest, reason)
	return nil
}

// resetLocked throws the pending state away, and returns what was queued upon it.
func (s *Store) resetLocked() (rest []*request) {
	rest, s.queue = s.queue, nil
	s.pending = layer{}
	s.tail = s.epoch.Load()
	s.generation++
	return rest
}

// changes returns what other nodes changed since the state that is shown.
func (s *Store) changes(ctx context.Context, upTo uint64) ([]Change, error) {
	if s.shared == nil || upTo == s.epoch.Load() {
		return nil, nil
	}
	changed, err := s.shared.Changed(ctx, s.epoch.Load(), upTo)
	if err != nil {
		return nil, err
	}
	changes := make([]Change, 0, len(changed))
	for _, c := range changed {
		p, ok := parseKey(c.Key)
		if !ok {
			return nil, corrupt(c.Key, "not a key of this store")
		}
		if p.mark == markRecord {
			changes = append(changes, Change{Epoch: c.Epoch, Collection: p.collection, Scope: p.scope, ID: p.parts[0], Deleted: c.Deleted})
		}
	}
	return changes, nil
}

// follow lets the journal go on from the database's last frame.
func (s *Store) follow() error {
	if s.shared == nil {
		return nil
	}
	follower, ok := s.journal.(Follower)
	if !ok {
		return fmt.Errorf("store: a journal of the type %T cannot follow others", s.journal)
	}
	return follower.Follow(s.shared.Tip())
}

// unconfirmed is a group that is durable and that other nodes may not know of.
type unconfirmed struct {
	group []*request
	epoch uint64
}

// confirm answers Updates when every other node knows of what they left or found.
func (s *Store) confirm(ctx context.Context) {
	defer close(s.confirmed)
	for u := range s.unconfirmed {
		var err error
		if s.agreed.Load() < u.epoch {
			err = s.shared.Confirm(ctx, u.epoch)
		}
		if err != nil {
			err = fmt.Errorf("%w: what was changed is made; that every node goes by it is not known: %v", ErrUnknown, err)
		} else {
			s.agreed.Store(max(s.agreed.Load(), u.epoch))
		}
		s.answer(u.group, err)
	}
}

// agreedLocked tells whether it is known that every other node goes by the state that
// Updates build upon.
func (s *Store) agreedLocked() bool { return s.shared == nil || s.agreed.Load() >= s.tail }

// acknowledge answers a group that is durable: records of calls that change nothing at
// once, Updates when the other nodes know of it.
func (s *Store) acknowledge(group []*request, epoch uint64) {
	if s.shared == nil {
		s.answer(group, nil)
		return
	}
	var updates []*request
	for _, req := range group {
		if req.update && s.agreed.Load() < epoch {
			updates = append(updates, req)
		} else {
			s.answer([]*request{req}, nil)
		}
	}
	if len(updates) > 0 {
		s.unconfirmed <- unconfirmed{updates, epoch}
	}
}

// fresh returns why nothing may be answered by what is in memory.
func (s *Store) fresh() error {
	if s.shared == nil {
		return nil
	}
	return s.shared.Fresh()
}
