package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/e2e/binary"
)

// patroni is three PostgreSQL under Patroni, of which two are synchronous standbys, and
// one etcd, which is neither killed nor cut off. Each database, each node and etcd is a
// machine of its own; nodes have their clients in another network.
type patroni struct {
	dir      string // of what the database's user may read
	bin      string // of PostgreSQL's programs
	postgres string // the user
	db       *network
	clients  *network
	log      *os.File
}

const (
	databases  = 3
	nodeHost   = 11 // the end of the first node's address
	pgHost     = 21
	etcdHost   = 31
	patroniTTL = 20 // seconds after which a primary that is silent is replaced; Patroni's least
)

// newPatroni returns the platform. It is to be used in a process that has network,
// mount and process namespaces of its own, as root. dir must be one that everybody may
// search.
func newPatroni(dir, bin string) *patroni {
	return &patroni{dir: dir, bin: bin, postgres: "postgres"}
}

func (p *patroni) databases() int { return databases }

func pgMember(i int) member   { return member{fmt.Sprintf("pg%d", i), pgHost + i} }
func nodeMember(i int) member { return member{fmt.Sprintf("node%d", i), nodeHost + i} }

var (
	etcdMember = member{"etcd", etcdHost}
	here       = member{"", 1}
)

func pgMembers() (all []member) {
	for i := range databases {
		all = append(all, pgMember(i))
	}
	return all
}

func nodeMembers() (all []member) {
	for i := range nodes {
		all = append(all, nodeMember(i))
	}
	return all
}

func without(all []member, some ...member) []member {
	return slices.DeleteFunc(slices.Clone(all), func(m member) bool { return slices.Contains(some, m) })
}

func (p *patroni) start(ctx context.Context) (err error) {
	if p.log, err = os.Create(filepath.Join(p.dir, "databases.log")); err != nil {
		return err
	}
	if p.db, err = newNetwork("db", "10.77.2."); err != nil {
		return err
	}
	if p.clients, err = newNetwork("cl", "10.77.1."); err != nil {
		return err
	}
	for _, m := range append(append(pgMembers(), nodeMembers()...), etcdMember) {
		if err := errors.Join(machine(m.name), p.db.join(m.name, m.host)); err != nil {
			return err
		}
	}
	for _, m := range nodeMembers() {
		if err := p.clients.join(m.name, m.host); err != nil {
			return err
		}
	}
	etcd := p.db.address(etcdHost)
	data := filepath.Join(p.dir, "etcd")
	err = p.run(etcdMember, "etcd", "--data-dir", data, "--listen-client-urls", "http://"+etcd+":2379", "--advertise-client-urls", "http://"+etcd+":2379",
		"--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "error")
	for i := range databases {
		err = errors.Join(err, p.revive(ctx, i))
	}
	if err != nil {
		return err
	}
	if err := p.settled(ctx); err != nil {
		return err
	}
	conn, err := p.query(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `CREATE ROLE strongroom LOGIN`); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE strongroom OWNER strongroom`); err != nil {
		return err
	}
	// A standby that does not show it yet would end a client's search for the primary.
	return binary.Until("the database on all standbys", time.Minute, func() (bool, error) {
		var behind int
		err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()`).Scan(&behind)
		return behind == 0, err
	})
}

// run starts a program on a machine, as the database's user. It ends when it is killed,
// or with this process's namespace.
func (p *patroni) run(m member, program string, args ...string) error {
	cmd := exec.Command("ip", append([]string{"netns", "exec", m.name, "setpriv", "--reuid", p.postgres, "--regid", p.postgres, "--clear-groups", program}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = p.log, p.log, p.dir
	cmd.Env = append(binary.Environment(), "HOME="+p.dir)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // it is killed
	return nil
}

func (p *patroni) stop() {
	for _, m := range append(pgMembers(), etcdMember) {
		_ = killAll(m.name) // what is left ends with the namespace
	}
}

// configuration is Patroni's, of which JSON is a part of what it reads.
func (p *patroni) configuration(i int) ([]byte, error) {
	type object = map[string]any
	address := p.db.address(pgHost + i)
	everyone := "10.77.2.0/24"
	return json.MarshalIndent(object{
		"scope": "strongroom", "name": fmt.Sprintf("pg%d", i),
		"restapi": object{"listen": address + ":8008", "connect_address": address + ":8008"},
		"etcd3":   object{"hosts": []string{p.db.address(etcdHost) + ":2379"}},
		"bootstrap": object{
			"dcs": object{
				"ttl": patroniTTL, "loop_wait": 3, "retry_timeout": 5, "primary_start_timeout": 0,
				"synchronous_mode": true, "synchronous_mode_strict": true, "synchronous_node_count": 2,
				"postgresql": object{"use_pg_rewind": true, "use_slots": true, "parameters": object{
					"max_connections": 100, "wal_keep_size": "512MB", "wal_retrieve_retry_interval": "1s", "shared_buffers": "32MB", "checkpoint_timeout": "1min", "max_wal_size": "512MB",
				}},
			},
			"initdb": []any{object{"encoding": "UTF8"}, object{"locale": "C"}, "data-checksums"},
		},
		"postgresql": object{
			"listen": address + ":5432", "connect_address": address + ":5432", "bin_dir": p.bin,
			"data_dir": filepath.Join(p.dir, fmt.Sprintf("pg%d", i)), "pgpass": filepath.Join(p.dir, fmt.Sprintf("pgpass%d", i)),
			"authentication": object{"superuser": object{"username": "postgres"}, "replication": object{"username": "replicator"}, "rewind": object{"username": "postgres"}},
			"parameters":     object{"unix_socket_directories": ""},
			"pg_hba":         []string{"host all all " + everyone + " trust", "host replication all " + everyone + " trust"},
		},
	}, "", "  ")
}

// revive starts Patroni, or lets it be if it runs: it brings the database back as a
// standby.
func (p *patroni) revive(_ context.Context, i int) error {
	running, err := processes(pgMember(i).name, "patroni")
	if err != nil || len(running) > 0 {
		return err
	}
	text, err := p.configuration(i)
	if err != nil {
		return err
	}
	path := filepath.Join(p.dir, fmt.Sprintf("patroni%d.yml", i))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	return p.run(pgMember(i), "patroni", path)
}

// kill ends PostgreSQL alone, which Patroni sees at once, or the machine, which the
// others see when the leader's key has run out.
func (p *patroni) kill(_ context.Context, i int, machine bool) error {
	if machine {
		return killAll(pgMember(i).name)
	}
	return killAll(pgMember(i).name, "postgres")
}

// view is what one Patroni knows of all.
type view []struct {
	Name, Role, State string
}

func (p *patroni) view(ctx context.Context, i int) (view, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.db.address(pgHost+i)+":8008/cluster", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var all struct{ Members view }
	return all.Members, json.NewDecoder(resp.Body).Decode(&all)
}

// settled waits until one is the primary and the others are synchronous standbys of
// it, as it says itself.
func (p *patroni) settled(ctx context.Context) error {
	var last view
	err := binary.Until("one primary with two synchronous standbys", 3*time.Minute, func() (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		for i := range databases {
			all, err := p.view(ctx, i)
			if err != nil {
				return false, nil
			}
			leaders, standbys := 0, 0
			for _, m := range all {
				switch {
				case m.Role == "leader" && m.State == "running":
					leaders++
				case m.Role == "sync_standby" && (m.State == "running" || m.State == "streaming"):
					standbys++
				}
			}
			if last = all; leaders != 1 || standbys != databases-1 {
				return false, nil
			}
		}
		conn, err := p.query(ctx)
		if err != nil {
			return false, nil
		}
		defer func() { _ = conn.Close(ctx) }()
		var n int
		err = conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'`).Scan(&n)
		return err == nil && n == databases-1, nil
	})
	if err != nil {
		return fmt.Errorf("%w; Patroni says %v", err, last)
	}
	return nil
}

func (p *patroni) primary(ctx context.Context) (int, error) {
	for i := range databases {
		all, err := p.view(ctx, i)
		if err != nil {
			continue
		}
		for _, m := range all {
			if m.Role == "leader" {
				return slices.IndexFunc(pgMembers(), func(of member) bool { return of.name == m.Name }), nil
			}
		}
	}
	return 0, errors.New("there is no leader that Patroni knows")
}

func (p *patroni) query(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return pgx.Connect(ctx, p.url("postgres", "postgres"))
}

func (p *patroni) url(user, database string) string {
	var hosts []string
	for i := range databases {
		hosts = append(hosts, p.db.address(pgHost+i)+":5432")
	}
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable&target_session_attrs=read-write", user, strings.Join(hosts, ","), database)
}

func (p *patroni) storeURL(int) string { return p.url("strongroom", "strongroom") }

func (p *patroni) serve(node int, path string, args []string) (binary.Config, error) {
	m := nodeMember(node)
	return binary.Config{Path: "ip", Args: append(append([]string{"netns", "exec", m.name, path}, args...), "--listen", p.clients.address(m.host)+":4566", "--insecure-http")}, nil
}

func (p *patroni) cutNode(node int) (func() error, error) {
	return p.db.cut([]member{nodeMember(node)}, pgMembers())
}

func (p *patroni) cutClients(node int) (func() error, error) {
	return p.clients.cut([]member{nodeMember(node)}, []member{here})
}

func (p *patroni) cutDatabase(i int) (func() error, error) {
	m := pgMember(i)
	return p.db.cut([]member{m}, append(append(without(pgMembers(), m), nodeMembers()...), etcdMember, here))
}

func (p *patroni) cutFromNodes(i int) (func() error, error) {
	return p.db.cut([]member{pgMember(i)}, nodeMembers())
}

func (p *patroni) cutWith(node, i int) (func() error, error) {
	some := []member{nodeMember(node), pgMember(i)}
	others := append(append(without(pgMembers(), some...), without(nodeMembers(), some...)...), etcdMember, here)
	return p.db.cut(some, others)
}
