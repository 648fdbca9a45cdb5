// Package clock is the time that the rest of Strongroom is handed, so that a
// year passes in a test in a millisecond and a dev server can be moved ahead.
//
// Nothing outside this package and the command line calls time.Now for a
// decision; measuring how long something took is not a decision.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time and wakes waiters. Implementations are safe for
// concurrent use.
type Clock interface {
	// Now returns the current time in UTC without a monotonic reading, so that
	// what is stored and what is compared are one thing.
	Now() time.Time
	// Wake returns a channel that receives once, when the clock reads t or
	// later; at once if it does already. It receives as well when the clock is set
	// back meanwhile, so that who wanted to wait a second does not wait a day: who is
	// woken looks at the clock again. stop releases it.
	Wake(t time.Time) (c <-chan struct{}, stop func())
}

// Shifted is the machine's clock moved ahead by an offset. The zero value reads
// the machine's time. Only dev servers ever call Advance.
type Shifted struct {
	mu      sync.Mutex
	offset  time.Duration
	back    int           // how often it was moved back
	changed chan struct{} // closed and replaced when offset changes

	forward bool // see Deployment
	newest  reading
	machine func() reading // if nil, the machine's
}

// System returns the machine's clock.
func System() *Shifted { return &Shifted{} }

// Now returns the machine's time plus the offset; or, of a [Deployment]'s clock while
// that would be earlier than before, what follows upon the newest time.
func (s *Shifted) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nowLocked()
}

// Advance moves the clock ahead by d, or back when d is negative.
func (s *Shifted) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
	if d < 0 {
		s.back++
		s.newest = reading{}
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Reset sets the offset back to nothing.
func (s *Shifted) Reset() {
	s.mu.Lock()
	offset := s.offset
	s.mu.Unlock()
	s.Advance(-offset)
}

// longestWait bounds one wait on the machine's timer, so that a wall clock that
// was set is noticed within it.
const longestWait = time.Minute

// tolerated is how much the wall clock may lag behind the time that has passed without
// being taken for one that was set back: clocks are slewed by less.
const tolerated = time.Second

// setBack tells of a while in which the wall clock went on by wall and the machine by
// passed whether the wall clock was set back.
func setBack(wall, passed time.Duration) bool { return wall < passed-tolerated }

// Wake implements [Clock].
func (s *Shifted) Wake(t time.Time) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	stopped := make(chan struct{})
	s.mu.Lock()
	back := s.back
	s.mu.Unlock()
	begun := time.Now()
	go func() {
		for {
			s.mu.Lock()
			if s.changed == nil {
				s.changed = make(chan struct{})
			}
			changed := s.changed
			now := time.Now()
			wait := t.Sub(s.nowLocked())
			moved := s.back != back || setBack(now.Round(0).Sub(begun.Round(0)), now.Sub(begun))
			s.mu.Unlock()
			if wait <= 0 || moved {
				c <- struct{}{}
				return
			}
			timer := time.NewTimer(min(wait, longestWait))
			select {
			case <-timer.C:
			case <-changed:
			case <-stopped:
				timer.Stop()
				return
			}
			timer.Stop()
		}
	}()
	return c, sync.OnceFunc(func() { close(stopped) })
}

// Fake is a clock that stands still until it is advanced. For tests.
type Fake struct {
	mu      sync.Mutex
	now     time.Time
	waiters map[*waiter]struct{}
}

type waiter struct {
	at time.Time
	c  chan struct{}
}

// NewFake returns a clock that reads now.
func NewFake(now time.Time) *Fake {
	return &Fake{now: now.UTC().Round(0), waiters: map[*waiter]struct{}{}}
}

// Now implements [Clock].
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Advance moves the clock by d and wakes whoever is due; everybody if d is negative.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
	for w := range f.waiters {
		if d < 0 || !w.at.After(f.now) {
			w.c <- struct{}{}
			delete(f.waiters, w)
		}
	}
}

// Wake implements [Clock].
func (f *Fake) Wake(t time.Time) (<-chan struct{}, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &waiter{at: t, c: make(chan struct{}, 1)}
	if !t.After(f.now) {
		w.c <- struct{}{}
	} else {
		f.waiters[w] = struct{}{}
	}
	return w.c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waiters, w)
	}
}

// Waiters returns how many waits are outstanding, so that a test can tell that a
// worker has gone to sleep.
func (f *Fake) Waiters() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiters)
}
