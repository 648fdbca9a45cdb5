package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// route leads to a database, until its machine is cut off: then nothing comes through
// it any more, and nobody is told.
type route struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// newRoute returns a route, and the URL of the database by it.
func newRoute(t *testing.T, to string) (*route, string) {
	t.Helper()
	r := &route{}
	return r, postgrestest.Relay(t, to, func(client, database net.Conn) {
		r.mu.Lock()
		r.conns = append(r.conns, client, database)
		r.mu.Unlock()
		go r.copy(client, database)
		r.copy(database, client)
	})
}

// end ends the connections, so that those who wait for them know.
func (r *route) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
}

func (r *route) copy(to, from net.Conn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		r.mu.Lock()
		cut := r.cut
		r.mu.Unlock()
		if cut {
			return
		}
		if err == nil {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

func (r *route) cutOff() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
}

// routes returns two routes to one database, and its URL over both.
func routes(t *testing.T) (first, second *route, through string) {
	t.Helper()
	to := shared(t).URL(t)
	first, one := newRoute(t, to)
	second, two := newRoute(t, to)
	u, err := url.Parse(one)
	if err != nil {
		t.Fatal(err)
	}
	other, err := url.Parse(two)
	if err != nil {
		t.Fatal(err)
	}
	u.Host += "," + other.Host
	return first, second, u.String()
}

// TestASilentHost: the first host that the URL names is cut off, and takes all
// connections without a word. The next one is reached all the same.
func TestASilentHost(t *testing.T) {
	t.Parallel() // they wait, for times that a slow machine can meet
	first, _, through := routes(t)
	first.cutOff()
	cfg := settings(through, "one")
	cfg.Timeout = 12 * time.Second
	open(t, cfg)
	first.end()
}

// TestSilentConnections: the host that all connections lead to is cut off. The first
// question is lost; the next ones go another way, each connection that there was need
// not be found out by itself.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	first, _, through := routes(t)
	cfg := settings(through, "one")
	cfg.Timeout = 12 * time.Second
	b := open(t, cfg)
	var asking sync.WaitGroup
	for range 50 { // so that there are many connections
		asking.Go(func() {
			if _, err := b.Meta(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	first.cutOff()
	if _, err := b.Meta(context.Background()); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a question that was lost: %v", err)
	}
	if _, err := b.Meta(context.Background()); err != nil {
		t.Errorf("the second question: %v", err)
	}
	first.end()
}

// TestConfirmingOverASilentConnection: whoever waits for the other nodes asks again when
// a question is lost with the host that it went to.
func TestConfirmingOverASilentConnection(t *testing.T) {
	first, _, through := routes(t)
	cfg := settings(through, "one")
	cfg.Timeout = 2 * time.Second
	b := open(t, cfg)
	first.cutOff()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.Confirm(ctx, 1); err != nil { // there are no other nodes
		t.Error(err)
	}
	first.end()
}

// TestListeningOverASilentConnection: a node does not go on listening to a host that was
// cut off, where nothing is to be heard any more.
func TestListeningOverASilentConnection(t *testing.T) {
	first, _, through := routes(t)
	cfg := settings(through, "one")
	cfg.Timeout = 2 * time.Second
	b := open(t, cfg)
	s := storetest.Open(t, b)
	ctx, stop := context.WithCancel(context.Background())
	following := make(chan struct{})
	defer func() { stop(); <-following; first.end() }()
	go func() { defer close(following); b.Follow(ctx, s.Refresh) }()
	conn, err := pgx.Connect(ctx, shared(t).Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	listening := func(least int) {
		t.Helper()
		for n, deadline := 0, time.After(time.Minute); n < least; {
			err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN strongroom_confirmed'`).Scan(&n)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-deadline:
				t.Fatalf("%d connections listen, want %d", n, least)
			default:
			}
		}
	}
	listening(1)
	first.cutOff()
	listening(2) // the old one has not been told
}

// TestADatabaseWithoutNotifications is asked for them once. Another failure is one of
// the connection.
func TestADatabaseWithoutNotifications(t *testing.T) {
	b := open(t, settings(shared(t).URL(t), "one"))
	for code, without := range map[string]bool{"0A000": true, "42601": true, "42883": true, "57P01": false, "25006": false} {
		if got := b.FallMute(&pgconn.PgError{Code: code}); got != without {
			t.Errorf("%s: %v", code, got)
		}
	}
	if b.FallMute(context.Canceled) || b.FallMute(nil) {
		t.Error("an end is taken for an answer")
	}
}
