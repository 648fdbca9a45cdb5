package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// database is a PostgreSQL of the bench's own, with the settings that it comes with but
// for the size of its log: no checkpoint falls into a measurement because that is full.
type database struct {
	servers []*postgrestest.Server // the primary, and a standby
	url     string                 // for nodes
	conn    *pgx.Conn              // asks for what it did
}

// startDatabase starts one on a socket in a folder; with standby, its commits wait for
// another that follows it.
func (f *fleet) startDatabase(standby bool) (_ *database, err error) {
	d := &database{}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	primary, err := postgrestest.Launch("", "shared_buffers=128MB", "max_wal_size=1GB", "log_checkpoints=off")
	if err != nil {
		return nil, err
	}
	d.servers = append(d.servers, primary)
	if standby {
		second, err := primary.LaunchStandby("")
		if err != nil {
			return nil, err
		}
		d.servers = append(d.servers, second)
	}
	if d.url, err = primary.NewURL(); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if d.conn, err = pgx.Connect(ctx, primary.Address()); err != nil {
		return nil, err
	}
	if _, err = d.conn.Exec(ctx, `CREATE EXTENSION pg_walinspect`); err != nil {
		return nil, fmt.Errorf("pg_walinspect, which comes with PostgreSQL 15, says what is written: %w", err)
	}
	f.databases = append(f.databases, d)
	return d, nil
}

func (d *database) stop() (err error) {
	if d.conn != nil {
		err = d.conn.Close(context.Background())
	}
	for _, s := range d.servers {
		err = errors.Join(err, s.Remove())
	}
	return err
}

// processorTime is what all processes of the database, a standby's included, have taken
// so far. Those that have ended are counted to a hundredth of a second.
func (d *database) processorTime() (spent time.Duration) {
	for _, s := range d.servers {
		all := s.Processes()
		for _, pid := range all {
			if t, err := binary.ProcessorTime(pid); err == nil { // it may have just ended
				spent += t
			}
		}
		spent += endedTime(all[len(all)-1])
	}
	return spent
}

// logEnd is where the log that is on disk ends.
func (d *database) logEnd(ctx context.Context) (at string, err error) {
	err = d.conn.QueryRow(ctx, `SELECT pg_current_wal_flush_lsn()::text`).Scan(&at)
	return at, err
}

// logged is what was written to the log: commits, bytes, and images of pages that were
// touched for the first time since a checkpoint, which are not in bytes.
type logged struct{ commits, bytes, pages float64 }

func (d *database) logged(ctx context.Context, from, to string) (l logged, err error) {
	if from == to {
		return l, nil
	}
	err = d.conn.QueryRow(ctx, `SELECT coalesce(sum(count) FILTER (WHERE "resource_manager/record_type" LIKE 'Transaction/COMMIT%'), 0)::float8,
		coalesce(sum(record_size), 0)::float8, coalesce(sum(fpi_size), 0)::float8
		FROM pg_get_wal_stats($1::text::pg_lsn, $2::text::pg_lsn, true)`, from, to).Scan(&l.commits, &l.bytes, &l.pages)
	return l, err
}
