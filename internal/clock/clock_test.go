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
