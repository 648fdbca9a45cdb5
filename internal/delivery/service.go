package delivery

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Config is what the service needs.
type Config struct {
	// Store must be set.
	Store *store.Store
	// Records must be set: the journal.
	Records Records
	// Secrets must be set: it seals the operator's credentials and the private keys
	// of digests, beneath the sealing of the store.
	Secrets Box
	// Clock must be set.
	Clock clock.Clock
	// Rand must be set.
	Rand io.Reader
	// Regions are the regions of the deployment, at least one.
	Regions []string
	// Every is how long records wait before they are delivered; if 0, 5 minutes.
	Every time.Duration
	// Folder is where buckets lie that nobody has made known, each in a folder of its
	// own; if empty, there are none. Only dev servers set it.
	Folder string
	// Keys makes the data keys of trails that are encrypted; if nil, their delivery
	// fails.
	Keys Keys
	// Log must be set.
	Log *slog.Logger
}

// Keys makes data keys.
type Keys interface {
	// DataKey returns 32 random bytes, and the same encrypted under t.Key with an
	// encryption context: [Context] of the trail's ARN. Its error is KMS's own.
	DataKey(ctx context.Context, t *Trail) (plain secret.Bytes, encrypted []byte, with map[string]string, err error)
}

// Records is the journal. [journal.Reader] implements it.
type Records interface {
	// From calls fn for each record of the frames with number seq or higher.
	From(ctx context.Context, seq uint64, fn func(journal.Entry) error) error
	// Range calls fn for each record that was committed at from or later and before
	// to; a zero time sets no bound.
	Range(ctx context.Context, from, to time.Time, fn func(journal.Entry) error) error
}

// Service delivers. It is safe for concurrent use; Run runs once.
type Service struct {
	Config
	wake chan struct{} // tells the worker that a trail or a destination has changed
	stop []func()

	mu     sync.Mutex
	health map[string]*health // by the trail's ID

	making sync.Mutex // held while a key for digests is made
}

// usualInterval is about CloudTrail's.
const usualInterval = 5 * time.Minute

// New returns the service over what cfg hands in. Close releases it.
func New(cfg Config) *Service {
	if cfg.Every == 0 {
		cfg.Every = usualInterval
	}
	s := &Service{Config: cfg, wake: make(chan struct{}, 1), health: map[string]*health{}}
	nudge := func(store.Change) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	s.stop = append(s.stop, cfg.Store.Watch(Trails.Name(), nudge), cfg.Store.Watch(destinations.Name(), nudge))
	return s
}

// Close stops following the store.
func (s *Service) Close() {
	for _, stop := range s.stop {
		stop()
	}
}
