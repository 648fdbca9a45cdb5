package journal

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
)

// chain follows the heads of a stream and checks each against those before it.
type chain struct {
	deployment, stream string
	keys               keySet
	later              []Checkpoint // not yet met, by ascending Seq
	last               position
	front              position // of the last frame that was removed
	says               uint64   // the front that the last checkpoint told
	report             Report
}

// errBroken is what next returns for a frame that does not name the frame before
// it by its hash.
var errBroken = errors.New("journal: the chain is broken")

// newChain verifies the checkpoints in later, too: one that is not signed proves
// nothing, and one of another stream is a mistake of the caller's.
func newChain(deployment, stream string, keys []ed25519.PublicKey, later []Checkpoint) (*chain, error) {
	set, err := newKeySet(keys)
	if err != nil {
		return nil, err
	}
	c := &chain{deployment: deployment, stream: stream, keys: set, later: slices.Clone(later)}
	for _, cp := range later {
		if _, detail := set.checkpoint(&cp); detail != "" {
			return nil, fmt.Errorf("%w: the later checkpoint of frame %d: %s", ErrCheckpoint, cp.Seq, detail)
		}
	}
	slices.SortFunc(c.later, func(a, b Checkpoint) int { return cmp.Compare(a.Seq, b.Seq) })
	return c, nil
}

// behind makes the chain begin behind the last frame that was removed; a front of
// seq 0 is none. Whoever calls it sees to it that a signature vouches for front.
func (c *chain) behind(front position) {
	c.front, c.last = front, front
	c.report.RemovedFrames, c.report.RemovedRecords = front.seq, front.records
}

// next checks the head f and takes it as the last.
func (c *chain) next(f *frame) error {
	if c.report.Frames == 0 {
		c.begin(f)
	}
	problem := func(kind Kind, format string, args ...any) error {
		return &Problem{Kind: kind, Seq: f.seq, Index: -1, Detail: fmt.Sprintf(format, args...)}
	}
	if f.deployment != c.deployment || f.stream != c.stream {
		return problem(Foreign, "it is of deployment %s, stream %s, not %s, %s", f.deployment, f.stream, c.deployment, c.stream)
	}
	switch want := c.last.seq + 1; {
	case f.seq < want:
		return problem(Misplaced, "it comes after frame %d", c.last.seq)
	case f.seq > want:
		missing := &Problem{Kind: Missing, Seq: want, Index: -1, Detail: fmt.Sprintf("it is not there, nor is any before frame %d", f.seq)}
		if before := f.records - uint64(f.count); before > c.last.records {
			missing.Detail += fmt.Sprintf("; by the count of frame %d they held %d records", f.seq, before-c.last.records)
		}
		return missing
	}
	if f.prev != c.last.hash {
		return errBroken
	}
	if f.records != c.last.records+uint64(f.count) {
		return problem(Changed, "it counts %d records in all, where %d and its own %d make %d",
			f.records, c.last.records, f.count, c.last.records+uint64(f.count))
	}
	run := c.last.runStart
	if f.seq == 1 || f.time.Before(c.last.time) {
		run = f.seq
	}
	if f.runStart != run {
		return problem(Changed, "it says that its run begins at frame %d, but it begins at %d", f.runStart, run)
	}
	return c.take(f)
}

// skipTo is next for filtered exports, which leave frames out.
func (c *chain) skipTo(f *frame) error {
	if c.report.Frames == 0 {
		c.begin(f)
	}
	problem := func(kind Kind, format string, args ...any) error {
		return &Problem{Kind: kind, Seq: f.seq, Index: -1, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case f.deployment != c.deployment || f.stream != c.stream:
		return problem(Foreign, "it is of deployment %s, stream %s, not %s, %s", f.deployment, f.stream, c.deployment, c.stream)
	case f.seq <= c.last.seq:
		return problem(Misplaced, "it comes after frame %d", c.last.seq)
	case f.seq == c.last.seq+1:
		return c.next(f)
	case f.records-uint64(f.count) < c.last.records:
		return problem(Changed, "it counts %d records before its own, fewer than frame %d", f.records-uint64(f.count), c.last.seq)
	}
	return c.take(f)
}

// begin fixes what the stream is, when the caller did not say.
func (c *chain) begin(f *frame) {
	if c.deployment == "" {
		c.deployment = f.deployment
	}
	if c.stream == "" {
		c.stream = f.stream
	}
	if c.front.seq == 0 {
		c.last = position{hash: genesis(c.deployment, c.stream)}
	}
	c.report.Deployment, c.report.Stream = c.deployment, c.stream
	c.report.First = f.time
}

// take verifies what is signed about f and makes it the last.
func (c *chain) take(f *frame) error {
	var signed *Checkpoint
	if c.report.Frames == 0 && c.front.seq > 0 {
		// A checkpoint of the last frame that was removed can still be compared; those
		// before it cannot.
		if err := c.reach(c.front.seq, c.front.hash, c.front.records); err != nil {
			return err
		}
	}
	if f.signed {
		if f.front.seq < c.says {
			return &Problem{Kind: Changed, Seq: f.seq, Index: -1, Detail: fmt.Sprintf(
				"it says that %d frames were removed, where %d were said to be before", f.front.seq, c.says)}
		}
		c.says = f.front.seq
		cp := f.checkpoint()
		if kind, detail := c.keys.checkpoint(&cp); detail != "" {
			return &Problem{Kind: kind, Seq: f.seq, Index: -1, Detail: detail}
		}
		signed = &cp
	}
	if err := c.reach(f.seq, f.hash(), f.records); err != nil {
		return err
	}
	c.last = positionOf(f)
	r := &c.report
	r.Last, r.Until = f.seq, f.time
	r.Frames++
	r.Records += uint64(f.count)
	r.UnsignedFrames++
	r.UnsignedRecords += uint64(f.count)
	if signed != nil {
		r.Checkpoint, r.UnsignedFrames, r.UnsignedRecords = signed, 0, 0
		r.Checkpoints++
	}
	return nil
}

// reach compares the checkpoints that were kept elsewhere, up to frame seq, with
// what stands there. A filtered export cannot show those between its frames.
func (c *chain) reach(seq uint64, hash Hash, records uint64) error {
	for ; len(c.later) > 0 && c.later[0].Seq <= seq; c.later = c.later[1:] {
		later := &c.later[0]
		if err := c.checkSame(later); err != nil {
			return err
		}
		if later.Seq == seq && (later.Hash != hash || later.Records != records) {
			return &Problem{Kind: Changed, Seq: seq, Index: -1, Detail: "it is not the frame that the later checkpoint covers: the stream was rewritten at or before it"}
		}
	}
	return nil
}

// checkSame reports a checkpoint of another stream.
func (c *chain) checkSame(later *Checkpoint) error {
	if later.Deployment != c.deployment || later.Stream != c.stream {
		return &Problem{Kind: Foreign, Seq: later.Seq, Index: -1, Detail: fmt.Sprintf(
			"the later checkpoint is of deployment %s, stream %s, not %s, %s", later.Deployment, later.Stream, c.deployment, c.stream)}
	}
	return nil
}

// blame says which frame was changed when suspect does not name the hash of the
// last one. after is the frame after suspect, nil if there is none or it can't
// be read.
func (c *chain) blame(suspect, after *frame) error {
	signed := suspect.signed
	if signed {
		cp := suspect.checkpoint()
		_, detail := c.keys.checkpoint(&cp)
		signed = detail == ""
	}
	intact := signed || after != nil && after.seq == suspect.seq+1 && after.prev == suspect.hash()
	if seq := c.last.seq; intact && c.report.UnsignedFrames > 0 {
		return &Problem{Kind: Changed, Seq: seq, Index: -1, Detail: fmt.Sprintf("it is not the frame that frame %d continues", suspect.seq)}
	}
	detail := fmt.Sprintf("it does not continue frame %d", c.last.seq)
	if c.last.seq == 0 {
		detail = "it is not the beginning of this stream"
	}
	return &Problem{Kind: Changed, Seq: suspect.seq, Index: -1, Detail: detail}
}

// end checks that the stream did not stop before a checkpoint kept elsewhere.
func (c *chain) end() error {
	if len(c.later) == 0 {
		return nil
	}
	furthest := &c.later[len(c.later)-1]
	if c.deployment != "" && c.stream != "" {
		if err := c.checkSame(furthest); err != nil {
			return err
		}
	}
	return &Problem{Kind: Cut, Seq: c.last.seq + 1, Index: -1, Detail: fmt.Sprintf(
		"the end is missing: a checkpoint of %s covers frame %d and %d records, %d more than there are",
		furthest.Time.Format(timeFormat), furthest.Seq, furthest.Records, furthest.Records-min(furthest.Records, c.last.records))}
}
