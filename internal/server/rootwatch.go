package server

import (
	"context"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/seal"
)

// rootCheckInterval is how often a server looks whether its root is still there. It
// serves without: the next start would not.
const rootCheckInterval = 10 * time.Minute

// rootWatch is what was found of the root last.
type rootWatch struct {
	mu  sync.Mutex
	err error
}

func (w *rootWatch) failing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

// found keeps what was found, and returns what was before.
func (w *rootWatch) found(err error) (before error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, w.err = w.err, err
	return before
}

// checkRoot says whether a start could open the folder with the root now.
func (s *Server) checkRoot(ctx context.Context, root seal.Root) error {
	err := s.domain.Reaches(ctx, root)
	if ctx.Err() != nil {
		return err // nothing was found
	}
	if s.folder.currentRoot() != root { // meanwhile, which explains any error
		return nil
	}
	switch before := s.root.found(err); {
	case err != nil && before == nil:
		s.cfg.Log.Error("the root of the keys cannot be had: this server serves on, and no other start would", "root", root.Describe(), "error", err)
	case err == nil && before != nil:
		s.cfg.Log.Info("the root of the keys can be had again", "root", root.Describe())
	}
	return err
}

// watchRoot checks the root from time to time, first at next.
func (s *Server) watchRoot(ctx context.Context, next time.Time) {
	for ctx.Err() == nil {
		wake, stop := s.clock.Wake(next)
		select {
		case <-wake:
			_ = s.checkRoot(ctx, s.folder.currentRoot()) // said in the log and in /readyz
			next = s.clock.Now().Add(rootCheckInterval)
		case <-ctx.Done():
		}
		stop()
	}
}

// warnOfLoneRoot says at a start what the owner of such a root must know.
func (s *Server) warnOfLoneRoot() {
	info := s.domain.Info()
	if len(info.Roots) != 1 {
		return
	}
	switch info.Roots[0].Kind {
	case seal.KindPKCS11:
		s.cfg.Log.Warn("the root of the keys is in an HSM and there is no recovery key: if the token is lost or reset, every key is lost; make one with: strongroom recovery init")
	case seal.KindTPM:
		s.cfg.Log.Warn("the root of the keys is in a TPM and there is no recovery key: if the TPM breaks or is cleared, every key is lost; make one with: strongroom recovery init")
	}
}
