package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/metrics"
)

const (
	diskTick = time.Second
	// probeEvery is how many ticks pass between two probes, hungAfter how many a
	// commit or a probe may be under way. Ticks are counted, not times compared: a
	// clock that was set, or a process that was stopped, makes no disk hang.
	probeEvery = 10
	hungAfter  = 3
)

// disk watches whether the disk of the data folder answers: by the commits that are
// under way and, so that an idle server knows too, by a small file that is written and
// synced now and then.
type disk struct {
	clock clock.Clock
	log   *slog.Logger
	// probe writes to the disk and syncs it. It may hang.
	probe func() error

	begun, ended atomic.Uint64 // commits

	mu      sync.Mutex
	hung    bool
	failed  error // of the last probe
	probing bool
	probed  time.Duration // how long the last probe took; 0 before the first

	// Of the one goroutine that runs.
	seen          uint64
	stuck, waited int
}

// CommitBegins is called by the store's committer.
func (d *disk) CommitBegins() { d.begun.Add(1) }

// CommitEnds is called by the store's committer.
func (d *disk) CommitEnds() { d.ended.Add(1) }

// Run watches until ctx ends. A probe that hangs is left behind.
func (d *disk) Run(ctx context.Context) {
	for tick := 0; ctx.Err() == nil; tick++ {
		d.tick(tick)
		wake, stop := d.clock.Wake(d.clock.Now().Add(diskTick))
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
}

func (d *disk) tick(tick int) {
	if begun := d.begun.Load(); begun != d.ended.Load() && begun == d.seen {
		d.stuck++
	} else {
		d.seen, d.stuck = begun, 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.probing {
		d.waited++
	} else {
		d.waited = 0
		if tick%probeEvery == 0 {
			d.probing = true
			go d.doProbe()
		}
	}
	hung := d.stuck >= hungAfter || d.waited >= hungAfter
	if hung != d.hung {
		d.hung = hung
		if hung {
			d.log.Error("the disk of the data folder does not answer; calls that need it end with 503, and the server is not ready",
				"commitHangs", d.stuck >= hungAfter, "probeHangs", d.waited >= hungAfter, "next", "look at the disk: dmesg, iostat -x 1")
		} else {
			d.log.Info("the disk of the data folder answers again")
		}
	}
}

func (d *disk) doProbe() {
	begun := metrics.Start()
	err := d.probe()
	took := begun.Took()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && (d.failed == nil || d.failed.Error() != err.Error()) {
		d.log.Warn("the data folder could not be written to", "error", err)
	}
	d.probing, d.failed, d.probed = false, err, took
}

// state returns gateway.ErrDiskHangs while the disk hangs, and how long the last probe took.
func (d *disk) state() (probed time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hung {
		return d.probed, gateway.ErrDiskHangs
	}
	return d.probed, nil
}

// probeFile is in the data folder while it is tried out.
const probeFile = ".probe"

// probeFolder returns what writes a small file into dir, syncs it and reads it back.
func probeFolder(dir string) func() error {
	path := filepath.Join(dir, probeFile)
	return func() (err error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
		if _, err := f.Write([]byte("strongroom\n")); err != nil {
			return err
		}
		return f.Sync()
	}
}
