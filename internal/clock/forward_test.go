package clock

import (
	"testing"
	"time"
)

// hands is a machine whose clock is set by the test.
type hands struct{ reading }

func (h *hands) deployment() *Shifted {
	return &Shifted{forward: true, machine: func() reading { return h.reading }}
}

// pass lets time pass.
func (h *hands) pass(d time.Duration) {
	h.wall, h.passed = h.wall.Add(d), h.passed+d
}

func TestTimeNeverGoesBack(t *testing.T) {
	h := &hands{reading{epoch, time.Hour}}
	c := h.deployment()
	want := func(what string, now time.Time, ahead time.Duration) {
		t.Helper()
		if got := c.Now(); !got.Equal(now) {
			t.Errorf("%s: it is %s, want %s", what, got, now)
		}
		if got := c.Ahead(); got != ahead {
			t.Errorf("%s: %s ahead, want %s", what, got, ahead)
		}
	}
	want("at first", epoch, 0)
	h.pass(time.Hour)
	want("later", epoch.Add(time.Hour), 0)

	// Set back a day: time goes on, at half its pace, until the machine has caught up.
	const day = 24 * time.Hour
	h.wall = h.wall.Add(-day)
	want("set back", epoch.Add(time.Hour), day)
	h.pass(2 * time.Second)
	want("and on", epoch.Add(time.Hour+time.Second), day-time.Second)
	h.pass(2*day - 2*time.Second)
	want("caught up", epoch.Add(time.Hour+day), 0)
	h.pass(time.Minute)
	want("after that", epoch.Add(time.Hour+day+time.Minute), 0)

	// A jump ahead is believed, and holds.
	h.wall = h.wall.Add(365 * day)
	jumped := epoch.Add(366*day + time.Hour + time.Minute)
	want("a year ahead", jumped, 0)
	h.wall = h.wall.Add(-365 * day)
	want("and set right", jumped, 365*day)

	// The operator's own move back is not the machine's.
	c.Advance(-time.Hour)
	want("moved back", h.wall.Add(-time.Hour), 0)
}

func TestTimeGoesOnFromWhatThereWas(t *testing.T) {
	h := &hands{reading{epoch, 0}}
	c := h.deployment()
	c.NotBefore(epoch.Add(-time.Hour))
	if got := c.Now(); !got.Equal(epoch) {
		t.Errorf("after an older time it is %s", got)
	}
	c.NotBefore(epoch.Add(time.Hour))
	if got := c.Now(); !got.Equal(epoch.Add(time.Hour)) || c.Ahead() != time.Hour {
		t.Errorf("after a newer time it is %s", got)
	}
	c.NotBefore(epoch)
	h.pass(time.Minute)
	if got := c.Now(); !got.Equal(epoch.Add(time.Hour + 30*time.Second)) {
		t.Errorf("a minute later it is %s", got)
	}
}

// TestAClockThatIsBehindWakes: whoever waits is not kept until the machine has caught up.
func TestAClockThatIsBehindWakes(t *testing.T) {
	c := Deployment()
	c.NotBefore(c.Now().Add(24 * time.Hour))
	wake, stop := c.Wake(c.Now().Add(time.Millisecond))
	defer stop()
	<-wake
	if system := System(); system.Ahead() != 0 {
		t.Error("the machine's clock is ahead of itself")
	}
}
