// Package spool takes the audit records of a node's calls that change nothing: to the
// node's own disk before the call is answered, and from there into the journal of the
// database that it shares with other nodes.
//
// What it promises: a record that was taken is on stable storage here, in a stream of
// its own that is chained and sealed like any journal; it stands in the database's
// journal exactly once, in the order in which it was taken and behind every change
// that its call had seen; and it gets there within about [Every] while the database
// can be reached. Where the stream has been moved to, and the hash of the frame there,
// are kept in the database in the commit that moved it: a node that comes back without
// what it had moved, or with another stream in its place, is found out.
//
// What it does not: whoever takes the disk away takes what was not moved yet. Within
// the database the records of such calls stand a little behind those of later changes;
// their own times say when they were.
package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
)

// Every is how often records are moved.
const Every = 250 * time.Millisecond

// restAfter is how long moving rests after it failed.
const restAfter = time.Second

// Bounds of one commit that moves records.
const (
	mostBytes   = 2 << 20
	mostRecords = 4000
)

// Config is what a Spool is made of. All of it must be set.
type Config struct {
	// Node is the name of the node, and of its stream.
	Node string
	// Local is the store on the node's own disk. It holds frames and no records.
	Local *store.Store
	// Frames are Local's, and Reader reads them.
	Frames store.Backend
	Reader *journal.Reader
	// Shared is the store in the database.
	Shared *store.Store
	// Clock is the machine's.
	Clock clock.Clock
	Log   *slog.Logger
}

// Spool moves a node's records. All methods are safe for concurrent use.
type Spool struct {
	Config

	mu sync.Mutex // held while records are moved
	// moved is how far; nil while it is not known.
	moved *position
}

// position is the last frame of a node's stream that is in the database's journal.
type position struct {
	Frame uint64 `json:"frame"`
	Hash  []byte `json:"hash"`
}

var positions = store.NewCollection[position]("node-streams", 1)

// ErrCut says that a node's stream does not hold what was moved from it.
var ErrCut = errors.New("spool: the node's own stream is not the one that the database knows")

// New returns a spool, once the node's stream is the one that the database knows of.
// It returns ErrCut when it is not.
func New(ctx context.Context, c Config) (*Spool, error) {
	s := &Spool{Config: c}
	at, err := s.load(ctx)
	if err != nil || at.Frame == 0 {
		return s, err
	}
	last, err := c.Reader.Last(ctx)
	if err != nil {
		return nil, err
	}
	if last < at.Frame {
		return nil, fmt.Errorf("%w: %d frames of it were moved, and it has %d", ErrCut, at.Frame, last)
	}
	hash, err := c.Reader.HashOf(ctx, at.Frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCut, err)
	}
	if !bytes.Equal(hash[:], at.Hash) {
		return nil, fmt.Errorf("%w: frame %d is another", ErrCut, at.Frame)
	}
	return s, nil
}

// Append takes the records of a call that changed nothing, and returns nil when they
// are on stable storage. Errors are those of [store.Store.Append].
func (s *Spool) Append(ctx context.Context, record []byte, more ...[]byte) error {
	return s.Local.Append(ctx, record, more...)
}

// Run moves records until ctx ends.
func (s *Spool) Run(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		rest := Every
		err := s.Move(ctx)
		if err != nil && ctx.Err() == nil {
			rest = restAfter
			if !failing {
				s.Log.Warn("audit records stay on this node's disk until the database takes them", "error", err)
			}
		} else if failing && err == nil {
			s.Log.Info("the audit records of this node are in the database again")
		}
		failing = err != nil
		wake, stop := s.Clock.Wake(s.Clock.Now().Add(rest))
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
}

// Move moves all records that were taken before it was called.
func (s *Spool) Move(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, err := s.Reader.Last(ctx)
	if err != nil {
		return err
	}
	for s.moved == nil || s.moved.Frame < last {
		if err := s.move(ctx); err != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
	return nil
}

func (s *Spool) load(ctx context.Context) (position, error) {
	var at position
	err := s.Shared.View(ctx, func(r store.Reader) (err error) {
		at, err = positions.Get(r, store.Deployment, s.Node)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err == nil {
		s.moved = &at
	}
	return at, err
}

// errMoved says that a move whose outcome was not known had been made.
var errMoved = errors.New("spool: more was moved than was known")

// errFull ends a commit's share of the stream.
var errFull = errors.New("spool: enough for one commit")

// move moves as much as one commit takes.
func (s *Spool) move(ctx context.Context) error {
	if s.moved == nil {
		if _, err := s.load(ctx); err != nil {
			return err
		}
	}
	from, to := *s.moved, *s.moved
	var records [][]byte
	size := 0
	err := s.Reader.Batches(ctx, from.Frame+1, func(b journal.Batch) error {
		if size > 0 && (size >= mostBytes || len(records) >= mostRecords) {
			return errFull
		}
		for _, r := range b.Records {
			records, size = append(records, bytes.Clone(r)), size+len(r)
		}
		to = position{Frame: b.Seq, Hash: bytes.Clone(b.Hash[:])}
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return err
	}
	if to.Frame == from.Frame {
		return nil
	}
	s.moved = nil // until it is known that it went well
	err = s.Shared.Update(ctx, func(tx *store.Tx) error {
		at, err := positions.Get(tx, store.Deployment, s.Node)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if at.Frame > from.Frame && at.Frame <= to.Frame {
			return errMoved
		}
		if at.Frame != from.Frame {
			return fmt.Errorf("%w: the database is at frame %d of it, this node at %d", ErrCut, at.Frame, from.Frame)
		}
		for _, r := range records {
			if err := tx.Append(r); err != nil {
				return err
			}
		}
		return positions.Put(tx, store.Deployment, s.Node, to)
	})
	if err != nil {
		return err
	}
	s.moved = &to
	// The last one stays: the next continues it, and the database knows its hash.
	if to.Frame > 1 {
		return s.Frames.RemoveFrames(ctx, to.Frame-1)
	}
	return nil
}
