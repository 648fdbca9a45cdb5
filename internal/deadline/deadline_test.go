package deadline

import (
	"context"
	"errors"
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

// TestWorkHasTimeOfItsOwn: a call that has worked for longer than it may wait can still
// wait as long as any other.
func TestWorkHasTimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewCalls(clock.System(), Waiting)
		parent, stop := context.WithCancel(t.Context())
		began := d.Context(parent)
		failed := errors.New("failed")
		ctx, err := Work(began, func(ctx context.Context) error {
			time.Sleep(Working - time.Second)
			if ctx.Err() != nil {
				t.Error("work has no more time than waiting has")
			}
			time.Sleep(time.Second)
			if <-ctx.Done(); parent.Err() != nil {
				t.Error("the server has ended")
			}
			return failed
		})
		if err != failed {
			t.Errorf("got %v", err)
		}
		if at, ok := ctx.Deadline(); began.Err() == nil || !ok || time.Until(at) != Waiting {
			t.Errorf("after work %s are left", time.Until(at))
		}
		if _, err := Work(began, func(context.Context) error { t.Error("works after its time"); return nil }); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		_, _ = Work(ctx, func(ctx context.Context) error {
			stop()
			if ctx.Err() == nil {
				t.Error("work outlives the server")
			}
			return nil
		})
	})
	plain := t.Context()
	ctx, err := Work(plain, func(ctx context.Context) error {
		if ctx != plain {
			t.Error("another context")
		}
		return nil
	})
	if ctx != plain || err != nil {
		t.Errorf("got %v, %v", ctx, err)
	}
}
