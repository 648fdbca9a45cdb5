// Package index finds audit records by what stands in them: key, caller,
// operation, event id, and so on, newest first.
//
// An [Index] follows the journal from behind: it reads the frames that are
// durable, and no call waits for it or writes for it. Records are numbered by
// their place in the stream. The newest are indexed in memory (the tail); each
// time there are enough, they become a segment, a file that never changes. A
// segment has a row for each record (its frame and its time) and, under the
// fingerprint of each term, the list of the records that hold it.
//
// # What it promises
//
// The journal is the truth and the index is made from it: what is lost, cut or
// changed of the index is made again, and an index that belongs to another
// journal is thrown away. A query first takes in every frame that was durable
// when it was asked, so it misses none. What it finds it reads from the journal,
// so that a term that was matched by accident (fingerprints have 64 bits) is
// seen by whoever asked.
//
// # The threat
//
// Whoever reads the data folder. Segments are sealed in pages, under the
// deployment's keys, and terms stand in them as fingerprints under a key of their
// own: names, addresses and keys are never there in the clear. The size of a
// segment and the numbers of its frames can be seen. Whoever can write to the
// folder can remove segments, which are then made again, but cannot change them
// or exchange their pages. That no record is missing in the journal itself is
// for package journal to prove.
package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/secret"
)

// Box seals pages. It is safe for concurrent use; package seal has one.
type Box interface {
	Seal(rand io.Reader, plaintext secret.Bytes, binding []byte) ([]byte, error)
	// Open fails for what was not sealed in this box under that binding.
	Open(sealed, binding []byte) (secret.Bytes, error)
}

// Config is what an Index is made of.
type Config struct {
	// Dir is the folder of the segments; it must be set and is made when it is
	// not there. Files that are not segments are left alone.
	Dir string
	// Reader reads the stream; it must be set.
	Reader *journal.Reader
	// Box seals the segments, and TermKey, 32 bytes, is the key of the
	// fingerprints; both must be set.
	Box     Box
	TermKey secret.Bytes
	// Rand gives salts; it must be set.
	Rand io.Reader
	// Log must be set.
	Log *slog.Logger
	// SegmentRecords is how many records a segment has at least; if 0, 131,072.
	// So many are held in memory, at about 100 bytes each, and read again after
	// a start.
	SegmentRecords int
}

const (
	defaultSegmentRecords = 1 << 17
	maxSegmentRecords     = 1 << 24
)

// Index is an open index. It is safe for concurrent use.
type Index struct {
	c     Config
	terms *hasher // used by whoever has the turn
	asked hashers

	turn chan struct{} // held by the one who takes frames in

	mu       sync.RWMutex
	segments []*segment // ascending; replaced, never changed
	tail     *tail
	next     uint64 // number of the next frame to take in
	first    uint64 // number of the first frame that retention has left
}

// Open opens the index in cfg.Dir and checks that it belongs to the journal.
// Whatever of it does not is removed, to be made again.
func Open(ctx context.Context, cfg Config) (*Index, error) {
	switch {
	case cfg.SegmentRecords == 0:
		cfg.SegmentRecords = defaultSegmentRecords
	case cfg.SegmentRecords < 0 || cfg.SegmentRecords > maxSegmentRecords:
		return nil, fmt.Errorf("index: segments of %d records", cfg.SegmentRecords)
	}
	if cfg.Dir == "" || cfg.Reader == nil || cfg.Box == nil || len(cfg.TermKey) == 0 || cfg.Rand == nil || cfg.Log == nil {
		return nil, errors.New("index: a field of the Config is not set")
	}
	ix := &Index{c: cfg, terms: newHasher(cfg.TermKey), turn: make(chan struct{}, 1)}
	ix.terms.remember()
	ix.asked.key = cfg.TermKey
	segments, err := openSegments(cfg)
	if err != nil {
		return nil, err
	}
	if ix.first, err = cfg.Reader.First(ctx); err != nil {
		return nil, err
	}
	if segments, err = removeGone(segments, ix.first); err != nil {
		return nil, err
	}
	if ix.segments, err = ix.ours(ctx, segments); err != nil {
		return nil, err
	}
	ix.next = ix.first
	if n := len(ix.segments); n > 0 {
		ix.next = ix.segments[n-1].Last + 1
	}
	ix.beginTail()
	return ix, nil
}

// ours returns the segments that stand without a gap on frames of this journal,
// and removes the others.
func (ix *Index) ours(ctx context.Context, segments []*segment) ([]*segment, error) {
	whole := 0
	for i, s := range segments {
		if i == 0 && s.First > ix.first {
			break // what came before it was lost
		}
		if i > 0 && (s.First != segments[i-1].Last+1 || s.Number != segments[i-1].Number+uint64(segments[i-1].Count)) {
			break
		}
		whole = i + 1
	}
	last, err := ix.c.Reader.Last(ctx)
	if err != nil {
		return nil, err
	}
	// A journal that was put back to an older state has frames of its own since:
	// what the newest segment ends with tells, since each frame names those before.
	for ; whole > 0; whole-- {
		s := segments[whole-1]
		if s.Last > last {
			continue
		}
		hash, err := ix.c.Reader.HashOf(ctx, s.Last)
		if err != nil {
			return nil, err
		}
		if hash == s.Hash {
			break
		}
	}
	for _, s := range segments[whole:] {
		ix.c.Log.Warn("a part of the index of the audit trail does not belong to this trail; it is made again", "file", s.path)
		if err := s.remove(); err != nil {
			return nil, err
		}
	}
	return slices.Clone(segments[:whole]), nil
}

// CatchUp takes in all frames that are durable now. It returns ctx's error when
// that ends first; what was taken in until then stays.
func (ix *Index) CatchUp(ctx context.Context) error {
	last, err := ix.c.Reader.Last(ctx)
	if err != nil {
		return err
	}
	if ix.has(last) {
		return nil
	}
	select {
	case ix.turn <- struct{}{}:
		defer func() { <-ix.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ix.mu.RLock()
	from := ix.next
	ix.mu.RUnlock()
	if from > last {
		return nil
	}
	err = ix.c.Reader.Batches(ctx, from, func(b journal.Batch) error {
		if err := ix.take(b); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("index: following the audit trail: %w", err)
	}
	return nil
}

func (ix *Index) has(seq uint64) bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.next > seq
}

// take adds a frame to the tail, and makes the tail a segment when it is long
// enough. A segment that cannot be written is tried again with the next frame.
func (ix *Index) take(b journal.Batch) error {
	if ix.tail.count() >= ix.c.SegmentRecords {
		if err := ix.flush(); err != nil {
			return err
		}
	}
	documents := make([]document, len(b.Records))
	for i, record := range b.Records {
		documents[i] = ix.terms.read(record)
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.tail.add(b, documents)
	ix.next = b.Seq + 1
	return nil
}

func (ix *Index) flush() error {
	s, err := writeSegment(ix.c, ix.tail)
	if err != nil {
		return fmt.Errorf("index: writing a segment: %w", err)
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.segments = append(slices.Clone(ix.segments), s)
	ix.beginTail()
	return nil
}

// beginTail begins an empty tail. The shapes have lists of the one that was.
func (ix *Index) beginTail() {
	ix.tail = newTail()
	clear(ix.terms.shapes)
	ix.terms.layouts.clear()
}

// Intervals of Run.
const (
	followEvery = time.Second
	retryAfter  = 30 * time.Second
)

// Run keeps the index close behind the journal until ctx ends, so that queries
// have little to catch up with.
func (ix *Index) Run(ctx context.Context, clock clock.Clock) {
	for ctx.Err() == nil {
		rest := followEvery
		if err := ix.CatchUp(ctx); err != nil && ctx.Err() == nil {
			ix.c.Log.Error("the index of the audit trail could not follow; it will be tried again", "error", err)
			rest = retryAfter
		}
		wake, stop := clock.Wake(clock.Now().Add(rest))
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
}

// TakenIn returns the number of the newest frame that is in the index; 0 if none is.
func (ix *Index) TakenIn() uint64 {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.next - 1
}

// Size says what the index takes.
type Size struct {
	// Records are those in segments, Bytes what their files take on disk.
	Records, Bytes uint64
	// Tail counts the records that are in memory alone.
	Tail int
}

// Size returns what the index takes at the moment.
func (ix *Index) Size() Size {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	size := Size{Tail: ix.tail.count()}
	for _, s := range ix.segments {
		size.Records += uint64(s.Count)
		size.Bytes += uint64(s.size)
	}
	return size
}
