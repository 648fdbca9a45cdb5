package cluster

import (
	"fmt"
	"sync"
	"time"
)

// ledger has what was answered and what was seen that must not be.
type ledger struct {
	began    time.Time
	progress func(format string, args ...any)

	mu         sync.Mutex
	answered   map[string]string // request id → operation; for answers that say what was done
	open       map[string]bool   // request ids of answers that leave it open
	violations []string
	more       int
}

// most is how many violations are kept.
const most = 40

func (l *ledger) note(a answer) {
	if a.requestID == "" {
		if a.outcome() != unknown {
			l.violate("an answer without a request id: %v", a)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.outcome() == unknown {
		l.open[a.requestID] = true
		return
	}
	l.answered[a.requestID] = a.operation
}

func (l *ledger) calls() (answered, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answered), len(l.open)
}

// violate notes what must not be.
func (l *ledger) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	if len(l.violations) < most {
		l.violations = append(l.violations, text)
	} else {
		l.more++
	}
	l.mu.Unlock()
	l.say("VIOLATION: %s", text)
}

func (l *ledger) say(format string, args ...any) {
	l.progress("%7.1fs %s", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}
