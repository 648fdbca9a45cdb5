package kms

import (
	"context"
	"errors"
	"sync"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/xksapi"
)

const (
	// tendEvery is how often connected key stores are looked after.
	tendEvery = 30 * time.Second
	// tendAtOnce is how many at once, tendPatience how long an HSM is waited for.
	tendAtOnce   = 8
	tendPatience = 5 * time.Second
)

// watchedStores are the key stores that there are, and which of them were last found
// not to serve.
type watchedStores struct {
	mu sync.Mutex
	// failing has every key store that is known, by account/region/id.
	failing map[string]bool
	// changed wakes whoever tends them.
	changed chan struct{}
}

// note takes down that a key store has changed.
func (w *watchedStores) note(c store.Change) {
	name := c.Scope.Account + "/" + c.Scope.Region + "/" + c.ID
	w.mu.Lock()
	if c.Deleted {
		delete(w.failing, name)
	} else if _, known := w.failing[name]; !known {
		w.failing[name] = false
	}
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *watchedStores) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for name := range w.failing {
		names = append(names, name)
	}
	return names
}

// FailingKeyStores returns how many connected key stores of a Region do not serve, as
// Tend found last.
func (s *Service) FailingKeyStores(region string) (n int) {
	s.stores.mu.Lock()
	defer s.stores.mu.Unlock()
	for name, failing := range s.stores.failing {
		if in, _ := scopeOf(name); failing && in.Region == region {
			n++
		}
	}
	return n
}

// found takes down whether a key store serves, and returns whether that is new.
func (w *watchedStores) found(name string, failing bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	was, known := w.failing[name]
	if known {
		w.failing[name] = failing
	}
	return known && was != failing
}

// Tend looks after connected key stores until ctx ends: it asks proxies and HSMs for
// their health, says in the log when that changes, logs in again to HSMs that were
// away, and logs out of those of key stores that are not connected any more. What it
// finds changes no connection state: as in AWS, calls fail until a backend is back.
func (s *Service) Tend(ctx context.Context) {
	if err := s.learnKeyStores(ctx); err != nil && ctx.Err() == nil {
		s.Log.Error("the custom key stores could not be read; those that are used are looked after", "error", err)
	}
	for ctx.Err() == nil {
		s.tend(ctx)
		wake, stop := s.Clock.Wake(s.Clock.Now().Add(tendEvery))
		select {
		case <-wake:
		case <-s.stores.changed:
		case <-ctx.Done():
		}
		stop()
	}
}

// learnKeyStores finds the key stores that there are, once.
func (s *Service) learnKeyStores(ctx context.Context) error {
	return s.Store.View(ctx, func(r store.Reader) error {
		scopes, err := store.Scopes(r)
		if err != nil {
			return err
		}
		for _, in := range scopes {
			items, _, err := keyStoreRecords.Scan(r, in, "", maxKeyStores)
			if err != nil {
				return err
			}
			for _, item := range items {
				s.stores.note(store.Change{Scope: in, ID: item.ID})
			}
		}
		return nil
	})
}

// tend looks after all key stores once.
func (s *Service) tend(ctx context.Context) {
	for _, name := range s.sessions.names() {
		in, id := scopeOf(name)
		ks, err := s.keyStores.Get(ctx, in, id)
		gone := errors.Is(err, store.ErrNotFound)
		if gone || err == nil && ks.State != api.ConnectionStateTypeConnected && ks.State != api.ConnectionStateTypeConnecting {
			if err := s.sessions.drop(name); err != nil {
				s.Log.Warn("logging out of the HSMs of a custom key store has failed", "store", id, "error", err)
			}
		}
	}
	var all sync.WaitGroup
	places := make(chan struct{}, tendAtOnce)
	for _, name := range s.stores.names() {
		in, id := scopeOf(name)
		ks, err := s.keyStores.Get(ctx, in, id)
		if err != nil || ks.State != api.ConnectionStateTypeConnected {
			s.stores.found(name, false) // nobody expects it to serve
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			s.tendOne(ctx, name, ks)
		})
	}
	all.Wait()
}

func (s *Service) tendOne(ctx context.Context, name string, ks *keyStore) {
	var err error
	if ks.Cluster != "" {
		err = s.tendCluster(ctx, &ks.keyStoreRecord)
	} else {
		err = s.tendProxy(ctx, &ks.keyStoreRecord)
	}
	if ctx.Err() != nil || !s.stores.found(name, err != nil) {
		return
	}
	switch {
	case err == nil:
		s.Log.Info("a custom key store serves again", "store", ks.Name)
	case ks.Cluster == "":
		s.sayUnserved(&ks.keyStoreRecord, healthCheck, err)
	default:
		s.Log.Warn("a CloudHSM cluster does not serve its custom key store", "store", ks.Name, "cluster", ks.Cluster, "error", err)
	}
}

// healthCheck is what a periodic check tells a proxy as its operation (specification,
// GetHealthStatus).
const healthCheck = "KmsHealthCheck"

func (s *Service) tendProxy(ctx context.Context, r *keyStoreRecord) error {
	id, err := s.newKeyID(false)
	if err != nil {
		return err
	}
	return s.askHealth(ctx, r, xksapi.Metadata{Operation: healthCheck, RequestID: id})
}

// tendCluster logs in to the HSMs that are not logged in to, and asks the others
// whether they answer. Its error says that none does.
func (s *Service) tendCluster(ctx context.Context, r *keyStoreRecord) error {
	g, err := s.session(ctx, r, true)
	if err != nil {
		return err
	}
	if g.keys == nil {
		return g.failed
	}
	var last error
	serves := false
	for id, slot := range g.slots {
		bounded, cancel := context.WithTimeout(ctx, tendPatience)
		err := slot.Health(bounded)
		cancel()
		if err != nil {
			last = err
			s.Clusters.Report(id, unanswered(err))
			continue
		}
		serves = true
		s.Clusters.Report(id, "")
	}
	if serves {
		return nil
	}
	return last
}
