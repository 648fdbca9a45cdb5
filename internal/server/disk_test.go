package server

import (
	"errors"
	"log/slog"
	"runtime"
	"testing"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/gateway"
)

// TestDiskHangs goes through what a watch sees, tick by tick. That the process was
// stopped, or its clock set, moves no tick.
func TestDiskHangs(t *testing.T) {
	letGo, probed := make(chan struct{}), make(chan struct{}, 10)
	d := &disk{clock: clock.NewFake(machineClock.Now()), log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		probe: func() error { <-letGo; probed <- struct{}{}; return nil }}
	tick := 1
	ticks := func(n int, hangs bool, when string) {
		t.Helper()
		for range n {
			d.tick(tick)
			tick++
		}
		if _, err := d.state(); errors.Is(err, gateway.ErrDiskHangs) != hangs {
			t.Errorf("%s: %v", when, err)
		}
	}
	ticks(3, false, "idle")
	d.CommitBegins()
	ticks(hungAfter, false, "a commit has begun")
	ticks(1, true, "it does not end")
	d.CommitEnds()
	ticks(1, false, "it has ended")
	for range 2 * hungAfter {
		tick = 1 // no probe
		d.CommitBegins()
		ticks(1, false, "one after the other")
		d.CommitEnds()
	}
	tick = probeEvery
	ticks(hungAfter, false, "a probe has begun")
	ticks(1, true, "it does not end")
	close(letGo)
	<-probed
	for d.isProbing() {
		runtime.Gosched()
	}
	ticks(1, false, "it has ended")
	if took, _ := d.state(); took <= 0 {
		t.Error("nobody knows how long the probe took")
	}
}

func (d *disk) isProbing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.probing
}

func TestProbeFolder(t *testing.T) {
	if err := probeFolder(t.TempDir())(); err != nil {
		t.Error(err)
	}
	if err := probeFolder(t.TempDir() + "/none")(); err == nil {
		t.Error("a folder that is not there can be written to")
	}
}
