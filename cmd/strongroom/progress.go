package main

import (
	"fmt"
	"time"
)

// progress says on a terminal's stderr how far long work has come, in one line
// that it rewrites, and nothing at all elsewhere.
type progress struct {
	a     *app
	what  string
	off   bool
	shown bool
	last  time.Time
}

// pause is the least time between two lines. Work that is shorter shows nothing.
const pause = 500 * time.Millisecond

func newProgress(a *app, what string) *progress {
	return &progress{a: a, what: what, off: !a.stderrIsTerminal, last: a.now()}
}

// show says that n of total are done; total is 0 when it is not known.
func (p *progress) show(n, total uint64) {
	if p.off {
		return
	}
	now := p.a.now()
	if now.Sub(p.last) < pause {
		return
	}
	p.last, p.shown = now, true
	text := fmt.Sprintf("%d", n)
	if total > 0 {
		text = fmt.Sprintf("%d of %d", n, total)
	}
	// Progress that can't be shown is no reason to stop the work.
	_, _ = fmt.Fprintf(p.a.stderr, "\r\x1b[K%s %s", text, p.what)
}

// done removes the line.
func (p *progress) done() {
	if p.shown {
		_, _ = fmt.Fprint(p.a.stderr, "\r\x1b[K")
	}
}
