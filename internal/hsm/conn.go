package hsm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection with one helper. Once it is dead it stays so.
type conn struct {
	process *process
	out     *outbox
	room    chan struct{} // holds one for each request that the helper has
	wake    chan struct{} // that there is something to write
	dead    chan struct{}
	// answered counts answers.
	answered atomic.Uint64

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan frame // nil for one that nobody waits for any more
	err     error                 // why it is dead
}

func newConn(p *process, stuck time.Duration) *conn {
	if stuck <= 0 {
		stuck = defaultStuck
	}
	c := &conn{process: p, out: newOutbox(p.to), room: make(chan struct{}, maxInFlight), wake: make(chan struct{}, 1), dead: make(chan struct{}), pending: map[uint64]chan frame{}}
	go c.read()
	go c.write()
	go c.watch(stuck)
	return c
}

// call sends a request and waits for its answer. Errors: what the answer says, and
// ErrUnavailable when there is none.
func (c *conn) call(ctx context.Context, op byte, fields ...[]byte) (frame, error) {
	select {
	case c.room <- struct{}{}:
	case <-c.dead:
		return frame{}, c.gone()
	case <-ctx.Done():
		return frame{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	answer := make(chan frame, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return frame{}, c.gone()
	}
	c.next++
	number := c.next
	c.pending[number] = answer
	c.mu.Unlock()
	c.out.add(func(b []byte) []byte { return appendFrame(b, number, op, fields...) })
	select {
	case c.wake <- struct{}{}:
	default: // it will see this one too
	}
	select {
	case f := <-answer:
		return f, f.failed()
	case <-c.dead:
		select { // it may have come just before
		case f := <-answer:
			return f, f.failed()
		default:
			return frame{}, c.gone()
		}
	case <-ctx.Done():
		c.mu.Lock()
		if _, waits := c.pending[number]; waits {
			c.pending[number] = nil
		}
		c.mu.Unlock()
		return frame{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// gone is why there will be no answer.
func (c *conn) gone() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return unavailable(c.err)
}

// write sends what callers have put into the box. They do not send it themselves, as
// a helper that does not read would hold them beyond the end of their contexts.
func (c *conn) write() {
	for {
		select {
		case <-c.wake:
		case <-c.dead:
			return
		}
		if err := c.out.flush(); err != nil {
			c.fail(err)
			return
		}
	}
}

// read hands answers to those who wait.
func (c *conn) read() {
	r := bufio.NewReaderSize(c.process.from, readAhead)
	for {
		f, err := readFrame(r)
		if err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		answer, asked := c.pending[f.number]
		delete(c.pending, f.number)
		c.mu.Unlock()
		if !asked {
			c.fail(fmt.Errorf("%w: an answer to nothing that was asked", errFrame))
			return
		}
		<-c.room
		c.answered.Add(1)
		if answer != nil {
			answer <- f
		}
	}
}

// watch ends a helper that leaves a call without an answer.
func (c *conn) watch(stuck time.Duration) {
	ticker := time.NewTicker(stuck)
	defer ticker.Stop()
	for last := uint64(0); ; {
		select {
		case <-c.dead:
			return
		case <-ticker.C:
		}
		oldest := uint64(0)
		c.mu.Lock()
		for number := range c.pending {
			if oldest == 0 || number < oldest {
				oldest = number
			}
		}
		c.mu.Unlock()
		if oldest != 0 && oldest == last {
			c.fail(errors.New("hsm: the module hangs"))
			return
		}
		last = oldest
	}
}

// fail ends the connection, unless it has ended.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.dead)
	c.process.kill()
}

// close ends the connection and the helper, and returns why it ended: err, or what
// came before.
func (c *conn) close(err error) error {
	if err == nil {
		err = ErrClosed
	}
	c.fail(err)
	ended := c.process.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if ended != "" && !errors.Is(c.err, ErrClosed) {
		return fmt.Errorf("%w (%s)", unavailable(c.err), ended)
	}
	return c.err
}
