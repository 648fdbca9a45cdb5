package clock

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestFakeWakesWhenDue(t *testing.T) {
	f := NewFake(epoch)
	due, _ := f.Wake(epoch)
	<-due
	later, _ := f.Wake(epoch.Add(time.Hour))
	never, stop := f.Wake(epoch.Add(2 * time.Hour))
	f.Advance(time.Hour)
	<-later
	stop()
	if n := f.Waiters(); n != 0 {
		t.Fatalf("%d waiters left", n)
	}
	f.Advance(24 * time.Hour)
	select {
	case <-never:
		t.Fatal("a stopped wait was woken")
	default:
	}
}

func TestShiftedAdvanceWakes(t *testing.T) {
	s := System()
	c, stop := s.Wake(s.Now().Add(1000 * time.Hour))
	defer stop()
	s.Advance(1001 * time.Hour)
	<-c
	if ahead := time.Until(s.Now()); ahead < 1000*time.Hour {
		t.Fatalf("the clock is only %s ahead", ahead)
	}
	s.Reset()
	if ahead := time.Until(s.Now()); ahead > time.Minute {
		t.Fatalf("the clock is still %s ahead after Reset", ahead)
	}
}

// TestAClockThatIsSetBackWakes: whoever wanted to wait an hour would wait a day and an
// hour.
func TestAClockThatIsSetBackWakes(t *testing.T) {
	s := System()
	shifted, stop := s.Wake(s.Now().Add(time.Hour))
	defer stop()
	s.Advance(-24 * time.Hour)
	<-shifted
	f := NewFake(epoch)
	fake, _ := f.Wake(epoch.Add(time.Hour))
	f.Advance(-24 * time.Hour)
	<-fake
	if n := f.Waiters(); n != 0 {
		t.Errorf("%d waiters left", n)
	}
	for _, c := range []struct {
		wall, passed time.Duration
		back         bool
	}{
		{time.Minute, time.Minute, false},
		{time.Minute - tolerated/2, time.Minute, false}, // slewed
		{25 * time.Hour, time.Minute, false},            // set ahead, or the machine slept
		{-24 * time.Hour, time.Minute, true},
		{time.Minute - 2*tolerated, time.Minute, true},
	} {
		if got := setBack(c.wall, c.passed); got != c.back {
			t.Errorf("the clock went on by %s in %s: set back %v", c.wall, c.passed, got)
		}
	}
}
