package pebble_test

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// The long proofs, and what they take in a test run.
var (
	crashSeeds = flag.Uint64("crash-seeds", 6, "seeds of TestCrash; the long proof takes 1000")
	crashEvery = flag.Bool("crash-every", false, "TestCrash crashes before every operation on the file system, not before one of twelve")
)

// pair is a record that is written together with its twin.
type pair struct {
	N     int    `json:"n"`
	Bulk  []byte `json:"bulk"`
	Group string `json:"group"`
}

var (
	pairs = store.NewCollection("pairs", 1, store.Index[pair]{Name: "group", Values: func(_ string, p pair) []string {
		return []string{p.Group}
	}})
	totals = store.NewCollection[int]("totals", 1)
	left   = store.Scope{Account: "111122223333", Region: "eu-west-1"}
	right  = store.Scope{Account: "111122223333", Region: "us-east-1"}
)

// change is what the workload does: it writes or deletes both twins, counts
// itself, and leaves an audit record, all in one Update.
func change(ctx context.Context, s *store.Store, n int, put bool) (record string, err error) {
	id := fmt.Sprint(n)
	err = s.Update(ctx, func(tx *store.Tx) error {
		for _, scope := range []store.Scope{left, right} {
			var err error
			if put {
				err = pairs.Put(tx, scope, id, pair{N: n, Bulk: make([]byte, 100*(n%7)), Group: fmt.Sprint("g", n%3)})
			} else {
				err = pairs.Delete(tx, scope, id)
			}
			if err != nil {
				return err
			}
		}
		total, err := totals.Get(tx, store.Deployment, "changes")
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		record = fmt.Sprintf("%v %d %d", put, n, tx.Epoch()+1)
		return errors.Join(totals.Put(tx, store.Deployment, "changes", total+1), tx.Append([]byte(record)))
	})
	return record, err
}

var liveKey = secret.Bytes(strings.Repeat("k", 32))

// signing is a journal whose frames say, every third time, what the store holds, as
// checkpoints do.
type signing struct {
	*storetest.Journal
	store  *store.Store
	frames int
}

const livePrefix = "live "

func (j *signing) Frame(records [][]byte) (uint64, []byte, error) {
	if j.frames++; j.frames%3 == 0 {
		state := livePrefix + hex.EncodeToString(j.store.LiveState())
		records = append(records[:len(records):len(records)], []byte(state))
	}
	return j.Journal.Frame(records)
}

// openStore opens a store that keeps the live set and signs for it. signed is what
// the newest checkpoint says.
func openStore(b store.Backend, signed []byte, fatal func(error)) (*store.Store, error) {
	journal, err := storetest.NewJournal(context.Background(), b)
	if err != nil {
		return nil, err
	}
	j := &signing{Journal: journal}
	j.store, err = store.New(store.Config{
		Backend: b, Sealer: new(storetest.Sealer), Journal: j, Fatal: fatal, LiveKey: liveKey, LiveSigned: signed,
	})
	return j.store, err
}

// unsign takes the checkpoints out of a journal's records, and returns the newest.
func unsign(records []string) (rest []string, signed []byte, err error) {
	for _, r := range records {
		state, ok := strings.CutPrefix(r, livePrefix)
		if !ok {
			rest = append(rest, r)
		} else if signed, err = hex.DecodeString(state); err != nil {
			return nil, nil, err
		}
	}
	return rest, signed, nil
}

// verify opens what a crash left and compares it with its own journal: all of
// each journalled change must be there and nothing else, and everything that was
// acknowledged must be journalled. The live set must find nothing wrong: a crash is
// no tampering.
func verify(image vfs.FS, acked []string) error { return verifyFolder(image, "data", acked) }

func verifyFolder(image vfs.FS, dir string, acked []string) error {
	ctx := context.Background()
	b, err := pebble.Open(pebble.Config{Dir: dir, FS: image, Reserve: 1, Fatal: func(error) {}, Log: quiet})
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	defer b.Close()
	records, err := storetest.Records(ctx, b)
	if err != nil {
		return fmt.Errorf("the journal: %w", err)
	}
	records, signed, err := unsign(records)
	if err != nil {
		return err
	}
	s, err := openStore(b, signed, func(error) {})
	if err != nil {
		return fmt.Errorf("a false alarm: %w", err)
	}
	defer s.Close()
	if s.LiveComputed() && len(records) > 0 {
		return errors.New("the live set was lost")
	}
	if report, err := s.CheckLive(ctx, liveKey, signed); err != nil || report.Err() != nil {
		return fmt.Errorf("a false alarm: %w", errors.Join(err, report.Err()))
	}

	journalled, live, epoch := map[string]bool{}, map[int]uint64{}, uint64(0)
	for _, r := range records {
		if journalled[r] {
			return fmt.Errorf("record %q is there twice", r)
		}
		journalled[r] = true
		if strings.HasPrefix(r, "append") {
			continue
		}
		var put bool
		var n int
		if _, err := fmt.Sscanf(r, "%t %d %d", &put, &n, &epoch); err != nil {
			return fmt.Errorf("record %q: %w", r, err)
		}
		if put {
			live[n] = epoch
		} else {
			delete(live, n)
		}
	}
	for _, r := range acked {
		if !journalled[r] {
			return fmt.Errorf("acknowledged, but lost: %q", r)
		}
	}
	if s.Epoch() != epoch {
		return fmt.Errorf("epoch %d, the journal ends at %d", s.Epoch(), epoch)
	}
	err = s.View(ctx, func(r store.Reader) error {
		total, err := totals.Get(r, store.Deployment, "changes")
		if err != nil && !errors.Is(err, store.ErrNotFound) || uint64(total) != epoch {
			return fmt.Errorf("%d changes are counted, the journal has %d: %v", total, epoch, err)
		}
		for _, scope := range []store.Scope{left, right} {
			items, more, err := pairs.Scan(r, scope, "", 10_000)
			if err != nil || more || len(items) != len(live) {
				return fmt.Errorf("%v holds %d records, the journal makes it %d: %v", scope, len(items), len(live), err)
			}
			for _, item := range items {
				if live[item.Value.N] != item.Version || fmt.Sprint(item.Value.N) != item.ID {
					return fmt.Errorf("record %s has version %d, the journal says %d", item.ID, item.Version, live[item.Value.N])
				}
			}
			indexed, _, err := pairs.ScanIndexRange(r, scope, "group", "g", "h", store.Cursor{}, 10_000)
			if err != nil || len(indexed) != len(live) {
				return fmt.Errorf("the index of %v holds %d records of %d: %v", scope, len(indexed), len(live), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := change(ctx, s, 1_000_000, true); err != nil {
		return fmt.Errorf("going on after the crash: %w", err)
	}
	return nil
}

var quiet = slog.New(slog.DiscardHandler)

// image is a file system after a crash, and what had been acknowledged before.
type image struct {
	fs    *vfs.MemFS
	acked []string
	at    int // the operation on the file system that it was taken before
}

var crashed atomic.Int64 // how many images were looked at

// crash runs a workload of three goroutines and takes images of the file system
// before some of the operations that change it. It returns what verify finds.
// through may put something between the backend and the file system.
func crash(t *testing.T, seed uint64, through func(vfs.FS) vfs.FS) (problems []string) {
	disk := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(seed, 0))

	var mu sync.Mutex // guards what follows
	var acked []string
	var images []image
	operations := 0
	watch := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		operations++
		if *crashEvery || rng.IntN(12) == 0 {
			unsynced := []int{0, 0, 10, 50, 90, 100}[rng.IntN(6)]
			images = append(images, image{acked: append([]string(nil), acked...), at: operations, fs: disk.CrashClone(
				vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: newRNG(rng.Uint64())})})
		}
		return nil
	})
	b, err := pebble.Open(pebble.Config{Dir: "data", FS: errorfs.Wrap(through(disk), watch), Log: quiet,
		Fatal: func(err error) { t.Errorf("seed %d: %v", seed, err) }})
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStore(b, nil, func(err error) { t.Errorf("seed %d: %v", seed, err) })
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 3 {
		workRNG := rand.New(rand.NewPCG(seed, uint64(w)+1))
		wg.Go(func() {
			ctx := context.Background()
			var live []int
			for i := range 30 {
				var record string
				var err error
				switch k := workRNG.IntN(10); {
				case k < 5:
					record, err = change(ctx, s, w*1000+i, true)
					live = append(live, w*1000+i)
				case k < 7 && len(live) > 0:
					record, err = change(ctx, s, live[0], false)
					live = live[1:]
				case k < 9:
					record = fmt.Sprintf("append %d/%d", w, i)
					err = s.Append(ctx, []byte(record))
				default:
					if err = b.Flush(); err == nil {
						continue
					}
				}
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				mu.Lock()
				acked = append(acked, record)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(s.Close(), b.Close()); err != nil {
		t.Errorf("seed %d: closing: %v", seed, err)
	}
	images = append(images, image{fs: disk.CrashClone(vfs.CrashCloneCfg{}), acked: acked, at: operations})
	crashed.Add(int64(len(images)))
	for _, image := range images {
		if err := verify(image.fs, image.acked); err != nil {
			problems = append(problems, fmt.Sprintf("seed %d, crash before operation %d of %d: %v", seed, image.at, operations, err))
		}
	}
	return problems
}

func TestCrash(t *testing.T) {
	seeds := *crashSeeds
	if testing.Short() {
		seeds = min(seeds, 3)
	}
	for seed := range seeds {
		for _, problem := range crash(t, seed, func(fs vfs.FS) vfs.FS { return fs }) {
			t.Error(problem)
		}
	}
	t.Logf("%d seeds, %d crashes", seeds, crashed.Load())
}

// TestCrashFindsMissingSyncs is the proof of the proof: on a file system that
// does not sync, the same runs must find lost acknowledgements.
func TestCrashFindsMissingSyncs(t *testing.T) {
	lost := 0
	for seed := range uint64(2) {
		for _, problem := range crash(t, seed, func(fs vfs.FS) vfs.FS { return lazyFS{fs} }) {
			if strings.Contains(problem, "acknowledged, but lost") {
				lost++
			}
		}
	}
	if lost == 0 {
		t.Error("syncs were taken out, and no crash lost anything")
	}
}

// lazyFS acknowledges syncs of the write-ahead log that it doesn't do.
type lazyFS struct{ vfs.FS }

type lazyFile struct{ vfs.File }

func (lazyFile) Sync() error                { return nil }
func (lazyFile) SyncData() error            { return nil }
func (lazyFile) SyncTo(int64) (bool, error) { return false, nil }

func (l lazyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.Create(name, c)
	return lazy(name, f), err
}

func (l lazyFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.ReuseForWrite(from, to, c)
	return lazy(to, f), err
}

func lazy(name string, f vfs.File) vfs.File {
	if f == nil || !strings.HasSuffix(name, ".log") {
		return f
	}
	return lazyFile{f}
}

func newRNG(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
