// Package journal keeps the audit trail: every call's record in CloudTrail's
// shape, in frames that are chained, committed to, signed and sealed.
//
// # What it promises
//
// A [Writer] turns the records of one group commit into one frame, which the
// store writes in the same atomic commit as the effects. Each frame names the
// hash of the frame before it, counts its records and all records so far, and
// holds the root of a Merkle tree (RFC 6962 §2.1) over salted commitments to its
// records. At least once a second a frame carries a checkpoint: an Ed25519
// signature over the chain up to and including that frame. The records
// themselves are encrypted; everything that proves order and completeness is
// not. So [Verify] and [VerifyExport] find an edited, dropped, reordered,
// duplicated or inserted frame or record with the public key alone.
//
// Retention may remove frames from the front of a stream, checked first and up to
// one with a checkpoint. Every checkpoint since then signs for where the stream
// begins, so that nothing else can be missing there ([Writer.Announce]).
//
// # The threat
//
// Someone who can read or write the data folder, a backup or an exported file,
// and does not hold the deployment's keys. Reading gives them the number of
// records, their sizes in sum for each frame, and times; not what was recorded.
//
// # What it does not answer
//
// Records after the last checkpoint are chained but not signed: with the public
// key alone, whoever holds the files can rewrite those. A report says how many
// they are. Cutting the chain back to an earlier checkpoint leaves a chain that
// is right in itself; only a later checkpoint, kept elsewhere, shows it
// ([Checkpoint], handed to [Verify]). Whoever holds the signing key can write
// any history: checkpoints that were shipped in time bind them, too.
package journal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits of the format. A frame or record beyond them is refused by the writer
// and the parsers alike.
const (
	// MaxRecord is the longest record in bytes. [Record.AppendJSON] stays below
	// it whatever the record holds.
	MaxRecord = 1 << 20
	// MaxFrameRecords is the highest number of records in one frame.
	MaxFrameRecords = 1 << 16
	// MaxFrameBody is the longest sealed body of a frame in bytes.
	MaxFrameBody = 1 << 30
	// MaxName is the longest deployment or stream id in bytes.
	MaxName = 64
	// MaxState is the longest state digest in bytes.
	MaxState = 64
)

// CheckpointInterval is the longest that a frame waits for a signature while
// the writer is used as its methods ask.
const CheckpointInterval = time.Second

// ErrKey is returned when a sealed body does not open under the key that its
// frame names: the key is another one, or the frame was changed.
var ErrKey = errors.New("journal: the frame does not open under this journal key")

// Frames is where frames are kept: one stream, numbered from 1 without gaps but for
// those that were removed from its front.
// The store's backends implement it. Methods are safe for concurrent use; what
// they show is durable.
type Frames interface {
	// LastFrame returns the frame with the highest number, or an error that
	// wraps the configured NotFound when the stream is empty.
	LastFrame(ctx context.Context) (seq uint64, frame []byte, err error)
	// Frames calls fn for each frame with number from or higher, in ascending
	// order, until fn returns an error, which it returns as it is. frame is valid
	// during the call only.
	Frames(ctx context.Context, from uint64, fn func(seq uint64, frame []byte) error) error
}

// checkNames says what is wrong with a deployment or stream id. They are shown
// in signed text between spaces, so their alphabet is narrow.
func checkNames(deployment, stream string) error {
	if err := checkName("deployment", deployment); err != nil {
		return err
	}
	return checkName("stream", stream)
}

func checkName(what, s string) error {
	if s == "" || len(s) > MaxName {
		return fmt.Errorf("the %s id must have 1 to %d characters, not %d", what, MaxName, len(s))
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("the %s id %q has a character other than letters, digits, '-', '_' and '.'", what, s)
		}
	}
	return nil
}
