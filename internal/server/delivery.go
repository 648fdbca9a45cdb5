package server

import (
	"path/filepath"

	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/seal"
)

// bucketsFolder is where a dev server keeps the buckets that nobody has made known.
const bucketsFolder = "buckets"

// openDelivery makes what takes the audit trail to its buckets.
func (s *Server) openDelivery() error {
	secrets, err := s.domain.Box(seal.LabelDelivery)
	if err != nil {
		return err
	}
	t, err := newTrail(s.folder)
	if err != nil {
		return err
	}
	cfg := delivery.Config{
		Store: s.store, Records: t.reader, Secrets: secrets, Clock: s.clock, Rand: s.cfg.rand(), Regions: s.cfg.Regions, Log: s.cfg.Log,
	}
	if s.cfg.Dev {
		if cfg.Folder, err = filepath.Abs(filepath.Join(s.cfg.DataDir, bucketsFolder)); err != nil {
			return err
		}
	}
	s.delivery = delivery.New(cfg)
	return nil
}
