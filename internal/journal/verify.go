package journal

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

// Kind sorts what [Verify] and [VerifyExport] can find wrong.
type Kind string

// The kinds of problems.
const (
	Malformed Kind = "malformed" // not in the form that the format asks for
	Changed   Kind = "changed"   // something else stands where the chain or a signature expects it
	Missing   Kind = "missing"   // frames or records are not there
	Misplaced Kind = "misplaced" // a frame or record is there twice or out of order
	Foreign   Kind = "foreign"   // of another deployment, stream or signing key
	Cut       Kind = "cut"       // the end is missing
)

// Problem is the first thing found wrong. It is an error.
type Problem struct {
	Kind Kind
	// Seq is the frame concerned, 0 if none is. Index is the record in it, or
	// -1 when the frame as a whole is concerned.
	Seq   uint64
	Index int
	// Line is the line of an export, from 1; 0 for a stream.
	Line int
	// Detail says what is wrong, in words.
	Detail string
}

func (p *Problem) Error() string {
	where := "journal: "
	if p.Line > 0 {
		where += fmt.Sprintf("line %d: ", p.Line)
	}
	if p.Seq > 0 {
		where += fmt.Sprintf("frame %d: ", p.Seq)
		if p.Index >= 0 {
			where += fmt.Sprintf("record %d: ", p.Index)
		}
	}
	return where + string(p.Kind) + ": " + p.Detail
}

// Report is what a verification found, up to the problem if there was one.
type Report struct {
	Deployment, Stream string
	// RemovedFrames and RemovedRecords are those that retention has removed from the
	// front of the stream, as a signed frame of it says.
	RemovedFrames, RemovedRecords uint64
	// Last is the last frame seen; Frames and Records count what was seen.
	Last, Frames, Records uint64
	// First and Until are the times of the first and the last frame.
	First, Until time.Time
	// Opened says that record bodies were decrypted and checked as well.
	Opened bool
	// Filtered says that an export holds a selection, so that frames and records
	// between are not there to be checked.
	Filtered bool
	// Checkpoints counts those that were seen and verified; Checkpoint is the last
	// of them, nil for none.
	Checkpoints uint64
	Checkpoint  *Checkpoint
	// UnsignedFrames and UnsignedRecords come after it: they are chained, but
	// whoever can write the files could have rewritten them.
	UnsignedFrames, UnsignedRecords uint64
}

// VerifyConfig is what [Verify] works on.
type VerifyConfig struct {
	// Deployment and Stream, when set, are what every frame must be of; when
	// empty, whatever the first frame is of.
	Deployment, Stream string
	// PublicKeys are the keys whose checkpoints count; at least one.
	PublicKeys []ed25519.PublicKey
	// Frames is where the stream is kept; it must be set.
	Frames Frames
	// Key returns the journal key of a version. If nil, bodies stay sealed:
	// chain, order, counts and signatures are checked without them.
	Key func(version uint32) (secret.Bytes, error)
	// Later are checkpoints of this stream that were kept elsewhere. Each must
	// be found in the stream as it was.
	Later []Checkpoint
}

// Verify reads a stream from its first frame and checks that each frame is well
// formed, continues the one before, counts right and, where it carries a
// checkpoint, is signed; that each checkpoint of Later is there; and, with the
// journal key, that each body opens to the records that its frame commits to,
// each a JSON object.
//
// The error is a *[Problem] when the stream is not as it was written, and
// another when it could not be read. The report is never nil. An empty stream
// is right unless Later says otherwise. A stream may begin behind the frames that
// its newest checkpoint says were removed; what is left of those is not looked at,
// and checkpoints of Later that are of them cannot be compared. Frames are taken up to the last one
// that is there when Frames is read; a server may go on writing.
func Verify(ctx context.Context, c VerifyConfig) (*Report, error) {
	if c.Frames == nil {
		return &Report{}, errors.New("journal: VerifyConfig.Frames must be set")
	}
	ch, err := newChain(c.Deployment, c.Stream, c.PublicKeys, c.Later)
	if err != nil {
		return &Report{}, err
	}
	ch.report.Opened = c.Key != nil
	front, err := verifiedFront(ctx, c.Frames, ch)
	if err != nil {
		return &ch.report, err
	}
	ch.behind(front)
	// A frame that does not fit the one before leaves open which of the two was
	// changed; the frame after it knows.
	var suspect *frame
	err = c.Frames.Frames(ctx, front.seq+1, func(seq uint64, encoded []byte) error {
		f, err := checkFrame(seq, encoded)
		if suspect != nil {
			return ch.blame(suspect, f)
		}
		if err != nil {
			return err
		}
		if err := ch.next(f); err != nil {
			if errors.Is(err, errBroken) {
				suspect, err = parseFrame(slices.Clone(encoded))
			}
			return err
		}
		if c.Key != nil {
			if _, err := openBody(f, c.Key); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err == nil && suspect != nil {
		err = ch.blame(suspect, nil)
	}
	if err == nil {
		err = ch.end()
	}
	return &ch.report, err
}

// verifiedFront returns the last frame that was removed of a stream. It goes by the newest checkpoint that is signed, or,
// so that the chain can name what is wrong with it, by the newest that there is: the
// chain meets that frame and verifies it.
func verifiedFront(ctx context.Context, frames Frames, ch *chain) (position, error) {
	err := frames.Frames(ctx, 1, func(uint64, []byte) error { return errStop })
	if !errors.Is(err, errStop) {
		return position{}, err // an empty stream
	}
	seq, encoded, err := frames.LastFrame(ctx)
	if err != nil {
		return position{}, err
	}
	last, _, err := parseHeadPrefix(slices.Clone(encoded))
	if err != nil || last.seq != seq {
		last = &frame{seq: seq} // the chain will name it
	}
	signed := func(f *frame) bool {
		cp := f.checkpoint()
		_, detail := ch.keys.checkpoint(&cp)
		return detail == ""
	}
	f, err := newestSigned(ctx, frames, last, signed)
	if f == nil && err == nil {
		f, err = newestSigned(ctx, frames, last, anyFrame)
	}
	if f == nil || err != nil {
		return position{}, err
	}
	return f.front, nil
}

// checkFrame parses what is kept under a number.
func checkFrame(seq uint64, encoded []byte) (*frame, error) {
	f, err := parseFrame(encoded)
	if err != nil {
		return nil, &Problem{Kind: Malformed, Seq: seq, Index: -1, Detail: err.Error()}
	}
	if f.seq != seq {
		return f, &Problem{Kind: Misplaced, Seq: seq, Index: -1, Detail: fmt.Sprintf("frame %d is kept in its place", f.seq)}
	}
	return f, nil
}

// openBody opens f and compares its records with what its header commits to.
func openBody(f *frame, key func(uint32) (secret.Bytes, error)) (*opened, error) {
	if f.count == 0 {
		return &opened{}, nil
	}
	k, err := key(f.keyVersion)
	if err != nil {
		return nil, fmt.Errorf("journal: key version %d of frame %d: %w", f.keyVersion, f.seq, err)
	}
	o, err := f.open(k)
	if err != nil {
		return nil, &Problem{Kind: Changed, Seq: f.seq, Index: -1, Detail: strings.TrimPrefix(err.Error(), "journal: ")}
	}
	for i, r := range o.records {
		if checkRecord(r) != nil || !json.Valid(r) {
			return nil, &Problem{Kind: Malformed, Seq: f.seq, Index: i, Detail: "the record is not a JSON object on one line"}
		}
	}
	if merkleRoot(o.leaves()) != f.root {
		return nil, &Problem{Kind: Changed, Seq: f.seq, Index: -1, Detail: "the records are not those that the frame commits to"}
	}
	return o, nil
}
