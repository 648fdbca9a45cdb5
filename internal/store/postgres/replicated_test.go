package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// unreplicated is a database whose standby never comes, and of which someone cancels
// whatever waits for that.
type unreplicated struct {
	*postgrestest.Server
	conn *pgx.Conn
}

func newUnreplicated(t *testing.T) unreplicated {
	t.Helper()
	server := postgrestest.Start(t)
	server.Exec(t, `CREATE TABLE waited (n INT)`)
	conn, err := pgx.Connect(context.Background(), server.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return unreplicated{server, conn}
}

// waitForStandby returns when commits wait.
func (u unreplicated) waitForStandby(t *testing.T) {
	t.Helper()
	u.Exec(t, `ALTER SYSTEM SET synchronous_standby_names = 'nobody'`, `SELECT pg_reload_conf()`)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // as it takes a moment until they do
		defer close(ended)
		conn, err := pgx.Connect(ctx, u.Address())
		for err == nil {
			_, err = conn.Exec(ctx, `INSERT INTO waited VALUES (1)`)
		}
	}()
	for u.cancel(t) == 0 {
		select {
		case <-ended:
			t.Fatal("commits do not wait")
		default:
		}
	}
	stop()
	<-ended
}

func (u unreplicated) waitForNobody(t *testing.T) {
	u.Exec(t, `ALTER SYSTEM RESET synchronous_standby_names`, `SELECT pg_reload_conf()`)
}

// cancel returns how many it has cancelled.
func (u unreplicated) cancel(t *testing.T) int64 {
	t.Helper()
	tag, err := u.conn.Exec(context.Background(), `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	if err != nil {
		t.Fatal(err)
	}
	return tag.RowsAffected()
}

// TestACommitThatIsNotReplicated: a database that is told not to wait for its standby
// acknowledges a commit that another primary may not have. The change is not answered
// before a commit behind it was waited for.
func TestACommitThatIsNotReplicated(t *testing.T) {
	database := newUnreplicated(t)
	b := open(t, settings(database.URL(t), "one"))
	s := storetest.Open(t, b)
	put := func(value int) error {
		return s.Update(context.Background(), func(tx *store.Tx) error {
			return errors.Join(counters.Put(tx, store.Deployment, "a", value), tx.Append([]byte("record")))
		})
	}
	if err := put(1); err != nil {
		t.Fatal(err)
	}
	database.waitForStandby(t)
	answered := make(chan error, 1)
	go func() { answered <- put(2) }()
	for cancelled := int64(0); cancelled < 5; cancelled += database.cancel(t) {
		if len(answered) > 0 {
			t.Fatalf("a change that no standby has is answered: %v", <-answered)
		}
	}
	database.waitForNobody(t)
	if err := <-answered; err != nil {
		t.Errorf("once the database waits for nobody: %v", err)
	}
}

// TestAChangeThatIsNotReplicatedIsNotAdopted: a node does not go by a change of another
// while no standby has it, although the primary shows it.
func TestAChangeThatIsNotReplicatedIsNotAdopted(t *testing.T) {
	database := newUnreplicated(t)
	at := database.URL(t)
	one, two := newNode(t, settings(at, "one")), newNode(t, settings(at, "two"))
	if err := one.put(context.Background(), "a", 1); err != nil {
		t.Fatal(err)
	}
	database.waitForStandby(t)
	answered := make(chan error, 1)
	go func() { answered <- one.put(context.Background(), "a", 2) }()
	for cancelled := int64(0); cancelled < 5; cancelled += database.cancel(t) {
		// Not even on a word that the standbys have another change of that number, as they
		// would when another primary has taken this one's place.
		_, err := database.conn.Exec(context.Background(), `SELECT set_config('synchronous_commit', 'off', true), pg_notify('strongroom_epoch', 'one 00112233445566778899aabbccddeeff 2')`)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := two.get("a"); err != nil || got != 1 {
			t.Errorf("the other node shows %d, %v, which no standby has", got, err)
			break // the change goes on once the database waits for nobody
		}
	}
	database.waitForNobody(t)
	if err := <-answered; err != nil {
		t.Errorf("once the database waits for nobody: %v", err)
	}
	if got, err := two.get("a"); err != nil || got != 2 {
		t.Errorf("then the other node shows %d, %v", got, err)
	}
}

// TestARenewalThatIsNotReplicated: such a commit renews no lease.
func TestARenewalThatIsNotReplicated(t *testing.T) {
	database := newUnreplicated(t)
	cfg := settings(database.URL(t), "one")
	cfg.Lease = 4 * time.Second // so that it is renewed each second of the steady clock
	clock := &steady{}
	cfg.Steady = clock
	b := open(t, cfg)
	s := storetest.Open(t, b)
	database.waitForStandby(t)
	ctx, stop := context.WithCancel(context.Background())
	following := make(chan struct{})
	defer func() { stop(); <-following; database.waitForNobody(t) }()
	go func() { defer close(following); b.Follow(ctx, s.Refresh) }()
	for renewals := 0; b.Fresh() == nil; renewals++ {
		if renewals == 8 { // two leases
			t.Fatal("the lease was renewed by commits that no standby has")
		}
		clock.advance(time.Second + time.Second/10)
		for cancelled := int64(0); cancelled == 0 && b.Fresh() == nil; {
			cancelled = database.cancel(t)
		}
	}
}
