package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

// nodes are servers over one database, of which the first has made the deployment.
type nodes struct {
	t       *testing.T
	url     string
	lease   time.Duration
	servers []*Server
	id, key string // of the account's root
}

// startNodes starts some servers over one database.
func startNodes(t *testing.T, n int, lease time.Duration) *nodes {
	t.Helper()
	all := &nodes{t: t, url: sharedPostgres(t).URL(t), lease: lease}
	for range n {
		all.start(filepath.Join(t.TempDir(), "data"), nil)
	}
	return all
}

// start starts one more in a folder, with the root of the first; change may change its
// settings.
func (n *nodes) start(dir string, change func(*Config)) *Server {
	n.t.Helper()
	cfg := n.config(dir)
	if change != nil {
		change(&cfg)
	}
	if len(n.servers) > 0 {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			n.t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, rootFile)); err != nil {
			n.copyRoot(0, rootFile, dir)
		}
	}
	s := mustStart(n.t, cfg)
	if len(n.servers) == 0 {
		n.id, n.key = keysIn(n.t, s, credentialsFile)
	}
	n.servers = append(n.servers, s)
	return s
}

func (n *nodes) config(dir string) Config {
	cfg := config(n.t, dir)
	cfg.Store, cfg.Database = n.url, DatabaseSettings{Lease: n.lease, NotDurable: true}
	return cfg
}

// copyRoot copies a root file of one node into another's folder.
func (n *nodes) copyRoot(from int, name, dir string) {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.servers[from].cfg.DataDir, name))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// call asks a node for a list of keys and returns the status of its answer.
func (n *nodes) call(node int) int { return listKeys(n.t, n.servers[node], n.id, n.key) }

// records returns how many records of an event the trail has that are no refusals.
func (n *nodes) records(event string) (found int) {
	n.t.Helper()
	reader, err := n.servers[0].folder.journalReader()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, line := range tail(n.t, reader) {
		if strings.Contains(line, `"eventName":"`+event+`"`) && !strings.Contains(line, "errorCode") {
			found++
		}
	}
	return found
}

// follows waits until a node has done what another has made known to it.
func (n *nodes) follows(what string, done func() bool) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	for !done() {
		if ctx.Err() != nil {
			n.t.Fatalf("never: %s", what)
		}
		_, _ = n.servers[0].folder.backend.Meta(ctx) // others get to do something
	}
}

func (n *nodes) createAccount(node int, id string) {
	n.t.Helper()
	if _, err := (&operator{n.servers[node]}).CreateAccount(n.t.Context(), someone, admin.NewAccount{ID: id}); err != nil {
		n.t.Fatal(err)
	}
}
