package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// held opens a store over a gate, and begins an Update that writes one and waits
// at the closed gate. Its answer comes through the channel.
func held(t *testing.T) (*store.Store, *storetest.Gate, <-chan error) {
	t.Helper()
	gate := storetest.NewGate(storetest.Memory(t))
	s := storetest.Open(t, gate)
	gate.Hold()
	answer := make(chan error, 1)
	go func() {
		answer <- s.Update(context.Background(), func(tx *store.Tx) error {
			return errors.Join(things.Put(tx, scope, "one", thing{Name: "held"}), tx.Append([]byte("one")))
		})
	}()
	<-gate.Arrived()
	return s, gate, answer
}

// queued returns once n calls wait behind the commit that is held.
func queued(s *store.Store, n int) {
	for s.Queued() < n {
		runtime.Gosched()
	}
}

func TestADiskThatHangs(t *testing.T) {
	s, gate, answer := held(t)
	if _, err := get(s, "one"); !errors.Is(err, store.ErrNotFound) || s.Epoch() != 0 {
		t.Errorf("a View shows what is not durable: %v, epoch %d", err, s.Epoch())
	}
	// What built upon it, or only read it, is not answered before it is durable.
	no := errors.New("no")
	sees := func(tx *store.Tx) {
		if v, err := things.Get(tx, scope, "one"); err != nil || v.Name != "held" {
			t.Errorf("an Update does not see the one before: %v, %v", v, err)
		}
	}
	calls := map[string]func(context.Context) error{
		"writes": func(ctx context.Context) error {
			return s.Update(ctx, func(tx *store.Tx) error { sees(tx); return things.Put(tx, scope, "two", thing{}) })
		},
		"reads": func(ctx context.Context) error {
			return s.Update(ctx, func(tx *store.Tx) error { sees(tx); return nil })
		},
		"fails": func(ctx context.Context) error {
			return s.Update(ctx, func(tx *store.Tx) error { sees(tx); return no })
		},
		"Append":     func(ctx context.Context) error { return s.Append(ctx, []byte("x")) },
		"Checkpoint": s.Checkpoint,
	}
	n := 0
	for name, call := range calls {
		ctx, cancel := context.WithCancel(context.Background())
		result := make(chan error, 1)
		go func() { result <- call(ctx) }()
		n++
		queued(s, n)
		cancel()
		if err := <-result; !errors.Is(err, store.ErrUnknown) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: answered %v while the disk hangs, want ErrUnknown alone", name, err)
		}
	}
	select {
	case err := <-answer:
		t.Fatalf("answered %v while the disk hangs", err)
	default:
	}
	gate.Release()
	must(t, <-answer)
	if v, err := get(s, "one"); err != nil || v.Name != "held" {
		t.Errorf("after the disk woke up: %v, %v", v, err)
	}
}

// TestAbandonedRecordsStay: a record whose caller has stopped waiting is framed as
// it was, whatever is appended meanwhile.
func TestAbandonedRecordsStay(t *testing.T) {
	gate := storetest.NewGate(storetest.Memory(t))
	s := storetest.Open(t, gate)
	gate.Hold()
	answer := make(chan error, 1)
	go func() { answer <- s.Append(context.Background(), []byte("held")) }()
	<-gate.Arrived()
	const abandoned = 20
	for i := range abandoned {
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- s.Append(ctx, fmt.Appendf(nil, "record %02d", i)) }()
		queued(s, i+1)
		cancel()
		if err := <-result; !errors.Is(err, store.ErrUnknown) {
			t.Fatal(err)
		}
	}
	gate.Release()
	must(t, <-answer)
	must(t, s.Append(t.Context(), []byte("last")))
	want := []string{"held"}
	for i := range abandoned {
		want = append(want, fmt.Sprintf("record %02d", i))
	}
	if got, err := storetest.Records(t.Context(), gate); err != nil || !slices.Equal(got, append(want, "last")) {
		t.Errorf("framed %q, %v", got, err)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	gate := storetest.NewGate(storetest.Memory(t))
	s := storetest.OpenConfig(t, store.Config{Backend: gate, Waiting: 2})
	gate.Hold()
	answers := make(chan error, 2)
	for range 2 {
		go func() { answers <- s.Append(context.Background(), []byte("x")) }()
	}
	<-gate.Arrived()
	for calls := 0; calls < 2; calls, _ = s.Waiting() {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	ran := false
	for name, err := range map[string]error{
		"Append": s.Append(ctx, []byte("y")),
		"Update": s.Update(ctx, func(*store.Tx) error { ran = true; return nil }),
	} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknown) || ran {
			t.Errorf("%s beyond the bound: %v", name, err)
		}
	}
	gate.Release()
	for range 2 {
		must(t, <-answers)
	}
	must(t, s.Append(context.Background(), []byte("z")))
	records, err := storetest.Records(context.Background(), gate)
	if err != nil || !slices.Equal(records, []string{"x", "x", "z"}) {
		t.Errorf("the journal holds %q, %v", records, err)
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	gate := storetest.NewGate(storetest.Memory(t))
	s := storetest.Open(t, gate)
	ctx := context.Background()
	put(t, s, "one", thing{Name: "before"})
	gate.Refuse(fmt.Errorf("%w: test", store.ErrFull))
	heard := 0
	defer s.Watch("", func(store.Change) { heard++ })()
	for name, err := range map[string]error{
		"Update": s.Update(ctx, func(tx *store.Tx) error { return things.Put(tx, scope, "one", thing{Name: "lost"}) }),
		"delete": s.Update(ctx, func(tx *store.Tx) error { return things.Delete(tx, scope, "one") }),
		"Append": s.Append(ctx, []byte("lost")),
	} {
		if !errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s on a full disk: %v, want ErrFull", name, err)
		}
	}
	if v, err := get(s, "one"); err != nil || v.Name != "before" || s.Epoch() != 1 || heard != 0 {
		t.Errorf("after refusals: %v, %v, epoch %d, %d changes", v, err, s.Epoch(), heard)
	}
	gate.Refuse(nil)
	must(t, s.Update(ctx, func(tx *store.Tx) error {
		if v, err := things.Get(tx, scope, "one"); err != nil || v.Name != "before" || tx.Epoch() != 1 {
			t.Errorf("an Update builds upon what was refused: %v, %v", v, err)
		}
		return errors.Join(things.Delete(tx, scope, "one"), tx.Append([]byte("kept")))
	}))
	records, err := storetest.Records(ctx, gate)
	if err != nil || !slices.Equal(records, []string{"kept"}) || heard != 1 || s.Epoch() != 2 {
		t.Errorf("the journal holds %q, %v; %d changes, epoch %d", records, err, heard, s.Epoch())
	}
}

// TestWhatBuiltUponARefusedUpdateIsRefused holds a commit, lets others build upon
// a second one, and refuses that: they must not see it any more.
func TestWhatBuiltUponARefusedUpdateIsRefused(t *testing.T) {
	s, gate, answer := held(t)
	runs := make(chan string, 100)
	answers := make(chan error, 2)
	add := func(id string) {
		answers <- s.Update(context.Background(), func(tx *store.Tx) error {
			_, err := things.Get(tx, scope, "two")
			runs <- fmt.Sprintf("%s sees two: %v", id, err == nil)
			return things.Put(tx, scope, id, thing{})
		})
	}
	go add("two")
	if got := <-runs; got != "two sees two: false" {
		t.Fatal(got)
	}
	queued(s, 1)
	go add("three")
	if got := <-runs; got != "three sees two: true" {
		t.Fatal(got)
	}
	queued(s, 2)
	gate.Refuse(store.ErrFull)
	gate.Release()
	must(t, <-answer)
	for range 2 {
		if err := <-answers; !errors.Is(err, store.ErrFull) {
			t.Errorf("%v, want ErrFull", err)
		}
	}
	gate.Refuse(nil)
	go add("four")
	if got := <-runs; got != "four sees two: false" {
		t.Error(got)
	}
	must(t, <-answers)
	must(t, s.View(context.Background(), func(r store.Reader) error {
		items, _, err := things.Scan(r, scope, "", 10)
		if err != nil || len(items) != 2 || items[0].ID != "four" || items[1].ID != "one" || items[0].Version != 2 {
			t.Errorf("%v, %v", items, err)
		}
		return nil
	}))
}

func TestAFailedCommitStopsTheStore(t *testing.T) {
	gate := storetest.NewGate(storetest.Memory(t))
	var fatal []error
	s := storetest.OpenConfig(t, store.Config{Backend: gate, Fatal: func(err error) { fatal = append(fatal, err) }})
	ctx := context.Background()
	put(t, s, "one", thing{Name: "before"})
	<-gate.Arrived()
	heard := 0
	defer s.Watch("", func(store.Change) { heard++ })()
	broken := errors.New("input/output error")
	gate.Break(broken)
	gate.Hold()
	answers, behind := make(chan error, 1), make(chan error, 1)
	go func() {
		answers <- s.Update(ctx, func(tx *store.Tx) error { return things.Put(tx, scope, "one", thing{Name: "after"}) })
	}()
	<-gate.Arrived()
	go func() { behind <- s.Append(ctx, []byte("x")) }()
	queued(s, 1)
	gate.Release()
	if err := <-answers; !errors.Is(err, store.ErrUnknown) {
		t.Errorf("the failed commit was answered %v, want ErrUnknown", err)
	}
	if err := <-behind; !errors.Is(err, store.ErrStopped) {
		t.Errorf("what waited behind it was answered %v, want ErrStopped", err)
	}
	gate.Break(nil)
	for name, err := range map[string]error{
		"Update": s.Update(ctx, func(tx *store.Tx) error { return nil }),
		"Append": s.Append(ctx, []byte("x")),
		"View":   s.View(ctx, func(store.Reader) error { return nil }),
		"Close":  s.Close(),
	} {
		if !errors.Is(err, store.ErrStopped) {
			t.Errorf("%s afterwards: %v, want ErrStopped", name, err)
		}
	}
	if len(fatal) != 1 || !errors.Is(fatal[0], broken) || heard != 0 {
		t.Errorf("Fatal was called with %v, %d changes were told", fatal, heard)
	}
}

// failing is a journal that can't frame.
type failing struct{ err error }

func (f failing) Frame([][]byte) (uint64, []byte, error) { return 1, nil, f.err }

func TestAFailedJournalStopsTheStore(t *testing.T) {
	for _, journal := range []failing{{errors.New("no")}, {nil}} {
		b := storetest.Memory(t)
		var fatal error
		s := storetest.OpenConfig(t, store.Config{Backend: b, Journal: journal, Fatal: func(err error) { fatal = err }})
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			return errors.Join(things.Put(tx, scope, "one", thing{}), tx.Append([]byte("x")))
		})
		if !errors.Is(err, store.ErrUnknown) || fatal == nil || len(stored(t, b)) != 0 {
			t.Errorf("%v, Fatal with %v, stored %v", err, fatal, stored(t, b))
		}
	}
}

func TestWithoutAJournal(t *testing.T) {
	s, err := store.New(store.Config{Backend: storetest.Memory(t), Sealer: new(storetest.Sealer)})
	must(t, err)
	defer s.Close()
	put(t, s, "one", thing{})
	ctx := context.Background()
	for name, err := range map[string]error{
		"Append":     s.Append(ctx, []byte("x")),
		"Checkpoint": s.Checkpoint(ctx),
		"Tx.Append": s.Update(ctx, func(tx *store.Tx) error {
			_ = tx.Append([]byte("x"))
			return nil
		}),
	} {
		if !errors.Is(err, store.ErrNoJournal) {
			t.Errorf("%s: %v, want ErrNoJournal", name, err)
		}
	}
}

func TestCloseAnswersWhatIsUnderWay(t *testing.T) {
	s, gate, answer := held(t)
	inView, leave := make(chan struct{}), make(chan struct{})
	viewed := make(chan error, 1)
	go func() {
		viewed <- s.View(context.Background(), func(r store.Reader) error {
			close(inView)
			<-leave
			_, err := things.Get(r, scope, "one")
			return err
		})
	}()
	<-inView
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	gate.Release()
	must(t, <-answer)
	close(leave)
	if err := <-viewed; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a View that was open while the store closed: %v", err)
	}
	must(t, <-closed)
	if err := s.Append(context.Background(), []byte("x")); !errors.Is(err, store.ErrStopped) {
		t.Errorf("Append after Close: %v, want ErrStopped", err)
	}
	must(t, s.Close())
}

func TestLimits(t *testing.T) {
	s := storetest.New(t)
	for name, fn := range map[string]func(tx *store.Tx) error{
		"a large value": func(tx *store.Tx) error {
			return things.Put(tx, scope, "x", thing{Name: string(make([]byte, 1<<20))})
		},
		"many writes": func(tx *store.Tx) error {
			for i := range 10_001 {
				if err := things.Put(tx, scope, fmt.Sprint(i), thing{}); err != nil {
					return err
				}
			}
			return nil
		},
		"many bytes": func(tx *store.Tx) error {
			for range 9 {
				if err := tx.Append(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		if err := s.Update(context.Background(), fn); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
	if s.Epoch() != 0 {
		t.Errorf("epoch %d", s.Epoch())
	}
}

// TestEpochCheckedCache builds the cache that Watch's comment describes, and
// checks that it never answers from before an acknowledged change.
func TestEpochCheckedCache(t *testing.T) {
	s := storetest.New(t)
	var mu sync.Mutex
	var heard uint64
	cached := map[string]thing{}
	s.Watch(things.Name(), func(c store.Change) {
		mu.Lock()
		defer mu.Unlock()
		heard = c.Epoch
		delete(cached, c.ID)
	})
	read := func() (v thing, err error) {
		mu.Lock()
		v, ok := cached["one"]
		mu.Unlock()
		if ok {
			return v, nil
		}
		err = s.View(context.Background(), func(r store.Reader) error {
			if v, err = things.Get(r, scope, "one"); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if r.Epoch() >= heard {
				cached["one"] = v
			}
			return nil
		})
		return v, err
	}
	put(t, s, "one", thing{Name: "0000"})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			last := ""
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, err := read()
				if err != nil || v.Name < last {
					t.Errorf("read %q after %q: %v", v.Name, last, err)
					return
				}
				last = v.Name
			}
		})
	}
	for i := 1; i < 100; i++ {
		want := fmt.Sprintf("%04d", i)
		put(t, s, "one", thing{Name: want})
		if v, err := read(); err != nil || v.Name != want {
			t.Errorf("read %q after %q was acknowledged: %v", v.Name, want, err)
		}
	}
	close(stop)
	wg.Wait()
}
