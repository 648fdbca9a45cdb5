package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/strongroom/strongroom/bench/load"
	"github.com/strongroom/strongroom/e2e/binary"
)

// deployment is an executable's servers that serve the same keys. They are started when
// they are first needed.
type deployment struct {
	of    *strongroom
	name  string
	nodes int
	// database and standby say what the records are in: the data folder, a database, or
	// one whose commits wait for a standby.
	database, standby bool

	servers []*binary.Server
	signers []*load.Signer
	store   *database
	keys    []string
	aliases int // how many there are
}

// start starts what does not run yet. All nodes have the root of the first, and its
// credentials.
func (d *deployment) start() (err error) {
	if d.database && d.store == nil {
		if d.store, err = d.of.fleet.startDatabase(d.standby); err != nil {
			return err
		}
	}
	for n := len(d.servers); n < d.nodes; n++ {
		name := fmt.Sprintf("%s %s %d", d.of.name, d.name, n)
		cfg := binary.Config{Path: d.of.path, Data: filepath.Join(d.of.fleet.work, name)}
		if d.database {
			cfg.Args = []string{"--store", d.store.url}
		}
		if n > 0 {
			if err := copyRoot(d.servers[0].Data, cfg.Data); err != nil {
				return err
			}
		}
		server, err := d.of.fleet.start(name, cfg)
		if err != nil {
			return err
		}
		d.servers = append(d.servers, server)
		id, secret, err := binary.Credentials(d.servers[0].Data)
		if err != nil {
			return err
		}
		d.signers = append(d.signers, &load.Signer{Addr: server.Addr(), AccessKeyID: id, SecretAccessKey: secret})
	}
	return nil
}

// copyRoot makes a data folder with the root of another.
func copyRoot(from, to string) error {
	const name = "root.key"
	text, err := os.ReadFile(filepath.Join(from, name))
	return errors.Join(err, os.Mkdir(to, 0o700), os.WriteFile(filepath.Join(to, name), text, 0o600))
}

// share is how many of some connections go to a node.
func (d *deployment) share(node, connections int) int {
	return connections*(node+1)/d.nodes - connections*node/d.nodes
}

// key returns a symmetric key of the deployment, by its number.
func (d *deployment) key(ctx context.Context, number int) (string, error) {
	for len(d.keys) <= number {
		var created struct{ KeyMetadata struct{ KeyID string } }
		if err := d.signers[0].Call(ctx, "CreateKey", "{}", &created); err != nil {
			return "", err
		}
		d.keys = append(d.keys, created.KeyMetadata.KeyID)
	}
	return d.keys[number], nil
}

// operation is a call that deployments are measured by: the requests to one of them
// over some connections, of which the first has a number in the deployment.
type operation struct {
	name     string
	requests func(ctx context.Context, d *deployment, signer *load.Signer, first, connections int) ([][]byte, error)
}

var operations = []operation{
	{"Encrypt 32 B", func(ctx context.Context, d *deployment, signer *load.Signer, _, n int) ([][]byte, error) {
		key, err := d.key(ctx, 0)
		if err != nil {
			return nil, err
		}
		return several(n, func() ([]byte, error) { return signer.Request("Encrypt", encryptBody(key, 32)) })
	}},
	{"Decrypt 32 B", func(ctx context.Context, d *deployment, signer *load.Signer, _, n int) ([][]byte, error) {
		key, err := d.key(ctx, 0)
		if err != nil {
			return nil, err
		}
		return several(n, func() ([]byte, error) {
			var made struct{ CiphertextBlob string }
			if err := signer.Call(ctx, "Encrypt", encryptBody(key, 32), &made); err != nil {
				return nil, err
			}
			return signer.Request("Decrypt", fmt.Sprintf(`{"CiphertextBlob":%q}`, made.CiphertextBlob))
		})
	}},
	{"CreateKey", func(_ context.Context, _ *deployment, signer *load.Signer, _, n int) ([][]byte, error) {
		return several(n, func() ([]byte, error) { return signer.Request("CreateKey", "{}") })
	}},
	{"UpdateAlias", func(ctx context.Context, d *deployment, signer *load.Signer, first, n int) ([][]byte, error) {
		// Each connection moves an alias of its own between two keys.
		requests := make([][]byte, 2*n)
		for i := range requests {
			key, err := d.key(ctx, aliasKey(first+i%n, i/n))
			if err != nil {
				return nil, err
			}
			if requests[i], err = signer.Request("UpdateAlias", fmt.Sprintf(`{"AliasName":%q,"TargetKeyId":%q}`, aliasName(first+i%n), key)); err != nil {
				return nil, err
			}
		}
		return requests, d.makeAliases(ctx, first+n)
	}},
}

func aliasName(number int) string { return fmt.Sprintf("alias/bench-%d", number) }

// aliasKey is the number of the key that an alias is moved to in its turn. No other is
// moved to it: that writes the key anew, and each of many at once would be decided again
// and again.
func aliasKey(number, turn int) int { return 1 + 2*number + turn }

func (d *deployment) makeAliases(ctx context.Context, n int) error {
	for ; d.aliases < n; d.aliases++ {
		key, err := d.key(ctx, aliasKey(d.aliases, 1))
		if err != nil {
			return err
		}
		body := fmt.Sprintf(`{"AliasName":%q,"TargetKeyId":%q}`, aliasName(d.aliases), key)
		if err := d.signers[0].Call(ctx, "CreateAlias", body, nil); err != nil {
			return err
		}
	}
	return nil
}

// point measures an operation of a deployment.
func (d *deployment) point(op operation, l shape) *point {
	return d.of.fleet.known(d.of.name, fmt.Sprintf("%s, %v, %s", op.name, l, d.name), nil, func(ctx context.Context, duration time.Duration) (*sample, error) {
		if err := d.start(); err != nil {
			return nil, err
		}
		return d.put(ctx, op, l, duration)
	})
}

// put puts an operation's requests on all nodes at once.
func (d *deployment) put(ctx context.Context, op operation, l shape, duration time.Duration) (*sample, error) {
	watch := &laps{d: d}
	var loads []load.Config
	for node, first := 0, 0; node < d.nodes; node++ {
		n := d.share(node, l.connections)
		if l.connections == 1 { // which goes to the first
			n = max(0, 1-node)
		}
		if n == 0 {
			continue
		}
		requests, err := op.requests(ctx, d, d.signers[node], first, n)
		if err != nil {
			return nil, err
		}
		first += n
		loads = append(loads, load.Config{Addr: d.servers[node].Addr(), Connections: n, Requests: requests, WarmUp: duration / 5, Duration: duration, Mark: watch.mark})
	}
	watch.loads = len(loads)
	var mu sync.Mutex
	var latency load.Histogram
	var failed error
	var all sync.WaitGroup
	for _, cfg := range loads {
		all.Go(func() {
			result, err := load.Run(ctx, cfg)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				latency.Add(result.Latency)
			case !errors.Is(err, load.ErrNothing): // others may have been answered
				failed = errors.Join(failed, err)
			}
		})
	}
	all.Wait()
	if failed == nil && latency.Count() == 0 {
		failed = load.ErrNothing
	}
	if failed != nil {
		for _, server := range d.servers {
			failed = fmt.Errorf("%w\nthe server at %s said:\n%s", failed, server.Addr(), server.Output())
		}
		return nil, failed
	}
	return watch.sample(ctx, &latency)
}
