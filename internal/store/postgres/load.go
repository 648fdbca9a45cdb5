package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/internal/store"
)

var _ store.Loader = (*Backend)(nil)

// Errors of what is done to a database as a whole, while no node serves from it.
var (
	// ErrInUse says that other nodes are registered.
	ErrInUse = errors.New("postgres: nodes use the database")
	// ErrNotEmpty says that the database describes a deployment.
	ErrNotEmpty = errors.New("postgres: the database is not empty")
	// ErrChanged says that something was committed meanwhile.
	ErrChanged = errors.New("postgres: the database has changed")
)

// refused is why something is not done, as against a failure of the database.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// withoutNodes runs fn while no node commits or registers, if this one alone is registered
// and was not put out. A refused that fn returns is what it returns, with nothing
// changed. When an answer is lost fn runs again, and may find its changes made.
func (b *Backend) withoutNodes(doing string, fn func(ctx context.Context, tx pgx.Tx) error) error {
	if err := b.failure.get(); err != nil {
		return err
	}
	var not refused
	err := b.ask(doing, func(ctx context.Context) error {
		not = refused{}
		err := b.locked(ctx, func(tx pgx.Tx, _ int64, _ string) error {
			var own, others int
			err := tx.QueryRow(ctx, `SELECT count(*) FILTER (WHERE id = $1 AND incarnation = $2), count(*) FILTER (WHERE id <> $1) FROM strongroom_nodes`,
				b.cfg.Node, b.node.current()).Scan(&own, &others)
			switch {
			case err != nil:
				return err
			case others > 0:
				return refused{ErrInUse}
			case own == 0:
				return refused{fmt.Errorf("%w: another process has taken the place of this one", ErrInUse)}
			}
			return fn(ctx, tx)
		})
		if errors.As(err, &not) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return not.error
}

// vacateMost is how many rows one transaction of Vacate removes.
const vacateMost = 5000

// Vacate empties a database that describes no deployment and names what comes into it:
// afterwards note under name is its only entry. An entry of that name may be there
// already, with what an earlier load has left. Errors: ErrInUse, ErrNotEmpty.
func (b *Backend) Vacate(_ context.Context, name string, note []byte) error {
	b.recent.begin(0)
	for removed := true; removed; {
		err := b.withoutNodes("emptying the database", func(ctx context.Context, tx pgx.Tx) (err error) {
			removed, err = vacateSome(ctx, tx, name)
			if err != nil || removed {
				return err
			}
			for _, statement := range []string{
				`DELETE FROM strongroom_meta`,
				`UPDATE strongroom_state SET epoch = 0, pruned = 0, frame = 0, head = '' WHERE id = 1`,
			} {
				if _, err := tx.Exec(ctx, statement); err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, `INSERT INTO strongroom_meta (name, value) VALUES ($1, $2)`, []byte(name), note)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// vacateSome removes some of what an earlier load has left, and tells whether there was
// anything. It deletes rather than truncates: not every database takes a TRUNCATE back
// with its transaction.
func vacateSome(ctx context.Context, tx pgx.Tx, name string) (bool, error) {
	var others, noted int
	var rows, frames bool
	err := tx.QueryRow(ctx, `SELECT count(*) FILTER (WHERE name <> $1), count(*) FILTER (WHERE name = $1),
		EXISTS (SELECT 1 FROM strongroom_records), EXISTS (SELECT 1 FROM strongroom_frames)
		FROM strongroom_meta WHERE name <> $2`, []byte(name), []byte(metaVersion)).Scan(&others, &noted, &rows, &frames)
	if err != nil {
		return false, err
	}
	if others > 0 || noted == 0 && (rows || frames) {
		return false, refused{ErrNotEmpty}
	}
	for _, statement := range []string{
		`DELETE FROM strongroom_records WHERE (key, epoch) IN (SELECT key, epoch FROM strongroom_records ORDER BY key, epoch LIMIT $1)`,
		`DELETE FROM strongroom_frames WHERE seq IN (SELECT seq FROM strongroom_frames ORDER BY seq LIMIT $1)`,
	} {
		if _, err := tx.Exec(ctx, statement, vacateMost); err != nil {
			return false, err
		}
	}
	return rows || frames, nil
}

// Load implements store.Loader. Errors are also ErrInUse.
func (b *Backend) Load(_ context.Context, epoch uint64, records []store.Write, frames []store.Frame) error {
	for i, f := range frames {
		if f.Seq != frames[0].Seq+uint64(i) {
			return fmt.Errorf("postgres: journal frame %d cannot follow frame %d", f.Seq, frames[i-1].Seq)
		}
	}
	keys, values := lastWrites(records)
	err := b.withoutNodes("loading", func(ctx context.Context, tx pgx.Tx) error {
		var batch pgx.Batch
		if len(frames) > 0 {
			var last int64
			if err := tx.QueryRow(ctx, `SELECT frame FROM strongroom_state WHERE id = 1`).Scan(&last); err != nil {
				return err
			}
			first, newest := frames[0], frames[len(frames)-1]
			if last != 0 && uint64(last) == newest.Seq {
				if made, err := loaded(ctx, tx, newest); made || err != nil {
					return err
				}
			}
			if last != 0 && uint64(last) != first.Seq-1 {
				return refused{fmt.Errorf("postgres: journal frame %d cannot follow frame %d", first.Seq, last)}
			}
			seqs, bodies := make([]int64, len(frames)), make([][]byte, len(frames))
			for i, f := range frames {
				seqs[i], bodies[i] = int64(f.Seq), f.Bytes
			}
			batch.Queue(`INSERT INTO strongroom_frames (seq, frame) SELECT f.seq, f.frame FROM unnest($1::bigint[], $2::bytea[]) AS f (seq, frame)`, seqs, bodies)
			batch.Queue(`UPDATE strongroom_state SET frame = $1, head = $2 WHERE id = 1`, int64(newest.Seq), newest.Bytes[:min(len(newest.Bytes), store.FrameHead)])
		}
		if len(keys) > 0 {
			batch.Queue(`INSERT INTO strongroom_records (key, epoch, value)
				SELECT w.key, $2, w.value FROM unnest($1::bytea[], $3::bytea[]) AS w (key, value)
				ON CONFLICT (key, epoch) DO UPDATE SET value = excluded.value`, keys, int64(epoch), values)
		}
		// Nothing of before is kept.
		batch.Queue(`UPDATE strongroom_state SET epoch = $1, pruned = $1 WHERE id = 1`, int64(epoch))
		return tx.SendBatch(ctx, &batch).Close()
	})
	b.recent.begin(epoch)
	if err == nil {
		b.known.advance(epoch)
	}
	return err
}

// loaded tells whether a frame is there: the answer to its load was lost.
func loaded(ctx context.Context, tx pgx.Tx, f store.Frame) (bool, error) {
	var there []byte
	err := tx.QueryRow(ctx, `SELECT frame FROM strongroom_frames WHERE seq = $1`, int64(f.Seq)).Scan(&there)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil && bytes.Equal(there, f.Bytes), err
}

// Retire changes entries of the unsealed area if nothing was committed since an epoch
// and a frame. Errors: ErrInUse, ErrChanged, and store.ErrUnknown when the database
// could not be asked what became of it.
func (b *Backend) Retire(_ context.Context, epoch, frame uint64, changes map[string][]byte) error {
	version, err := b.newMetaVersion()
	if err != nil {
		return err
	}
	err = b.withoutNodes("changing what describes the deployment", func(ctx context.Context, tx pgx.Tx) error {
		var atEpoch, atFrame int64
		if err := tx.QueryRow(ctx, `SELECT epoch, frame FROM strongroom_state WHERE id = 1`).Scan(&atEpoch, &atFrame); err != nil {
			return err
		}
		if uint64(atEpoch) != epoch || uint64(atFrame) != frame {
			return refused{fmt.Errorf("%w: it was at change %d and frame %d, and is at %d and %d", ErrChanged, epoch, frame, atEpoch, atFrame)}
		}
		return writeMeta(ctx, tx, changes, version)
	})
	if errors.Is(err, store.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return err
}

// Registered is a node that has a row.
type Registered struct {
	Name  string
	Lease time.Duration
}

// Others returns the other nodes that are registered, by name. One that was killed is
// until its lease has run out.
func (b *Backend) Others(context.Context) (nodes []Registered, err error) {
	err = b.ask("asking for the other nodes", func(ctx context.Context) error {
		rows, err := b.pool.Query(ctx, `SELECT id, lease FROM strongroom_nodes WHERE id <> $1 ORDER BY id`, b.cfg.Node)
		if err != nil {
			return err
		}
		nodes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Registered, err error) {
			var lease int64
			err = row.Scan(&r.Name, &lease)
			r.Lease = time.Duration(lease) * time.Millisecond
			return r, err
		})
		return err
	})
	return nodes, err
}

// Place says where the database of a URL is, without what is secret: "database kms on
// db.example.com". It is empty for what is no URL.
func (cfg Config) Place() string {
	c, err := cfg.connections()
	if err != nil {
		return ""
	}
	var hosts []string
	seen := map[string]bool{}
	add := func(host string, port uint16) {
		if !strings.HasPrefix(host, "/") && port != 5432 {
			host = fmt.Sprintf("%s:%d", host, port)
		}
		if !seen[host] {
			seen[host] = true
			hosts = append(hosts, host)
		}
	}
	add(c.ConnConfig.Host, c.ConnConfig.Port)
	for _, way := range c.ConnConfig.Fallbacks {
		add(way.Host, way.Port)
	}
	name := c.ConnConfig.Database
	if name == "" {
		name = c.ConnConfig.User
	}
	place := fmt.Sprintf("database %s on %s", name, strings.Join(hosts, ", "))
	if path := c.ConnConfig.RuntimeParams["search_path"]; path != "" {
		place += " (search_path " + path + ")"
	}
	return place
}
