package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// proxy stands between a node and its database, and can lose what one says.
type proxy struct {
	lose atomic.Int32
}

// What a proxy loses, once, with the connection.
const (
	nothing int32 = iota
	theRequest
	theAnswer
)

// newProxy returns a proxy and the URL of the database through it.
func newProxy(t *testing.T, to string) (*proxy, string) {
	t.Helper()
	p := &proxy{}
	return p, postgrestest.Relay(t, to, func(client, database net.Conn) {
		end := func() { _, _ = client.Close(), database.Close() }
		var lost atomic.Bool // the answer to what was handed on
		go func() { defer end(); answer(client, database, &lost) }()
		defer end()
		p.pass(client, database, &lost)
	})
}

// answer hands on what the database says until that is to be lost.
func answer(client, database net.Conn, lost *atomic.Bool) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := database.Read(buffer)
		if err != nil || lost.Load() {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// pass hands on what the node says until it is to lose something.
func (p *proxy) pass(client, database net.Conn, lost *atomic.Bool) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		switch p.lose.Swap(nothing) {
		case theRequest:
			return
		case theAnswer:
			lost.Store(true)
		}
		if _, err := database.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestLostAnswer: what became of a commit whose answer was lost is found out: made, or
// not made, and then it may be made again.
func TestLostAnswer(t *testing.T) {
	ctx := context.Background()
	p, through := newProxy(t, shared(t).URL(t))
	b := open(t, settings(through, "one"))
	epoch := uint64(0)
	commit := func(lose int32, value string) error {
		if err := b.Prepare(ctx, epoch); err != nil {
			t.Fatal(err)
		}
		p.lose.Store(lose)
		return b.Commit(ctx, store.Batch{Epoch: epoch + 1, Writes: []store.Write{{Key: []byte("a"), Value: []byte(value)}}})
	}
	for i := range 3 { // also with its statements prepared, and with another commit behind
		for _, lose := range []int32{nothing, theAnswer, theRequest} {
			value := fmt.Sprint(i, lose)
			err := commit(lose, value)
			if lose == theRequest {
				if !errors.Is(err, store.ErrConflict) {
					t.Errorf("a commit that was not made: %v, want ErrConflict", err)
				}
				err = commit(nothing, value)
			}
			if err != nil {
				t.Fatalf("round %d, losing %d: %v", i, lose, err)
			}
			epoch++
			snap, err := b.Snapshot(ctx)
			if err != nil {
				t.Fatal(err)
			}
			got, err := snap.Get([]byte("a"))
			if err != nil || string(got) != value || snap.Epoch() != epoch {
				t.Errorf("epoch %d holds %q, %v; want %q at %d", snap.Epoch(), got, err, value, epoch)
			}
			_ = snap.Close()
		}
	}
}

// TestKilledDatabase kills the database under load, several times: nothing that was
// acknowledged is lost, nothing is there twice, and the nodes go on by themselves.
func TestKilledDatabase(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.URL(t)
	var nodes []*node
	for _, name := range []string{"one", "two"} {
		cfg := settings(url, name)
		cfg.NotDurable = false
		nodes = append(nodes, newNode(t, cfg))
	}
	var mu sync.Mutex
	acked := map[string]bool{}
	var done atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for w := range 8 {
		n := nodes[w%len(nodes)]
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				record := fmt.Sprintf("%d/%d", w, i)
				err := n.Update(context.Background(), func(tx *store.Tx) error {
					return errors.Join(counters.Put(tx, store.Deployment, record, i), tx.Append([]byte(record)))
				})
				switch {
				case err == nil:
					mu.Lock()
					acked[record] = true
					mu.Unlock()
					done.Add(1)
				case !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown):
					t.Errorf("while the database was away: %v", err)
					return
				}
			}
		})
	}
	more := func(n int64) {
		for until := done.Load() + n; done.Load() < until && !t.Failed(); {
			_ = nodes[0].backend.Ready(ctx)
		}
	}
	for range 2 {
		more(40)
		server.Kill()
		server.Restart(t)
	}
	more(40)
	stop()
	wg.Wait()
	records, err := storetest.Records(context.Background(), nodes[0].backend)
	if err != nil {
		t.Fatal(err)
	}
	journalled := map[string]bool{}
	for _, r := range records {
		if journalled[r] {
			t.Errorf("record %q is there twice", r)
		}
		journalled[r] = true
	}
	err = nodes[1].View(context.Background(), func(r store.Reader) error {
		for record := range acked {
			if !journalled[record] {
				t.Errorf("acknowledged, but not in the journal: %q", record)
			}
		}
		for record := range journalled {
			if _, err := counters.Get(r, store.Deployment, record); err != nil {
				t.Errorf("in the journal, but not done: %q: %v", record, err)
			}
		}
		return nil
	})
	if err != nil || len(acked) < 120 {
		t.Errorf("%d changes acknowledged, %v", len(acked), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	server := postgrestest.Start(t, "synchronous_commit=off")
	url := server.URL(t)
	durable := settings(url, "one")
	durable.NotDurable = false
	if _, err := postgres.Open(context.Background(), durable); !errors.Is(err, postgres.ErrNotDurable) {
		t.Errorf("synchronous_commit=off: %v", err)
	}
	b := open(t, settings(url, "one"))
	if err := b.SetSchema(context.Background(), postgres.Schema+1); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(context.Background(), settings(url, "two")); !errors.Is(err, store.ErrNewerFormat) {
		t.Errorf("tables of a newer version: %v", err)
	}
	for url, ok := range map[string]bool{
		"postgres://db.example.com/strongroom":                          false,
		"postgres://db.example.com/strongroom?sslmode=disable":          false,
		"postgres://db.example.com/strongroom?sslmode=require":          false,
		"postgres://db.example.com/strongroom?sslmode=verify-full":      true,
		"postgres://127.0.0.1,db.example.com/strongroom":                false,
		"postgres://127.0.0.1/strongroom":                               true,
		"postgres://[::1]/strongroom":                                   true,
		"postgres:///strongroom?host=/run/postgresql":                   true,
		"host=db.example.com sslmode=verify-full dbname=x password=y":   true,
		"postgres://name:secret@db.example.com:notaport/x?sslmode=deny": false,
	} {
		err := postgres.Config{URL: url}.Check()
		if (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in %q", err)
		}
	}
	for _, name := range []string{"", "a b", "\x00", strings.Repeat("x", 65)} {
		if _, err := postgres.Open(context.Background(), settings(url, name)); err == nil {
			t.Errorf("a node named %q was taken", name)
		}
	}
}
