package cluster

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// nodeState is what was done to a node.
type nodeState struct {
	mu       sync.Mutex
	silent   bool      // its clients do not reach it, or it is stopped
	cut      time.Time // when it was cut off from the databases
	excused  bool      // it may refuse: its lease may have run out, or it recovers from that
	disabled bool      // it was cut off or stopped, and revocations were made without it
}

// set changes the state of a node.
func (r *runner) set(node int, change func(*nodeState)) {
	s := &r.state[node]
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// apart tells whether a node is cut off from the databases, or recovers from it.
func (r *runner) apart(node int) bool {
	s := &r.state[node]
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.cut.IsZero() || s.disabled
}

// mayFail tells whether a node's answer may be missing: nobody reaches it, or its
// lease may have run out.
func (r *runner) mayFail(node int) bool {
	s := &r.state[node]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silent || s.excused || !s.cut.IsZero() && time.Since(s.cut) > r.Lease*8/10
}

// watcher asks a node again and again to decrypt with a key that it knows.
type watcher struct {
	*runner
	node                  int
	ciphertext            string
	answered, unavailable atomic.Int64
	well                  atomic.Int64 // of those since the last reset, how many went well
}

// watchEvery is the pause between two questions.
const watchEvery = 40 * time.Millisecond

// watch makes a key and asks every node to decrypt with it until ctx ends.
func (r *runner) watch(ctx context.Context, workers *sync.WaitGroup) error {
	a, err := r.succeeds(ctx, 0, "CreateKey", map[string]any{"Description": "watched"})
	if err != nil {
		return err
	}
	id := a.field("KeyMetadata", "KeyId")
	// What is changed to see whether changes are made is another one.
	if a, err = r.succeeds(ctx, 0, "CreateKey", map[string]any{"Description": "changed"}); err != nil {
		return err
	}
	r.changed = a.field("KeyMetadata", "KeyId")
	if a, err = r.succeeds(ctx, 0, "Encrypt", map[string]any{"KeyId": id, "Plaintext": "aGVsbG8="}); err != nil {
		return err
	}
	ciphertext := a.field("CiphertextBlob")
	for n := range nodes {
		if _, err = r.succeeds(ctx, n, "Decrypt", map[string]any{"CiphertextBlob": ciphertext}); err != nil {
			return err
		}
		w := &watcher{runner: r, node: n, ciphertext: ciphertext}
		r.watchers = append(r.watchers, w)
		workers.Go(func() { w.run(ctx) })
	}
	return nil
}

func (w *watcher) run(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		before := w.mayFail(w.node)
		began := time.Now()
		a := w.root.kms(context.WithoutCancel(ctx), w.urls[w.node], "Decrypt", map[string]any{"CiphertextBlob": w.ciphertext})
		took := time.Since(began)
		w.answered.Add(1)
		switch {
		case a.outcome() == done && a.field("Plaintext") == "aGVsbG8=":
			w.well.Add(1)
		case a.outcome() != unknown:
			w.violate("node %d: Decrypt of the watched ciphertext: %v", w.node, a)
		case !w.MayRefuse && !before && !w.mayFail(w.node) && !w.pulse.stoodStill(ctx, began):
			w.unavailable.Add(1)
			w.violate("node %d does not decrypt with a key that it knows, after %s: %v %s", w.node, took, a, a.body)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// recovers waits until a node decrypts again, and changes nothing if it does not
// within a minute, which is a violation.
func (r *runner) recovers(node int) {
	w := r.watchers[node]
	w.well.Store(0)
	deadline := time.After(time.Minute)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for w.well.Load() < 5 {
		select {
		case <-ticker.C:
		case <-deadline:
			r.violate("node %d does not decrypt again a minute after all was mended", node)
			return
		}
	}
}

// between returns what an element of XML holds.
func between(body []byte, element string) string {
	_, rest, _ := strings.Cut(string(body), "<"+element+">")
	text, _, _ := strings.Cut(rest, "</"+element+">")
	return text
}
