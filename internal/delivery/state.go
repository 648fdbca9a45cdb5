package delivery

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

// position is how far a trail's delivery has come. It stands in the trail's scope
// under the trail's ID.
type position struct {
	// Seq and Index are the journal's record to look at next; Seq 0 is none yet.
	Seq   uint64 `json:"seq"`
	Index int    `json:"index"`
	// Reached is when the newest record before it was committed.
	Reached time.Time `json:"reached"`
	// Batch is announced before its files are written, and done with when they are.
	Batch *batchEnd `json:"batch,omitempty"`
	// Delivered and Digested are when a file and a digest were written last.
	Delivered *time.Time `json:"delivered,omitempty"`
	Digested  *time.Time `json:"digested,omitempty"`
}

// batchEnd is where a batch ends, and the time that its files are named after.
type batchEnd struct {
	Seq     uint64    `json:"seq"`
	Index   int       `json:"index"`
	Reached time.Time `json:"reached"`
	At      time.Time `json:"at"`
}

// chain is the digests of a trail in one region, under the trail's ID and the
// region's name.
type chain struct {
	// Start is when the digest that comes next begins.
	Start time.Time `json:"start"`
	// End is announced before that digest is written.
	End *time.Time `json:"end,omitempty"`
	// Files are those delivered since Start.
	Files []logFile `json:"files,omitempty"`
	// Previous is nil before the first digest.
	Previous *previousDigest `json:"previous,omitempty"`
}

// logFile is a delivered file as a digest names it, in CloudTrail's spelling.
type logFile struct {
	Bucket        string `json:"s3Bucket"`
	Object        string `json:"s3Object"`
	Hash          string `json:"hashValue"`
	HashAlgorithm string `json:"hashAlgorithm"`
	Newest        string `json:"newestEventTime"`
	Oldest        string `json:"oldestEventTime"`
}

type previousDigest struct {
	Bucket    string `json:"bucket"`
	Object    string `json:"object"`
	Hash      string `json:"hash"`
	Signature string `json:"signature"`
}

var (
	positions = store.NewCollection[position]("cloudtrail.position", 1)
	chains    = store.NewCollection[chain]("cloudtrail.digest", 1)
)

func chainID(t *Trail, region string) string { return t.ID + "/" + region }

// positionOf returns a trail's position; the zero one if it has none yet.
func positionOf(r store.Reader, t *Trail) (position, error) {
	p, err := positions.Get(r, t.Scope(), t.ID)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return p, err
}

// Forget removes what is kept of a trail's delivery.
func Forget(tx *store.Tx, t *Trail, regions []string) error {
	err := ignoreMissing(positions.Delete(tx, t.Scope(), t.ID))
	for _, region := range regions {
		if err == nil {
			err = ignoreMissing(chains.Delete(tx, t.Scope(), chainID(t, region)))
		}
	}
	return err
}

// Needed returns the number of the first journal frame that a trail has still to
// deliver; math.MaxUint64 when there is none.
func (s *Service) Needed(ctx context.Context) (uint64, error) {
	all, err := s.trails(ctx)
	if err != nil {
		return 0, err
	}
	first := uint64(math.MaxUint64)
	for i := range all {
		t := &all[i]
		var p position
		err := s.Store.View(ctx, func(r store.Reader) (err error) {
			p, err = positionOf(r, t)
			return err
		})
		if err != nil {
			return 0, err
		}
		if p.Batch == nil {
			if ready, err := s.seek(ctx, t, &p); err != nil {
				return 0, err
			} else if !ready {
				continue
			}
		}
		first = min(first, p.Seq)
	}
	return first, nil
}

// Reset removes every trail, with what is kept of its delivery. Only dev servers
// call it.
func (s *Service) Reset(ctx context.Context) error {
	all, err := s.trails(ctx)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		for i := range all {
			t := &all[i]
			if err := Forget(tx, t, s.Regions); err != nil {
				return err
			}
			if err := ignoreMissing(Trails.Delete(tx, t.Scope(), t.Name)); err != nil {
				return err
			}
		}
		return nil
	})
}

func ignoreMissing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
