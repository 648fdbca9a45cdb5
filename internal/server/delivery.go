package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/ship"
	"github.com/strongroom/strongroom/internal/store"
)

// bucketsFolder is where a dev server keeps the buckets that nobody has made known.
const bucketsFolder = "buckets"

// sinks reads the setting of shipping.
func (c Config) sinks() (sinks []*ship.Sink, err error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	for _, setting := range c.AuditShip {
		sink, err := ship.ParseSink(strings.TrimSpace(setting), c.Stdout, host)
		if err != nil {
			return nil, refuse("audit-ship", "", "%q is no place to ship records to: %v", setting, err)
		}
		if slices.ContainsFunc(sinks, func(s *ship.Sink) bool { return s.Name() == sink.Name() }) {
			return nil, refuse("audit-ship", "", "%s is named twice", sink.Name())
		}
		sinks = append(sinks, sink)
	}
	return sinks, nil
}

func (c Config) checkShip() error {
	_, err := c.sinks()
	return err
}

// openDelivery makes what takes the audit trail to its buckets and shippers.
func (s *Server) openDelivery() error {
	secrets, err := s.domain.Box(seal.LabelDelivery)
	if err != nil {
		return err
	}
	t, err := newTrail(s.folder)
	if err != nil {
		return err
	}
	cfg := delivery.Config{
		Store: s.store, Records: t.reader, Secrets: secrets, Clock: s.clock, Rand: s.cfg.rand(), Regions: s.cfg.Regions, Keys: &s.keys, Log: s.cfg.Log,
	}
	if s.cfg.Dev {
		if cfg.Folder, err = filepath.Abs(filepath.Join(s.cfg.DataDir, bucketsFolder)); err != nil {
			return err
		}
	}
	s.delivery = delivery.New(cfg)
	sinks, err := s.cfg.sinks()
	// Shippers go by the machine's clock: it is the machine's load that they spare.
	s.ship = ship.New(ship.Config{Store: s.store, Records: t.reader, Clock: machineClock, Sinks: sinks, Log: s.cfg.Log})
	if err != nil {
		return err
	}
	s.retain, err = s.newRetention()
	return err
}

// warnings are for /readyz: nobody's call fails for them.
func (s *Server) warnings() []string {
	var all []string
	if behind := s.clockWarning(); behind != "" {
		all = append(all, behind)
	}
	if s.delivery.Failing() {
		all = append(all, "a trail cannot be delivered; see GetTrailStatus and the log")
	}
	if s.ship.Failing() {
		all = append(all, "audit records cannot be shipped; see the log")
	}
	if s.root.failing() {
		all = append(all, "the root of the keys cannot be had, and the next start needs it; see the log and strongroom seal status")
	}
	if s.retain.Failing() {
		all = append(all, "old audit records cannot be removed; see the log")
	}
	if s.spool != nil && s.store.Ready(context.Background()) != nil {
		all = append(all, "the database is not available: changes are refused, and known keys can be used until the lease of this node has run out")
	}
	return all
}

// buckets lets the command line say where trails may go.
type buckets struct{ *operator }

var _ admin.Buckets = buckets{}

// PutBucket implements [admin.Buckets].
func (b buckets) PutBucket(ctx context.Context, by admin.Peer, to admin.Bucket, secretKey secret.Bytes) error {
	record, refused, err := b.record(ctx, by, "PutTrailBucket", to.Params())
	if err != nil {
		return err
	}
	err = b.delivery.PutDestination(ctx, delivery.Destination{
		Bucket: to.Name, Folder: to.Folder, Endpoint: to.Endpoint, Region: to.Region, PathStyle: to.PathStyle, AccessKeyID: to.AccessKeyID,
	}, secretKey, record)
	if err != nil {
		return refused(err)
	}
	return nil
}

// RemoveBucket implements [admin.Buckets].
func (b buckets) RemoveBucket(ctx context.Context, by admin.Peer, name string) error {
	record, refused, err := b.record(ctx, by, "RemoveTrailBucket", map[string]string{"name": name})
	if err != nil {
		return err
	}
	err = b.delivery.DeleteDestination(ctx, name, record)
	if errors.Is(err, store.ErrNotFound) {
		err = problem("there is no bucket "+name, "strongroom trail buckets", nil)
	}
	if err != nil {
		return refused(err)
	}
	return nil
}

// ListBuckets implements [admin.Buckets].
func (b buckets) ListBuckets(ctx context.Context, emit func(admin.Bucket) error) error {
	list, err := b.delivery.Destinations(ctx)
	for _, d := range list {
		if err == nil {
			err = emit(admin.Bucket{Name: d.Bucket, Folder: d.Folder, Endpoint: d.Endpoint, Region: d.Region, PathStyle: d.PathStyle, AccessKeyID: d.AccessKeyID})
		}
	}
	return err
}
