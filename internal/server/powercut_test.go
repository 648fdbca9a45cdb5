package server

import (
	"context"
	"flag"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var powerCuts = flag.Uint64("power-cuts", 15, "seeds of TestPowerCuts; the long proof takes 1000")

// TestPowerCuts sends mixed requests from several clients and takes the power away
// before writes, syncs and renames of the disk, with some, all or none of the pages
// that were not synced. Each answer that was out by then must have its record, and
// the store and its live set must be of one moment.
//
//	go test ./internal/server -run PowerCuts -timeout 2h -power-cuts 1000
func TestPowerCuts(t *testing.T) {
	r := newFaultRun(t)
	cuts := 0
	for seed := range *powerCuts {
		cuts += r.powerCuts(seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d seeds, %d power cuts, %d answers out before them", *powerCuts, cuts, r.ended)
	if r.ended == 0 {
		t.Error("no answer was out before a cut")
	}
}

// powerCut is what a cut leaves, and the answers that were out before it.
type powerCut struct {
	image   *vfs.MemFS
	replies []reply
}

func (r *faultRun) powerCuts(seed uint64) int {
	const clients, calls = 4, 8
	random := mathrand.New(mathrand.NewPCG(seed, 3))
	disk := vfs.NewCrashableMem()
	var mu sync.Mutex // guards what follows, and random
	var replies []reply
	var cuts []powerCut
	watch := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if len(replies) > 0 && random.IntN(6) == 0 {
			unsynced := []int{0, 10, 50, 90, 100}[random.IntN(5)]
			cuts = append(cuts, powerCut{
				image:   disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: mathrand.New(mathrand.NewPCG(random.Uint64(), 0))}),
				replies: slices.Clone(replies),
			})
		}
		return nil
	})
	backend, gate := r.open(errorfs.Wrap(disk, watch))
	first := r.send(context.Background(), gate, random, "CreateKey", `{}`)
	replies = append(replies, first.reply)
	var workers sync.WaitGroup
	for client := range clients {
		random := mathrand.New(mathrand.NewPCG(seed, uint64(client)+4))
		workers.Go(func() {
			for range calls {
				name, body := mixed(random, first.keyID)
				a := r.send(context.Background(), gate, random, name, body)
				mu.Lock()
				replies = append(replies, a.reply)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	backend.service.Close()
	for _, err := range []error{backend.store.Close(), backend.Close()} {
		if err != nil {
			r.t.Error(err)
		}
	}
	for _, cut := range cuts {
		r.check(int(seed), cut.image, cut.replies, clients)
	}
	return len(cuts)
}
