// Package cluster proves what several nodes over one replicated database promise: it
// kills the primary, cuts networks, stops nodes and takes notifications away, all
// under load, and checks
//
//   - that what was acknowledged is there in the end, once, on every node and in the
//     audit trail, and that what was not answered is there or is not, alike everywhere;
//   - that every node goes on decrypting with keys that it knows, as long as its lease
//     lasts;
//   - that no node does what an acknowledged disable, deny or revoke forbids, not even
//     one that is cut off or that was stopped;
//   - that histories of concurrent calls on keys and aliases are linearizable;
//   - how long it takes until changes are made again after a primary is lost.
//
// The database comes as a [platform]: two PostgreSQL with forwarders in between, for
// any machine ([newPair]), or three under Patroni, each in a network namespace
// ([newPatroni]), for one where that may be done.
//
// What it does not prove: machines that lose power (their disks are one kernel's), and
// clocks of machines that differ, as all are one machine's.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/e2e/binary"
)

// nodes is how many there are.
const nodes = 3

// Config says what to run.
type Config struct {
	// Path of the server's executable, and Dir, an empty folder; both must be set.
	Path, Dir string
	// Lease of the nodes, and the least time that something stays cut off when that is
	// not to be past the lease, of which it may be up to four times as much; both must
	// be set.
	Lease, Cut time.Duration
	// MayRefuse is for leases that are so short that they may run out while the database
	// is busy: that nodes refuse to decrypt is no violation then.
	MayRefuse bool
	// Faults are made one after another, each as it is named by [faultNames].
	Faults []string
	// Probes is how many probes after an acknowledged revocation must have been
	// answered with a refusal, and Histories how many histories must have been
	// checked, before the run ends; Within is how long it goes on at most for that
	// when all faults are done, and Stop, if it is not nil, ends the faults early.
	Probes, Histories int
	Within            time.Duration
	Stop              <-chan struct{}
	// Loaders and Probers load each node at once.
	Loaders, Probers int
	// Pause of each loader and prober between two calls, 0 for little: a long run is to
	// leave room on the disk, which keeps a record of each call on every machine.
	Pause time.Duration
	// Seed is where all choices come from.
	Seed uint64
	// Progress is told what is going on; must be set.
	Progress func(format string, args ...any)
}

// platform is the replicated database, and the network between it, the nodes and
// their clients. Databases and nodes are numbered from 0.
type platform interface {
	// start starts the databases, and returns when commits are replicated.
	start(ctx context.Context) error
	stop()
	// storeURL is what a node is told.
	storeURL(node int) string
	// serve is how a node's process is to be run, and where it listens.
	serve(node int, path string, args []string) (binary.Config, error)

	databases() int
	primary(ctx context.Context) (int, error)
	// query connects to the primary, as its superuser.
	query(ctx context.Context) (*pgx.Conn, error)
	// kill ends a database's processes at once; with machine, all that its machine
	// runs. Another takes its place.
	kill(ctx context.Context, database int, machine bool) error
	// revive starts again what was killed.
	revive(ctx context.Context, database int) error
	// settled returns when all standbys are synchronous again.
	settled(ctx context.Context) error

	// cutNode cuts a node off from the databases, cutClients from its clients,
	// cutDatabase a database from everything, cutFromNodes from the nodes alone, and
	// cutWith a node and a database together from all other nodes and databases.
	// Packets are lost without a word. Each returns what heals it.
	cutNode(node int) (heal func() error, err error)
	cutClients(node int) (heal func() error, err error)
	cutDatabase(database int) (heal func() error, err error)
	cutFromNodes(database int) (heal func() error, err error)
	cutWith(node, database int) (heal func() error, err error)
}

// Report is what a run did.
type Report struct {
	Faults map[string]int // by their names

	Answered, Open      int // calls that were answered with what was done, and those that were not
	Changes, Lost       int // of the load
	Keys, Records       int // in the end
	Watched             int64
	Unavailable         int64 // of those watched, although the lease had not run out
	Stills              int   // how often the whole machine stood still, when nothing counts as unavailable
	Revocations         int64
	Admitted            int64 // probes while they were allowed
	Refused, NoAnswer   int64 // probes after an acknowledged revocation
	RefusedCut          int64 // of Refused, by a node that was cut off from the databases or had been stopped
	Histories           int
	StrictlyHistories   int // of them, linearizable with the reads of all nodes together
	UndecidedHistories  int
	HistoriesUnderFault int
	Back                []time.Duration // until changes were made again after each loss of a primary
	Violations          []string
}

// runner is one run.
type runner struct {
	Config
	*ledger
	platform platform
	report   Report
	choices  *rand.Rand

	servers [nodes]*binary.Server
	urls    [nodes]string
	state   [nodes]nodeState

	root, probe *client
	user        string // whom probe is
	changed     string // a key for changes that show whether any are made
	loaders     []*loader
	// Of the loaders: acknowledged changes, and calls whose outcome is not known.
	changes, lost atomic.Int64

	revokers  []*revoker
	watchers  []*watcher
	historian *historian
	pulse     pulse
}

// Run starts everything, makes the faults and checks. The error is about not being
// able to go on; what must not be is in the report.
func Run(ctx context.Context, cfg Config, platform platform) (*Report, error) {
	r := &runner{Config: cfg, platform: platform, choices: rand.New(rand.NewPCG(cfg.Seed, 0)),
		ledger: &ledger{began: time.Now(), progress: cfg.Progress, answered: map[string]string{}, open: map[string]bool{}}}
	r.report.Faults = map[string]int{}
	r.say("seed %d", cfg.Seed)
	defer platform.stop()
	if err := platform.start(ctx); err != nil {
		return nil, fmt.Errorf("starting the databases: %w", err)
	}
	r.say("the databases run")
	defer r.killNodes()
	if err := r.startNodes(); err != nil {
		return nil, err
	}
	r.say("the nodes run")
	err := r.run(ctx)
	r.mu.Lock()
	r.report.Violations = r.violations
	if r.more > 0 {
		r.report.Violations = append(r.report.Violations, fmt.Sprintf("and %d more", r.more))
	}
	r.mu.Unlock()
	if err != nil || len(r.report.Violations) > 0 {
		for n, s := range r.servers {
			if s != nil {
				path := filepath.Join(cfg.Dir, fmt.Sprintf("node%d.log", n))
				lines := strings.Split(s.Output(), "\n")
				r.say("what node %d said is in %s, and ends with\n%s", n, path, strings.Join(lines[max(0, len(lines)-20):], "\n"))
				err = errors.Join(err, os.WriteFile(path, []byte(s.Output()), 0o600))
			}
		}
	}
	return &r.report, err
}

func (r *runner) startNodes() error {
	for n := range nodes {
		if err := r.startNode(n); err != nil {
			return fmt.Errorf("node %d: %w", n, err)
		}
	}
	id, secret, err := binary.Credentials(r.data(0))
	if err != nil {
		return err
	}
	r.root = newClient(aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r.note)
	return nil
}

func (r *runner) data(n int) string { return filepath.Join(r.Dir, fmt.Sprintf("data%d", n)) }

// startNode starts a node, with the root of the first one.
func (r *runner) startNode(n int) error {
	data := r.data(n)
	if n > 0 {
		root, err := os.ReadFile(filepath.Join(r.data(0), "root.key"))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(data, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(data, "root.key"), root, 0o600); err != nil {
			return err
		}
	}
	cfg, err := r.platform.serve(n, r.Path, []string{
		"serve", "--data", data, "--store", r.platform.storeURL(n), "--store-plain-transport", "--lease", r.Lease.String(),
	})
	if err != nil {
		return err
	}
	cfg.Data, cfg.Bare = data, true
	if r.servers[n], err = binary.Start(cfg); err == nil {
		r.urls[n] = r.servers[n].URL
	}
	return err
}

func (r *runner) killNodes() {
	for _, s := range r.servers {
		if s != nil {
			s.Kill()
		}
	}
}

func (r *runner) anyNode(choices *rand.Rand) string { return r.urls[choices.IntN(nodes)] }

// run does everything between the start of the nodes and their end.
func (r *runner) run(ctx context.Context) error {
	if err := r.makeUser(ctx); err != nil {
		return err
	}
	working, end := context.WithCancel(ctx)
	defer end()
	var workers sync.WaitGroup
	workers.Go(func() { r.pulse.run(working) })
	if err := r.watch(working, &workers); err != nil {
		return err
	}
	for i := range r.Loaders {
		w := &loader{runner: r, id: i, choices: rand.New(rand.NewPCG(r.Seed, uint64(i)+1)), tokens: map[string]bool{}}
		r.loaders = append(r.loaders, w)
		workers.Go(func() { w.run(working) })
	}
	if err := r.revoke(working, &workers); err != nil {
		return err
	}
	r.historian = newHistorian(r)
	workers.Go(func() { r.historian.run(working) })

	err := r.makeFaults(ctx)
	if err == nil {
		r.finish(ctx)
	}
	end()
	workers.Wait()
	if err != nil {
		return err
	}
	r.say("all clients have ended")
	r.collect()
	return r.check(ctx)
}

// finish waits until there were as many probes and histories as there are to be.
func (r *runner) finish(ctx context.Context) {
	_ = binary.Until("enough", r.Within, func() (bool, error) { // what there was is in the report
		return r.probes(func(v *revoker) int64 { return v.refused.Load() }) >= int64(r.Probes) && r.historian.checked() >= r.Histories || len(r.violationsSoFar()) > 0, ctx.Err()
	})
}

func (l *ledger) violationsSoFar() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.violations
}

// collect puts into the report what the clients counted.
func (r *runner) collect() {
	r.report.Answered, r.report.Open = r.calls()
	r.report.Changes, r.report.Lost = int(r.changes.Load()), int(r.lost.Load())
	for _, w := range r.watchers {
		r.report.Watched += w.answered.Load()
		r.report.Unavailable += w.unavailable.Load()
	}
	r.report.Stills = r.pulse.count()
	r.report.Revocations = r.probes(func(v *revoker) int64 { return v.revocations.Load() })
	r.report.Admitted = r.probes(func(v *revoker) int64 { return v.admitted.Load() })
	r.report.Refused = r.probes(func(v *revoker) int64 { return v.refused.Load() })
	r.report.RefusedCut = r.probes(func(v *revoker) int64 { return v.refusedCut.Load() })
	r.report.NoAnswer = r.probes(func(v *revoker) int64 { return v.silent.Load() })
	r.historian.collect(&r.report)
}

// makeUser makes the user whose access is given and taken.
func (r *runner) makeUser(ctx context.Context) error {
	ask := func(node int, operation string) (a answer) {
		for began := time.Now(); time.Since(began) < time.Minute; rest(ctx, 100*time.Millisecond) {
			a = r.root.iam(ctx, r.urls[node], operation, url.Values{"UserName": {"probe"}})
			if a.outcome() != unknown || ctx.Err() != nil {
				break
			}
		}
		return a
	}
	a := ask(0, "CreateUser")
	if a.outcome() != done && a.code != "EntityAlreadyExists" {
		return fmt.Errorf("%v: %s", a, a.body)
	}
	r.user = "arn:aws:iam::000000000000:user/probe"
	a = ask(1, "CreateAccessKey")
	id, secret := between(a.body, "AccessKeyId"), between(a.body, "SecretAccessKey")
	if id == "" || secret == "" {
		return fmt.Errorf("%v: %s", a, a.body)
	}
	r.probe = newClient(aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r.note)
	return nil
}
