package clock

import "time"

// Steady tells how much time has passed, whatever anybody sets the clock to. It never
// goes back, and it counts the time that the machine was asleep. Implementations are
// safe for concurrent use.
type Steady interface {
	// Elapsed returns the time since a moment that is the same for all calls of this
	// process.
	Elapsed() time.Duration
	// After returns a channel that receives once, when d has passed, or somewhat
	// later. stop releases it.
	After(d time.Duration) (c <-chan time.Time, stop func())
}

// Boot returns the machine's steady clock: on Linux CLOCK_BOOTTIME, elsewhere what the
// system offers that never goes back.
func Boot() Steady { return boot{} }

type boot struct{}

func (boot) Elapsed() time.Duration { return elapsed() }

func (boot) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}
