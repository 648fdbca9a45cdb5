package hsm_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/secret"
)

var (
	kills = flag.Int("hsm.kills", 6, "how many helper processes are killed under load")
	pulls = flag.Int("hsm.pulls", 4, "how many times a token is pulled under load")
)

// member is one of two HSMs, whose client says when it has connected.
type member struct {
	*hsm.Client
	folder   string
	answers  chan struct{}
	restarts atomic.Int64
}

func startMember(t *testing.T, soft *hsmtest.SoftHSM, label string) *member {
	t.Helper()
	m := &member{folder: soft.MustToken(t, label), answers: make(chan struct{}, 1)}
	cfg := soft.Config(label)
	cfg.Log = func(_ string, err error) {
		if err != nil {
			return
		}
		m.restarts.Add(1)
		select {
		case m.answers <- struct{}{}:
		default:
		}
	}
	c, err := hsm.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Client = c
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	m.recovers(t)
	return m
}

// recovers waits until the HSM answers again.
func (m *member) recovers(t *testing.T) {
	t.Helper()
	for {
		select {
		case <-m.answers:
		case <-t.Context().Done():
			t.Fatal("it does not recover")
		}
		if m.Health(t.Context()) == nil {
			return
		}
	}
}

// TestKillsAndPulls: helpers are killed and tokens pulled under load. No answer is
// wrong, every error is one that may be retried, and everything recovers by itself.
func TestKillsAndPulls(t *testing.T) {
	soft := hsmtest.MustSoftHSM(t)
	members := []*member{startMember(t, soft, "one"), startMember(t, soft, "two")}
	group, err := hsm.NewGroup(0, members[0], members[1])
	if err != nil {
		t.Fatal(err)
	}
	id := []byte("key")
	if err := group.GenerateAES256(t.Context(), id, "key"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var done, failed atomic.Int64
	for worker := range 2 {
		for name, keys := range map[string]hsm.Keys{"group": group, "one": members[0], "two": members[1]} {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					// Not ctx: its end would be an error of our own making.
					err := roundTrip(t.Context(), keys, id, fmt.Sprintf("%d %s %d", worker, name, i))
					switch {
					case err == nil:
						done.Add(1)
					case errors.Is(err, hsm.ErrUnavailable) && keys != hsm.Keys(group): // of which the other member is there
						failed.Add(1)
					default:
						t.Errorf("%s: %v", name, err)
						return
					}
				}
			})
		}
	}
	for i := range *kills {
		m := members[i%2]
		for !hsm.Kill(m.Client) {
			m.recovers(t)
		}
		m.recovers(t)
	}
	away := filepath.Join(t.TempDir(), "away")
	for i := range *pulls {
		m := members[i%2]
		if err := os.Rename(m.folder, away); err != nil {
			t.Fatal(err)
		}
		for m.Health(t.Context()) == nil { // until it is noticed
		}
		if err := os.Rename(away, m.folder); err != nil {
			t.Fatal(err)
		}
		m.recovers(t)
	}
	stop()
	wg.Wait()
	for _, m := range members {
		if err := roundTrip(t.Context(), m, id, "at the end"); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d kills, %d pulls: %d round trips, %d errors that may be retried, %d helpers started",
		*kills, *pulls, done.Load(), failed.Load(), members[0].restarts.Load()+members[1].restarts.Load())
}

// roundTrip encrypts and decrypts, and takes a wrong answer for an error.
func roundTrip(ctx context.Context, keys hsm.Keys, id []byte, text string) error {
	sealed, err := keys.EncryptGCM(ctx, id, []byte(text), secret.Bytes(text))
	if err != nil {
		return err
	}
	opened, err := keys.DecryptGCM(ctx, id, []byte(text), sealed)
	if err != nil {
		return err
	}
	if !bytes.Equal(opened, []byte(text)) {
		return fmt.Errorf("%q comes back as %q", text, []byte(opened))
	}
	return nil
}
