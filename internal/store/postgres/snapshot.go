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

// now returns the newest epoch that the database is known to keep.
func (e *epochs) now() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.epoch
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
	// checks is whether it is for comparing with what this node knows: then what this
	// node has in memory is not asked.
	checks bool
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
	if !s.checks {
		if value, ok := s.b.recent.get(key, s.epoch); ok {
			if value == nil {
				return nil, store.ErrNotFound
			}
			return value, nil
		}
	}
	var has span
	err = s.b.ask("reading a record", func(ctx context.Context) error {
		return s.b.pool.QueryRow(ctx, `SELECT s.pruned, s.epoch, r.value FROM strongroom_state s
			LEFT JOIN (SELECT value FROM strongroom_records WHERE key = $1 AND epoch <= $2 ORDER BY epoch DESC LIMIT 1) r ON true
			WHERE s.id = 1`, present(key), int64(s.epoch)).Scan(&has.pruned, &has.epoch, &value)
	})
	if err == nil {
		err = has.check(s.epoch)
	}
	if err != nil {
		return nil, err
	}
	if !s.checks {
		s.b.recent.read(key, value, s.epoch)
	}
	if value == nil {
		return nil, store.ErrNotFound
	}
	return value, nil
}

// GetSeveral implements store.SeveralReader.
func (s *snapshot) GetSeveral(keys [][]byte) (map[string][]byte, error) {
	found := make(map[string][]byte, len(keys))
	var asked [][]byte
	for _, key := range keys {
		value, ok := s.b.recent.get(key, s.epoch)
		switch {
		case !ok || s.checks:
			asked = append(asked, present(key))
		case value != nil:
			found[string(key)] = value
		}
	}
	if len(asked) == 0 {
		return found, nil
	}
	var has span
	err := s.b.ask("reading records", func(ctx context.Context) error {
		var batch pgx.Batch
		batch.Queue(`SELECT k.key, r.value FROM unnest($1::bytea[]) AS k (key), LATERAL
			(SELECT value FROM strongroom_records WHERE key = k.key AND epoch <= $2 ORDER BY epoch DESC LIMIT 1) r`,
			asked, int64(s.epoch)).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var key, value []byte
				if err := rows.Scan(&key, &value); err != nil {
					return err
				}
				if value != nil {
					found[string(key)] = value
				}
			}
			return rows.Err()
		})
		batch.Queue(spanOf).QueryRow(has.scan)
		return s.b.pool.SendBatch(ctx, &batch).Close()
	})
	if err == nil {
		err = has.check(s.epoch)
	}
	if err != nil {
		return nil, err
	}
	for _, key := range asked {
		s.b.recent.read(key, found[string(key)], s.epoch)
	}
	return found, nil
}

// span is which epochs a database has.
type span struct{ pruned, epoch int64 }

// spanOf asks for it.
const spanOf = `SELECT pruned, epoch FROM strongroom_state WHERE id = 1`

func (s *span) scan(r pgx.Row) error { return r.Scan(&s.pruned, &s.epoch) }

// check returns nil when an epoch is one of them. A database that has not come so far
// is an old primary, or one that has lost what it acknowledged.
func (s *span) check(epoch uint64) error {
	switch {
	case uint64(s.pruned) > epoch:
		return fmt.Errorf("%w: epoch %d is read, and the database keeps those from %d on", store.ErrUnavailable, epoch, s.pruned)
	case uint64(s.epoch) < epoch:
		return fmt.Errorf("%w: epoch %d is known, and the database that was asked is at %d", store.ErrUnavailable, epoch, s.epoch)
	}
	return nil
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
	var has span
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
		batch.Queue(spanOf).QueryRow(has.scan)
		return s.b.pool.SendBatch(ctx, &batch).Close()
	})
	if err == nil {
		err = has.check(s.epoch)
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

// abandon gives up all connections of the pool, and the one that listens, when one has
// been silent for too long. The others lead to the same machine, which may be off or cut
// off: each would take as long to be found out, and the one that listens for ever.
func (b *Backend) abandon(err error) {
	if pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) {
		b.pool.Reset()
		b.heard.hangUp()
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

// Advance implements store.Shared. What the primary shows may be on no standby yet, when
// whoever waited for that was cancelled, so that another primary could take its place
// without it; then this node would be at an epoch that comes a second time, with other
// changes. So it goes on to an epoch only with a proof of who made it that the standbys
// have it, or with a commit of its own behind it, for which they were waited for.
func (b *Backend) Advance(ctx context.Context) error {
	if err := b.failure.get(); err != nil {
		return err
	}
	const metaOf = `(SELECT value FROM strongroom_meta WHERE name = $1)`
	var has span
	var version, last []byte
	proof := b.heard.newest()
	err := b.ask("asking for the epoch", func(ctx context.Context) error {
		return b.pool.QueryRow(ctx, `SELECT pruned, epoch, `+metaOf+`, (SELECT id FROM strongroom_commits WHERE node = $2) FROM strongroom_state WHERE id = 1`,
			[]byte(metaVersion), proof.node).Scan(&has.pruned, &has.epoch, &version, &last)
	})
	known := b.known.now()
	switch {
	case err != nil:
		return err
	case uint64(has.epoch) < known:
		return has.check(known)
	case uint64(has.epoch) == known:
		b.noteMeta(version)
		return nil
	case uint64(has.epoch) == proof.epoch && len(last) > 0 && bytes.Equal(last, proof.id):
		b.noteMeta(version)
		b.known.advance(proof.epoch)
		return nil
	}
	var epoch int64
	err = b.ask("asking for the epoch that the standbys have", func(ctx context.Context) error {
		registered := false
		var batch pgx.Batch // one transaction
		batch.Queue(`UPDATE strongroom_nodes SET beat = beat + 1 WHERE id = $1 AND incarnation = $2`, b.cfg.Node, b.node.current()).
			Exec(func(tag pgconn.CommandTag) error { registered = tag.RowsAffected() > 0; return nil })
		batch.Queue(`SELECT epoch, `+metaOf+` FROM strongroom_state WHERE id = 1`, []byte(metaVersion)).
			QueryRow(func(r pgx.Row) error { return r.Scan(&epoch, &version) })
		err := b.replicated(func() error { return b.pool.SendBatch(ctx, &batch).Close() })
		if err != nil || registered {
			return err
		}
		return b.locked(ctx, func(tx pgx.Tx, at int64, _ string) error {
			epoch = at
			if _, err := tx.Exec(ctx, touchState); err != nil {
				return err
			}
			return tx.QueryRow(ctx, `SELECT `+metaOf, []byte(metaVersion)).Scan(&version)
		})
	})
	if err == nil {
		b.noteMeta(version)
		b.known.advance(uint64(epoch))
	}
	return err
}

// noteMeta keeps what MetaVersion returns.
func (b *Backend) noteMeta(version []byte) {
	text := string(version)
	b.metaVersion.Store(&text)
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
	return &snapshot{b: b, epoch: uint64(epoch), checks: true}, nil
}

// takeMost is for how many epochs a node takes in with the names of what was changed
// also what it is now: it goes on from there, and asks for much of it at once.
const takeMost = 64

// Changed implements store.Shared.
func (b *Backend) Changed(_ context.Context, after, upTo uint64) (changed []store.Changed, err error) {
	var has span
	var keys [][]byte
	var now map[string]held
	take := upTo-after <= takeMost
	err = b.ask("asking what changed", func(ctx context.Context) error {
		changed, keys, now = changed[:0], keys[:0], map[string]held{}
		var batch pgx.Batch
		batch.Queue(`SELECT key, epoch, value IS NULL, CASE WHEN $3 THEN value END FROM strongroom_records WHERE epoch > $1 AND epoch <= $2 ORDER BY epoch, key`,
			int64(after), int64(upTo), take).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var c store.Changed
				var epoch int64
				var value []byte
				if err := rows.Scan(&c.Key, &epoch, &c.Deleted, &value); err != nil {
					return err
				}
				c.Epoch = uint64(epoch)
				changed, keys = append(changed, c), append(keys, c.Key)
				if take {
					now[string(c.Key)] = held{value, c.Epoch}
				}
			}
			return rows.Err()
		})
		batch.Queue(spanOf).QueryRow(has.scan)
		return b.pool.SendBatch(ctx, &batch).Close()
	})
	switch {
	case err != nil:
		return nil, err
	case uint64(has.pruned) > after:
		return nil, fmt.Errorf("%w: it was at change %d, and the database remembers those after %d", store.ErrOutrun, after, has.pruned)
	}
	if err := has.check(upTo); err != nil {
		return nil, err
	}
	b.recent.changed(after, upTo, keys, now)
	return changed, nil
}

// pruneMost is how many epochs one round forgets.
const pruneMost = 2000

// prune forgets the versions of records that no node can ask for any more, but for
// those of the last epochs: a node that was away learns from them what changed. A node
// that reads below what is forgotten finds that out by the state's row, which changes
// in the same transaction. more tells whether there may be more to forget.
func (b *Backend) prune(ctx context.Context) (more bool, err error) {
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
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
		more = upTo == *first-1+pruneMost
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
	return more && err == nil, err
}
