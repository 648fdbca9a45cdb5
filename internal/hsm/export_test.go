package hsm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
)

// StartLibrary returns a client whose helper is a goroutine here, that ends when it
// is killed. stuck is after how long a call is given up.
func StartLibrary(cfg Config, stuck time.Duration, serve func(in io.Reader, out io.Writer) error) *Client {
	cfg.stuck = stuck
	return startWith(cfg, func() (*process, error) {
		requests, to, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		from, answers, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		ended := make(chan struct{})
		shut := func(files ...*os.File) {
			for _, f := range files {
				_ = f.Close() // that is how the other side is told
			}
		}
		go func() {
			_ = serve(requests, answers) // what a real helper says is seen elsewhere
			shut(requests, answers)
			close(ended)
		}()
		kill := sync.OnceFunc(func() { shut(to, from, requests, answers) })
		return &process{to: to, from: from, kill: kill, wait: func() string { <-ended; return "" }}, nil
	})
}

// Kill ends the helper of a client, if it has one, as kill -9 does.
func Kill(c *Client) bool {
	conn, _, _ := c.stand()
	if conn != nil {
		conn.process.kill()
	}
	return conn != nil
}

// Parsed is what is read of a frame: for a fuzz test.
func (f frame) Parsed() (fields [3][][]byte, err error) {
	for n := range fields {
		fields[n], _ = f.fields(n)
	}
	return fields, f.failed()
}

// ReadFrames reads frames to the first that is none.
func ReadFrames(b []byte) ([]frame, error) {
	r := bufio.NewReaderSize(bytes.NewReader(b), readAhead)
	for frames := []frame(nil); ; {
		f, err := readFrame(r)
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

// Size is how many bytes follow the frame's code.
func (f frame) Size() int { return len(f.body) }

// OpenRequest is what a client begins with.
func OpenRequest(label, pin string) []byte { return OpenRequestOf("/memory", label, pin) }

// OpenRequestOf is OpenRequest for a module.
func OpenRequestOf(module, label, pin string) []byte {
	request, err := json.Marshal(openRequest{Module: module, Token: Token{Label: label}, Sessions: 1})
	if err != nil {
		panic(err)
	}
	return appendFrame(nil, 1, opOpen, request, []byte(pin))
}

// Requests are one of each kind.
func Requests() [][]byte {
	fields := [][]byte{[]byte("key"), []byte("aad"), []byte("text"), []byte("more")}
	var all [][]byte
	for op, n := range arity {
		all = append(all, appendFrame(nil, 2, op, fields[:n]...))
	}
	return all
}

// OverTheWire is the error that arrives when one is sent.
func OverTheWire(err error) error {
	f, failed := readFrame(bufio.NewReaderSize(bytes.NewReader(appendError(nil, 1, err)), readAhead))
	if failed != nil {
		return failed
	}
	return f.failed()
}

// WireErrors are the errors that have a code.
func WireErrors() []error { return wireErrors }
