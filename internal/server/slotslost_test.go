package server

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// lossy stands between a node and its database, and loses the end of a transaction that
// stores keyslots.
type lossy struct {
	t  *testing.T
	mu sync.Mutex
	// in is how many such transactions are still to pass before one is lost; 0 for none.
	in   int
	what loss
	// alone ends all other connections before that, and keeps the node away from then on.
	alone bool
	// away keeps the node from the database.
	away  bool
	conns []net.Conn
	lost  chan struct{} // closed when it has happened
}

type loss int

const (
	theAnswer loss = iota // the COMMIT arrives, and its answer does not
	theCommit             // nor does the COMMIT
	theRoute              // nor does either side learn that the other is gone
)

// newLossy returns a proxy and the URL of the database through it.
func newLossy(t *testing.T, to string) (*lossy, string) {
	t.Helper()
	p := &lossy{t: t, lost: make(chan struct{})}
	return p, postgrestest.Relay(t, to, func(client, database net.Conn) {
		c := &lossyConn{p: p, client: client, database: database}
		p.mu.Lock()
		away := p.away
		if !away {
			p.conns = append(p.conns, client, database)
		}
		p.mu.Unlock()
		if away {
			c.close()
			return
		}
		go c.answer()
		c.ask()
	})
}

// lose has the nth transaction from now on that stores keyslots end so.
func (p *lossy) lose(what loss, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.in = what, n
}

// comeBack lets a node that was kept away make connections again.
func (p *lossy) comeBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
}

// keepAwayBut cuts the node off but for one connection.
func (p *lossy) keepAwayBut(kept *lossyConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for _, c := range p.conns {
		if c != kept.client && c != kept.database {
			_ = c.Close()
		}
	}
}

type lossyConn struct {
	p                *lossy
	client, database net.Conn
	mu               sync.Mutex
	end              *loss // how this connection goes on; nil as long as all is well
}

func (c *lossyConn) ended() *loss {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

func (c *lossyConn) close() { _, _ = c.client.Close(), c.database.Close() }

// ask hands on what the node says.
func (c *lossyConn) ask() {
	buffer := make([]byte, 1<<20)
	stores := false // the transaction has an entry for the keyslots
	for {
		n, err := c.client.Read(buffer)
		if err != nil {
			c.close()
			return
		}
		said := buffer[:n]
		stores = stores || bytes.Contains(said, []byte("\x00\x00\x00\x05"+metaSlots+"\x00"))
		if commits := bytes.Contains(said, []byte("commit\x00")); commits && stores {
			stores = false
			c.p.mu.Lock()
			now := c.p.in == 1
			if c.p.in > 0 {
				c.p.in--
			}
			what := c.p.what
			c.p.mu.Unlock()
			if now {
				c.mu.Lock()
				c.end = &what
				c.mu.Unlock()
				if c.p.alone {
					c.p.keepAwayBut(c)
				}
				switch what {
				case theCommit:
					close(c.p.lost)
					c.close()
					return
				case theRoute:
					close(c.p.lost)
					return
				}
			}
		}
		if _, err := c.database.Write(said); err != nil {
			c.close()
			return
		}
	}
}

// answer hands on what the database says.
func (c *lossyConn) answer() {
	buffer := make([]byte, 1<<16)
	for {
		n, err := c.database.Read(buffer)
		switch end := c.ended(); {
		case end != nil && *end == theRoute:
			return
		case end != nil && *end == theAnswer:
			close(c.p.lost)
			c.close()
			return
		case err != nil:
			c.close()
			return
		}
		if _, err := c.client.Write(buffer[:n]); err != nil {
			c.close()
			return
		}
	}
}

// lossyNodes are two nodes, the first behind a proxy. Both know the passphrase.
func lossyNodes(t *testing.T, lease time.Duration) (*nodes, *lossy) {
	t.Helper()
	n := &nodes{t: t, url: sharedPostgres(t).URL(t), lease: lease}
	p, through := newLossy(t, n.url)
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte(testPassphrase), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{through, n.url} {
		n.start(filepath.Join(t.TempDir(), "data"), func(cfg *Config) { cfg.Store, cfg.Root.PassphraseFile = url, passphrase })
	}
	return n, p
}

// goBy waits until both nodes go by the keyslots that the database has, and returns them.
func (n *nodes) goBy() []byte {
	n.t.Helper()
	meta, err := n.servers[1].folder.backend.Meta(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, s := range n.servers {
		n.follows("the keyslots that the database has", func() bool {
			s.slots.mu.Lock()
			defer s.slots.mu.Unlock()
			return bytes.Equal(s.slots.inForce, meta[metaSlots])
		})
	}
	return meta[metaSlots]
}

// TestKeyslotsWhoseCommitIsLost: the connection ends with the COMMIT of new keyslots, or
// with its answer. The command finds out what became of it, all nodes go by what the
// database has, what was taken away opens nothing, the change is recorded once, and both
// nodes start again.
func TestKeyslotsWhoseCommitIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, event string
		lose        []loss
		stores      int // how many times the change stores keyslots
		change      func(context.Context, *operator) error
	}{
		{"rotate", "RotateDomainKey", []loss{theAnswer, theCommit, theRoute}, 1, func(ctx context.Context, o *operator) error {
			_, err := o.RotateDomainKey(ctx, someone)
			return err
		}},
		{"another kind", "MigrateSeal", []loss{theAnswer, theCommit}, 1, func(ctx context.Context, o *operator) error {
			_, err := o.MigrateSeal(ctx, someone, admin.NewSeal{Kind: "passphrase", Passphrase: []byte(testPassphrase)})
			return err
		}},
		{"another file", "MigrateSeal", []loss{theAnswer, theCommit}, 2, func(ctx context.Context, o *operator) error {
			_, err := o.MigrateSeal(ctx, someone, admin.NewSeal{Kind: "file"})
			return err
		}},
		{"other shares", "InitRecovery", []loss{theAnswer, theCommit}, 1, func(ctx context.Context, o *operator) error {
			_, err := o.InitRecovery(ctx, someone, admin.NewRecovery{Needed: 2, Shares: 3, Replace: true})
			return err
		}},
	} {
		for _, what := range c.lose {
			for nth := 1; nth <= c.stores; nth++ {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					n, p := lossyNodes(t, 20*time.Second)
					o := &operator{n.servers[0]}
					first, err := o.InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 2, Shares: 3})
					if err != nil {
						t.Fatal(err)
					}
					was, version := o.folder.currentRoot(), o.domain.Current()
					before := n.records(c.event)
					if c.name == "another file" {
						if err := c.change(t.Context(), o); err == nil {
							t.Fatal("the other node does not have the root")
						}
						n.copyRoot(0, rootFile+nextRoot, n.servers[1].cfg.DataDir)
					}
					p.lose(what, nth)
					if err := c.change(t.Context(), o); err != nil {
						t.Errorf("%v is lost: %v", what, err)
					}
					select {
					case <-p.lost:
					default:
						t.Fatal("nothing was lost")
					}
					slots := n.goBy()
					_, err = seal.Open(t.Context(), was, slots)
					if opens := err == nil; opens != (c.event != "MigrateSeal") {
						t.Errorf("the root of before: %v", err)
					}
					if c.event == "InitRecovery" {
						if _, err := o.VerifyRecovery(t.Context(), someone, admin.RecoveryProof{Texts: first.Texts}); err == nil {
							t.Error("shares that were replaced open it")
						}
					} else if _, err := o.VerifyRecovery(t.Context(), someone, admin.RecoveryProof{Texts: first.Texts}); err != nil {
						t.Errorf("the shares: %v", err)
					}
					if rotated := o.domain.Current() != version; rotated != (c.event == "RotateDomainKey") {
						t.Errorf("version %d after version %d", o.domain.Current(), version)
					}
					if got := n.records(c.event) - before; got != 1 {
						t.Errorf("%d records of one change", got)
					}
					for i, s := range n.servers {
						n.createAccount(i, []string{"000000000001", "000000000002"}[i])
						mustStop(t, s)
						if c.name == "another kind" {
							s.cfg.Seal = "passphrase"
						}
						n.servers[i] = mustStart(t, s.cfg)
					}
				})
			}
		}
	}
}

// TestKeyslotsThatANodeDoesNotHearOf: the answer to the COMMIT is lost, and the database is
// out of reach from then on. The command says that it does not know; the other node goes
// by the new root, and changes the slots again when it need not wait for the first any
// more. That one, back, goes by what there is now although its settings name the old root.
func TestKeyslotsThatANodeDoesNotHearOf(t *testing.T) {
	t.Parallel()
	n, p := lossyNodes(t, 6*time.Second)
	o := &operator{n.servers[0]}
	was := o.folder.currentRoot()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p.alone = true
	p.lose(theAnswer, 1)
	go func() {
		<-p.lost
		stop()
	}()
	_, err := o.MigrateSeal(ctx, someone, admin.NewSeal{Kind: "passphrase", Passphrase: []byte(testPassphrase)})
	if !errors.Is(err, store.ErrUnknown) {
		t.Errorf("a migration of which nothing was heard: %v", err)
	}
	if o.folder.currentRoot() != was {
		t.Error("the node goes by what it does not know of")
	}
	other := &operator{n.servers[1]}
	n.follows("the other node to go by the new root", func() bool { return other.folder.currentRoot().ID() != was.ID() })
	n.follows("another change", func() bool {
		_, err := other.RotateDomainKey(t.Context(), someone)
		return err == nil
	})
	p.comeBack()
	slots := n.goBy()
	if _, err := seal.Open(t.Context(), was, slots); !errors.Is(err, seal.ErrWrongRoot) {
		t.Errorf("the old root: %v", err)
	}
	if o.domain.Current() != 2 || o.folder.currentRoot().ID() != other.folder.currentRoot().ID() {
		t.Errorf("the node is at version %d, with %s", o.domain.Current(), o.folder.currentRoot().Describe())
	}
	n.follows("the node to answer again", func() bool { return o.takesCalls(t.Context()) == nil })
	if got := n.records("MigrateSeal"); got != 1 {
		t.Errorf("%d records of one migration", got)
	}
	n.follows("a change by the node", func() bool { // whose connections were cut
		_, err := o.CreateAccount(t.Context(), someone, admin.NewAccount{ID: "000000000001"})
		return err == nil
	})
}

// TestADeploymentWhoseMakingIsLost: the first start does not hear that the database has
// its deployment, and goes on with it: it alone has the root.
func TestADeploymentWhoseMakingIsLost(t *testing.T) {
	t.Parallel()
	n := &nodes{t: t, url: sharedPostgres(t).URL(t), lease: 20 * time.Second}
	p, through := newLossy(t, n.url)
	p.lose(theAnswer, 1)
	s := n.start(filepath.Join(t.TempDir(), "data"), func(cfg *Config) { cfg.Store = through })
	select {
	case <-p.lost:
	default:
		t.Fatal("nothing was lost")
	}
	meta, err := s.folder.backend.(*postgres.Backend).Meta(t.Context())
	if err != nil || !bytes.Equal(meta[metaSlots], s.folder.slots) {
		t.Errorf("the database has other keyslots: %v", err)
	}
	if n.call(0) != 200 {
		t.Error("it does not answer")
	}
}
