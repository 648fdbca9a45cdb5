package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strongroom/strongroom/internal/store"
)

// begin locks the state's row. The isolation level is said because a database's
// default may be another; any would do.
const begin = `BEGIN ISOLATION LEVEL READ COMMITTED`

// lockState waits for whoever else commits. What is read together with the lock may be
// older than what the lock lets in, so that other tables are asked afterwards.
const lockState = `SELECT epoch, frame, head, leader FROM strongroom_state WHERE id = 1 FOR UPDATE`

// touchState writes the state's row without a change, so that there is a commit.
const touchState = `UPDATE strongroom_state SET id = 1 WHERE id = 1`

// Prepare implements store.Backend: it begins the transaction that Commit ends.
func (b *Backend) Prepare(ctx context.Context, base uint64) error {
	if err := b.failure.get(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	if err := b.connect(ctx); err != nil {
		return err
	}
	if b.begun { // a commit that was not made after all
		b.hangUp(ctx)
		if err := b.connect(ctx); err != nil {
			return err
		}
	}
	var epoch, frame int64
	var head, incarnation []byte
	var leader string
	var batch pgx.Batch
	batch.Queue(begin)
	batch.Queue(lockState).QueryRow(func(r pgx.Row) error { return r.Scan(&epoch, &frame, &head, &leader) })
	batch.Queue(`SELECT incarnation FROM strongroom_nodes WHERE id = $1`, b.cfg.Node).QueryRow(func(r pgx.Row) error {
		err := r.Scan(&incarnation)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err := b.writer.SendBatch(ctx, &batch).Close(); err != nil {
		b.hangUp(ctx)
		return refusal("beginning a commit", err)
	}
	b.begun = true
	switch {
	case !bytes.Equal(incarnation, b.node.current()):
		b.hangUp(ctx)
		return fmt.Errorf("%w: the other nodes have stopped waiting for this one; it registers again", store.ErrUnavailable)
	case uint64(epoch) != base:
		b.rollBack(ctx)
		if err := b.Advance(ctx); err != nil {
			return err
		}
		return fmt.Errorf("%w: the database is at epoch %d, the commit builds upon %d", store.ErrConflict, epoch, base)
	}
	b.tip = tip{uint64(frame), head, base}
	return nil
}

// Tip implements store.Shared.
func (b *Backend) Tip() (uint64, []byte) { return b.tip.seq, b.tip.head }

// commitID is how many bytes the id of a commit has.
const commitID = 16

// Commit implements store.Backend.
func (b *Backend) Commit(ctx context.Context, batch store.Batch) error {
	if err := b.failure.get(); err != nil {
		return err
	}
	if batch.Frame != nil && b.tip.seq != 0 && batch.Seq != b.tip.seq+1 {
		b.rollBack(ctx)
		return b.failure.set(fmt.Errorf("postgres: journal frame %d cannot follow frame %d", batch.Seq, b.tip.seq))
	}
	id := make([]byte, commitID)
	if _, err := io.ReadFull(b.cfg.Rand, id); err != nil {
		b.rollBack(ctx)
		return b.failure.set(fmt.Errorf("postgres: no randomness for a commit's id: %w", err))
	}
	keys, values := lastWrites(batch.Writes)
	known, err := b.write(ctx, batch, keys, values, id)
	if known && err != nil {
		b.hangUp(ctx)
		return refusal("committing", err)
	}
	if err != nil {
		b.lose(fmt.Errorf("the answer to a commit was lost: %w", err))
		if err := b.resolve(ctx, id); err != nil {
			return err
		}
	}
	b.recent.wrote(b.tip.epoch, batch.Epoch, keys, values)
	b.known.advance(batch.Epoch)
	if len(batch.Writes) > 0 && !b.node.alone() {
		b.heard.told.Store(batch.Epoch)
		b.tell(epochChannel, proof{b.cfg.Node, id, batch.Epoch}.String())
	}
	return nil
}

// write sends the batch and its COMMIT in one go: after a statement that fails the
// database skips the rest. known tells whether it is certain what became of it.
func (b *Backend) write(ctx context.Context, batch store.Batch, keys, values [][]byte, id []byte) (known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	var send pgx.Batch
	if len(keys) > 0 {
		send.Queue(`INSERT INTO strongroom_records (key, epoch, value)
			SELECT w.key, $2, w.value FROM unnest($1::bytea[], $3::bytea[]) AS w (key, value)
			ON CONFLICT (key, epoch) DO UPDATE SET value = excluded.value`, keys, int64(batch.Epoch), values)
	}
	if batch.Frame != nil {
		head := batch.Frame[:min(len(batch.Frame), store.FrameHead)]
		send.Queue(`INSERT INTO strongroom_frames (seq, frame) VALUES ($1, $2)`, int64(batch.Seq), batch.Frame)
		send.Queue(`UPDATE strongroom_state SET epoch = $1, frame = $2, head = $3 WHERE id = 1`, int64(batch.Epoch), int64(batch.Seq), head)
	} else {
		send.Queue(`UPDATE strongroom_state SET epoch = $1 WHERE id = 1`, int64(batch.Epoch))
	}
	send.Queue(`INSERT INTO strongroom_commits (node, id) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET id = excluded.id`, b.cfg.Node, id)
	send.Queue(`COMMIT`)
	b.begun = false
	b.warned.Store(false)
	results := b.writer.SendBatch(ctx, &send)
	var tag pgconn.CommandTag
	for range send.Len() {
		if tag, err = results.Exec(); err != nil {
			_ = results.Close()
			return state(err) != "" && !b.writer.IsClosed(), err
		}
	}
	if err := results.Close(); err != nil {
		return false, err
	}
	if b.warned.Load() {
		return false, errAlone
	}
	if tag.String() != "COMMIT" {
		return false, fmt.Errorf("the database answers COMMIT with %s", tag)
	}
	return true, nil
}

// lastWrites returns each key once, with what holds in the end.
func lastWrites(writes []store.Write) (keys, values [][]byte) {
	at := make(map[string]int, len(writes))
	for _, w := range writes {
		if i, again := at[string(w.Key)]; again {
			values[i] = w.Value
			continue
		}
		at[string(w.Key)] = len(keys)
		keys, values = append(keys, present(w.Key)), append(values, w.Value)
	}
	return keys, values
}

// present is b as a value that is not NULL.
func present(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// notice hears the warnings on the connection that commits.
func (b *Backend) notice(_ *pgconn.PgConn, n *pgconn.Notice) {
	if unreplicated(n) {
		b.warned.Store(true)
	}
}

// poolNotice hears the same on the other connections.
func (b *Backend) poolNotice(_ *pgconn.PgConn, n *pgconn.Notice) {
	if unreplicated(n) {
		b.alone.Add(1)
	}
}

// unreplicated tells whether a warning is of a commit that is acknowledged although a
// standby may not have it: whoever waited for the standby was cancelled (PostgreSQL
// documentation, 27.2.8.2). The warning has no SQLSTATE of its own, and its text is in
// the language of the database; the function that gives it is always the same.
func unreplicated(n *pgconn.Notice) bool {
	return n.Routine == "SyncRepWaitForLSN" || n.Code == queryCanceled || n.Code == adminShutdown
}

// errAlone says that a commit is on the primary, and may be on no standby: another
// primary may take its place without it.
var errAlone = errors.New("the database has stopped waiting for its standbys")

// replicated does what commits over the pool, and returns errAlone if the database did
// not wait for its standbys meanwhile, which may have been for another commit.
func (b *Backend) replicated(commit func() error) error {
	before := b.alone.Load()
	err := commit()
	if err == nil && b.alone.Load() != before {
		return errAlone
	}
	return err
}

// resolve finds out whether the commit with this id was made, however long the
// database is away: nil, or store.ErrConflict when it was not. The transaction of that
// commit held the state's row: who has it now knows that the transaction has ended.
// It writes, so that when its own commit is acknowledged, all before it is on the
// standbys, too.
func (b *Backend) resolve(ctx context.Context, id []byte) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		b.hangUp(ctx)
		found, err := b.resolveOnce(ctx, id)
		if err == nil {
			b.cfg.Log.Info("found out what became of a commit", "made", found)
			if found {
				return nil
			}
			return fmt.Errorf("%w: the commit was not made", store.ErrConflict)
		}
		after, stop := b.cfg.Steady.After(wait)
		select {
		case <-after:
		case <-b.closed:
			stop()
			return b.failure.set(fmt.Errorf("postgres: what became of a commit is not known: %v", err))
		}
		stop()
	}
}

func (b *Backend) resolveOnce(ctx context.Context, id []byte) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	if err := b.connect(ctx); err != nil {
		return false, err
	}
	b.warned.Store(false)
	var last []byte
	for _, statement := range []string{begin, lockState} {
		if _, err := b.writer.Exec(ctx, statement); err != nil {
			return false, err
		}
	}
	err = b.writer.QueryRow(ctx, `SELECT id FROM strongroom_commits WHERE node = $1`, b.cfg.Node).Scan(&last)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, err
	}
	for _, statement := range []string{touchState, `COMMIT`} {
		if _, err := b.writer.Exec(ctx, statement); err != nil {
			return false, err
		}
	}
	if b.warned.Load() {
		return false, errAlone
	}
	return bytes.Equal(last, id), nil
}

// limitIdle has the database end a transaction on this connection whose node has stopped
// or was cut off in the middle of it: it may hold the state's row, for which all others
// wait, and a database that is told nothing would go on holding it for hours.
func limitIdle(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET idle_in_transaction_session_timeout = '5s'`)
	if s := state(err); s == undefinedObject || s == featureNotSupported {
		return nil
	}
	return err
}

// connect makes the connection that commits, unless there is one.
func (b *Backend) connect(ctx context.Context) error {
	if b.writer != nil && !b.writer.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	b.begun = false
	conn, err := pgx.ConnectConfig(ctx, b.conn)
	if err != nil {
		return refusal("connecting", err)
	}
	if err = limitIdle(ctx, conn); err == nil {
		err = b.checkDurable(ctx, conn)
	}
	if err != nil {
		_ = conn.Close(ctx)
		if errors.Is(err, ErrNotDurable) {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		return refusal("connecting", err)
	}
	b.writer = conn
	return nil
}

// hangUp ends the connection that commits, and with it what it has begun.
func (b *Backend) hangUp(ctx context.Context) {
	if b.writer != nil {
		_ = b.writer.Close(ctx) // it ends, whatever Close says
		b.writer, b.begun = nil, false
	}
}

// rollBack ends a transaction in which nothing was done.
func (b *Backend) rollBack(ctx context.Context) {
	if _, err := b.writer.Exec(ctx, `ROLLBACK`); err != nil {
		b.hangUp(ctx)
	}
	b.begun = false
}
