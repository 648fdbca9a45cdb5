package postgres

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strongroom/strongroom/internal/store"
)

// node is what this node is to the others, and they to it.
type node struct {
	until   atomic.Int64 // when the lease ends, by the steady clock
	leading atomic.Bool

	mu          sync.Mutex // guards what follows
	incarnation []byte     // of the row that stands for this process
	renewed     time.Duration
	confirmed   uint64 // the epoch that the row says
	lost        error  // why the last renewal failed
	seen        map[string]sighting
	looked      time.Duration // when others were last looked at

	pruned time.Duration // when this node has last pruned; of Follow alone
}

// alone tells whether no other node was there when others were last looked at.
func (n *node) alone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen != nil && len(n.seen) == 0
}

// others are the names of the nodes that were there then.
func (n *node) others() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.seen))
}

// sighting is another node's row, and since when it has been as it is.
type sighting struct {
	incarnation string
	beat        int64
	since       time.Duration
}

// drift is how much longer than a lease the others wait, as a part of it: what two
// machines' clocks may differ by within that time.
const drift = 10

func (n *node) current() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.incarnation
}

// register makes this process's row. Whatever process had it before has ended: a data
// folder is one process's.
func (b *Backend) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	began := b.cfg.Steady.Elapsed()
	incarnation := make([]byte, 16)
	if _, err := io.ReadFull(b.cfg.Rand, incarnation); err != nil {
		return fmt.Errorf("postgres: no randomness to register with: %w", err)
	}
	b.node.mu.Lock()
	again, confirmed := b.node.incarnation != nil, b.node.confirmed
	b.node.mu.Unlock()
	var epoch int64
	err := b.locked(ctx, func(tx pgx.Tx, at int64, _ string) error {
		// What is in memory is of an earlier epoch when it registers again.
		epoch = at
		floor := at
		if again {
			epoch, floor = int64(confirmed), int64(b.known.floor())
		}
		_, err := tx.Exec(ctx, `INSERT INTO strongroom_nodes (id, incarnation, beat, epoch, floor, lease) VALUES ($1, $2, 1, $3, $4, $5)
			ON CONFLICT (id) DO UPDATE SET incarnation = excluded.incarnation, beat = 1, epoch = excluded.epoch, floor = excluded.floor, lease = excluded.lease`,
			b.cfg.Node, incarnation, epoch, floor, b.cfg.Lease.Milliseconds())
		return err
	})
	if err != nil {
		return refusal("registering", err)
	}
	b.node.mu.Lock()
	b.node.incarnation, b.node.confirmed = incarnation, uint64(epoch)
	b.node.mu.Unlock()
	if !again { // there is nothing in memory that could be old
		b.known.advance(uint64(epoch))
		b.recent.begin(uint64(epoch))
		b.extend(began)
	}
	return nil
}

// unregister takes this process's row away.
func (b *Backend) unregister(ctx context.Context) error {
	b.node.until.Store(0)
	return b.locked(ctx, func(tx pgx.Tx, _ int64, leader string) error {
		tag, err := tx.Exec(ctx, `DELETE FROM strongroom_nodes WHERE id = $1 AND incarnation = $2`, b.cfg.Node, b.node.current())
		if err == nil && tag.RowsAffected() > 0 && leader == b.cfg.Node {
			_, err = tx.Exec(ctx, `UPDATE strongroom_state SET leader = '' WHERE id = 1`)
		}
		return err
	})
}

// locked runs fn while no node commits, registers or is removed.
func (b *Backend) locked(ctx context.Context, fn func(tx pgx.Tx, epoch int64, leader string) error) error {
	return b.replicated(func() error {
		return pgx.BeginTxFunc(ctx, b.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			var epoch, frame int64
			var head []byte
			var leader string
			if err := tx.QueryRow(ctx, lockState).Scan(&epoch, &frame, &head, &leader); err != nil {
				return err
			}
			return fn(tx, epoch, leader)
		})
	})
}

// extend lets the lease end a lease's time after a renewal was begun.
func (b *Backend) extend(began time.Duration) {
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	b.node.renewed, b.node.lost = began, nil
	b.node.until.Store(int64(began + b.cfg.Lease))
}

// Fresh implements store.Shared.
func (b *Backend) Fresh() error {
	if int64(b.cfg.Steady.Elapsed()) < b.node.until.Load() {
		return nil
	}
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	return fmt.Errorf("%w: the lease of this node has run out (%v)", store.ErrUnavailable, b.node.lost)
}

// Leading reports whether this node is the one that does what only one does. It is
// until its row is removed, and then it commits nothing.
func (b *Backend) Leading() bool { return b.node.leading.Load() && b.Fresh() == nil }

// Ready implements store.Backend: it says what the last renewal met.
func (b *Backend) Ready(context.Context) error {
	if err := b.failure.get(); err != nil {
		return err
	}
	if err := b.Fresh(); err != nil {
		return err
	}
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	if b.node.lost != nil {
		left := time.Duration(b.node.until.Load()) - b.cfg.Steady.Elapsed()
		return fmt.Errorf("%w: changes are refused; known keys can be used for another %s: %v", store.ErrUnavailable, left.Round(time.Second), b.node.lost)
	}
	return nil
}

// Follow keeps the node's lease and lets refresh bring its store up to date, as
// [store.Store.Refresh] does, whenever another node has changed something, until ctx
// ends.
func (b *Backend) Follow(ctx context.Context, refresh func(context.Context) (uint64, error)) {
	go b.listen(ctx)
	for ctx.Err() == nil {
		if err := b.renew(ctx, refresh); err != nil && ctx.Err() == nil {
			b.lose(err)
		}
		after, stop := b.cfg.Steady.After(b.cfg.Poll)
		select {
		case <-after:
		case <-b.heard.epoch:
		case <-ctx.Done():
		}
		stop()
	}
}

// lose notes that the database does not answer, until a renewal goes well.
func (b *Backend) lose(err error) {
	b.node.mu.Lock()
	first := b.node.lost == nil
	b.node.lost = err
	b.node.mu.Unlock()
	if first {
		b.cfg.Log.Warn("the database is not available; this node goes on with what it knows until its lease has run out", "lease", b.cfg.Lease, "error", err)
	}
}

// renew brings the store up to date and says so, when there is something new or it is
// time.
func (b *Backend) renew(ctx context.Context, refresh func(context.Context) (uint64, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*b.cfg.Timeout)
	defer cancel()
	began := b.cfg.Steady.Elapsed()
	epoch, err := refresh(ctx)
	if err != nil {
		return err
	}
	every := min(b.cfg.Lease/4, 5*time.Second)
	b.node.mu.Lock()
	moved := epoch > b.node.confirmed
	due := b.node.lost != nil || began-b.node.renewed >= every
	lost := b.node.lost
	b.node.mu.Unlock()
	if moved && !due {
		if b.node.alone() { // or it was: whoever has come since may wait for this node
			if _, err := b.observe(ctx, 0); err != nil {
				return err
			}
		}
		due = !b.node.alone()
	}
	if !due {
		return nil
	}
	var tag pgconn.CommandTag
	err = b.replicated(func() (err error) {
		tag, err = b.pool.Exec(ctx, `UPDATE strongroom_nodes SET beat = beat + 1, epoch = $3, floor = $4 WHERE id = $1 AND incarnation = $2`,
			b.cfg.Node, b.node.current(), int64(epoch), int64(b.known.floor()))
		return err
	})
	if err != nil {
		b.abandon(err)
		return refusal("renewing the lease", err)
	}
	if tag.RowsAffected() == 0 {
		// What others changed meanwhile was acknowledged without this node. It
		// registers first and then learns of all that, with the next renewal.
		b.node.until.Store(0)
		b.node.leading.Store(false)
		b.cfg.Log.Warn("the other nodes have stopped waiting for this one; it registers again", "node", b.cfg.Node)
		if err := b.register(ctx); err != nil {
			return err
		}
		b.wake()
		return fmt.Errorf("%w: this node registers again", store.ErrUnavailable)
	}
	b.extend(began)
	b.node.mu.Lock()
	b.node.confirmed = max(b.node.confirmed, epoch)
	look := b.node.seen == nil || began-b.node.looked >= every
	b.node.mu.Unlock()
	if lost != nil {
		b.cfg.Log.Info("the database is available again")
	}
	if moved && !b.node.alone() {
		b.tell(confirmedChannel, confirmedText(b.cfg.Node, epoch))
	}
	if look {
		if _, err := b.observe(ctx, 0); err != nil {
			return err
		}
	}
	if b.Leading() && (began-b.node.pruned >= every || b.node.pruned == 0) {
		more, err := b.prune(ctx)
		if err != nil {
			b.cfg.Log.Debug("old versions of records were not removed; it will be tried again", "error", err)
		}
		if !more {
			b.node.pruned = began
		}
	}
	return nil
}

// observe looks at the rows of the other nodes. It removes those whose lease has run
// out, and takes the lead when nobody has it. It returns how many nodes do not go by
// epoch yet.
func (b *Backend) observe(ctx context.Context, epoch uint64) (behind int, err error) {
	type other struct {
		id, incarnation    string
		beat, epoch, lease int64
	}
	var others []other
	var leader string
	var batch pgx.Batch
	batch.Queue(`SELECT id, incarnation, beat, epoch, lease FROM strongroom_nodes`).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var o other
			var incarnation []byte
			if err := rows.Scan(&o.id, &incarnation, &o.beat, &o.epoch, &o.lease); err != nil {
				return err
			}
			o.incarnation = string(incarnation)
			if o.id != b.cfg.Node {
				others = append(others, o)
			}
		}
		return rows.Err()
	})
	batch.Queue(`SELECT leader FROM strongroom_state WHERE id = 1`).QueryRow(func(r pgx.Row) error { return r.Scan(&leader) })
	if err := b.pool.SendBatch(ctx, &batch).Close(); err != nil {
		b.abandon(err)
		return 0, refusal("asking for the other nodes", err)
	}
	now := b.cfg.Steady.Elapsed()
	var gone []other
	led := leader == b.cfg.Node
	b.node.mu.Lock()
	before := b.node.seen
	if now-b.node.looked > b.cfg.Lease/2 {
		// The database was away, for the others as well as for this node: they are
		// given the time to come back.
		before = nil
	}
	b.node.looked = now
	b.node.seen = make(map[string]sighting, len(others))
	for _, o := range others {
		led = led || o.id == leader
		was, known := before[o.id]
		if !known || was.incarnation != o.incarnation || was.beat != o.beat {
			was = sighting{o.incarnation, o.beat, now}
		}
		b.node.seen[o.id] = was
		lease := time.Duration(o.lease) * time.Millisecond
		switch {
		case now-was.since > lease+lease/drift:
			gone = append(gone, o)
		case uint64(o.epoch) < epoch:
			behind++
		}
	}
	b.node.mu.Unlock()
	for _, o := range gone {
		if err := b.remove(ctx, o.id, o.incarnation, o.beat); err != nil {
			return 0, refusal("removing a node whose lease has run out", err)
		}
	}
	if !led {
		if err := b.takeLead(ctx, leader); err != nil {
			return 0, refusal("taking the lead", err)
		}
	}
	b.node.leading.Store(leader == b.cfg.Node)
	return behind, nil
}

// remove takes away the row of a node that has not renewed its lease since it was seen
// last. From then on it commits nothing.
func (b *Backend) remove(ctx context.Context, id, incarnation string, beat int64) error {
	return b.locked(ctx, func(tx pgx.Tx, _ int64, leader string) error {
		tag, err := tx.Exec(ctx, `DELETE FROM strongroom_nodes WHERE id = $1 AND incarnation = $2 AND beat = $3`, id, []byte(incarnation), beat)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		b.cfg.Log.Warn("a node has not renewed its lease; nobody waits for it any more", "node", id)
		if leader == id {
			_, err = tx.Exec(ctx, `UPDATE strongroom_state SET leader = '' WHERE id = 1`)
		}
		return err
	})
}

// takeLead makes this node the leader in the place of one that has no row.
func (b *Backend) takeLead(ctx context.Context, before string) error {
	return b.locked(ctx, func(tx pgx.Tx, _ int64, leader string) error {
		if leader != before {
			return nil
		}
		_, err := tx.Exec(ctx, `UPDATE strongroom_state SET leader = $1 WHERE id = 1
			AND EXISTS (SELECT 1 FROM strongroom_nodes WHERE id = $1 AND incarnation = $2)
			AND NOT EXISTS (SELECT 1 FROM strongroom_nodes WHERE id = $3)`, b.cfg.Node, b.node.current(), before)
		return err
	})
}

// Confirm implements store.Shared. Others that were told of the epoch need a moment, so
// that it listens to what they say of themselves before it looks at their rows.
func (b *Backend) Confirm(ctx context.Context, epoch uint64) error {
	told := b.heard.told.Load() >= epoch
	if others := b.node.others(); told && len(others) > 0 {
		if err := b.hearAll(ctx, others, epoch); err != nil {
			return err
		}
	}
	for wait := firstLook; ; wait = min(2*wait, 250*time.Millisecond) {
		moved := b.heard.confirmed()
		behind, err := b.observeOnce(ctx, epoch)
		if err == nil && behind == 0 {
			return nil
		}
		if err == nil && !told { // it is another node's, or is from when there was none
			told = true
			b.tell(epochChannel, "")
		}
		after, stop := b.cfg.Steady.After(wait)
		select {
		case <-after:
		case <-moved:
		case <-ctx.Done():
			stop()
			return ctx.Err()
		}
		stop()
	}
}

// firstLook is after how long the rows of other nodes are looked at, whatever was heard.
const firstLook = 5 * time.Millisecond

// hearAll returns when some nodes were heard to go by an epoch, or when it is time to
// look.
func (b *Backend) hearAll(ctx context.Context, nodes []string, epoch uint64) error {
	after, stop := b.cfg.Steady.After(firstLook)
	defer stop()
	for {
		moved := b.heard.confirmed()
		if b.heard.sayAll(nodes, epoch) {
			return nil
		}
		select {
		case <-moved:
		case <-after:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// observeOnce is observe, for no longer than a statement may take: a connection to a
// machine that is cut off never answers.
func (b *Backend) observeOnce(ctx context.Context, epoch uint64) (behind int, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	return b.observe(ctx, epoch)
}
