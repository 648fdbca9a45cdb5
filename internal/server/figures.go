package server

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/metrics"
	"github.com/strongroom/strongroom/internal/store"
)

// commits hands on what the store says of its commits.
type commits struct {
	disk    *disk
	figures *metrics.Commits
}

// CommitBegins implements [store.Observer].
func (c commits) CommitBegins() {
	c.disk.CommitBegins()
	c.figures.CommitBegins()
}

// CommitEnds implements [store.Observer].
func (c commits) CommitEnds(calls, records, bytes int, err error) {
	c.disk.CommitEnds()
	c.figures.CommitEnds(calls, records, bytes, err)
}

// figuresWithin is how long figures that are read from the store may take; what was
// not there in time is left out.
const figuresWithin = 3 * time.Second

// What is found out when it is asked for. docs/operations.md lists these names.
var (
	figureBuild       = metrics.NewGauge("build_info", "Which build this is; always 1.", "version", "go")
	figureReady       = metrics.NewGauge("ready", "1 when calls can be made durable.")
	figureDiskHangs   = metrics.NewGauge("disk_hangs", "1 while the disk of the data folder does not answer.")
	figureDiskProbe   = metrics.NewGauge("disk_probe_seconds", "Time that the last write and sync of a small file in the data folder took.")
	figureWaiting     = metrics.NewGauge("commit_waiting_calls", "Calls that wait for a commit.")
	figureWaitingMost = metrics.NewGauge("commit_waiting_calls_limit", "Calls that may wait for a commit at once.")
	figureConnections = metrics.NewGauge("connections", "Open connections of clients.")

	figureFrame    = metrics.NewCounter("journal_frames_total", "Frames in the journal: the number of the newest.")
	figureClock    = metrics.NewGauge("clock_behind_seconds", "How far the machine's clock is behind the newest time that was acted upon.")
	figureUnsigned = metrics.NewGauge("journal_unsigned_seconds", "How long the oldest frame after the last checkpoint has waited for its signature; about 1 at most.")

	figureIndexLag     = metrics.NewGauge("index_lag_frames", "Frames of the journal that the index of the audit trail has not taken in yet.")
	figureIndexBytes   = metrics.NewGauge("index_bytes", "Bytes of the index on disk.")
	figureIndexRecords = metrics.NewGauge("index_records", "Audit records in the index.")

	figureTrailFailing = metrics.NewGauge("trail_failing", "1 while a trail cannot be delivered.", "account", "region", "trail")
	figureTrailLag     = metrics.NewGauge("trail_lag_seconds", "Age of the oldest record that a trail that logs has not looked at yet; about 300 is usual.", "account", "region", "trail")
	figureShipFailing  = metrics.NewGauge("ship_failing", "1 while audit records cannot be shipped to a sink.", "sink")
	figureShipLag      = metrics.NewGauge("ship_lag_frames", "Frames of the journal that were not shipped to a sink yet.", "sink")

	figureKeys      = metrics.NewGauge("keys", "Keys of customers, of all accounts, those that wait for deletion included.", "region")
	figureKeyStores = metrics.NewGauge("custom_key_stores", "Custom key stores by the state of their connection.", "region", "state")
	figureFailing   = metrics.NewGauge("custom_key_stores_failing", "Connected custom key stores whose proxy or HSMs were last found not to serve.", "region")
	figureCache     = metrics.NewGauge("cache_entries", "Entries in a cache.", "cache")

	figureCertificate = metrics.NewGauge("tls_certificate_not_after_seconds", "When a certificate in use expires, in seconds since 1970.", "listener")
)

// collectFigures states everything that is not counted as it happens.
func (s *Server) collectFigures(g metrics.Gauges) {
	ctx, cancel := context.WithTimeout(context.Background(), figuresWithin)
	defer cancel()
	g.Set(figureBuild, 1, buildVersion(), runtime.Version())
	probed, hangs := s.disk.state()
	g.Flag(figureDiskHangs, hangs != nil)
	g.Set(figureDiskProbe, probed.Seconds())
	g.Flag(figureReady, s.ready(ctx) == nil)
	g.Set(figureClock, s.clock.Ahead().Seconds())
	calls, most := s.store.Waiting()
	g.Set(figureWaiting, float64(calls))
	g.Set(figureWaitingMost, float64(most))
	g.Set(figureConnections, float64(s.front.Connections()))
	for cache, entries := range s.kms.CacheSizes() {
		g.Set(figureCache, float64(entries), cache)
	}
	for cache, entries := range s.iam.CacheSizes() {
		g.Set(figureCache, float64(entries), cache)
	}
	s.certificates.each(func(listener string, notAfter time.Time) {
		g.Set(figureCertificate, float64(notAfter.Unix()), listener)
	})
	if at, unsigned := s.journal.CheckpointDue(); unsigned {
		g.Set(figureUnsigned, max(0, s.clock.Now().Sub(at).Seconds()+1))
	} else {
		g.Set(figureUnsigned, 0)
	}
	size := s.records.Size()
	g.Set(figureIndexBytes, float64(size.Bytes))
	g.Set(figureIndexRecords, float64(size.Records)+float64(size.Tail))
	if hangs != nil {
		return // what follows is read from it
	}
	s.collectStored(ctx, g)
}

// collectStored states what is read from the store.
func (s *Server) collectStored(ctx context.Context, g metrics.Gauges) {
	last := s.journal.Last()
	g.Set(figureFrame, float64(last))
	g.Set(figureIndexLag, lag(last, s.records.TakenIn()))
	failed := func(what string, err error) {
		if err != nil {
			s.cfg.Log.Warn("metrics could not be gathered", "of", what, "error", err)
		}
	}
	failed("keys", s.kms.EachKeyCount(ctx, func(region string, keys int64) { g.Set(figureKeys, float64(keys), region) }))
	failed("key stores", s.kms.EachKeyStoreState(ctx, func(region, state string, stores int) { g.Set(figureKeyStores, float64(stores), region, state) }))
	for _, region := range s.cfg.Regions {
		g.Set(figureFailing, float64(s.kms.FailingKeyStores(region)), region)
	}
	trails, err := s.delivery.Progress(ctx)
	failed("trails", err)
	for _, t := range trails {
		g.Flag(figureTrailFailing, t.Failing, t.Account, t.Region, t.Trail)
		g.Set(figureTrailLag, t.Lag.Seconds(), t.Account, t.Region, t.Trail)
	}
	sinks, err := s.ship.Progress(ctx)
	failed("sinks", err)
	for _, sink := range sinks {
		g.Flag(figureShipFailing, sink.Failing, sink.Name)
		g.Set(figureShipLag, lag(last+1, sink.Next), sink.Name)
	}
}

func lag(newest, reached uint64) float64 {
	if reached >= newest {
		return 0
	}
	return float64(newest - reached)
}

// ready tells whether calls can be made durable, within ctx.
func (s *Server) ready(ctx context.Context) error {
	if _, err := s.disk.state(); err != nil {
		return err
	}
	answer := make(chan error, 1)
	go func() { answer <- s.takesCalls(ctx) }() // it asks the file system, which may hang
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %v", gateway.ErrDiskHangs, ctx.Err())
	}
}

// buildVersion is the version of the module that was built.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

var _ store.Observer = commits{}
