package postgres

import (
	"context"
	"sync"

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

	mu    sync.Mutex
	moved chan struct{} // closed when a node has confirmed something
	mute  bool          // the database has no notifications
	stop  func()        // ends the connection that listens; nil when there is none
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

func (b *Backend) hear(channel string) {
	if channel == epochChannel {
		b.wake()
		return
	}
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	if b.heard.moved != nil {
		close(b.heard.moved)
		b.heard.moved = nil
	}
}

// tell notifies the other nodes, without waiting for it.
func (b *Backend) tell(channel string) {
	b.heard.mu.Lock()
	mute := b.heard.mute
	b.heard.mu.Unlock()
	if mute {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), b.cfg.Timeout)
		defer cancel()
		_, err := b.pool.Exec(ctx, `SELECT pg_notify($1, '')`, channel)
		b.fallMute(err)
	}()
}

// fallMute tells whether the database has no notifications, by its answer to a question
// for them, and notes it.
func (b *Backend) fallMute(err error) bool {
	switch state(err) {
	case undefinedFunction, featureNotSupported, syntaxError:
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
		b.hear(n.Channel)
	}
}
