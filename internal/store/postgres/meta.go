package postgres

import (
	"context"
	"errors"
	"fmt"
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
		all = map[string][]byte{}
		rows, err := b.pool.Query(ctx, `SELECT name, value FROM strongroom_meta`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name, value []byte
			if err := rows.Scan(&name, &value); err != nil {
				return err
			}
			all[string(name)] = value
		}
		return rows.Err()
	})
	return all, err
}

// SetMeta implements store.Backend. An answer that is lost is asked for again: to set
// the same once more changes nothing.
func (b *Backend) SetMeta(_ context.Context, changes map[string][]byte) error {
	return b.setMeta(changes, func(context.Context, pgx.Tx) error { return nil })
}

// CreateMeta is SetMeta for a database that has no entry at all, and otherwise
// store.ErrConflict: of several nodes that find it empty, one describes it.
func (b *Backend) CreateMeta(_ context.Context, changes map[string][]byte) error {
	return b.setMeta(changes, func(ctx context.Context, tx pgx.Tx) error {
		return none(ctx, tx, `SELECT count(*) FROM strongroom_meta`)
	})
}

// SetMetaAlone is SetMeta for when no other node is registered, and otherwise
// store.ErrConflict: for what the others would have to be told. One that registers
// reads what it goes by afterwards.
func (b *Backend) SetMetaAlone(_ context.Context, changes map[string][]byte) error {
	return b.setMeta(changes, func(ctx context.Context, tx pgx.Tx) error {
		return none(ctx, tx, `SELECT count(*) FROM strongroom_nodes WHERE id <> $1`, b.cfg.Node)
	})
}

func none(ctx context.Context, tx pgx.Tx, count string, args ...any) error {
	var n int
	if err := tx.QueryRow(ctx, count, args...).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return store.ErrConflict
	}
	return nil
}

// setMeta makes changes if check lets it, while no node commits or registers.
func (b *Backend) setMeta(changes map[string][]byte, check func(context.Context, pgx.Tx) error) error {
	for name := range changes {
		if name == "" || strings.HasPrefix(name, reserved) {
			return fmt.Errorf("postgres: a meta entry can't be named %q", name)
		}
	}
	if err := b.failure.get(); err != nil {
		return err
	}
	var refused error
	err := b.ask("changing what describes the deployment", func(ctx context.Context) error {
		return b.locked(ctx, func(tx pgx.Tx, _ int64, _ string) error {
			refused = check(ctx, tx)
			if errors.Is(refused, store.ErrConflict) {
				return nil
			}
			if refused != nil {
				return refused
			}
			for name, value := range changes {
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
		})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return refused
}
