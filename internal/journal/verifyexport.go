package journal

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// VerifyExport checks a file that [Reader.Export] wrote, with the public key
// alone: each record against its frame's Merkle root, each frame against the one
// before, each checkpoint's signature, and the file as a whole against the
// signature at its end. In a full export no record of any frame may be missing.
// The checkpoints in later must be met, as in [Verify].
//
// The error is a *[Problem] when the file is not as it was written, and another
// when it could not be read. The report is never nil. An empty file is a
// problem: nothing says that it is whole.
func VerifyExport(r io.Reader, keys []ed25519.PublicKey, later []Checkpoint) (*Report, error) {
	ch, err := newChain("", "", keys, later)
	if err != nil {
		return &Report{}, err
	}
	ch.report.Opened = true
	v := &exportVerifier{chain: ch, content: sha256.New()}
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(in)
		if err != nil && err != io.EOF {
			return &ch.report, fmt.Errorf("journal: read the export: %w", err)
		}
		if len(line) > 0 {
			v.lines++
			if err := v.line(line); err != nil {
				var p *Problem
				if errors.As(err, &p) {
					p.Line = int(v.lines)
				}
				return &ch.report, err
			}
		}
		if err == io.EOF {
			return &ch.report, v.finish()
		}
	}
}

var errLongLine = fmt.Errorf("a line of more than %d bytes", maxLine)

// readLine returns the next line with its line end, and io.EOF with the last.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, errLongLine
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// exportVerifier reads lines in order.
type exportVerifier struct {
	chain   *chain
	content hash.Hash
	lines   uint64
	kind    string
	current *frame // whose records are being read
	next    int    // number of the next record that current may show
	ended   bool
	scratch []byte
}

func malformed(format string, args ...any) error {
	return &Problem{Kind: Malformed, Index: -1, Detail: fmt.Sprintf(format, args...)}
}

func (v *exportVerifier) line(line []byte) error {
	if v.ended {
		return &Problem{Kind: Misplaced, Index: -1, Detail: "it comes after the end of the export"}
	}
	record, p, err := splitLine(line)
	if err != nil {
		return err
	}
	if v.kind == "" {
		v.kind = p.Kind
	}
	if p.Kind != v.kind {
		return malformed("it is of a %s export, the lines before of a %s one", p.Kind, v.kind)
	}
	if err := v.begin(p); err != nil {
		return err
	}
	heads := p.Frames
	if heads, err = v.heads(heads, p.Seq); err != nil {
		return err
	}
	if err := v.record(record, p); err != nil {
		return err
	}
	if p.End == nil {
		if len(heads) > 0 {
			return malformed("it shows frames after its own, which only the last line does")
		}
		v.content.Write(line)
		return nil
	}
	if _, err := v.heads(heads, 0); err != nil {
		return err
	}
	if err := v.complete(); err != nil {
		return err
	}
	v.ended = true
	return v.end(line, p)
}

// begin takes what the first line says of frames that were removed.
func (v *exportVerifier) begin(p *exportProof) error {
	if len(p.Begin) == 0 {
		return nil
	}
	f, err := parseHead(p.Begin)
	switch {
	case v.lines > 1:
		return malformed("it says where the stream begins, which only the first line does")
	case err != nil:
		return malformed("it shows a frame that cannot be read: %v", err)
	case f.front.seq == 0:
		return malformed("the frame that it begins with says nothing of a beginning")
	}
	cp := f.checkpoint()
	if kind, detail := v.chain.keys.checkpoint(&cp); detail != "" {
		return &Problem{Kind: kind, Seq: f.seq, Index: -1, Detail: detail}
	}
	v.chain.deployment, v.chain.stream = f.deployment, f.stream
	v.chain.behind(f.front)
	return nil
}

// splitLine takes a line apart into the record, byte for byte, and the proof.
func splitLine(line []byte) (record []byte, p *exportProof, err error) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	at := bytes.LastIndex(line, []byte(exportMember+`{"v":`))
	if at < 0 || line[0] != '{' || line[len(line)-1] != '}' {
		return nil, nil, malformed("it is not a record with a %q member at its end", "strongroom")
	}
	text := line[at+len(exportMember) : len(line)-1]
	p = &exportProof{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, nil, malformed("its %q member: %v", "strongroom", err)
	}
	// One way of writing it, so that no byte of the line goes unchecked.
	again := p.append(nil)
	if p.End != nil {
		again = p.End.append(again)
	}
	if again = append(again, '}'); !bytes.Equal(again, text) {
		return nil, nil, malformed("its %q member is not written the one way that it may be", "strongroom")
	}
	if p.V != exportVersion || p.Kind != kindFull && p.Kind != kindFiltered || len(p.Salt) != len(Hash{}) {
		return nil, nil, malformed("its %q member is of no known version or kind", "strongroom")
	}
	record = append(line[:at:at], '}')
	return record, p, nil
}

// heads takes the frames that a line shows, up to and including number until (0
// for all), and returns the others.
func (v *exportVerifier) heads(heads [][]byte, until uint64) ([][]byte, error) {
	for i, encoded := range heads {
		if until != 0 && v.current != nil && v.current.seq == until {
			return heads[i:], nil
		}
		f, err := parseHead(encoded)
		if err != nil {
			return nil, malformed("it shows a frame that cannot be read: %v", err)
		}
		if err := v.complete(); err != nil {
			return nil, err
		}
		if v.kind == kindFull {
			err = v.chain.next(f)
		} else {
			err = v.chain.skipTo(f)
		}
		if errors.Is(err, errBroken) {
			err = v.chain.blame(f, nil)
		}
		if err != nil {
			return nil, err
		}
		v.current, v.next = f, 0
	}
	return nil, nil
}

// complete reports records that a full export lacks of the frame that it goes on
// from.
func (v *exportVerifier) complete() error {
	if f := v.current; f != nil && v.kind == kindFull && v.next < int(f.count) {
		return &Problem{Kind: Missing, Seq: f.seq, Index: v.next, Detail: fmt.Sprintf("it is not there; the frame has %d records", f.count)}
	}
	return nil
}

// record checks one record against the current frame.
func (v *exportVerifier) record(record []byte, p *exportProof) error {
	problem := func(kind Kind, detail string) error {
		return &Problem{Kind: kind, Seq: p.Seq, Index: p.Index, Detail: detail}
	}
	f := v.current
	switch {
	case (f == nil || p.Seq > f.seq) && p.Index > 0:
		return &Problem{Kind: Missing, Seq: p.Seq, Index: 0, Detail: fmt.Sprintf("record %d comes before the line that shows the frame", p.Index)}
	case f == nil || p.Seq > f.seq:
		return problem(Malformed, "the line does not show its frame")
	case p.Seq < f.seq:
		return problem(Misplaced, fmt.Sprintf("it comes after frame %d was begun", f.seq))
	case p.Stream != f.stream:
		return problem(Foreign, fmt.Sprintf("it says that it is of stream %q, its frame is of %q", p.Stream, f.stream))
	case p.Index < v.next:
		return problem(Misplaced, "it is there already, or later ones are")
	case p.Index > v.next && v.kind == kindFull && v.next < int(f.count):
		return &Problem{Kind: Missing, Seq: f.seq, Index: v.next, Detail: fmt.Sprintf("record %d comes in its place", p.Index)}
	}
	path := make([]Hash, len(p.Proof))
	for i, b := range p.Proof {
		if len(b) != len(Hash{}) {
			return problem(Malformed, "a hash of its proof has the wrong length")
		}
		path[i] = Hash(b)
	}
	salt := Hash(p.Salt)
	var leaf Hash
	leaf, v.scratch = commit(v.scratch, &salt, record)
	if root, ok := rootFromProof(leaf, p.Index, int(f.count), path); !ok || root != f.root {
		return problem(Changed, "it is not the record that its frame commits to")
	}
	v.next = p.Index + 1
	return nil
}

// end checks the signature over the file.
func (v *exportVerifier) end(line []byte, p *exportProof) error {
	problem := func(kind Kind, format string, args ...any) error {
		return &Problem{Kind: kind, Index: -1, Detail: "the end: " + fmt.Sprintf(format, args...)}
	}
	e, ch := p.End, v.chain
	at := bytes.LastIndex(line, []byte(`,"end":{`))
	v.content.Write(line[:at])
	var hash Hash
	var id KeyID
	if !decodeHex(hash[:], e.Hash) || !decodeHex(id[:], e.Key) {
		return problem(Malformed, "a hash or a key id is not hex of the right length")
	}
	if kind, detail := ch.keys.check(id, e.statement(ch.deployment, ch.stream, p.Kind), e.Signature); detail != "" {
		return problem(kind, "%s", detail)
	}
	if e.Lines != v.lines {
		return problem(Missing, "it was signed for %d lines, there are %d", e.Lines, v.lines)
	}
	if content := v.content.Sum(nil); e.Content != hex.EncodeToString(content) {
		return problem(Changed, "the lines are not those that it was signed for: one was added, removed, moved or changed")
	}
	if before := e.Seq < ch.last.seq || e.Records < ch.last.records; before ||
		(v.kind == kindFull || e.Seq == ch.last.seq) && (hash != ch.last.hash || e.Records != ch.last.records) {
		return problem(Changed, "it does not stand where the frames do")
	}
	// The signature over the file covers what no checkpoint did.
	r := &ch.report
	r.Filtered = v.kind == kindFiltered
	r.UnsignedFrames, r.UnsignedRecords = 0, 0
	if err := ch.reach(e.Seq, hash, e.Records); err != nil {
		return err
	}
	ch.last.seq, ch.last.records = e.Seq, e.Records
	return ch.end()
}

// finish checks that the file did not stop before its end.
func (v *exportVerifier) finish() error {
	switch {
	case v.lines == 0:
		return &Problem{Kind: Cut, Index: -1, Detail: "the export is empty; nothing vouches for an empty file"}
	case !v.ended:
		return &Problem{Kind: Cut, Line: int(v.lines) + 1, Index: -1, Detail: "the export stops before its last line"}
	}
	return nil
}
