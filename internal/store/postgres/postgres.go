// Package postgres is the store's backend for several nodes: one PostgreSQL database,
// or one that speaks its protocol and dialect, which keeps the records and the journal
// for all of them.
//
// It promises what [store.Shared] asks for:
//
//   - One row, the state, has the epoch and the number of the last journal frame. A
//     commit locks it, writes, and moves it on; so commits are in one order, and the
//     frames of all nodes are one chain. What a commit was built upon is checked
//     under that lock, so that Updates are serialisable whatever the database's own
//     isolation level. Nothing depends on the order of sequences or of clocks.
//   - A record is a row for each epoch at which it changed. A snapshot is an epoch:
//     it needs no transaction in the database, and goes on after a failover. Versions
//     that no node can ask for any more are removed by one of them. What a node has
//     lately read and written it keeps in memory, with the epochs at which it holds.
//   - A commit whose answer was lost leaves its id behind. The next connection waits
//     for the lock that the lost transaction held, and looks whether the id is there:
//     what was committed is found out, never guessed.
//   - A node answers by what it has in memory under a lease, which it renews by saying
//     in its row what epoch it goes by. A change is acknowledged when the row of every
//     other node says so, or that node's lease has run out and its row is removed; a
//     node whose row is gone commits nothing and answers nothing until it has
//     registered again. Notifications make that fast, and spare the others a commit of
//     their own by naming the one that they tell of; without them it is right.
//
// Leases are measured by each machine's steady clock ([clock.Steady]) alone. What is
// assumed: within one lease the clocks of two machines drift by less than a tenth, and
// a machine that was suspended counts the time. No wall clock matters.
//
// The SQL is meant to be what PostgreSQL 13 and later, CockroachDB and YugabyteDB share
// (docs/operations.md, "Other databases"; nothing was tried with the last two): no
// sequences, advisory locks, extensions, triggers, RETURNING or TRUNCATE, and no LISTEN
// that matters.
// Values are sealed above: whoever has the database sees keys, sizes and epochs.
package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/store"
)

// Config says where the database is and who this node is.
type Config struct {
	// URL must be set: postgres://USER@HOST:PORT/DATABASE?…, or as "key=value …"; what
	// it leaves out comes from PGHOST and the like, and from .pgpass. Several hosts
	// may be named: the one that takes writes is used.
	URL string

	// Node must be set: this node's name, which no other node has at the same time: 1
	// to 64 bytes of printable ASCII.
	Node string

	// Lease is how long this node may go on answering by what it has in memory
	// without having heard from the database; if 0, a minute.
	Lease time.Duration

	// Poll is how often the node looks for changes of others, which notifications
	// tell sooner; if 0, half a second.
	Poll time.Duration

	// Timeout is how long a statement may take, and a connection; if 0, 4 seconds.
	Timeout time.Duration

	// Remember is how many epochs' changes are kept for nodes that were away; if 0,
	// 10,000. One that was away for longer must begin anew.
	Remember int64

	// PlainTransport lets the database be reached beyond this machine without TLS
	// that verifies its certificate.
	PlainTransport bool

	// NotDurable lets the database acknowledge commits that are not on its disk, or
	// not on those of the standbys that are to have them.
	NotDurable bool

	// Steady measures leases; if nil, the machine's.
	Steady clock.Steady

	// Rand must be set: a source of cryptographic randomness.
	Rand io.Reader

	// Log receives what goes on between node and database; if nil, slog.Default.
	Log *slog.Logger
}

// Backend is a node's side of the database. It implements store.Shared.
type Backend struct {
	cfg    Config
	conn   *pgx.ConnConfig // of the connections that commit
	pool   *pgxpool.Pool   // all else
	closed chan struct{}
	leave  sync.Once

	failure failure
	known   epochs
	recent  recent
	node    node
	heard   heard

	metaVersion atomic.Pointer[string] // see MetaVersion

	// Of the committer.
	writer *pgx.Conn
	begun  bool // a transaction that holds the state's row
	warned atomic.Bool
	tip    tip

	// alone counts how often the pool was told that a standby was not waited for.
	alone atomic.Int64
}

var _ store.Shared = (*Backend)(nil)

// tip is the newest frame, as Prepare found it, and the epoch that it did.
type tip struct {
	seq   uint64
	head  []byte
	epoch uint64
}

// Open connects, makes the tables or checks them, and registers the node. Errors:
// store.ErrUnavailable, store.ErrNewerFormat when a newer Strongroom made the tables,
// and others that say what is wrong with the database or its settings.
func Open(ctx context.Context, cfg Config) (_ *Backend, err error) {
	if cfg.URL == "" || cfg.Rand == nil || !validNode(cfg.Node) {
		return nil, errors.New("postgres: Config.URL, Config.Node and Config.Rand must be set")
	}
	if cfg.Lease == 0 {
		cfg.Lease = time.Minute
	}
	if cfg.Poll == 0 {
		cfg.Poll = 500 * time.Millisecond
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 4 * time.Second
	}
	if cfg.Remember == 0 {
		cfg.Remember = 10_000
	}
	if cfg.Steady == nil {
		cfg.Steady = clock.Boot()
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	b := &Backend{cfg: cfg, closed: make(chan struct{})}
	b.known.open = map[uint64]int{}
	b.node.seen = map[string]sighting{}
	b.heard.epoch = make(chan struct{}, 1)
	pool, err := cfg.connections()
	if err != nil {
		return nil, err
	}
	b.conn = pool.ConnConfig.Copy()
	b.conn.OnNotice = b.notice
	pool.ConnConfig.OnNotice = b.poolNotice
	pool.AfterConnect = limitIdle
	if b.pool, err = pgxpool.NewWithConfig(ctx, pool); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	defer func() {
		if err != nil {
			b.pool.Close()
		}
	}()
	if err = b.connect(ctx); err != nil { // checks the settings, too
		return nil, err
	}
	if err = b.migrate(ctx); err != nil {
		return nil, err
	}
	if err = b.register(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

func validNode(name string) bool {
	return len(name) > 0 && len(name) <= 64 && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// Check says what is wrong with the settings, without asking anybody.
func (cfg Config) Check() error {
	_, err := cfg.connections()
	return err
}

// poolSize is how many connections a node reads over at once.
const poolSize = 8

// connections reads the URL.
func (cfg *Config) connections() (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err) // without the password
	}
	c.MaxConns = poolSize
	// Hosts are asked one after another: each that is silent, of a machine that is off
	// or cut off, must leave time for the next.
	c.ConnConfig.ConnectTimeout = cfg.Timeout / time.Duration(1+len(c.ConnConfig.Fallbacks))
	if c.ConnConfig.ValidateConnect == nil {
		c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if cfg.PlainTransport {
		return c, nil
	}
	ways := []*pgconn.FallbackConfig{{Host: c.ConnConfig.Host, TLSConfig: c.ConnConfig.TLSConfig}}
	for _, way := range append(ways, c.ConnConfig.Fallbacks...) {
		if !local(way.Host) && !verifies(way.TLSConfig) {
			return nil, fmt.Errorf("postgres: %s would be reached without TLS that verifies its certificate", way.Host)
		}
	}
	return c, nil
}

// local tells whether a host is on this machine: a socket's folder, or loopback.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

func verifies(c *tls.Config) bool {
	return c != nil && (!c.InsecureSkipVerify || c.VerifyPeerCertificate != nil || c.VerifyConnection != nil)
}

// Close implements store.Backend. It takes the node's row away, so that nobody waits
// for this node.
func (b *Backend) Close() error {
	b.leave.Do(func() {
		close(b.closed)
		ctx, cancel := context.WithTimeout(context.Background(), b.cfg.Timeout)
		defer cancel()
		if err := b.unregister(ctx); err != nil {
			b.cfg.Log.Warn("this node could not say goodbye to the database; others wait until its lease has run out",
				"node", b.cfg.Node, "lease", b.cfg.Lease, "error", err)
		}
		b.hangUp(ctx)
		b.pool.Close()
	})
	return b.failure.get()
}

// failure remembers why the backend can't go on.
type failure struct {
	mu  sync.Mutex
	err error
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *failure) set(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	return err
}
