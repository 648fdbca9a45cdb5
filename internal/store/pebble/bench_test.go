package pebble_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

func benchStore(b *testing.B) *store.Store {
	b.Helper()
	backend, err := pebble.Open(pebble.Config{Dir: b.TempDir(), Log: quiet, Reserve: 1})
	must(b, err)
	b.Cleanup(func() { _ = backend.Close() })
	return storetest.Open(b, backend)
}

// writers runs fn from as many goroutines at once.
func writers(b *testing.B, n int, fn func(i int64) error) {
	var next atomic.Int64
	b.SetParallelism(max(1, n/runtime.GOMAXPROCS(0)))
	if n == 1 {
		for b.Loop() {
			must(b, fn(next.Add(1)))
		}
		return
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := fn(next.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkAppend is a durable audit record of 1.1 KB.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			s := benchStore(b)
			record := make([]byte, 1100)
			writers(b, n, func(int64) error { return s.Append(context.Background(), record) })
		})
	}
}

// BenchmarkUpdate is a durable change of one indexed record with its audit record.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", n), func(b *testing.B) {
			s := benchStore(b)
			record := make([]byte, 1100)
			writers(b, n, func(i int64) error {
				return s.Update(context.Background(), func(tx *store.Tx) error {
					if err := pairs.Put(tx, left, fmt.Sprint(i%1000), pair{N: int(i), Group: fmt.Sprint(i % 7)}); err != nil {
						return err
					}
					return tx.Append(record)
				})
			})
		})
	}
}

// BenchmarkGet reads one record of a thousand, warm.
func BenchmarkGet(b *testing.B) {
	s := benchStore(b)
	ctx := context.Background()
	must(b, s.Update(ctx, func(tx *store.Tx) error {
		for i := range 1000 {
			if err := pairs.Put(tx, left, fmt.Sprint(i), pair{N: i, Group: "g"}); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("readers=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			writers(b, n, func(i int64) error {
				return s.View(ctx, func(r store.Reader) error {
					_, err := pairs.Get(r, left, fmt.Sprint(i%1000))
					return err
				})
			})
		})
	}
}
