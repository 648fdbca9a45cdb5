package hsm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A frame is what server and helper send each other, big-endian:
//
//	length of what follows (4) ‖ number (8) ‖ code (1) ‖ fields
//
// and a field is its length (4) and its bytes. A request's code says what is asked;
// the answer has the request's number, in any order, and a code that says how it
// went. Both sides read it as hostile.
const (
	frameHead = 4 + 8 + 1
	// maxFrame bounds what follows the length. The longest request is an EncryptGCM.
	maxFrame = 64 << 10
)

// The codes of requests.
const (
	opOpen = iota + 1
	opProbe
	opGenerate
	opShareable
	opFind
	opDestroy
	opEncrypt
	opDecrypt
	opRandom
	opHealth
	opInfo
	opTransport
	opWrap
	opReceive
	opLock
)

// The codes of answers. codeOK is followed by results, codeFailure by function and
// code, codeUnknown by a text, and all others stand for an error.
const (
	codeOK = iota
	codeUnknown
	codeFailure
	firstError
)

// wireErrors are the errors that have a code: firstError and on. They are only ever
// appended to.
var wireErrors = []error{
	ErrUnavailable, ErrNoModule, ErrNoToken, ErrPIN, ErrPINLocked, ErrUser, ErrLoggedIn, ErrUnsupported,
	ErrNoKey, ErrKeyExists, ErrDecrypt, ErrSize,
}

// errFrame says that the other side sent what is no frame.
var errFrame = errors.New("hsm: a malformed message")

// maxText is how much of an error's text is sent and believed.
const maxText = 512

// appendFrame appends a frame.
func appendFrame(dst []byte, number uint64, code byte, fields ...[]byte) []byte {
	size := 8 + 1
	for _, f := range fields {
		size += 4 + len(f)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = binary.BigEndian.AppendUint64(dst, number)
	dst = append(dst, code)
	for _, f := range fields {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(f)))
		dst = append(dst, f...)
	}
	return dst
}

// frame is what was read: its fields point into body.
type frame struct {
	number uint64
	code   byte
	body   []byte // what follows the code
}

// readFrame reads a frame into memory of its own. Errors: errFrame, io.EOF at a
// frame's beginning, and those of r.
func readFrame(r *bufio.Reader) (frame, error) {
	head, err := r.Peek(frameHead)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	size := binary.BigEndian.Uint32(head)
	if size < 9 || size > maxFrame {
		return frame{}, fmt.Errorf("%w: of %d bytes", errFrame, size)
	}
	f := frame{number: binary.BigEndian.Uint64(head[4:]), code: head[12], body: make([]byte, size-9)}
	if _, err := r.Discard(frameHead); err != nil {
		return frame{}, err
	}
	if _, err := io.ReadFull(r, f.body); err != nil {
		return frame{}, io.ErrUnexpectedEOF
	}
	return f, nil
}

// fields cuts the body into exactly n fields. Its only error is errFrame.
func (f frame) fields(n int) ([][]byte, error) {
	fields := make([][]byte, 0, n)
	rest := f.body
	for range n {
		if len(rest) < 4 {
			return nil, errFrame
		}
		size := binary.BigEndian.Uint32(rest)
		if uint64(size) > uint64(len(rest)-4) {
			return nil, errFrame
		}
		fields = append(fields, rest[4:4+size:4+size])
		rest = rest[4+size:]
	}
	if len(rest) != 0 {
		return nil, errFrame
	}
	return fields, nil
}

// appendError appends the answer to a request that failed.
func appendError(dst []byte, number uint64, err error) []byte {
	code, also := byte(codeUnknown), byte(0) // as ErrUnavailable may have a cause that has a code too
	for i, known := range wireErrors {
		if !errors.Is(err, known) {
			continue
		}
		if code == codeUnknown {
			code = byte(firstError + i)
		} else {
			also = byte(firstError + i)
		}
	}
	var failure *Failure
	if code == codeUnknown && errors.As(err, &failure) {
		return appendFrame(dst, number, codeFailure, short(failure.Function), short(failure.Code))
	}
	return appendFrame(dst, number, code, []byte{also}, short(err.Error()))
}

func short(text string) []byte { return []byte(text[:min(len(text), maxText)]) }

// wireError is an error that the other side has told of.
type wireError struct {
	text string
	is   []error
}

func (e *wireError) Error() string   { return e.text }
func (e *wireError) Unwrap() []error { return e.is }

// failed is the error that an answer stands for; nil for codeOK. Anything that is
// not to be understood is errFrame.
func (f frame) failed() error {
	if f.code == codeOK {
		return nil
	}
	fields, err := f.fields(2)
	if err != nil {
		return err
	}
	if f.code == codeFailure {
		return &Failure{Function: clean(fields[0]), Code: clean(fields[1])}
	}
	e := &wireError{text: clean(fields[1])}
	if len(fields[0]) != 1 {
		return errFrame
	}
	for _, code := range []byte{f.code, fields[0][0]} {
		switch i := int(code) - firstError; {
		case i >= 0 && i < len(wireErrors):
			e.is = append(e.is, wireErrors[i])
		case code == codeUnknown || code == 0:
		default:
			return errFrame
		}
	}
	if len(e.is) == 0 {
		return e
	}
	if e.text == e.is[0].Error() {
		return e.is[0] // bare, as it was
	}
	return e
}

// clean makes a text fit for a log: printable ASCII, bounded.
func clean(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(text[:min(len(text), maxText)]))
}
