package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// The channels that nodes tell each other over that there is something to look at.
const (
	epochChannel     = "strongroom_epoch"     // there is a new epoch
	confirmedChannel = "strongroom_confirmed" // a node goes by a new epoch
)

// heard wakes those who wait for other nodes. What is not heard is seen a little
// later.
type heard struct {
	epoch chan struct{} // holds one element once there is something new

	// told is the newest epoch that this node has told the others of.
	told atomic.Uint64

	mu    sync.Mutex
	moved chan struct{}     // closed when a node has confirmed something
	said  map[string]uint64 // by node, the newest epoch that it was heard to go by
	proof proof             // of the newest epoch that was heard of
	mute  bool              // the database has no notifications
	stop  func()            // ends the connection that listens; nil when there is none
}

// hangUp ends the connection that listens, so that another is made.
func (h *heard) hangUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop != nil {
		h.stop()
	}
}

func (h *heard) setStop(stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stop = stop
}

// confirmed returns a channel that is closed at the next news of a node's epoch.
func (h *heard) confirmed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.moved == nil {
		h.moved = make(chan struct{})
	}
	return h.moved
}

func (b *Backend) wake() {
	select {
	case b.heard.epoch <- struct{}{}:
	default:
	}
}

// hear takes in what another node told. What this one told itself is nothing new.
func (b *Backend) hear(channel, text string) {
	if channel == epochChannel {
		p, ok := parseProof(text)
		if ok && p.node == b.cfg.Node {
			return
		}
		b.heard.mu.Lock()
		b.heard.proof = p
		b.heard.mu.Unlock()
		b.wake()
		return
	}
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	if node, epoch, ok := parseConfirmed(text); ok {
		if b.heard.said == nil || len(b.heard.said) > 1000 { // names of nodes that are gone
			b.heard.said = map[string]uint64{}
		}
		b.heard.said[node] = epoch
	}
	if b.heard.moved != nil {
		close(b.heard.moved)
		b.heard.moved = nil
	}
}

// sayAll tells whether each of some nodes was heard to go by an epoch. It may be wrong in
// both ways: what counts are the nodes' rows.
func (h *heard) sayAll(nodes []string, epoch uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !slices.ContainsFunc(nodes, func(node string) bool { return h.said[node] < epoch })
}

// proof says of an epoch that it is on the standbys: who made the commit of that epoch
// tells its id once the standbys were waited for. A database in which that commit is the
// node's last one, and the epoch the newest, shows nothing that is not on the standbys,
// whichever machine it runs on: the id is on those alone that have the commit and all
// before it.
type proof struct {
	node  string
	id    []byte
	epoch uint64
}

func (p proof) String() string { return fmt.Sprintf("%s %x %d", p.node, p.id, p.epoch) }

// parseProof reads what String made. The zero proof is none.
func parseProof(text string) (p proof, ok bool) {
	parts := strings.Split(text, " ")
	if len(parts) != 3 || !validNode(parts[0]) {
		return proof{}, false
	}
	id, err := hex.DecodeString(parts[1])
	epoch, bad := strconv.ParseUint(parts[2], 10, 63)
	if err != nil || bad != nil || len(id) != commitID {
		return proof{}, false
	}
	return proof{parts[0], id, epoch}, true
}

func (h *heard) newest() proof {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proof
}

func confirmedText(node string, epoch uint64) string { return fmt.Sprintf("%s %d", node, epoch) }

func parseConfirmed(text string) (node string, epoch uint64, ok bool) {
	node, number, _ := strings.Cut(text, " ")
	epoch, err := strconv.ParseUint(number, 10, 63)
	return node, epoch, err == nil && validNode(node)
}

// notify is a transaction of its own, which need not be on a disk or a standby: what is
// told is kept nowhere.
const notify = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`

// tell notifies the other nodes, without waiting for it.
func (b *Backend) tell(channel, text string) {
	b.heard.mu.Lock()
	mute := b.heard.mute
	b.heard.mu.Unlock()
	if mute {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), b.cfg.Timeout)
		defer cancel()
		_, err := b.pool.Exec(ctx, notify, channel, text)
		b.fallMute(err)
	}()
}

// fallMute tells whether the database has no notifications, by its answer to a question
// for them, and notes it.
func (b *Backend) fallMute(err error) bool {
	switch state(err) {
	case undefinedFunction, undefinedObject, featureNotSupported, syntaxError:
	default:
		return false
	}
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	if !b.heard.mute {
		b.cfg.Log.Info("the database has no notifications; nodes look for changes by themselves", "every", b.cfg.Poll)
	}
	b.heard.mute = true
	return true
}

// listen hears notifications until ctx ends, over a connection of its own, or until the
// database says that it has none.
func (b *Backend) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if b.fallMute(b.listenOnce(ctx)) {
			return
		}
		after, stop := b.cfg.Steady.After(b.cfg.Poll)
		select {
		case <-after:
		case <-ctx.Done():
		}
		stop()
	}
}

func (b *Backend) listenOnce(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b.heard.setStop(stop)
	defer b.heard.setStop(nil)
	conn, err := pgx.ConnectConfig(ctx, b.pool.Config().ConnConfig)
	if err != nil {
		return err // whoever renews the lease says so
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, channel := range []string{epochChannel, confirmedChannel} {
		if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
			return err
		}
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		b.hear(n.Channel, n.Payload)
	}
}
