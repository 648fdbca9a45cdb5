package backup

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/secret"
)

// Writer writes one backup: records, then frames, then Close. After an error the
// file is of no use.
type Writer struct {
	out      io.Writer
	key      secret.Bytes
	header   []byte
	manifest Manifest
	kind     byte // of what waits
	waiting  []byte
}

// NewWriter writes the header, whose Format it sets. key authenticates the whole,
// 32 bytes.
func NewWriter(out io.Writer, key secret.Bytes, h Header) (*Writer, error) {
	h.Format = format
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	w := &Writer{out: out, key: key, header: text, kind: kindRecords}
	if _, err := io.WriteString(out, magic); err != nil {
		return nil, err
	}
	return w, w.block(kindHeader, text)
}

func (w *Writer) block(kind byte, payload []byte) error {
	if len(payload) > maxBlock {
		return fmt.Errorf("backup: a block of %d bytes, more than %d", len(payload), maxBlock)
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	if _, err := w.out.Write(head); err != nil {
		return err
	}
	_, err := w.out.Write(payload)
	return err
}

// flush writes what waits.
func (w *Writer) flush() error {
	if len(w.waiting) == 0 {
		return nil
	}
	w.manifest.Blocks = append(w.manifest.Blocks, blockOf(w.kind, w.waiting))
	err := w.block(w.kind, w.waiting)
	w.waiting = w.waiting[:0]
	return err
}

// Record adds a record. Nothing is kept of the slices.
func (w *Writer) Record(key, value []byte) error {
	w.manifest.Records++
	w.waiting = binary.BigEndian.AppendUint32(w.waiting, uint32(len(key)))
	w.waiting = append(w.waiting, key...)
	w.waiting = binary.BigEndian.AppendUint32(w.waiting, uint32(len(value)))
	w.waiting = append(w.waiting, value...)
	return w.full()
}

// Frame adds a frame; they come in order, behind all records.
func (w *Writer) Frame(seq uint64, frame []byte) error {
	if w.kind != kindFrames {
		if err := w.flush(); err != nil {
			return err
		}
		w.kind = kindFrames
	}
	w.manifest.Frames++
	w.waiting = binary.BigEndian.AppendUint64(w.waiting, seq)
	w.waiting = binary.BigEndian.AppendUint32(w.waiting, uint32(len(frame)))
	w.waiting = append(w.waiting, frame...)
	return w.full()
}

func (w *Writer) full() error {
	if len(w.waiting) < blockSize {
		return nil
	}
	return w.flush()
}

// Close writes the manifest and what authenticates it. It does not close the
// output.
func (w *Writer) Close() (Manifest, error) {
	if err := w.flush(); err != nil {
		return Manifest{}, err
	}
	text, err := json.Marshal(w.manifest)
	if err != nil {
		return Manifest{}, err
	}
	if err := w.block(kindManifest, text); err != nil {
		return Manifest{}, err
	}
	return w.manifest, w.block(kindEnd, tag(w.key, w.header, text))
}
