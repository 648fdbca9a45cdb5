package pebble

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// failure remembers why the backend can't go on.
type failure struct {
	mu  sync.Mutex
	err error
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// set keeps the first reason, and reports whether err is it.
func (f *failure) set(err error) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return false
	}
	f.err = err
	return true
}

// logger is what Pebble speaks to. Pebble calls Fatalf when it finds that it
// can't go on, a failed sync above all, and goes on as if nothing were wrong if
// that returns: so the failure is remembered before anyone else can act on it.
type logger struct{ b *Backend }

func (l logger) Infof(format string, args ...any) {
	if l.b.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		l.b.cfg.Log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l logger) Errorf(format string, args ...any) {
	l.b.cfg.Log.Error("pebble: " + fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble: "+strings.TrimPrefix(format, "pebble: "), args...)
	if l.b.failure.set(err) {
		l.b.cfg.Fatal(err)
	}
}
