package server

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
)

// clockBehind is how far the machine's clock may be behind the newest time that was
// acted upon before somebody is told. The clocks of several nodes differ by less.
const clockBehind = 2 * time.Minute

// newestTime is when the newest audit record was committed that this process knows of,
// its node's own included; zero without one.
func (s *Server) newestTime() time.Time {
	newest := s.journal.Newest()
	if s.localJournal != nil {
		if own := s.localJournal.Newest(); own.After(newest) {
			return own
		}
	}
	return newest
}

// holdTime lets time go on from what the audit trail knows: a machine that comes up in
// the past would otherwise take for valid what has expired, and record in disorder. A
// dev server's clock was moved on purpose, and begins anew.
func (s *Server) holdTime() {
	if s.folder.mode != modeDev && !s.cfg.AcceptEarlierClock {
		s.clock.NotBefore(s.newestTime())
	}
}

// acceptClock goes by the machine's clock although it is behind, because the operator
// says that the trail was ahead by mistake.
func (s *Server) acceptClock(ctx context.Context) error {
	if !s.cfg.AcceptEarlierClock {
		return nil
	}
	newest, now := s.newestTime(), s.clock.Now()
	if !newest.After(now) {
		s.cfg.Log.Warn("--accept-earlier-clock: the machine's clock is not behind; start without it")
		return nil
	}
	record, err := s.adminRecord(s.ownEvent("AcceptEarlierClock", map[string]string{
		"newest": newest.UTC().Format(time.RFC3339), "clock": now.UTC().Format(time.RFC3339),
	}), nil)
	if err == nil {
		err = s.store.Append(ctx, record)
	}
	if err != nil {
		return fmt.Errorf("accepting an earlier clock: %w", err)
	}
	s.cfg.Log.Warn("--accept-earlier-clock: time goes on from the machine's clock, before the newest audit record", "newest", newest, "clock", now)
	return nil
}

// clockWarning says that the machine's clock is behind; empty when it is not.
func (s *Server) clockWarning() string {
	ahead := s.clock.Ahead()
	if ahead <= clockBehind {
		return ""
	}
	return fmt.Sprintf("the machine's clock is %s behind the newest time that was acted upon; set it right", ahead.Round(time.Second))
}

// watchClock tells the log when the machine's clock is behind.
func (s *Server) watchClock(ctx context.Context, machine clock.Clock) {
	said := false
	for ctx.Err() == nil {
		switch behind := s.clockWarning() != ""; {
		case behind && !said:
			s.cfg.Log.Error("the machine's clock is behind the newest time that was acted upon; time goes on from there, slowly, until the clock has caught up",
				"behind", s.clock.Ahead().Round(time.Second), "next", "set the clock right; if it was ahead before, by mistake: docs/operations.md, \"The clock\"")
			said = true
		case !behind && said:
			s.cfg.Log.Info("the machine's clock is right again")
			said = false
		}
		wake, stop := machine.Wake(machine.Now().Add(time.Minute))
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
}
