package postgres

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/internal/store"
)

// reserved begins the names of entries that no one else may use.
const reserved = "backend/"

// Meta implements store.Backend.
func (b *Backend) Meta(context.Context) (all map[string][]byte, err error) {
	if err := b.failure.get(); err != nil {
		return nil, err
	}
	err = b.ask("reading what describes the deployment", func(ctx context.Context) error {
		all, err = readMeta(ctx, b.pool)
		return err
	})
	return all, err
}

// metaVersion is changed with every change of the other entries.
const metaVersion = reserved + "version"

// SetMeta implements store.Backend. An answer that is lost is asked for again: to set
// the same once more changes nothing.
func (b *Backend) SetMeta(ctx context.Context, changes map[string][]byte) error {
	return b.SetMetaIf(ctx, changes, func(map[string][]byte, []Node) error { return nil })
}

// CreateMeta is SetMeta for a database that has no entry at all, and otherwise
// store.ErrConflict: of several nodes that find it empty, one describes it. Entries that
// are just those were made by this call, whose first answer was lost.
func (b *Backend) CreateMeta(ctx context.Context, changes map[string][]byte) error {
	return b.SetMetaIf(ctx, changes, func(meta map[string][]byte, _ []Node) error {
		if len(meta) > 0 && !maps.EqualFunc(meta, changes, bytes.Equal) {
			return store.ErrConflict
		}
		return nil
	})
}

// Node is a process that has registered with the database.
type Node struct {
	ID string
	// Incarnation is another one each time that it registers.
	Incarnation string
}

// Self is this node.
func (b *Backend) Self() Node { return Node{b.cfg.Node, string(b.node.current())} }

// Nodes returns all nodes that are registered, this one among them.
func (b *Backend) Nodes(context.Context) (nodes []Node, err error) {
	err = b.ask("asking for the nodes", func(ctx context.Context) error {
		nodes, err = listNodes(ctx, b.pool)
		return err
	})
	return nodes, err
}

// MetaVersion is another text whenever entries of the unsealed area were changed, as the
// last Advance found it.
func (b *Backend) MetaVersion() string {
	if version := b.metaVersion.Load(); version != nil {
		return *version
	}
	return ""
}

// SetMetaIf is SetMeta for when allow lets it; otherwise nothing is changed, and allow's
// error returned. allow is shown all entries and the nodes that are registered, while
// none commits, registers or is removed. After an answer that was lost it is asked
// again, and may find the entries as changes has them.
func (b *Backend) SetMetaIf(_ context.Context, changes map[string][]byte, allow func(meta map[string][]byte, nodes []Node) error) error {
	for name := range changes {
		if name == "" || strings.HasPrefix(name, reserved) {
			return fmt.Errorf("postgres: a meta entry can't be named %q", name)
		}
	}
	if err := b.failure.get(); err != nil {
		return err
	}
	version, err := b.newMetaVersion()
	if err != nil {
		return err
	}
	var refused error
	err = b.ask("changing what describes the deployment", func(ctx context.Context) error {
		return b.locked(ctx, func(tx pgx.Tx, _ int64, _ string) error {
			meta, err := readMeta(ctx, tx)
			if err != nil {
				return err
			}
			nodes, err := listNodes(ctx, tx)
			if err != nil {
				return err
			}
			if refused = allow(meta, nodes); refused != nil {
				return nil
			}
			return writeMeta(ctx, tx, changes, version)
		})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	if refused == nil {
		b.tell(epochChannel, "")
	}
	return refused
}

func (b *Backend) newMetaVersion() ([]byte, error) {
	version := make([]byte, 16)
	if _, err := io.ReadFull(b.cfg.Rand, version); err != nil {
		return nil, fmt.Errorf("postgres: no randomness to change what describes the deployment: %w", err)
	}
	return version, nil
}

func writeMeta(ctx context.Context, tx pgx.Tx, changes map[string][]byte, version []byte) error {
	if len(changes) == 0 {
		return nil
	}
	all := maps.Clone(changes)
	all[metaVersion] = version
	for name, value := range all {
		statement, args := `DELETE FROM strongroom_meta WHERE name = $1`, []any{[]byte(name)}
		if value != nil {
			statement = `INSERT INTO strongroom_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`
			args = append(args, value)
		}
		if _, err := tx.Exec(ctx, statement, args...); err != nil {
			return err
		}
	}
	return nil
}

// querier is a transaction, or a connection out of one.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readMeta(ctx context.Context, q querier) (map[string][]byte, error) {
	rows, err := q.Query(ctx, `SELECT name, value FROM strongroom_meta`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string][]byte{}
	for rows.Next() {
		var name, value []byte
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(string(name), reserved) {
			all[string(name)] = value
		}
	}
	return all, rows.Err()
}

func listNodes(ctx context.Context, q querier) ([]Node, error) {
	rows, err := q.Query(ctx, `SELECT id, incarnation FROM strongroom_nodes ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var nodes []Node
	for rows.Next() {
		var id string
		var incarnation []byte
		if err := rows.Scan(&id, &incarnation); err != nil {
			return nil, err
		}
		nodes = append(nodes, Node{id, string(incarnation)})
	}
	return nodes, rows.Err()
}
