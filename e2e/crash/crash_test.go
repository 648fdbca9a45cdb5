package crash

import (
	"math/rand/v2"
	"testing"
)

func TestFoldersShareTheKills(t *testing.T) {
	for _, kills := range []int{1, 10, 1000} {
		r := &run{cfg: Config{Kills: kills, FolderKills: 25, Workers: 1, Seed: rand.Uint64()}, folders: make(chan *folder, kills)}
		r.plan(t.Context())
		sum, paths := 0, map[string]bool{}
		for f := range r.folders {
			if f.kills < 1 || f.kills > 50 {
				t.Errorf("seed %d: a folder for %d kills", r.cfg.Seed, f.kills)
			}
			if paths[f.data] {
				t.Errorf("seed %d: %s twice", r.cfg.Seed, f.data)
			}
			paths[f.data] = true
			sum += f.kills
		}
		if sum != kills {
			t.Errorf("seed %d: the folders see %d of %d kills", r.cfg.Seed, sum, kills)
		}
	}
}
