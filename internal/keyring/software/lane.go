package software

import (
	"context"
	"fmt"
	"runtime"

	"github.com/strongroom/strongroom/internal/keyring"
)

// lane lets so many pieces of expensive work run at once. What has no place waits
// for one; so the cheap operations, which take none, always find a processor.
type lane chan struct{}

// newLane returns a lane of n places or, for 0, one for every two processors.
func newLane(n int) lane {
	if n == 0 {
		n = max(1, runtime.GOMAXPROCS(0)/2)
	}
	return make(lane, n)
}

// do runs f in a place of the lane. It returns ErrBusy if ctx ends before there is
// one, and f's error otherwise.
func (l lane) do(ctx context.Context, f func() error) error {
	select {
	case l <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", keyring.ErrBusy, context.Cause(ctx))
	}
	defer func() { <-l }()
	return f()
}
