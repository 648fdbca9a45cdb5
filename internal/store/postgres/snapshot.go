package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strongroom/strongroom/internal/store"
)

// epochs knows which epoch this node is at, and which it still reads.
type epochs struct {
	mu    sync.Mutex
	epoch uint64
	open  map[uint64]int // snapshots by their epoch
}

// advance notes that the database was at an epoch.
func (e *epochs) advance(epoch uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.epoch = max(e.epoch, epoch)
}

// floor returns the least epoch that is still read.
func (e *epochs) floor() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	least := e.epoch
	for epoch := range e.open {
		least = min(least, epoch)
	}
	return least
}

type snapshot struct {
	b     *Backend
	epoch uint64
}

// Snapshot implements store.Backend. It asks nobody: the records of an epoch stay as
// they are.
func (b *Backend) Snapshot(context.Context) (store.Snapshot, error) {
	if err := b.failure.get(); err != nil {
		return nil, err
	}
	b.known.mu.Lock()
	defer b.known.mu.Unlock()
	b.known.open[b.known.epoch]++
	return &snapshot{b: b, epoch: b.known.epoch}, nil
}

func (s *snapshot) Epoch() uint64 { return s.epoch }

// Close implements store.Snapshot.
func (s *snapshot) Close() error {
	s.b.known.mu.Lock()
	defer s.b.known.mu.Unlock()
	if s.b.known.open[s.epoch]--; s.b.known.open[s.epoch] == 0 {
		delete(s.b.known.open, s.epoch)
	}
	return nil
}

// Get implements store.Snapshot.
func (s *snapshot) Get(key []byte) (value []byte, err error) {
	var pruned int64
	var epoch *int64
	err = s.b.ask("reading a record", func(ctx context.Context) error {
		return s.b.pool.QueryRow(ctx, `SELECT s.pruned, r.epoch, r.value FROM strongroom_state s
			LEFT JOIN (SELECT epoch, value FROM strongroom_records WHERE key = $1 AND epoch <= $2 ORDER BY epoch DESC LIMIT 1) r ON true
			WHERE s.id = 1`, present(key), int64(s.epoch)).Scan(&pruned, &epoch, &value)
	})
	switch {
	case err != nil:
		return nil, err
	case uint64(pruned) > s.epoch:
		return nil, s.tooOld(pruned)
	case epoch == nil || value == nil:
		return nil, store.ErrNotFound
	}
	return value, nil
}

func (s *snapshot) tooOld(pruned int64) error {
	return fmt.Errorf("%w: epoch %d is read, and the database keeps those from %d on", store.ErrUnavailable, s.epoch, pruned)
}

// version is a row of the records.
type version struct {
	key, value []byte
	epoch      int64
}

// Scan implements store.Snapshot. It reads in pages, of which the first is small: most
// scans end soon.
func (s *snapshot) Scan(from, to []byte, fn func(key, value []byte) bool) error {
	after := version{key: present(from), epoch: -1}
	var last *version // the newest so far of its key
	emit := func() bool { return last == nil || last.value == nil || fn(last.key, last.value) }
	for limit := 16; ; limit = min(4*limit, 512) {
		page, err := s.page(after, present(to), limit)
		if err != nil {
			return err
		}
		for i := range page {
			if last != nil && !bytes.Equal(last.key, page[i].key) && !emit() {
				return nil
			}
			last = &page[i]
		}
		if len(page) < limit {
			emit()
			return nil
		}
		after = *last
	}
}

// page reads the versions behind one, in the order of key and epoch.
func (s *snapshot) page(after version, to []byte, limit int) (page []version, err error) {
	var pruned int64
	err = s.b.ask("reading records", func(ctx context.Context) error {
		page = page[:0]
		var batch pgx.Batch
		batch.Queue(`SELECT key, epoch, value FROM strongroom_records
			WHERE (key, epoch) > ($1, $2) AND key < $3 AND epoch <= $4 ORDER BY key, epoch LIMIT $5`,
			after.key, after.epoch, to, int64(s.epoch), limit).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var v version
				if err := rows.Scan(&v.key, &v.epoch, &v.value); err != nil {
					return err
				}
				page = append(page, v)
			}
			return rows.Err()
		})
		batch.Queue(`SELECT pruned FROM strongroom_state WHERE id = 1`).QueryRow(func(r pgx.Row) error { return r.Scan(&pruned) })
		return s.b.pool.SendBatch(ctx, &batch).Close()
	})
	if err == nil && uint64(pruned) > s.epoch {
		err = s.tooOld(pruned)
	}
	return page, err
}

// ask makes a question, again when the connection that it went over broke, and no
// longer than a statement may take. After a restart of the database all connections
// that there were are broken; one that can't be made is not tried again.
func (b *Backend) ask(doing string, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.Timeout)
	defer cancel()
	err := question(ctx)
	for tries := 0; tries < poolSize && err != nil && ctx.Err() == nil && broken(err); tries++ {
		err = question(ctx)
	}
	if err != nil {
		b.abandon(err)
		err = fmt.Errorf("%w: %s: %v", store.ErrUnavailable, doing, err)
	}
	return err
}

// abandon gives up all connections of the pool when one has been silent for too long.
// The others lead to the same machine, which may be off or cut off: each would take as
// long to be found out.
func (b *Backend) abandon(err error) {
	if pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) {
		b.pool.Reset()
	}
}

// broken tells whether an error is one of a connection that was there before, or of a
// database that does not decide between two transactions.
func broken(err error) bool {
	var connecting *pgconn.ConnectError
	switch state(err) {
	case "":
		return !errors.As(err, &connecting)
	case adminShutdown, crashShutdown, serializationFailure:
		return true
	}
	return false
}

// Advance implements store.Shared.
func (b *Backend) Advance(ctx context.Context) error {
	if err := b.failure.get(); err != nil {
		return err
	}
	var epoch int64
	var version []byte
	err := b.ask("asking for the epoch", func(ctx context.Context) error {
		return b.pool.QueryRow(ctx, `SELECT epoch, (SELECT value FROM strongroom_meta WHERE name = $1) FROM strongroom_state WHERE id = 1`,
			[]byte(metaVersion)).Scan(&epoch, &version)
	})
	if err != nil {
		return err
	}
	text := string(version)
	b.metaVersion.Store(&text)
	b.known.advance(uint64(epoch))
	return nil
}

// Newest implements store.Shared.
func (b *Backend) Newest(context.Context) (store.Snapshot, error) {
	var epoch int64
	err := b.ask("asking for the epoch", func(ctx context.Context) error {
		return b.pool.QueryRow(ctx, `SELECT epoch FROM strongroom_state WHERE id = 1`).Scan(&epoch)
	})
	if err != nil {
		return nil, err
	}
	b.known.mu.Lock()
	defer b.known.mu.Unlock()
	b.known.open[uint64(epoch)]++
	return &snapshot{b: b, epoch: uint64(epoch)}, nil
}

// Changed implements store.Shared.
func (b *Backend) Changed(_ context.Context, after, upTo uint64) (changed []store.Changed, err error) {
	var pruned int64
	err = b.ask("asking what changed", func(ctx context.Context) error {
		changed = changed[:0]
		var batch pgx.Batch
		batch.Queue(`SELECT key, epoch, value IS NULL FROM strongroom_records WHERE epoch > $1 AND epoch <= $2 ORDER BY epoch, key`,
			int64(after), int64(upTo)).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var c store.Changed
				var epoch int64
				if err := rows.Scan(&c.Key, &epoch, &c.Deleted); err != nil {
					return err
				}
				c.Epoch = uint64(epoch)
				changed = append(changed, c)
			}
			return rows.Err()
		})
		batch.Queue(`SELECT pruned FROM strongroom_state WHERE id = 1`).QueryRow(func(r pgx.Row) error { return r.Scan(&pruned) })
		return b.pool.SendBatch(ctx, &batch).Close()
	})
	if err == nil && uint64(pruned) > after {
		err = fmt.Errorf("%w: it was at change %d, and the database remembers those after %d", store.ErrOutrun, after, pruned)
	}
	return changed, err
}

// pruneMost is how many epochs one round forgets.
const pruneMost = 2000

// prune forgets the versions of records that no node can ask for any more, but for
// those of the last epochs: a node that was away learns from them what changed. A node
// that reads below what is forgotten finds that out by the state's row, which changes
// in the same transaction.
func (b *Backend) prune(ctx context.Context) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		var epoch, pruned int64
		var floor *int64
		err := tx.QueryRow(ctx, `SELECT s.epoch, s.pruned, (SELECT min(floor) FROM strongroom_nodes) FROM strongroom_state s WHERE s.id = 1`).Scan(&epoch, &pruned, &floor)
		if err != nil || floor == nil {
			return err
		}
		// A restored or reclaimed deployment has skipped epochs: the round begins with
		// the first that something was written in.
		var first *int64
		if err := tx.QueryRow(ctx, `SELECT min(epoch) FROM strongroom_records WHERE epoch > $1`, pruned).Scan(&first); err != nil || first == nil {
			return err
		}
		upTo := min(*floor, epoch-b.cfg.Remember, *first-1+pruneMost)
		if upTo <= pruned {
			return nil
		}
		for _, statement := range []string{
			`DELETE FROM strongroom_records WHERE key IN (SELECT key FROM strongroom_records WHERE epoch > $1 AND epoch <= $2)
				AND EXISTS (SELECT 1 FROM strongroom_records n WHERE n.key = strongroom_records.key AND n.epoch > strongroom_records.epoch AND n.epoch <= $2)`,
			`DELETE FROM strongroom_records WHERE epoch > $1 AND epoch <= $2 AND value IS NULL`,
			`UPDATE strongroom_state SET pruned = $2 WHERE id = 1 AND pruned = $1`,
		} {
			tag, err := tx.Exec(ctx, statement, pruned, upTo)
			if err != nil {
				return err
			}
			if tag.Update() && tag.RowsAffected() == 0 {
				return errors.New("another node prunes")
			}
		}
		return nil
	})
}
