package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const polls = true

// ProcessorTime is what this process has taken so far.
func ProcessorTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// poll is the loop in which one thread serves all connections.
func (r *run) poll(ctx context.Context) (err error) {
	// The thread is not given back: it waits with a precision of its own.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("asking for a precise timer: %w", err)
	}
	p := &poller{run: r}
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for i := range r.Connections {
		if err := p.connect(i); err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
	}
	r.start()
	if r.Rate == 0 {
		for i := range p.conns {
			if r.last(i) {
				break
			}
			if err := p.sendNext(&p.conns[i], time.Now()); err != nil {
				return err
			}
		}
	}
	for {
		if done, err := p.turn(ctx); done || err != nil {
			return err
		}
	}
}

// poller is the state of the loop.
type poller struct {
	*run
	epoll int
	conns []polled
	idle  []*polled // of an open loop; those that wait longest come first
	sent  int       // requests of an open loop
	busy  int       // requests under way

	heard         time.Time // the last answer
	marked, ended bool      // the measured part's begin and end
	events        [256]unix.EpollEvent
}

// polled is a connection.
type polled struct {
	fd    int
	next  int       // the number of its next request, in a closed loop
	began time.Time // of the call under way, or when that was due
	text  []byte    // what has come of its answer
}

// connect opens connection i.
func (p *poller) connect(i int) error {
	addr, err := netip.ParseAddrPort(p.Addr)
	if err != nil {
		return err
	}
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.conns = append(p.conns, polled{fd: fd, next: i, text: make([]byte, 0, 16<<10)})
	if err := unix.Connect(fd, to); err != nil {
		return err
	}
	if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.SetNonblock(fd, true)); err != nil {
		return err
	}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
}

func (p *poller) close() error {
	err := unix.Close(p.epoll)
	for i := range p.conns {
		err = errors.Join(err, unix.Close(p.conns[i].fd))
	}
	return err
}

// sendNext sends a connection's next request in a closed loop.
func (p *poller) sendNext(c *polled, now time.Time) error {
	n := c.next
	c.next += p.Connections
	return p.send(c, n, now)
}

// send sends request n over a connection; it began or was due at a moment.
func (p *poller) send(c *polled, n int, began time.Time) error {
	request := p.Requests[n%len(p.Requests)]
	c.began, c.text = began, c.text[:0]
	p.busy++
	written, err := unix.Write(c.fd, request)
	if err == nil && written < len(request) {
		err = fmt.Errorf("the connection took %d of %d bytes", written, len(request))
	}
	return err
}

// turn waits for something to do and does it. It is done when the measured part is
// over and nothing is under way.
func (p *poller) turn(ctx context.Context) (done bool, err error) {
	now := time.Now()
	if err := p.marks(now); err != nil {
		return false, err
	}
	if p.Rate > 0 {
		if err := p.sendDue(now); err != nil {
			return false, err
		}
	}
	if p.Total > 0 && p.busy == 0 {
		return true, p.end()
	}
	if p.ended && p.busy == 0 {
		return true, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if p.busy > 0 && now.Sub(p.heard) > silence && now.Sub(p.began) > silence {
		return false, errSilent
	}
	n, err := p.wait(p.until(now))
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, event := range p.events[:n] {
		if err := p.receive(&p.conns[event.Fd]); err != nil {
			return false, err
		}
	}
	return false, nil
}

// marks begins and ends the measured part when it is time.
func (p *poller) marks(now time.Time) error {
	if !p.marked && !now.Before(p.from) {
		p.marked = true
		if err := p.begin(); err != nil {
			return err
		}
	}
	if !p.ended && !now.Before(p.to) {
		p.ended = true
		return p.end()
	}
	return nil
}

// sendDue sends the requests of an open loop that are due, as far as there are
// connections for them.
func (p *poller) sendDue(now time.Time) error {
	if p.idle == nil {
		for i := range p.conns {
			p.idle = append(p.idle, &p.conns[i])
		}
	}
	for len(p.idle) > 0 {
		due := p.due(p.sent)
		if due.After(now) || !due.Before(p.to) {
			return nil
		}
		c, n := p.idle[0], p.sent
		p.sent++
		p.idle = append(p.idle[:0], p.idle[1:]...)
		if err := p.send(c, n, due); err != nil {
			return err
		}
	}
	return nil
}

// until is how long may be waited for answers.
func (p *poller) until(now time.Time) time.Duration {
	// Whether the caller gave up is seen now and then.
	wait := 100 * time.Millisecond
	next := p.from
	if p.marked {
		next = p.to
	}
	if !p.ended {
		wait = min(wait, next.Sub(now))
	}
	if p.Rate > 0 && len(p.idle) > 0 && !p.ended {
		wait = min(wait, p.due(p.sent).Sub(now))
	}
	return max(wait, 0)
}

// wait waits for answers, to the nanosecond.
func (p *poller) wait(timeout time.Duration) (int, error) {
	limit := unix.NsecToTimespec(int64(timeout))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(unsafe.Pointer(&limit)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// receive reads what has come for a connection, and ends its call when that is all.
func (p *poller) receive(c *polled) error {
	if len(c.text) == cap(c.text) {
		c.text = append(c.text, 0)[:len(c.text)]
	}
	n, err := unix.Read(c.fd, c.text[len(c.text):cap(c.text)])
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return nil
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("the server closed the connection after %d bytes of an answer", len(c.text))
	}
	c.text = c.text[:len(c.text)+n]
	size, err := answer(c.text)
	if err != nil || size == 0 || len(c.text) < size {
		return err
	}
	if len(c.text) > size {
		return fmt.Errorf("%d bytes more than an answer", len(c.text)-size)
	}
	now := time.Now()
	p.heard = now
	p.busy--
	if p.counts(c.began, now) {
		p.result.Latency.Record(now.Sub(c.began))
	}
	switch {
	case p.Rate > 0:
		p.idle = append(p.idle, c)
	case now.Before(p.to) && !p.last(c.next):
		return p.sendNext(c, now)
	}
	return nil
}
