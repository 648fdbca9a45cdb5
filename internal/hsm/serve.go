package hsm

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/strongroom/strongroom/internal/secret"
)

// Library is what the helper process serves: a PKCS #11 library that it loads.
type Library struct {
	// Open loads a module and logs in. Its slot may do without ctx: the helper is
	// killed when an answer takes too long. An error that is ErrUnavailable ends the
	// helper, so that the next one loads the library anew.
	Open Opener
	// Probe looks at a module.
	Probe func(ctx context.Context, r ProbeRequest) (Report, error)
}

// openRequest is what opOpen carries beside the PIN.
type openRequest struct {
	Module   string `json:"module"`
	Token    Token  `json:"token"`
	Sessions int    `json:"sessions"`
}

const (
	defaultSessions = 8
	// maxSessions bounds what a setting can ask for.
	maxSessions = 256
	// maxInFlight is how many requests are with a helper at most.
	maxInFlight = 1024
	// readAhead is how much of what the other side sends is read at once.
	readAhead = 128 << 10
)

// Serve is the helper process: it answers requests from in on out until in ends,
// which it does when the server has ended, or until the HSM is not to be used any
// more; then it returns the reason. The process must end when Serve returns, as
// calls into the library may still be under way.
func Serve(in io.Reader, out io.Writer, library Library) error {
	r := bufio.NewReaderSize(in, readAhead)
	first, err := readFrame(r)
	if err != nil {
		return err
	}
	h := &helper{out: newOutbox(out), work: make(chan frame, maxInFlight), ended: make(chan error, 1)}
	// Loading a library and logging in may hang. The end of in is noticed even so.
	go h.read(r)
	switch first.code {
	case opProbe:
		go h.probe(first, library)
	case opOpen:
		go h.open(first, library)
	default:
		return errFrame
	}
	return <-h.ended
}

// helper is the helper's side of a connection.
type helper struct {
	slot  Slot
	out   *outbox
	work  chan frame
	ended chan error // receives once
	once  sync.Once
}

func (h *helper) end(err error) { h.once.Do(func() { h.ended <- err }) }

// open logs in and sets the workers going.
func (h *helper) open(f frame, library Library) {
	fields, err := f.fields(2)
	if err != nil {
		h.end(err)
		return
	}
	var request openRequest
	if err := json.Unmarshal(fields[0], &request); err != nil {
		h.end(fmt.Errorf("%w: %w", errFrame, err))
		return
	}
	request.Sessions = sessions(request.Sessions)
	slot, err := library.Open(context.Background(), Config{
		Module: request.Module, Token: request.Token, Sessions: request.Sessions, PIN: FixedPIN(fields[1]),
	})
	clear(f.body)
	if err != nil {
		h.out.add(func(b []byte) []byte { return appendError(b, f.number, err) })
		h.end(errors.Join(err, h.out.flush()))
		return
	}
	h.slot = slot
	h.out.add(func(b []byte) []byte { return appendFrame(b, f.number, codeOK) })
	if err := h.out.flush(); err != nil {
		h.end(err)
		return
	}
	for range request.Sessions {
		go h.serve()
	}
}

// sessions is how many a setting asks for.
func sessions(n int) int {
	if n <= 0 || n > maxSessions {
		return defaultSessions
	}
	return n
}

// read hands out what comes. It never waits for the library, so that it sees the
// end of the server.
func (h *helper) read(r *bufio.Reader) {
	for {
		f, err := readFrame(r)
		if err != nil {
			h.end(err)
			return
		}
		select {
		case h.work <- f:
		default: // the server keeps to maxInFlight
			h.end(errFrame)
			return
		}
	}
}

func (h *helper) serve() {
	for f := range h.work {
		results, err := h.answer(f)
		clear(f.body)
		if errors.Is(err, errFrame) {
			h.end(err)
			return
		}
		h.out.add(func(b []byte) []byte {
			if err != nil {
				return appendError(b, f.number, err)
			}
			return appendFrame(b, f.number, codeOK, results...)
		})
		for _, r := range results {
			clear(r)
		}
		if err := errors.Join(ifUnavailable(err), h.out.flush()); err != nil {
			h.end(err)
			return
		}
	}
}

func ifUnavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return nil
}

// arity is how many fields a request has.
var arity = map[byte]int{
	opGenerate: 2, opShareable: 2, opFind: 1, opDestroy: 1, opEncrypt: 3, opDecrypt: 3, opRandom: 1, opHealth: 0, opInfo: 0,
	opTransport: 0, opWrap: 2, opReceive: 4, opLock: 1,
}

// answer does what one request asks for.
func (h *helper) answer(f frame) ([][]byte, error) {
	n, known := arity[f.code]
	if !known {
		return nil, errFrame
	}
	in, err := f.fields(n)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	switch f.code {
	case opGenerate:
		return nil, h.slot.GenerateAES256(ctx, in[0], string(in[1]))
	case opShareable:
		return nil, h.slot.GenerateShareable(ctx, in[0], string(in[1]))
	case opFind:
		key, err := h.slot.Find(ctx, in[0])
		return asJSON(key, err)
	case opDestroy:
		return nil, h.slot.Destroy(ctx, in[0])
	case opEncrypt:
		return one(h.slot.EncryptGCM(ctx, in[0], in[1], secret.Bytes(in[2])))
	case opDecrypt:
		return one(h.slot.DecryptGCM(ctx, in[0], in[1], in[2]))
	case opRandom:
		if len(in[0]) != 4 {
			return nil, errFrame
		}
		return one(h.slot.Random(ctx, int(binary.BigEndian.Uint32(in[0]))))
	case opHealth:
		return nil, h.slot.Health(ctx)
	case opInfo:
		info, err := h.slot.Info(ctx)
		return asJSON(info, err)
	case opTransport:
		pair, err := h.slot.TransportKey(ctx)
		if err != nil {
			return nil, err
		}
		return [][]byte{binary.BigEndian.AppendUint64(nil, pair.Number), pair.Public}, nil
	case opWrap:
		return one(h.slot.WrapFor(ctx, in[0], in[1]))
	case opReceive:
		if len(in[0]) != 8 {
			return nil, errFrame
		}
		return nil, h.slot.Receive(ctx, binary.BigEndian.Uint64(in[0]), in[1], string(in[2]), in[3])
	default:
		return nil, h.slot.Lock(ctx, in[0])
	}
}

func one[B ~[]byte](b B, err error) ([][]byte, error) {
	if err != nil {
		return nil, err
	}
	return [][]byte{b}, nil
}

func asJSON(v any, err error) ([][]byte, error) {
	if err != nil {
		return nil, err
	}
	return one(json.Marshal(v))
}

func (h *helper) probe(f frame, library Library) {
	fields, err := f.fields(2)
	if err != nil {
		h.end(err)
		return
	}
	var report Report
	var request ProbeRequest
	if err = json.Unmarshal(fields[0], &request); err == nil {
		if len(fields[1]) > 0 {
			request.PIN = secret.Bytes(fields[1])
		}
		report, err = library.Probe(context.Background(), request)
	}
	var text []byte
	if err == nil {
		text, err = json.Marshal(report)
	}
	h.out.add(func(b []byte) []byte {
		if err != nil {
			return appendError(b, f.number, err)
		}
		return appendFrame(b, f.number, codeOK, text)
	})
	h.end(h.out.flush())
}
