package clock

import "time"

// reading is what the machine says at one moment: its wall clock, and how much time has
// passed since one that stays the same, whatever the wall clock is set to.
type reading struct {
	wall   time.Time
	passed time.Duration
}

var began = time.Now()

func readMachine() reading {
	now := time.Now()
	return reading{now, now.Sub(began)}
}

// Deployment returns the clock that a deployment goes by: the machine's, which never goes
// back. When the machine's clock is set back, or is behind what [Shifted.NotBefore] says,
// time goes on from the newest that there was, at half its pace, until the machine's has
// caught up. So what has expired stays expired and records stay in order; who waits for a
// second still gets it; and what a deployment is late with it does late, not early.
func Deployment() *Shifted { return &Shifted{forward: true} }

// NotBefore makes t the newest time that there was, unless there was a newer one.
func (s *Shifted) NotBefore(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.After(s.nowLocked()) {
		s.newest = reading{t.UTC().Round(0), s.readLocked().passed}
	}
}

// Machine returns what this clock would read if it could go back.
func (s *Shifted) Machine() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readLocked().wall
}

// Ahead returns how far this clock is ahead of the machine's and its own offset; 0 when
// it is not.
func (s *Shifted) Ahead() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.nowLocked().Sub(s.readLocked().wall))
}

// readLocked reads the machine's clock and adds the offset.
func (s *Shifted) readLocked() reading {
	read := readMachine
	if s.machine != nil {
		read = s.machine
	}
	r := read()
	r.wall = r.wall.Add(s.offset).UTC().Round(0)
	return r
}

// slowly is by how much time that goes on by itself is slower than the machine's.
const slowly = 2

func (s *Shifted) nowLocked() time.Time {
	r := s.readLocked()
	if !s.forward {
		return r.wall
	}
	if !s.newest.wall.IsZero() {
		if least := s.newest.wall.Add((r.passed - s.newest.passed) / slowly); r.wall.Before(least) {
			r.wall = least
		}
	}
	s.newest = r
	return r.wall
}
