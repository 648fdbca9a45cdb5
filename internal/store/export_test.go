package store

// Queued returns how many calls wait behind the commit that is under way.
func (s *Store) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// Closing is closed when the store begins to stop.
func (s *Store) Closing() <-chan struct{} { return s.closing }
