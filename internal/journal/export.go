package journal

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
)

// An export is a file of lines. Each is a record as it stands in the journal,
// byte for byte, with one more member at its end:
//
//	"strongroom":{
//	  "v":1,
//	  "kind":"full",         or "filtered"
//	  "stream":"…","seq":7,"index":0,
//	  "salt":"…",            of the commitment to the record, base64
//	  "proof":["…"],         audit path to the frame's Merkle root, RFC 6962 §2.1.1
//	  "begin":"…",           head of a frame with a checkpoint that says what was
//	                         removed before; on the first line, if anything was
//	  "frames":["…"],        heads of frames not shown before, this one's included
//	  "end":{…}}             on the last line only
//
// A full export shows the head of each frame of the stream and every record; a
// filtered one the records that were asked for and the heads of their frames.
// The end is a signature by the journal's key over everything before it and over
// where the stream stood, so that a line that was dropped, added or moved shows
// in filtered exports as well.
const (
	exportMember  = `,"strongroom":`
	exportLabel   = "strongroom-journal-export-v1"
	exportVersion = 1
	kindFull      = "full"
	kindFiltered  = "filtered"
	// maxLine bounds a line. Only frames without records, many thousands in a
	// row, could make one that long.
	maxLine = 16 << 20
)

// exportProof is the added member.
type exportProof struct {
	V      int        `json:"v"`
	Kind   string     `json:"kind"`
	Stream string     `json:"stream"`
	Seq    uint64     `json:"seq"`
	Index  int        `json:"index"`
	Salt   []byte     `json:"salt"`
	Proof  [][]byte   `json:"proof"`
	Begin  []byte     `json:"begin"`
	Frames [][]byte   `json:"frames"`
	End    *exportEnd `json:"end"`
}

// exportEnd closes an export.
type exportEnd struct {
	Lines     uint64 `json:"lines"`
	Seq       uint64 `json:"seq"` // the stream's last frame
	Hash      string `json:"hash"`
	Records   uint64 `json:"records"`
	Content   string `json:"content"` // SHA-256 of the file up to the end member
	Key       string `json:"key"`
	Signature []byte `json:"signature"`
}

// statement returns what the end's signature is over.
func (e *exportEnd) statement(deployment, stream, kind string) string {
	return strings.Join([]string{
		exportLabel, deployment, stream, kind,
		strconv.FormatUint(e.Lines, 10), strconv.FormatUint(e.Seq, 10), e.Hash,
		strconv.FormatUint(e.Records, 10), e.Content, e.Key,
	}, " ")
}

// append appends the member up to its end, without the closing brace.
func (p *exportProof) append(dst []byte) []byte {
	dst = append(dst, `{"v":`...)
	dst = strconv.AppendInt(dst, int64(p.V), 10)
	dst = appendText(append(dst, `,"kind":`...), p.Kind, MaxText)
	dst = appendText(append(dst, `,"stream":`...), p.Stream, MaxText)
	dst = strconv.AppendUint(append(dst, `,"seq":`...), p.Seq, 10)
	dst = strconv.AppendInt(append(dst, `,"index":`...), int64(p.Index), 10)
	dst = appendBase64(append(dst, `,"salt":`...), p.Salt)
	dst = appendBase64List(append(dst, `,"proof":`...), p.Proof)
	if len(p.Begin) > 0 {
		dst = appendBase64(append(dst, `,"begin":`...), p.Begin)
	}
	if len(p.Frames) > 0 {
		dst = appendBase64List(append(dst, `,"frames":`...), p.Frames)
	}
	return dst
}

func (e *exportEnd) append(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, `,"end":{"lines":`...), e.Lines, 10)
	dst = strconv.AppendUint(append(dst, `,"seq":`...), e.Seq, 10)
	dst = appendText(append(dst, `,"hash":`...), e.Hash, MaxText)
	dst = strconv.AppendUint(append(dst, `,"records":`...), e.Records, 10)
	dst = appendText(append(dst, `,"content":`...), e.Content, MaxText)
	dst = appendText(append(dst, `,"key":`...), e.Key, MaxText)
	dst = appendBase64(append(dst, `,"signature":`...), e.Signature)
	return append(dst, '}')
}

func appendBase64(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

func appendBase64List(dst []byte, list [][]byte) []byte {
	dst = append(dst, '[')
	for i, b := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendBase64(dst, b)
	}
	return append(dst, ']')
}

// Export writes the stream as an export: every record, or, when keep is not nil,
// those for which it returns true. [VerifyExport] checks the file offline.
// signer must be the key that signs the stream's checkpoints. An export without
// any record is an empty file, which nothing vouches for.
//
// What is written before an error is not an export: its end is missing.
func (r *Reader) Export(ctx context.Context, w io.Writer, signingKey crypto.Signer, keep func(record []byte) bool) error {
	s, err := newSigner(signingKey)
	if err != nil {
		return err
	}
	last, err := r.last(ctx)
	if last == nil || err != nil {
		return err
	}
	from, err := newestSigned(ctx, r.c.Frames, last, anyFrame)
	if err != nil {
		return err
	}
	first, begin := uint64(1), []byte(nil)
	if from != nil && from.front.seq > 0 {
		first, begin = from.front.seq+1, from.head
	}
	out := bufio.NewWriterSize(w, 64<<10)
	x := &exporter{signer: s, content: sha256.New(), out: out, kind: kindFull, keep: keep, begin: begin}
	if keep != nil {
		x.kind = kindFiltered
	}
	if err := r.between(ctx, first, last.seq, func(f *frame) error { return x.frame(r, f) }); err != nil {
		return err
	}
	if err := x.end(last); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("journal: write the export: %w", err)
	}
	return nil
}

// exporter writes lines. It holds the latest back, because only at the end of
// the stream is it known to be the last.
type exporter struct {
	signer  signer
	content hash.Hash
	out     *bufio.Writer
	kind    string
	keep    func(record []byte) bool
	begin   []byte // for the first line

	lines  uint64
	record []byte       // of the line that is held back
	proof  *exportProof // and its proof; nil when none is
	heads  [][]byte     // not shown yet
}

func (x *exporter) frame(r *Reader, f *frame) error {
	if x.keep == nil {
		x.heads = append(x.heads, bytes.Clone(f.head))
	}
	if f.count == 0 {
		return nil
	}
	o, err := r.open(f)
	if err != nil {
		return err
	}
	tree := newTree(o.leaves())
	shown := false
	for i, record := range o.records {
		if x.keep != nil && !x.keep(record) {
			continue
		}
		if x.keep != nil && !shown {
			x.heads = append(x.heads, bytes.Clone(f.head))
			shown = true
		}
		if err := x.flush(nil); err != nil {
			return err
		}
		salt := o.keys.salt(i)
		x.record = append(x.record[:0], record...)
		x.proof = &exportProof{
			V: exportVersion, Kind: x.kind, Stream: f.stream, Seq: f.seq, Index: i,
			Salt: salt[:], Proof: tree.proof(i), Begin: x.begin, Frames: x.heads,
		}
		x.heads, x.begin = nil, nil
		x.lines++
	}
	return nil
}

// end writes the last line, which says where the stream stood.
func (x *exporter) end(last *frame) error {
	if x.proof == nil {
		return nil
	}
	x.proof.Frames = append(x.proof.Frames, x.heads...)
	h := last.hash()
	return x.flush(func(content Hash) ([]byte, error) {
		e := &exportEnd{
			Lines: x.lines, Seq: last.seq, Hash: hex.EncodeToString(h[:]), Records: last.records,
			Content: hex.EncodeToString(content[:]), Key: x.signer.id.String(),
		}
		signature, err := x.signer.sign(e.statement(last.deployment, last.stream, x.kind))
		if err != nil {
			return nil, err
		}
		e.Signature = signature[:]
		return e.append(nil), nil
	})
}

// flush writes the line that is held back, with what end makes of the hash of
// everything so far.
func (x *exporter) flush(end func(content Hash) ([]byte, error)) error {
	if x.proof == nil {
		return nil
	}
	line := append(x.record[:len(x.record)-1], exportMember...)
	line = x.proof.append(line)
	x.content.Write(line)
	if end != nil {
		var content Hash
		x.content.Sum(content[:0])
		member, err := end(content)
		if err != nil {
			return err
		}
		line = append(line, member...)
	}
	n := len(line)
	line = append(line, "}}\n"...)
	x.content.Write(line[n:])
	if len(line) > maxLine {
		return fmt.Errorf("journal: frame %d: more than %d bytes on one line of the export", x.proof.Seq, maxLine)
	}
	if _, err := x.out.Write(line); err != nil {
		return fmt.Errorf("journal: write the export: %w", err)
	}
	x.record, x.proof = line[:0], nil
	return nil
}
