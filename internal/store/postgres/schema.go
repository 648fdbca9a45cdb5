package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/internal/store"
)

// schema is the version of the tables that this Strongroom knows.
const schema = 1

// migrations lead from each version to the next. Each statement may find what it does
// done already, by a node that starts at the same time or that ended half way.
var migrations = [schema][]string{{
	// One row. pruned is the epoch before which versions are not kept any more; frame
	// and head are the last journal frame's number and first bytes; leader is the
	// node that does what only one does.
	`CREATE TABLE IF NOT EXISTS strongroom_state (
		id INT PRIMARY KEY, epoch BIGINT NOT NULL, pruned BIGINT NOT NULL,
		frame BIGINT NOT NULL, head BYTEA NOT NULL, leader TEXT NOT NULL)`,
	// value is NULL where the record was deleted.
	`CREATE TABLE IF NOT EXISTS strongroom_records (
		key BYTEA NOT NULL, epoch BIGINT NOT NULL, value BYTEA, PRIMARY KEY (key, epoch))`,
	`CREATE INDEX IF NOT EXISTS strongroom_records_epoch ON strongroom_records (epoch)`,
	`CREATE TABLE IF NOT EXISTS strongroom_frames (seq BIGINT PRIMARY KEY, frame BYTEA NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS strongroom_meta (name BYTEA PRIMARY KEY, value BYTEA NOT NULL)`,
	// The last commit of each node, for when its answer was lost.
	`CREATE TABLE IF NOT EXISTS strongroom_commits (node TEXT PRIMARY KEY, id BYTEA NOT NULL)`,
	// epoch is what the node goes by, floor the least that it still reads, lease in
	// milliseconds; beat counts the renewals.
	`CREATE TABLE IF NOT EXISTS strongroom_nodes (
		id TEXT PRIMARY KEY, incarnation BYTEA NOT NULL, beat BIGINT NOT NULL,
		epoch BIGINT NOT NULL, floor BIGINT NOT NULL, lease BIGINT NOT NULL)`,
	`INSERT INTO strongroom_state (id, epoch, pruned, frame, head, leader) VALUES (1, 0, 0, 0, '', '') ON CONFLICT DO NOTHING`,
}}

// migrate makes the tables or brings them up to this version.
func (b *Backend) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*b.cfg.Timeout)
	defer cancel()
	for {
		err := b.migrateOnce(ctx)
		switch state(err) {
		case uniqueViolation, duplicateTable, serializationFailure: // another node does the same
			if ctx.Err() == nil {
				continue
			}
		}
		if err != nil && state(err) == "" && !errors.Is(err, store.ErrNewerFormat) {
			return refusal("making the tables", err)
		}
		return err
	}
}

func (b *Backend) migrateOnce(ctx context.Context) error {
	_, err := b.pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS strongroom_schema (id INT PRIMARY KEY, version INT NOT NULL)`)
	if err != nil {
		return fmt.Errorf("postgres: making the tables: %w", err)
	}
	var found int
	err = b.pool.QueryRow(ctx, `SELECT version FROM strongroom_schema WHERE id = 1`).Scan(&found)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("postgres: asking for the version of the tables: %w", err)
	}
	if found > schema {
		return fmt.Errorf("%w: the database's tables have version %d, this one knows %d", store.ErrNewerFormat, found, schema)
	}
	for version := found; version < schema; version++ {
		for _, statement := range migrations[version] {
			if _, err := b.pool.Exec(ctx, statement); err != nil {
				return fmt.Errorf("postgres: making the tables of version %d: %w", version+1, err)
			}
		}
		_, err := b.pool.Exec(ctx, `INSERT INTO strongroom_schema (id, version) VALUES (1, $1)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version`, version+1)
		if err != nil {
			return fmt.Errorf("postgres: noting the version of the tables: %w", err)
		}
	}
	return nil
}

// unsafe are the settings of PostgreSQL under which a commit may be acknowledged that
// is lost when the machine, or its primary, is. Others that speak its dialect do not
// know all of them.
func (b *Backend) checkDurable(ctx context.Context, conn *pgx.Conn) error {
	if b.cfg.NotDurable {
		return nil
	}
	ask := func(setting string) (value string, err error) {
		err = conn.QueryRow(ctx, "SHOW "+setting).Scan(&value)
		if state(err) == undefinedObject {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("postgres: asking for %s: %w", setting, err)
		}
		return value, nil
	}
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		value, err := ask(setting)
		if err != nil {
			return err
		}
		if value == "off" {
			return fmt.Errorf("%w: %s is off: it acknowledges what a crash takes away", ErrNotDurable, setting)
		}
		if value == "local" {
			standbys, err := ask("synchronous_standby_names")
			if err != nil {
				return err
			}
			if standbys != "" {
				return fmt.Errorf("%w: synchronous_commit is local: it acknowledges what the synchronous standbys do not have", ErrNotDurable)
			}
		}
	}
	return nil
}

// ErrNotDurable says that the database's settings let it lose what it acknowledged.
var ErrNotDurable = errors.New("postgres: the database does not keep what it acknowledges")
