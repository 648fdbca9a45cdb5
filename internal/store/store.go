// Package store is an ordered, transactional set of sealed records, and the one
// gate through which effects and audit records become durable together.
//
// # What it promises
//
//   - Acknowledged means durable. Update, Append and Checkpoint return nil only
//     when all that they wrote, and the journal frame that holds its audit
//     records, is on stable storage in one atomic commit. They return ErrUnknown
//     when that can't be said, and any other error when nothing was done.
//   - Updates are serialisable: they run one at a time, in the order in which
//     they are committed and told to watchers.
//   - Nothing is shown that is not durable. A View reads the last durable state.
//     An Update may build upon Updates before it that wait for the same or an
//     earlier sync; but it returns, with an error too, only when what it may have
//     read is durable. If those Updates are refused, it runs again without them.
//   - An audit record stands in the journal behind every change that its caller
//     can have seen: what is seen was committed earlier, and the journal is in
//     commit order.
//   - After a failed commit nothing is acknowledged any more: Config.Fatal ends
//     the process, because what a disk holds after a failed sync can't be known.
//
// Commits are shared: whatever is queued while one sync runs goes into the next,
// as one batch with one journal frame. The epoch counts the Updates that wrote
// something; a record's version is the epoch of the Update that wrote it.
//
// # Waiting
//
// A disk that hangs makes commits and reads hang. The store does not judge how long
// is too long: each call returns when its context ends, as ErrUnknown if it has joined
// a commit and with the context's error if it has not, and so does what reads within a
// View or an Update. Callers that must answer within seconds set a deadline.
//
// # The threat
//
// Whoever can write to the database can neither read a record, nor change one,
// nor put one in another's place: each is sealed with AES-256-GCM under a key of
// its own, bound to its key, schema and version ([Sealer] names the parts). He
// can delete records, and put back older values of the same key; he reads keys,
// sizes, versions and index values, which is why nothing private may be an id or
// an index value. Both are found by the live set (Config.LiveKey), whose digest the
// journal's checkpoints sign: by CheckLive, which names the record. A whole older
// database together with its journal is not found here.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/strongroom/strongroom/internal/secret"
)

// Config is what a Store is made of.
type Config struct {
	// Backend must be set. The Store uses it alone but for Meta, SetMeta and the
	// JournalReader, and does not close it.
	Backend Backend

	// Sealer must be set.
	Sealer Sealer

	// Journal frames the audit records. If nil, appending is refused.
	Journal Journal

	// Fatal is called once, with the reason, when a commit has failed and the
	// process must not go on. It should not return; if it does, every call that
	// waits or comes later fails. If nil, the reason is logged and the process
	// exits with status 1.
	Fatal func(error)

	// LiveKey, 32 bytes, keys the live set: the hash of what the store should hold,
	// which every commit that writes keeps and LiveState shows to the journal. If
	// nil, none is kept.
	LiveKey secret.Bytes

	// LiveSigned is the LiveState that the newest checkpoint of the journal signs
	// for; nil when there is none. New refuses a backend that is older than it, and
	// one that holds something without any, with ErrRolledBack.
	LiveSigned []byte

	// LiveAbsent says that there is a checkpoint and that it signs for no state: an
	// older version wrote last. New then takes the live set from what is there.
	LiveAbsent bool

	// LiveAccept makes New take the live set from what is there instead of
	// refusing.
	LiveAccept bool

	// SkipEpochs lets the epoch of the next Update be this much higher than it would
	// be: for a restored backend, so that no version means two things.
	SkipEpochs uint64

	// Waiting is how many calls may wait for a commit at once; more wait for one
	// of these to end. If 0, 4096.
	Waiting int

	// Observer is told of commits; if nil, nobody is.
	Observer Observer
}

// Observer is told when a commit begins, before the backend is asked for anything,
// and when it has ended. It is called by the committer, in turn, and must return at
// once.
type Observer interface {
	CommitBegins()
	// CommitEnds tells how many calls the commit was for, how many audit records it
	// held and how many bytes of both records and changes; err is why it was
	// refused or failed.
	CommitEnds(calls, records, bytes int, err error)
}

// Store is a set of sealed records. All methods are safe for concurrent use.
type Store struct {
	backend Backend
	shared  Shared // the same, if it is one
	sealer  Sealer
	journal Journal
	fatal   func(error)
	observe Observer // may be nil

	turn    chan struct{} // held while an Update's function runs
	waiting chan struct{} // one for each call between its start and its answer
	wake    chan struct{} // tells the committer that there is something to do
	closing chan struct{} // closed by Close and after a failure
	done    chan struct{} // closed when the committer has ended

	// Over a Shared backend alone.
	unconfirmed chan unconfirmed // closed by the committer
	confirmed   chan struct{}    // closed when the last of them is answered
	giveUp      context.CancelFunc
	agreed      atomic.Uint64 // the newest epoch that all other nodes are known to go by

	views    sync.WaitGroup
	strays   sync.WaitGroup // reads, some of which nobody waits for any more
	watchers watchers
	epoch    atomic.Uint64 // of the durable state

	// Of the committer, once New is done.
	live         *liveSet
	liveMAC      liveMAC
	liveComputed bool
	records      [][]byte   // room for those of a commit
	spare        []*request // room for a queue, empty

	mu         sync.Mutex
	durable    *snapshot
	pending    layer  // written by Updates that are not durable yet
	tail       uint64 // epoch of the pending state
	generation uint64 // how often the pending state was thrown away
	queue      []*request
	refreshes  []chan error // of those who wait in Refresh
	stopped    error        // why nothing more is taken on
}

// snapshot is a durable state that is shared by all who read it.
type snapshot struct {
	state Snapshot
	users int // guarded by Store.mu; one of them is Store.durable
}

// New opens a Store at the backend's last durable state.
func New(cfg Config) (*Store, error) {
	if cfg.Backend == nil || cfg.Sealer == nil {
		return nil, errors.New("store: Config.Backend and Config.Sealer must be set")
	}
	if cfg.Waiting == 0 {
		cfg.Waiting = 4096
	}
	if cfg.Waiting < 0 {
		return nil, fmt.Errorf("store: Config.Waiting is %d", cfg.Waiting)
	}
	if cfg.Fatal == nil {
		cfg.Fatal = Exit
	}
	s := &Store{
		backend: cfg.Backend,
		sealer:  cfg.Sealer,
		journal: cfg.Journal,
		fatal:   cfg.Fatal,
		observe: cfg.Observer,
		turn:    make(chan struct{}, 1),
		waiting: make(chan struct{}, cfg.Waiting),
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if shared, ok := cfg.Backend.(Shared); ok {
		// What the newest checkpoint signs for may be younger than the backend.
		if err := shared.Advance(context.Background()); err != nil {
			return nil, err
		}
		s.shared = shared
		s.unconfirmed, s.confirmed = make(chan unconfirmed, cfg.Waiting), make(chan struct{})
	}
	err := s.openLiveSet(cfg)
	for errors.Is(err, ErrConflict) {
		err = s.openLiveSet(cfg)
	}
	if err != nil {
		return nil, err
	}
	state, err := cfg.Backend.Snapshot(context.Background())
	if err != nil {
		return nil, err
	}
	s.durable, s.tail = &snapshot{state: state, users: 1}, state.Epoch()+cfg.SkipEpochs
	s.epoch.Store(state.Epoch())
	if s.shared != nil {
		ctx, cancel := context.WithCancel(context.Background())
		s.giveUp = cancel
		go s.confirm(ctx)
	}
	go s.run()
	return s, nil
}

// Exit logs why the process must not go on and ends it with status 1.
func Exit(err error) {
	if errors.Is(err, ErrOutrun) {
		slog.Error("this node was away for so long that it cannot learn what changed; ending, so that it begins anew", "error", err,
			"next", "start again")
		os.Exit(1)
	}
	slog.Error("the store failed; ending, so that nothing is acknowledged that may not be on disk",
		"error", err, "next", "check the disk (dmesg, df) and start again: what was acknowledged is there")
	os.Exit(1)
}

// Close refuses new calls, waits for those under way, and ends. The Backend may
// be closed afterwards. It returns nil, or why the store had stopped before. It
// may be called again.
func (s *Store) Close() error {
	err := s.stop(ErrStopped)
	<-s.done
	if s.shared != nil {
		s.giveUp() // whoever still waits is answered that the outcome is unknown
		<-s.confirmed
	}
	s.views.Wait()
	s.turn <- struct{}{} // the function of an Update may still run, and read
	<-s.turn
	s.strays.Wait() // none begins any more
	s.mu.Lock()
	last := s.durable
	s.durable = nil
	s.mu.Unlock()
	if last != nil {
		s.release(last)
	}
	return err
}

// stop takes on nothing more, for the given reason. It returns the reason of an
// earlier failure, if there was one.
func (s *Store) stop(reason error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		if s.stopped == ErrStopped {
			return nil
		}
		return s.stopped
	}
	s.stopped = reason
	close(s.closing)
	return nil
}

// Ready returns nil when the store takes on calls that are to be made durable, and
// otherwise what they are refused with: ErrFull or ErrStopped.
func (s *Store) Ready(ctx context.Context) error {
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	if stopped != nil {
		return stopped
	}
	return s.backend.Ready(ctx)
}

// Waiting returns how many calls are between their start and their answer, and how
// many there may be.
func (s *Store) Waiting() (calls, most int) { return len(s.waiting), cap(s.waiting) }

// Epoch returns the epoch of the last durable state.
func (s *Store) Epoch() uint64 { return s.epoch.Load() }

// View calls fn with the last durable state and returns what fn returns. The
// state does not change meanwhile; it stays in memory and on disk until fn
// returns, so that fn should not take minutes. Over a [Shared] backend it returns
// ErrUnavailable while this node may not answer.
func (s *Store) View(ctx context.Context, fn func(Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.fresh(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.stopped != nil {
		s.mu.Unlock()
		return s.stopped
	}
	snap := s.durable
	snap.users++
	s.views.Add(1)
	s.mu.Unlock()
	r := &reader{store: s, ctx: ctx, snap: snap, epoch: snap.state.Epoch()}
	defer s.views.Done()
	defer s.release(snap)
	defer r.finished.Store(true)
	return fn(r)
}

func (s *Store) release(snap *snapshot) {
	s.mu.Lock()
	snap.users--
	last := snap.users == 0
	s.mu.Unlock()
	if !last {
		return
	}
	if err := snap.state.Close(); err != nil {
		slog.Warn("closing a snapshot of the store", "error", err)
	}
}

// lookup returns what is pending under key; if nothing is, the snapshot to look
// in, for the caller to release. Both are taken at once: the pending state over
// the durable one is the same before and after a commit moves entries from the
// one to the other.
func (s *Store) lookup(generation uint64, key []byte) (*snapshot, entry, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		return nil, entry{}, false, s.stopped
	}
	if generation != s.generation {
		return nil, entry{}, false, ErrConflict
	}
	if e, ok := s.pending.entries[string(key)]; ok {
		return nil, e, true, nil
	}
	s.durable.users++
	return s.durable, entry{}, false, nil
}

// overlay returns a copy of what is pending within from <= key < to, and the
// snapshot that it lies over, for the caller to release.
func (s *Store) overlay(generation uint64, from, to string) (*snapshot, *layer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		return nil, nil, s.stopped
	}
	if generation != s.generation {
		return nil, nil, ErrConflict
	}
	over := &layer{}
	for _, key := range s.pending.within(from, to) {
		over.put(key, s.pending.entries[key])
	}
	s.durable.users++
	return s.durable, over, nil
}
