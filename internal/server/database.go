package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/spool"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

// nodeFolder holds what a node of a database keeps to itself, in the data folder: its
// name, and the audit records that are on their way to the database.
const nodeFolder = "node"

// metaNode is the node's name, in the unsealed area of what the node keeps.
const metaNode = "node"

// nodeReserve is the free space that a node leaves on its disk, in bytes: it writes
// little.
const nodeReserve = 64 << 20

// DatabaseSettings say how a node goes by the database that it shares with others.
type DatabaseSettings struct {
	// Lease is how long the node goes on answering by what it knows when it does not
	// hear from the database; if 0, a minute.
	Lease time.Duration
	// PlainTransport lets the database be reached without verified TLS, NotDurable
	// lets it acknowledge what is not on its disks.
	PlainTransport, NotDurable bool
}

// Bounds of a lease: shorter ones run out in a pause of the collector or of the
// network, and while a longer one lasts every change waits for a node that is gone.
const (
	leastLease = time.Second
	mostLease  = 10 * time.Minute
)

// embedded is the store in the data folder itself.
const embedded = "pebble"

// shared tells whether the records are in a database.
func (f Folder) shared() bool {
	return strings.HasPrefix(f.Store, "postgres://") || strings.HasPrefix(f.Store, "postgresql://")
}

func (f Folder) checkStore() error {
	if f.Store == "" || f.Store == embedded {
		return nil
	}
	if !f.shared() {
		// What was given may hold a password.
		return refuse("store", "a database is named as postgres://strongroom@db.example.com/strongroom?sslmode=verify-full", "there is no such store; there is: pebble, or a database of PostgreSQL")
	}
	if lease := f.Database.Lease; lease != 0 && (lease < leastLease || lease > mostLease) {
		return refuse("lease", "", "%s is not between %s and %s", lease, leastLease, mostLease)
	}
	if err := f.database().Check(); err != nil {
		return refuse("store", "add sslmode=verify-full, and sslrootcert=FILE for authorities of your own; or --store-plain-transport, if what lies between is yours", "%v", err)
	}
	return nil
}

func (f Folder) database() postgres.Config {
	return postgres.Config{URL: f.Store, Lease: f.Database.Lease, PlainTransport: f.Database.PlainTransport, NotDurable: f.Database.NotDurable}
}

// openBackends opens what holds the records and, for a database, what the node keeps.
// local is nil for the embedded store.
func (cfg *Config) openBackends(ctx context.Context, in Folder) (backend store.Backend, local *pebble.Backend, err error) {
	_, own := os.Stat(filepath.Join(in.Dir, storeFolder))
	_, node := os.Stat(filepath.Join(in.Dir, nodeFolder))
	if !in.shared() {
		if node == nil {
			if err := movedFolder(in); err != nil {
				return nil, nil, err
			}
			return nil, nil, problem(fmt.Sprintf("%s is the folder of a node, whose records are in a database", in.Dir),
				"Name the database with --store, or better with STRONGROOM_STORE, which no list of processes shows.", nil)
		}
		backend, err = openStoreOn(cfg.files, cfg.Log, in.Dir)
		return backend, nil, err
	}
	if own == nil {
		return nil, nil, problem(fmt.Sprintf("%s has records of its own, and --store names a database", in.Dir),
			"Choose another folder with --data, or leave out --store.", nil)
	}
	if local, err = openLocal(in.Dir, pebble.Config{Dir: filepath.Join(in.Dir, nodeFolder), Log: cfg.Log, Fatal: store.Exit, Reserve: nodeReserve}); err != nil {
		return nil, nil, err
	}
	name, err := nodeName(ctx, local, cfg.rand())
	if err == nil {
		db := in.database()
		db.Node, db.Rand, db.Log = name, cfg.rand(), cfg.Log
		backend, err = postgres.Open(ctx, db)
	}
	if err != nil {
		return nil, nil, errors.Join(databaseProblem(err), local.Close())
	}
	return backend, local, nil
}

func databaseProblem(err error) error {
	switch {
	case errors.Is(err, postgres.ErrNotDurable):
		return problem("the database may lose what it acknowledges", "Set fsync, full_page_writes and synchronous_commit to on in the database; --store-not-durable takes it as it is, for tests.", err)
	case errors.Is(err, store.ErrNewerFormat):
		return problem("the database was written by a newer version of Strongroom", "Start that version, or a newer one.", err)
	case errors.Is(err, store.ErrUnavailable):
		return problem("the database cannot be used", "Check --store, the database's log, and that its user may make tables.", err)
	}
	return err
}

// nodeName returns the name of the node, which it draws once.
func nodeName(ctx context.Context, local store.Backend, rand io.Reader) (string, error) {
	meta, err := local.Meta(ctx)
	if err != nil || len(meta[metaNode]) > 0 {
		return string(meta[metaNode]), err
	}
	var id [8]byte
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return "", err
	}
	name := fmt.Sprintf("node-%x", id)
	return name, local.SetMeta(ctx, map[string][]byte{metaNode: []byte(name)})
}

// createMeta describes a new deployment. Of several nodes that find a database empty,
// one does.
func (f *folder) createMeta(ctx context.Context, meta map[string][]byte) error {
	shared, ok := f.backend.(*postgres.Backend)
	if !ok {
		return f.backend.SetMeta(ctx, meta)
	}
	err := shared.CreateMeta(ctx, meta)
	if errors.Is(err, store.ErrConflict) {
		return problem("another node has just made the deployment in this database", "Give this node the root of that one, and start again.", nil)
	}
	return err
}

// rootProblem says of a node without the deployment's root where to get it.
func (f *folder) rootProblem(in Folder, err error) error {
	if f.local == nil || !errors.Is(err, seal.ErrRootMissing) || seal.Kind(in.Seal) != seal.KindFile {
		return err
	}
	path := filepath.Join(in.Dir, rootFile)
	return problem("the database holds a deployment whose root this node does not have: there is no file "+path,
		"Copy "+rootFile+" from the data folder of a node that has it, and make it yours alone:\n  chmod 600 "+path+"\nNothing was changed.", err)
}

// close closes what the folder's records are in.
func (f *folder) close() error {
	err := f.backend.Close()
	if f.local != nil {
		err = errors.Join(err, f.local.Close())
	}
	return err
}

// openSpool opens the node's own stream of audit records, behind which the gateway
// stands; for the embedded store, the store itself takes them.
func (s *Server) openSpool(ctx context.Context) error {
	s.appends = s.store
	if s.folder.local == nil {
		return nil
	}
	meta, err := s.folder.local.Meta(ctx)
	if err != nil {
		return err
	}
	name := string(meta[metaNode])
	if s.localJournal, err = s.openJournal(ctx, name, s.folder.local, nil); err != nil {
		return err
	}
	s.local, err = store.New(store.Config{Backend: s.folder.local, Sealer: newRecordSealer(s.domain), Journal: s.localJournal, Fatal: store.Exit,
		Observer: commits{s.disk, s.figures.Commits.Beside()}})
	if err != nil {
		return err
	}
	reader, err := journal.NewReader(journal.ReaderConfig{
		Deployment: s.domain.Deployment(), Stream: name, Frames: s.folder.local, NotFound: store.ErrNotFound, Key: journalKey(s.domain), Recent: &s.folder.recent,
	})
	if err != nil {
		return err
	}
	s.spool, err = spool.New(ctx, spool.Config{
		Node: name, Local: s.local, Frames: s.folder.local, Reader: reader, Shared: s.store, Clock: machineClock, Log: s.cfg.Log,
	})
	if errors.Is(err, spool.ErrCut) {
		own := filepath.Join(s.cfg.DataDir, nodeFolder)
		return problem("the audit records that this node kept were cut, or are not its own", "If that disk was lost or restored, what it had not sent to the database is lost; to go on as a new node:\n  mv "+own+" "+own+".old", err)
	}
	if err != nil {
		return err
	}
	s.appends = s.spool
	return s.enter(ctx, name)
}

// closeSpool sends what the node still has, if the database takes it.
func (s *Server) closeSpool() error {
	if s.spool != nil {
		ctx, cancel := context.WithTimeout(context.Background(), deadline.Waiting)
		defer cancel()
		if err := s.leave(ctx); err != nil {
			s.cfg.Log.Warn("some audit records may stay on this node's disk; its next start sends them to the database", "error", err)
		}
	}
	if s.local != nil {
		return s.local.Close()
	}
	return nil
}

// settle brings into the audit trail what this node has on its disk alone. Whoever
// reads the trail is shown what there is when that fails.
func (s *Server) settle(ctx context.Context) {
	if s.spool == nil {
		return
	}
	if err := s.spool.Move(ctx); err != nil {
		s.cfg.Log.Warn("the newest audit records are on this node's disk alone", "error", err)
	}
}

// follow keeps the node's lease and lets the store hear of the other nodes, until
// the server is closed.
func (s *Server) follow() {
	shared, ok := s.folder.backend.(*postgres.Backend)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	unwatch := s.followSlots(ctx, shared)
	go func() {
		defer close(done)
		shared.Follow(ctx, func(renewal context.Context) (uint64, error) { return s.refresh(renewal, ctx) })
	}()
	s.unfollow = func() { unwatch(); cancel(); <-done; s.slots.answers.Wait() }
}

// leadEvery is how often a node looks whether it leads.
const leadEvery = time.Second

// onOneNode runs what one node does for all: here, unless others have the database,
// too. Whoever loses the lead has lost its row in the database before, so that what it
// still tries is not committed.
func (s *Server) onOneNode(ctx context.Context, run func(context.Context)) {
	shared, ok := s.folder.backend.(*postgres.Backend)
	if !ok {
		run(ctx)
		return
	}
	for ctx.Err() == nil {
		if !shared.Leading() {
			s.rest(ctx, leadEvery)
			continue
		}
		leading, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			run(leading)
		}()
		for leading.Err() == nil && shared.Leading() {
			s.rest(leading, leadEvery)
		}
		stop()
		<-ended
	}
}

// rest waits, by the machine's clock.
func (s *Server) rest(ctx context.Context, d time.Duration) {
	wake, stop := machineClock.Wake(machineClock.Now().Add(d))
	defer stop()
	select {
	case <-wake:
	case <-ctx.Done():
	}
}

// takesCalls tells whether calls can be made durable. A node that does not reach its
// database goes on answering what needs no change until its lease has run out.
func (s *Server) takesCalls(ctx context.Context) error {
	if shared, ok := s.folder.backend.(*postgres.Backend); ok {
		return errors.Join(shared.Fresh(), s.local.Ready(ctx))
	}
	return s.store.Ready(ctx)
}

// observer is told of the commits of records. Those of a node tell nothing of its disk.
func (s *Server) observer() store.Observer {
	if s.folder.local != nil {
		return s.figures.Commits
	}
	return commits{s.disk, s.figures.Commits}
}
