package hsm

import (
	"io"
	"sync"
)

// outbox gathers messages of several goroutines: while some are written, others are
// added to what is written next, so that a busy connection has one write for many
// messages and an idle one waits for nobody.
type outbox struct {
	w io.Writer

	mu            sync.Mutex
	filling, free []byte
	writing       bool
	err           error
}

func newOutbox(w io.Writer) *outbox { return &outbox{w: w} }

// add puts one message into the box; flush sends it.
func (o *outbox) add(message func([]byte) []byte) {
	o.mu.Lock()
	o.filling = message(o.filling)
	o.mu.Unlock()
}

// flush returns when what the box held has been written or is another's to write.
// A failed write fails every later flush.
func (o *outbox) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing {
		return o.err
	}
	o.writing = true
	for len(o.filling) > 0 && o.err == nil {
		full := o.filling
		o.filling, o.free = o.free[:0], nil
		o.mu.Unlock()
		_, err := o.w.Write(full)
		clear(full) // requests and answers are secrets
		o.mu.Lock()
		o.free = full[:0]
		if o.err == nil {
			o.err = err
		}
	}
	o.writing = false
	return o.err
}
