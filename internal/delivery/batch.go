package delivery

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	// maxBatch is how many bytes of records make a batch full, maxLook how many are
	// looked at for one.
	maxBatch = 8 << 20
	maxLook  = 64 << 20
)

// batch is a stretch of the journal, as one file for each region.
type batch struct {
	files map[string]*recordFile
	end   batchEnd
	more  bool // the journal goes on
	// others says that there are records in it that no delivery has caused.
	others bool
}

// recordFile is a file of records that is being put together.
type recordFile struct {
	text           bytes.Buffer
	oldest, newest time.Time
}

func (f *recordFile) add(record []byte, at time.Time) {
	if f.text.Len() == 0 {
		f.text.WriteString(`{"Records":[`)
		f.oldest, f.newest = at, at
	} else {
		f.text.WriteByte(',')
	}
	f.text.Write(record)
	if at.Before(f.oldest) {
		f.oldest = at
	}
	if at.After(f.newest) {
		f.newest = at
	}
}

// errEnough ends the reading of the journal.
var errEnough = errors.New("delivery: enough")

// collect reads what comes after p: up to end, or as much as a batch holds.
func (s *Service) collect(ctx context.Context, t *Trail, p *position, end *batchEnd) (*batch, error) {
	b := &batch{files: map[string]*recordFile{}, end: batchEnd{Seq: p.Seq, Index: p.Index, Reached: p.Reached}}
	size, looked := 0, 0
	err := s.Records.From(ctx, p.Seq, func(e journal.Entry) error {
		switch {
		case e.Seq == p.Seq && e.Index < p.Index:
			return nil
		case end != nil && (e.Seq > end.Seq || e.Seq == end.Seq && e.Index >= end.Index):
			return errEnough
		case end == nil && (size >= maxBatch || looked >= maxLook):
			b.more = true
			return errEnough
		}
		ev, err := parseEvent(e.Record)
		if err != nil {
			return fmt.Errorf("record %d of frame %d: %w", e.Index, e.Seq, err)
		}
		looked += len(e.Record)
		if region := t.place(ev, s.Regions); region != "" {
			size += len(e.Record)
			f := b.files[region]
			if f == nil {
				f = new(recordFile)
				b.files[region] = f
			}
			f.add(e.Record, ev.Time)
			b.others = b.others || !ev.own()
		}
		b.end.Seq, b.end.Index = e.Seq, e.Index+1
		if e.Committed.After(b.end.Reached) {
			b.end.Reached = e.Committed
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return b, nil
}

// nextBatch delivers the next batch, if there is anything, and reports whether
// there may be more.
func (s *Service) nextBatch(ctx context.Context, t *Trail, p *position) (more bool, err error) {
	if ready, err := s.seek(ctx, t, p); !ready || err != nil {
		return false, err
	}
	b, err := s.collect(ctx, t, p, nil)
	if err != nil || b.end.Seq == p.Seq && b.end.Index == p.Index {
		return false, err
	}
	if len(b.files) == 0 {
		p.Seq, p.Index, p.Reached = b.end.Seq, b.end.Index, b.end.Reached
		return b.more, s.update(ctx, t, func(tx *store.Tx) error { return positions.Put(tx, t.Scope(), t.ID, *p) })
	}
	if t.Key != "" && !b.others && !b.more && t.Logging() {
		// All that there is are the data keys of earlier files, of which this one would
		// need another. They go with what comes next.
		return false, nil
	}
	b.end.At = s.Clock.Now()
	p.Batch = &b.end
	if err := s.update(ctx, t, func(tx *store.Tx) error { return positions.Put(tx, t.Scope(), t.ID, *p) }); err != nil {
		return false, err
	}
	return b.more, s.write(ctx, t, p, b)
}

// seek moves p to the beginning of the span that comes next, if it is before it,
// and reports whether there is a place to read from.
func (s *Service) seek(ctx context.Context, t *Trail, p *position) (bool, error) {
	span := t.span(p.Reached)
	if span == nil {
		return false, nil
	}
	if p.Seq > 0 && !p.Reached.Before(span.From) {
		return true, nil
	}
	found := false
	err := s.Records.Range(ctx, span.From, time.Time{}, func(e journal.Entry) error {
		p.Seq, p.Index, p.Reached, found = e.Seq, e.Index, span.From, true
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return false, err
	}
	return found, nil
}

// span returns the first span of logging that is not over at reached; nil if all
// are.
func (t *Trail) span(reached time.Time) *Span {
	for i := range t.Spans {
		if s := &t.Spans[i]; s.To == nil || !reached.After(*s.To) {
			return s
		}
	}
	return nil
}

// deliverBatch finishes the batch that was announced before the process ended or
// the bucket failed.
func (s *Service) deliverBatch(ctx context.Context, t *Trail, p *position) error {
	b, err := s.collect(ctx, t, p, p.Batch)
	if err != nil {
		return err
	}
	b.end = *p.Batch
	return s.write(ctx, t, p, b)
}

// write writes a batch that was announced, and says that it is done.
func (s *Service) write(ctx context.Context, t *Trail, p *position, b *batch) error {
	to, err := s.open(ctx, t.Bucket)
	if err != nil {
		return err
	}
	written := map[string]logFile{}
	for _, region := range slices.Sorted(maps.Keys(b.files)) {
		f := b.files[region]
		f.text.WriteString(`]}`)
		key := t.path("CloudTrail", region, b.end.At) + b.end.At.Format("20060102T1504Z") + "_" + t.unique(region, p) + ".json.gz"
		zipped, err := compress(f.text.Bytes())
		if err != nil {
			return err
		}
		if err := s.put(ctx, t, to, key, zipped, nil); err != nil {
			return err
		}
		written[region] = logFile{
			Bucket: t.Bucket, Object: key, Hash: hashOf(f.text.Bytes()), HashAlgorithm: "SHA-256",
			Newest: inDigest(f.newest), Oldest: inDigest(f.oldest),
		}
	}
	now := s.Clock.Now()
	*p = position{Seq: b.end.Seq, Index: b.end.Index, Reached: b.end.Reached, Delivered: &now, Digested: p.Digested}
	return s.update(ctx, t, func(tx *store.Tx) error {
		for region, file := range written {
			c, err := chains.Get(tx, t.Scope(), chainID(t, region))
			if errors.Is(err, store.ErrNotFound) {
				continue // no digests are asked for
			}
			if err != nil {
				return err
			}
			c.Files = append(c.Files, file)
			if err := chains.Put(tx, t.Scope(), chainID(t, region), c); err != nil {
				return err
			}
		}
		return positions.Put(tx, t.Scope(), t.ID, *p)
	})
}

// unique returns 16 letters and digits that no other batch of any trail has, and
// that this one has again when it is written again.
func (t *Trail) unique(region string, p *position) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{
		"strongroom/delivery/file/v1", t.ID, region, strconv.FormatUint(p.Seq, 10), strconv.Itoa(p.Index),
	}, "\x00")))
	text := new(big.Int).SetBytes(sum[:]).Text(62)
	return strings.Repeat("0", max(0, 16-len(text))) + text[max(0, len(text)-16):]
}

func compress(text []byte) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(text)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// inDigest writes a time as digests do.
func inDigest(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
