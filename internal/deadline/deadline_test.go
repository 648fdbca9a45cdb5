package deadline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
)

func TestDeadlinesAreSharedAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewCalls(clock.System(), Waiting)
		parent, stop := context.WithCancel(t.Context())
		first := d.Context(parent)
		if d.Context(parent) != first {
			t.Error("two calls at one time have two deadlines")
		}
		time.Sleep(SharedFor)
		second := d.Context(parent)
		if second == first {
			t.Error("a call that began later has the deadline of the earlier one")
		}
		if at, ok := second.Deadline(); !ok || time.Until(at) != Waiting {
			t.Errorf("a fresh deadline is in %s", time.Until(at))
		}
		if first.Err() != nil {
			t.Error("a new deadline ended the one before")
		}
		time.Sleep(Waiting - SharedFor)
		synctest.Wait()
		if first.Err() == nil || second.Err() != nil {
			t.Errorf("after %s the first is %v, the second %v", Waiting, first.Err(), second.Err())
		}
		stop()
		if second.Err() == nil {
			t.Error("the deadline outlives the server")
		}
	})
}

// TestWorkIsNoWaiting: a call that has worked for longer than it may wait has as much time
// left as before.
func TestWorkIsNoWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewCalls(clock.System(), Waiting)
		parent, stop := context.WithCancel(t.Context())
		ctx := d.Context(parent)
		time.Sleep(2 * time.Second)
		for range 3 {
			turn, done := Work(ctx)
			if at, ok := turn.Deadline(); !ok || time.Until(at) != Turn {
				t.Errorf("work may wait for %s", time.Until(at))
			}
			time.Sleep(time.Hour)
			began := ctx
			ctx = done()
			if at, ok := ctx.Deadline(); began.Err() == nil || ctx.Err() != nil || !ok || time.Until(at) != Waiting-2*time.Second {
				t.Errorf("after work %s are left", time.Until(at))
			}
		}
		turn, done := Work(ctx)
		stop()
		if turn.Err() == nil || done().Err() == nil {
			t.Error("work outlives the server")
		}
		if turn, done := Work(ctx); turn != ctx || done() != ctx {
			t.Error("a call whose time is up has more")
		}
	})
	plain := t.Context()
	if turn, done := Work(plain); turn != plain || done() != plain {
		t.Error("another context")
	}
}
