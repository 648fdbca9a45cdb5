package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// pair is a primary with one synchronous standby, which takes its place at once when
// it is killed. Nodes reach them through forwarders, so that it needs no rights.
type pair struct {
	t *testing.T

	mu      sync.Mutex
	servers [2]*postgrestest.Server
	first   int // the primary

	forwarders [nodes][2]*forwarder
}

func newPair(t *testing.T) *pair { return &pair{t: t} }

func (p *pair) start(context.Context) error {
	p.servers[0] = postgrestest.Start(p.t)
	p.servers[1] = p.servers[0].Standby(p.t)
	for n := range nodes {
		for d := range p.servers {
			var err error
			if p.forwarders[n][d], err = newForwarder(func() string { return p.server(d).Socket() }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pair) server(d int) *postgrestest.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.servers[d]
}

func (p *pair) stop() {
	for _, row := range p.forwarders {
		for _, f := range row {
			if f != nil {
				_ = f.listener.Close()
				f.set(false)
			}
		}
	}
}

func (p *pair) storeURL(node int) string {
	return fmt.Sprintf("postgres://strongroom@%s,%s/postgres?sslmode=disable&target_session_attrs=read-write",
		p.forwarders[node][0].listener.Addr(), p.forwarders[node][1].listener.Addr())
}

func (p *pair) serve(_ int, path string, args []string) (binary.Config, error) {
	return binary.Config{Path: path, Args: append(args, "--listen", "127.0.0.1:0")}, nil
}

func (p *pair) databases() int { return len(p.servers) }

func (p *pair) primary(context.Context) (int, error) { return p.first, nil }

func (p *pair) query(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, p.server(p.first).Address())
}

func (p *pair) kill(_ context.Context, database int, _ bool) error {
	p.server(database).Kill()
	p.first = 1 - database
	p.server(p.first).Promote(p.t)
	standby := p.server(p.first).Standby(p.t)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers[database] = standby
	return nil
}

func (p *pair) revive(context.Context, int) error { return nil }

func (p *pair) settled(context.Context) error { return nil }

// cut cuts some of the forwarders.
func (p *pair) cut(which func(node, database int) bool) (heal func() error, err error) {
	set := func(cut bool) {
		for n, row := range p.forwarders {
			for d, f := range row {
				if which(n, d) {
					f.set(cut)
				}
			}
		}
	}
	set(true)
	return func() error { set(false); return nil }, nil
}

func (p *pair) cutNode(node int) (func() error, error) {
	return p.cut(func(n, _ int) bool { return n == node })
}

func (p *pair) cutFromNodes(database int) (func() error, error) {
	return p.cut(func(_, d int) bool { return d == database })
}

var errOnlyUnderPatroni = errors.New("this fault can be made under Patroni only")

func (p *pair) cutClients(int) (func() error, error)   { return nil, errOnlyUnderPatroni }
func (p *pair) cutDatabase(int) (func() error, error)  { return nil, errOnlyUnderPatroni }
func (p *pair) cutWith(_, _ int) (func() error, error) { return nil, errOnlyUnderPatroni }
