package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/strongroom/strongroom/internal/secret"
)

// LiveReport is what a check of the live set found.
type LiveReport struct {
	// Epoch is that of the state, Records how many records and index entries it
	// holds.
	Epoch, Records uint64
	// Findings say what is wrong, one record each where it can be told; empty
	// when nothing is. More says that there are further ones.
	Findings []string
	More     bool
}

// maxFindings is how many findings a report names.
const maxFindings = 20

func (r *LiveReport) add(finding string) {
	if len(r.Findings) == maxFindings {
		r.More = true
		return
	}
	r.Findings = append(r.Findings, finding)
}

// Err returns nil when nothing is wrong, and otherwise an ErrRolledBack that says
// the first thing.
func (r *LiveReport) Err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrRolledBack, r.Findings[0])
}

// LiveState returns the digest of the live set, [LiveStateSize] bytes, as it is
// after the commit that is under way: for a checkpoint in its frame. Only
// Journal.Frame may call it. It is nil when there is no Config.LiveKey.
func (s *Store) LiveState() []byte {
	if s.live == nil {
		return nil
	}
	return s.live.digest(s.liveMAC)
}

// LiveComputed reports whether New took the live set from what was there.
func (s *Store) LiveComputed() bool { return s.liveComputed }

// openLiveSet prepares the live set of a new Store.
func (s *Store) openLiveSet(cfg Config) (err error) {
	if cfg.LiveKey == nil {
		return nil
	}
	ctx := context.Background()
	state, err := s.backend.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	s.liveMAC = newLiveMAC(cfg.LiveKey)
	if !cfg.LiveAccept && !cfg.LiveAbsent {
		kept, err := s.keptLive(state, cfg.LiveSigned)
		if kept != nil || err != nil {
			s.live = kept
			return err
		}
	}
	if s.live, err = computeLive(s.liveMAC, state); err != nil {
		return err
	}
	write, err := s.sealLive(s.live)
	if err != nil {
		return err
	}
	if err := s.backend.Prepare(ctx, state.Epoch()); err != nil {
		return err
	}
	s.liveComputed = true
	return s.backend.Commit(ctx, Batch{Epoch: state.Epoch(), Writes: []Write{write}})
}

// keptLive returns the live set that a state holds, nil when it holds nothing at
// all, or why it is not to be believed.
func (s *Store) keptLive(state Snapshot, signed []byte) (*liveSet, error) {
	kept, err := s.openLive(state)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if kept != nil && len(signed) > 0 {
		return kept, kept.checkSigned(s.liveMAC, state.Epoch(), signed)
	}
	if len(signed) > 0 {
		return nil, fmt.Errorf("%w: the record of what is there is gone", ErrRolledBack)
	}
	// A first start was interrupted before anything was signed, or the journal is
	// gone. All is compared, which is little in the first case.
	there, err := computeLive(s.liveMAC, state)
	switch {
	case err != nil:
		return nil, err
	case kept == nil && there.count() == 0:
		return nil, nil
	case kept == nil || *kept != *there:
		return nil, fmt.Errorf("%w: there is no checkpoint that signs for what is there", ErrRolledBack)
	}
	return kept, nil
}

// reloadLive reads the live set again, after another node has changed it.
func (s *Store) reloadLive(state Snapshot) error {
	if s.live == nil {
		return nil
	}
	live, err := s.openLive(state)
	if err != nil {
		return err // the set goes on being kept: without one, nothing would be
	}
	s.live = live
	return nil
}

// replaced returns what writes take the place of, where their Updates have not read it
// and the state that they are built upon reads several records at once.
func (s *Store) replaced(writes []Write) (map[string][]byte, error) {
	state, ok := s.durable.state.(SeveralReader)
	if !ok || s.live == nil || len(writes) == 0 {
		return nil, nil
	}
	var keys [][]byte
	for _, w := range writes {
		if !w.read {
			keys = append(keys, w.Key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return state.GetSeveral(keys)
}

// writeLive adds the live set after a batch to the batch. before is what replaced
// returned.
func (s *Store) writeLive(batch *Batch, before map[string][]byte) error {
	if s.live == nil || len(batch.Writes) == 0 {
		return nil
	}
	get := s.durable.state.Get
	if before != nil {
		get = func(key []byte) ([]byte, error) { return before[string(key)], nil }
	}
	next, err := s.live.liveAfter(s.liveMAC, get, *batch)
	if err != nil {
		return fmt.Errorf("keeping the live set: %w", err)
	}
	write, err := s.sealLive(next)
	if err != nil {
		return err
	}
	batch.Writes = append(batch.Writes, write)
	s.live = next
	return nil
}

// CheckLive compares all that the backend holds with the live set, and
// the live set with signed, which the newest checkpoint that the caller knew before
// the call signs for; nil for none. It opens every record. It reads the whole
// store and may be called at any time. It needs Config.LiveKey.
func (s *Store) CheckLive(ctx context.Context, key secret.Bytes, signed []byte) (report LiveReport, err error) {
	// The View keeps the backend open. Its own state will not do: where several
	// nodes share a database, the checkpoint may be another's, of a change that this
	// one has not taken in yet, and that would look as if the change were gone.
	err = s.View(ctx, func(Reader) error {
		report, err = CheckLive(ctx, s.backend, s.sealer, key, signed)
		return err
	})
	return report, err
}

// CheckLive is [Store.CheckLive] for a backend that no Store has open.
func CheckLive(ctx context.Context, b Backend, sealer Sealer, key secret.Bytes, signed []byte) (LiveReport, error) {
	newest := b.Snapshot
	if shared, ok := b.(Shared); ok {
		newest = shared.Newest
	}
	state, err := newest(ctx)
	if err != nil {
		return LiveReport{}, err
	}
	report, err := (&Store{sealer: sealer}).checkLive(ctx, state, key, signed)
	return report, errors.Join(err, state.Close())
}

func (s *Store) checkLive(ctx context.Context, state Snapshot, key secret.Bytes, signed []byte) (LiveReport, error) {
	m := newLiveMAC(key)
	report := LiveReport{Epoch: state.Epoch()}
	want, err := s.openLive(state)
	switch {
	case errors.Is(err, ErrNotFound):
		if len(signed) > 0 {
			report.add("the record of what is there is gone")
		}
	case errors.Is(err, ErrCorrupt):
		report.add(err.Error())
	case err != nil:
		return report, err
	default:
		if err := want.checkSigned(m, state.Epoch(), signed); err != nil {
			report.add(err.Error())
		}
	}
	seen := liveSet{epoch: state.Epoch()}
	var broken [liveCells]bool // a value there does not open, which says enough
	err = s.scanLive(ctx, state, func(key, value []byte) {
		e := m.element(key, value)
		seen.cells[e.cell].add(e)
		h, _, err := s.unseal(key, value)
		switch {
		case err != nil:
			broken[e.cell] = true
			report.add(err.Error())
		case h.version > state.Epoch():
			report.add(fmt.Sprintf("%s: version %d in a state of epoch %d", describeKey(key), h.version, state.Epoch()))
		}
	})
	report.Records = seen.count()
	if err != nil || want == nil {
		return report, err
	}
	for i := range want.cells {
		if missing := want.cells[i].minus(seen.cells[i]); missing != (cell{}) && !broken[i] {
			finding, err := s.nameLive(ctx, m, state, i, missing)
			if err != nil {
				return report, err
			}
			report.add(finding)
		}
	}
	return report, nil
}

// scanLive calls fn for each element of a state. It takes minutes where there are
// millions, and lets whoever else has something to do go first, again and again: the
// scheduler by itself would let it have a processor for 10 ms at a time.
func (s *Store) scanLive(ctx context.Context, state Snapshot, fn func(key, value []byte)) error {
	n := 0
	err := state.Scan(nil, []byte{0xff}, func(key, value []byte) bool {
		if n++; n%256 == 0 && ctx.Err() != nil {
			return false
		}
		if n%8 == 0 {
			runtime.Gosched()
		}
		if !bytes.Equal(key, liveKey) {
			fn(key, value)
		}
		return true
	})
	return errors.Join(err, ctx.Err())
}

// nameLive says which record a cell misses, or has and should not have. It can be
// told when it is one.
func (s *Store) nameLive(ctx context.Context, m liveMAC, state Snapshot, in int, missing cell) (string, error) {
	if missing.count == 1 {
		key := bytes.TrimRight(missing.name[:], "\x00")
		if m.tag(key, missing.versions) == missing.tags {
			return fmt.Sprintf("%s was removed; it was written in change %d", describeKey(key), missing.versions), nil
		}
	}
	var found string
	err := s.scanLive(ctx, state, func(key, value []byte) {
		e := m.element(key, value)
		if e.cell != in || found != "" {
			return
		}
		switch missing.count {
		case 0: // another version stands there
			tags := m.tag(key, e.version+missing.versions)
			subtractFrom(tags[:], e.tag[:])
			if missing.versions != 0 && tags == missing.tags {
				found = fmt.Sprintf("%s was put back to how it was after change %d; it was last written in change %d",
					describeKey(key), e.version, e.version+missing.versions)
			}
		case ^uint64(0): // one too many
			if tags := missing.tags; e.version == -missing.versions {
				addTo(tags[:], e.tag[:])
				if tags == [2]uint64{} {
					found = fmt.Sprintf("%s was put back as it was after change %d, although it had been deleted", describeKey(key), e.version)
				}
			}
		}
	})
	if err != nil || found != "" {
		return found, err
	}
	if n := int64(missing.count); n > 0 {
		return fmt.Sprintf("%d records of one part of the database were removed or put back: there are %d fewer than there should be; more than one is wrong, so none can be named", n, n), nil
	} else if n < 0 {
		return fmt.Sprintf("records of one part of the database were put back: there are %d more than there should be; more than one is wrong, so none can be named", -n), nil
	}
	return "records of one part of the database were put back to an older state; more than one is wrong, so none can be named", nil
}
