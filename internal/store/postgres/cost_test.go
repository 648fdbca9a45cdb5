package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// meter stands between a node and its database and counts what the node asks for.
type meter struct {
	// trips are the times that it waits for an answer, statements what it asks for.
	trips, statements atomic.Int64
}

// newMeter returns a meter and the URL of a database through it.
func newMeter(t *testing.T, to string) (*meter, string) {
	t.Helper()
	m := &meter{}
	return m, postgrestest.Relay(t, to, func(client, database net.Conn) {
		end := func() { _, _ = client.Close(), database.Close() }
		go func() { defer end(); _, _ = io.Copy(client, database) }()
		defer end()
		m.read(io.TeeReader(client, database))
	})
}

// read counts the messages of a frontend (PostgreSQL documentation, 55.7): the first has
// no type.
func (m *meter) read(from io.Reader) {
	head := make([]byte, 5)
	for kind := byte(0); ; {
		if _, err := io.ReadFull(from, head[1:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, from, int64(binary.BigEndian.Uint32(head[1:]))-4); err != nil {
			return
		}
		switch kind {
		case 'S': // Sync; the pool sees with a Query whether an old connection is there
			m.trips.Add(1)
		case 'E': // Execute
			m.statements.Add(1)
		}
		if _, err := io.ReadFull(from, head[:1]); err != nil {
			return
		}
		kind = head[0]
	}
}

// during counts what is asked for meanwhile.
func (m *meter) during(do func()) (trips, statements int64) {
	trips, statements = m.trips.Load(), m.statements.Load()
	do()
	return m.trips.Load() - trips, m.statements.Load() - statements
}

var indexed = store.NewCollection("indexed", 1, store.Index[int]{Name: "by-value", Values: func(_ string, n int) []string { return []string{fmt.Sprint(n)} }})

// TestTripsOfAChange counts the round trips of changes of a node without others, which
// hears nothing meanwhile: each is time in which all other changes wait.
func TestTripsOfAChange(t *testing.T) {
	m, through := newMeter(t, shared(t).URL(t))
	ctx := context.Background()
	s := storetest.OpenConfig(t, store.Config{Backend: open(t, settings(through, "one")), LiveKey: make([]byte, 32)})
	put := func(value int, ids ...string) func() {
		return func() {
			t.Helper()
			err := s.Update(ctx, func(tx *store.Tx) error {
				for _, id := range ids {
					if _, err := indexed.Get(tx, store.Deployment, id); err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					if err := indexed.Put(tx, store.Deployment, id, value); err != nil {
						return err
					}
				}
				return tx.Append([]byte("record"))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put(1, "a")() // prepares statements, and finds that there are no others
	put(1, "b")()
	for _, c := range []struct {
		name              string
		do                func()
		trips, statements int64
	}{
		// What is new is asked for once, and the place of its index entry: then the lock,
		// the commit, and whether others are to be waited for.
		{"a new record", put(1, "c"), 5, 1 + 2 + 3 + 5 + 2},
		{"ten new records", put(1, "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"), 10 + 4, 10 + 2 + 3 + 5 + 2},
		{"a record as it is", put(1, "c"), 3, 3 + 5 + 2},
		{"a record with another index entry", put(2, "c"), 4, 2 + 3 + 5 + 2},
		{"ten records", put(2, "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"), 4, 2 + 3 + 5 + 2},
	} {
		if trips, statements := m.during(c.do); trips > c.trips || statements > c.statements {
			t.Errorf("%s takes %d round trips and %d statements, want %d and %d", c.name, trips, statements, c.trips, c.statements)
		}
	}
}

// TestCommitsOfAChange counts the transactions that write in the database for a change:
// that of the change and one of each other node must be on its disk; what they tell
// each other need not.
func TestCommitsOfAChange(t *testing.T) {
	at := shared(t).URL(t)
	conn, err := pgx.Connect(context.Background(), shared(t).Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	ask := func(question string) (n int) {
		t.Helper()
		if err := conn.QueryRow(context.Background(), question).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct{ nodes, most int }{{1, 1}, {3, 2 + 2*2}} {
		var nodes []*node
		for i := range c.nodes {
			cfg := settings(at, fmt.Sprint("node", i))
			cfg.Poll = time.Minute
			nodes = append(nodes, newNode(t, cfg))
		}
		for deadline := time.After(time.Minute); ask(`SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN strongroom_confirmed'`) < c.nodes; {
			select {
			case <-deadline:
				t.Fatal("not all nodes listen")
			default:
			}
		}
		change := func() {
			t.Helper()
			if err := nodes[0].put(context.Background(), "a", 1); err != nil {
				t.Fatal(err)
			}
		}
		change()
		change()
		const xid = `SELECT pg_current_xact_id()::text::int` // which takes one itself
		before := ask(xid)
		const changes = 20
		for range changes {
			change()
		}
		// Leases are renewed meanwhile.
		if took := ask(xid) - before - 1; took > changes*c.most+10 {
			t.Errorf("%d changes of one of %d nodes took %d transactions, want at most %d", changes, c.nodes, took, changes*c.most)
		}
		for _, n := range nodes {
			n.hang()
			if err := errors.Join(n.Store.Close(), n.backend.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
