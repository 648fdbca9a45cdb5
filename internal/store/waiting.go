package store

import "sync"

// waitFor runs read, which reads snap, and returns when read has, or with the
// context's error when that ends first: what reads a disk that hangs does not come
// back, and whoever waits for it must be able to answer. What is left behind keeps
// the snapshot until it does come back; what it returned by then is nobody's. A panic
// in read is the caller's.
func (r *reader) waitFor(snap *snapshot, read func()) error {
	if r.ctx.Done() == nil {
		read()
		return nil
	}
	s := r.store
	s.mu.Lock()
	snap.users++
	s.mu.Unlock()
	s.strays.Add(1)
	var panicked any
	done := make(chan struct{})
	go func() {
		defer s.strays.Done()
		defer s.release(snap)
		defer close(done)
		defer func() { panicked = recover() }()
		read()
	}()
	select {
	case <-done:
		if panicked != nil {
			panic(panicked)
		}
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// getFrom is snap's Get, within the time that the reader has.
func (r *reader) getFrom(snap *snapshot, key []byte) (value []byte, err error) {
	var found []byte
	var failed error
	if err := r.waitFor(snap, func() { found, failed = snap.state.Get(key) }); err != nil {
		return nil, err
	}
	return found, failed
}

// scanFrom is snap's Scan, within the time that the reader has. fn is not called any
// more once it has returned.
func (r *reader) scanFrom(snap *snapshot, from, to []byte, fn func(key, value []byte) bool) error {
	var mu sync.Mutex // held while fn runs, which takes no time
	left := false
	var failed error
	err := r.waitFor(snap, func() {
		failed = snap.state.Scan(from, to, func(key, value []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			return !left && fn(key, value)
		})
	})
	if err == nil {
		return failed
	}
	mu.Lock()
	defer mu.Unlock()
	left = true
	return err
}
