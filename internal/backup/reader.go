package backup

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/strongroom/strongroom/internal/secret"
)

// Visitor is handed what a backup holds, in the order of the file. What it is handed
// is not authenticated before [Read] has returned nil, but for what Expect covers.
// Slices are valid during the call. An error ends the reading and is returned.
type Visitor struct {
	// Key returns the key of a deployment; it must be set.
	Key func(Header) (secret.Bytes, error)
	// Record and Frame may be nil.
	Record func(key, value []byte) error
	Frame  func(seq uint64, frame []byte) error
	// Block, if not nil, is called behind all entries of a block.
	Block func() error
	// Expect is what an earlier Read of the same file returned, if not nil: then each
	// block is compared before anything of it is handed on.
	Expect *Manifest
}

// Read reads a backup to its end. Errors wrap ErrBad when it is not whole or was
// changed, or are the visitor's or the reader's.
func Read(in io.Reader, v Visitor) (Header, Manifest, error) {
	r := reader{in: in}
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(in, start); err != nil || string(start) != magic {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return Header{}, Manifest{}, err
		}
		return Header{}, Manifest{}, bad("it does not begin as a backup does")
	}
	kind, headerText, err := r.next()
	if err != nil {
		return Header{}, Manifest{}, err
	}
	var h Header
	if kind != kindHeader || strict(headerText, &h) != nil {
		return Header{}, Manifest{}, bad("the header cannot be read")
	}
	if h.Format != format {
		return Header{}, Manifest{}, bad("it has format %d, this version knows %d", h.Format, format)
	}
	headerText = bytes.Clone(headerText)
	key, err := v.Key(h)
	if err != nil {
		return h, Manifest{}, err
	}
	var seen Manifest
	for {
		kind, payload, err := r.next()
		if err != nil {
			return h, Manifest{}, err
		}
		if kind == kindManifest {
			m, err := r.end(key, headerText, payload, seen)
			return h, m, err
		}
		if err := v.visit(kind, payload, &seen); err != nil {
			return h, Manifest{}, err
		}
	}
}

type reader struct {
	in      io.Reader
	payload bytes.Buffer
}

// next reads one block. Memory grows with what is really there, not with what the
// length says.
func (r *reader) next() (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return 0, nil, cut(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxBlock {
		return 0, nil, bad("a block says that it has %d bytes", n)
	}
	r.payload.Reset()
	if _, err := io.CopyN(&r.payload, r.in, int64(n)); err != nil {
		return 0, nil, cut(err)
	}
	return head[0], r.payload.Bytes(), nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bad("it ends before its end: was it cut, or is it still being written?")
	}
	return err
}

// end compares the manifest with what was seen, and its MAC.
func (r *reader) end(key secret.Bytes, header, text []byte, seen Manifest) (Manifest, error) {
	text = bytes.Clone(text)
	kind, mac, err := r.next()
	if err != nil {
		return Manifest{}, err
	}
	if kind != kindEnd || !hmac.Equal(mac, tag(key, header, text)) {
		return Manifest{}, bad("header and manifest are not as this deployment wrote them")
	}
	var m Manifest
	if err := strict(text, &m); err != nil {
		return Manifest{}, bad("the manifest cannot be read")
	}
	if m.Records != seen.Records || m.Frames != seen.Frames || !slices.Equal(m.Blocks, seen.Blocks) {
		return Manifest{}, bad("the blocks are not those of the manifest")
	}
	if n, err := io.ReadFull(r.in, make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		if n == 0 {
			return Manifest{}, err
		}
		return Manifest{}, bad("something stands behind its end")
	}
	return m, nil
}

func strict(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return ErrBad
	}
	return nil
}

func (v *Visitor) visit(kind byte, payload []byte, seen *Manifest) error {
	if kind != kindRecords && kind != kindFrames || kind == kindRecords && seen.Frames > 0 {
		return bad("block %d is out of place", len(seen.Blocks)+1)
	}
	block := blockOf(kind, payload)
	if n := len(seen.Blocks); v.Expect != nil && (n >= len(v.Expect.Blocks) || v.Expect.Blocks[n] != block) {
		return bad("block %d has changed since it was checked", n+1)
	}
	seen.Blocks = append(seen.Blocks, block)
	for len(payload) > 0 {
		var first, second []byte
		var seq uint64
		ok := true
		if kind == kindRecords {
			if first, payload, ok = take(payload); ok {
				second, payload, ok = take(payload)
			}
			seen.Records++
		} else {
			if ok = len(payload) >= 8; ok {
				seq = binary.BigEndian.Uint64(payload)
				second, payload, ok = take(payload[8:])
			}
			seen.Frames++
		}
		var err error
		switch {
		case !ok:
			return bad("block %d breaks off", len(seen.Blocks))
		case kind == kindRecords && v.Record != nil:
			err = v.Record(first, second)
		case kind == kindFrames && v.Frame != nil:
			err = v.Frame(seq, second)
		}
		if err != nil {
			return err
		}
	}
	if v.Block != nil {
		return v.Block()
	}
	return nil
}

// take takes a length and that many bytes off the front.
func take(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if b = b[4:]; uint64(len(b)) < n {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}
