package index

import (
	"context"
	"slices"
)

// Retention removes frames from the front of the journal. Segments go with the last
// of their frames; until then, records of theirs that are gone are passed over.

// removeGone removes the segments that hold nothing any more, and returns the others.
func removeGone(segments []*segment, first uint64) ([]*segment, error) {
	for len(segments) > 0 && segments[0].Last < first {
		if err := segments[0].remove(); err != nil {
			return nil, err
		}
		segments = segments[1:]
	}
	return slices.Clone(segments), nil
}

// Forget tells the index that the frames below first are, or are about to be, removed
// from the journal: queries show their records no longer. It is called once it is
// durable that they will be.
func (ix *Index) Forget(ctx context.Context, first uint64) error {
	select {
	case ix.turn <- struct{}{}:
		defer func() { <-ix.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.first = max(ix.first, first)
	if ix.next < ix.first {
		// It lags far behind: what it would read next is not there any more.
		ix.next = ix.first
		ix.beginTail()
	}
	left, err := removeGone(ix.segments, ix.first)
	if err == nil {
		ix.segments = left
	}
	return err
}

// Indexed returns the number of the frame that is taken in next.
func (ix *Index) Indexed() uint64 {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.next
}

// gone reports whether a frame was removed.
func (ix *Index) gone(seq uint64) bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return seq < ix.first
}
