package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlinesAreSharedAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deadlines{after: callDeadline}
		parent, stop := context.WithCancel(t.Context())
		first := d.context(parent)
		if d.context(parent) != first {
			t.Error("two calls at one time have two deadlines")
		}
		time.Sleep(sharedFor)
		second := d.context(parent)
		if second == first {
			t.Error("a call that began later has the deadline of the earlier one")
		}
		if at, ok := second.Deadline(); !ok || time.Until(at) != callDeadline {
			t.Errorf("a fresh deadline is in %s", time.Until(at))
		}
		if first.Err() != nil {
			t.Error("a new deadline ended the one before")
		}
		time.Sleep(callDeadline - sharedFor)
		synctest.Wait()
		if first.Err() == nil || second.Err() != nil {
			t.Errorf("after %s the first is %v, the second %v", callDeadline, first.Err(), second.Err())
		}
		stop()
		if second.Err() == nil {
			t.Error("the deadline outlives the server")
		}
	})
}
