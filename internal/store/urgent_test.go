package store_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// reserved is a backend that has too little space, and some in reserve.
type reserved struct {
	*storetest.Gate
	full, empty atomic.Bool
}

func (r *reserved) Prepare(ctx context.Context, base uint64) error {
	if r.full.Load() {
		return store.ErrFull
	}
	return r.Gate.Prepare(ctx, base)
}

func (r *reserved) PrepareUrgent(ctx context.Context, base uint64) error {
	if r.empty.Load() {
		return store.ErrFull
	}
	return r.Gate.Prepare(ctx, base)
}

// TestUrgentRecordsOnAFullDisk has an urgent record among others, in one queue.
func TestUrgentRecordsOnAFullDisk(t *testing.T) {
	disk := &reserved{Gate: storetest.NewGate(storetest.Memory(t))}
	s := storetest.Open(t, disk)
	disk.Hold()
	held := make(chan error, 1)
	go func() { held <- s.Append(context.Background(), []byte("held")) }()
	<-disk.Arrived()
	disk.full.Store(true)
	answers := map[string]chan error{}
	for i, ask := range []struct {
		name string
		call func() error
	}{
		{"before", func() error { return s.Append(context.Background(), []byte("before")) }},
		{"change", func() error {
			return s.Update(context.Background(), func(tx *store.Tx) error { return things.Put(tx, scope, "one", thing{}) })
		}},
		{"urgent", func() error { return s.AppendUrgent(context.Background(), []byte("urgent")) }},
		{"after", func() error { return s.Append(context.Background(), []byte("after")) }},
	} {
		answer := make(chan error, 1)
		answers[ask.name] = answer
		go func() { answer <- ask.call() }()
		queued(s, i+1)
	}
	disk.Release()
	must(t, <-held)
	for name, answer := range answers {
		if err := <-answer; errors.Is(err, store.ErrFull) == (name == "urgent") || name == "urgent" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	disk.empty.Store(true)
	if err := s.AppendUrgent(t.Context(), []byte("too late")); !errors.Is(err, store.ErrFull) {
		t.Errorf("with nothing left in reserve: %v", err)
	}
	disk.full.Store(false)
	disk.empty.Store(false)
	must(t, s.Append(t.Context(), []byte("last")))
	if got, err := storetest.Records(t.Context(), disk); err != nil || !slices.Equal(got, []string{"held", "urgent", "last"}) {
		t.Errorf("the journal has %q, %v", got, err)
	}
}
