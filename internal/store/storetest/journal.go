package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strongroom/strongroom/internal/store"
)

// Journal is the least that a store.Journal can be: each frame begins with the
// hash of the head of the one before. It is neither sealed nor signed.
type Journal struct {
	next uint64
	last [sha256.Size]byte
}

// NewJournal goes on behind the last frame that r holds.
func NewJournal(ctx context.Context, r store.JournalReader) (*Journal, error) {
	seq, frame, err := r.LastFrame(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return &Journal{next: 1}, nil
	}
	if err != nil {
		return nil, err
	}
	return &Journal{next: seq + 1, last: headSum(frame)}, nil
}

// headSum is the hash that the next frame begins with.
func headSum(frame []byte) [sha256.Size]byte {
	return sha256.Sum256(frame[:min(len(frame), store.FrameHead)])
}

// Follow implements store.Follower.
func (j *Journal) Follow(seq uint64, head []byte) error {
	j.next, j.last = seq+1, [sha256.Size]byte{}
	if seq > 0 {
		j.last = headSum(head)
	}
	return nil
}

// Frame implements store.Journal.
func (j *Journal) Frame(records [][]byte) (seq uint64, frame []byte, err error) {
	frame = append(frame, j.last[:]...)
	for _, r := range records {
		frame = binary.BigEndian.AppendUint32(frame, uint32(len(r)))
		frame = append(frame, r...)
	}
	seq = j.next
	j.next, j.last = seq+1, headSum(frame)
	return seq, frame, nil
}

// Records returns the records of all frames in order, or what is wrong with the
// chain of frames.
func Records(ctx context.Context, r store.JournalReader) (records []string, err error) {
	next, last := uint64(1), [sha256.Size]byte{}
	err = r.Frames(ctx, 0, func(seq uint64, frame []byte) error {
		if seq != next {
			return fmt.Errorf("frame %d where %d was to come", seq, next)
		}
		if !bytes.HasPrefix(frame, last[:]) {
			return fmt.Errorf("frame %d is not chained to the one before", seq)
		}
		next, last = seq+1, headSum(frame)
		for rest := frame[sha256.Size:]; len(rest) > 0; {
			if len(rest) < 4 || int64(len(rest)-4) < int64(binary.BigEndian.Uint32(rest)) {
				return fmt.Errorf("frame %d is cut short", seq)
			}
			n := binary.BigEndian.Uint32(rest)
			records = append(records, string(rest[4:4+n]))
			rest = rest[4+n:]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if seq, _, err := r.LastFrame(ctx); err == nil && seq != next-1 {
		return nil, fmt.Errorf("the last frame is %d, but Frames ended at %d", seq, next-1)
	}
	return records, nil
}
