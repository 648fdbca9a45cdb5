package server

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

// newestFile says beside the store how far its journal had come at least. Every commit
// has a frame there, so that a store that has lost some of its end is found: in the last
// 32 KiB of its log Pebble cannot tell a damaged byte from what a crash leaves, and opens
// without what comes after it. It is no protection against somebody who can write it.
const newestFile = "journal.newest"

// newestInterval is how often a server that runs writes it.
const newestInterval = time.Minute

// readNewest returns the number of the frame; 0 where no file says one, or it is damaged
// itself.
func readNewest(dir string) uint64 {
	text, err := os.ReadFile(filepath.Join(dir, newestFile))
	if err != nil {
		return 0
	}
	var seq uint64
	if _, err := fmt.Sscanf(string(text), "%d", &seq); err != nil || string(text) != newestText(seq) {
		return 0
	}
	return seq
}

func newestText(seq uint64) string {
	return fmt.Sprintf("%d %08x\n", seq, crc32.ChecksumIEEE(fmt.Appendf(nil, "%d", seq)))
}

// lastFrame is the newest that is durable; 0 where there is none.
func (f *folder) lastFrame(ctx context.Context) (uint64, error) {
	seq, _, err := f.backend.LastFrame(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return seq, err
}

// writeNewest writes the file. It is only ever behind the store.
func (f *folder) writeNewest(ctx context.Context) error {
	seq, err := f.lastFrame(ctx)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(f.dir, newestFile), []byte(newestText(seq)), 0o600)
}

// checkNewest refuses a store that has lost what it had acknowledged.
func (f *folder) checkNewest(ctx context.Context) error {
	had := readNewest(f.dir)
	seq, err := f.lastFrame(ctx)
	if err != nil || seq >= had {
		return err
	}
	return changedRecords(fmt.Errorf("%w: its journal ends at frame %d, and had come to %d", store.ErrRolledBack, seq, had))
}

// keepNewest writes the file from time to time.
func (s *Server) keepNewest(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.folder.writeNewest(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("what the journal has come to could not be written beside it", "file", newestFile, "error", err)
		}
		wake, stop := s.clock.Wake(s.clock.Now().Add(newestInterval))
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
}
