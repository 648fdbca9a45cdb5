package journal

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/secret"
)

// Config is what a [Writer] is made of.
type Config struct {
	// Deployment and Stream name the chain; both must be set: 1 to 64 letters,
	// digits, '-', '_' and '.'.
	Deployment, Stream string
	// Key is the journal key, 32 bytes, which the writer keeps; KeyVersion is the version of the domain
	// key that it comes from, and stands in the header of each frame.
	Key        secret.Bytes
	KeyVersion uint32
	// PastKey returns the journal key of an earlier version. It is asked only
	// when the last frame is of another version than KeyVersion; if nil, such a
	// frame is refused.
	PastKey func(version uint32) (secret.Bytes, error)
	// Signer signs checkpoints; it must hold an Ed25519 key.
	Signer crypto.Signer
	// Clock must be set.
	Clock clock.Clock
	// Rand yields the salts of frames; if nil, crypto/rand's.
	Rand io.Reader
	// Frames is where the stream is kept; it must be set. The writer reads its
	// last frame once, in Open.
	Frames Frames
	// NotFound is what Frames.LastFrame's error wraps when the stream is empty;
	// it must be set.
	NotFound error
	// State, if not nil, is called while a frame with a checkpoint is made. What
	// it returns, at most 64 bytes, stands in that frame and is signed with it:
	// a digest of the store as it is after the commit that the frame belongs to.
	// It must not call the writer.
	State func() []byte
	// Recent, if not nil, is told the keys of each frame.
	Recent *RecentKeys
}

// Writer makes the frames of one stream. Frame is called by one goroutine; the
// other methods may be called by any.
type Writer struct {
	c      Config
	signer signer

	mu     sync.Mutex
	last   position
	front  position // of the last frame that was removed
	remove *announced
	failed error
	// signed is when the last checkpoint of this process was made; unsigned is
	// when the oldest frame after it was, and zero when there is none.
	signed, unsigned time.Time

	// Reused from frame to frame.
	body, scratch []byte
	leaves        []Hash
	keys          frameKeys
}

// position is what the next frame continues.
type position struct {
	seq      uint64
	hash     Hash
	time     time.Time
	runStart uint64
	records  uint64
}

// Open returns a writer that goes on from the stream's last frame, or begins the
// stream. It refuses a last frame of another deployment or stream, one whose
// checkpoint was signed by Signer's key and does not verify, and one that does
// not open under the journal key. It does not read the chain: that is for
// [Verify].
func Open(ctx context.Context, c Config) (*Writer, error) {
	if err := checkNames(c.Deployment, c.Stream); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if len(c.Key) != keySize {
		return nil, fmt.Errorf("journal: the journal key has %d bytes, not %d", len(c.Key), keySize)
	}
	if c.Clock == nil || c.Frames == nil || c.NotFound == nil {
		return nil, errors.New("journal: Config.Clock, Config.Frames and Config.NotFound must be set")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	signer, err := newSigner(c.Signer)
	if err != nil {
		return nil, err
	}
	w := &Writer{c: c, signer: signer, last: position{hash: genesis(c.Deployment, c.Stream)}}
	seq, encoded, err := c.Frames.LastFrame(ctx)
	if errors.Is(err, c.NotFound) {
		return w, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: read the last frame: %w", err)
	}
	f, err := parseFrame(encoded)
	if err != nil {
		return nil, fmt.Errorf("journal: the last frame, %d: %w", seq, err)
	}
	if err := w.checkOurs(seq, f); err != nil {
		return nil, err
	}
	w.last = positionOf(f)
	if !f.signed {
		w.unsigned = c.Clock.Now()
	}
	if w.front, err = frontOf(ctx, c.Frames, f); err != nil {
		return nil, err
	}
	return w, nil
}

func positionOf(f *frame) position {
	return position{seq: f.seq, hash: f.hash(), time: f.time, runStart: f.runStart, records: f.records}
}

// checkOurs reports why f, the last frame, is not one to continue.
func (w *Writer) checkOurs(seq uint64, f *frame) error {
	c := &w.c
	switch {
	case f.seq != seq:
		return fmt.Errorf("journal: the last frame is kept as %d and says it is %d", seq, f.seq)
	case f.deployment != c.Deployment || f.stream != c.Stream:
		return fmt.Errorf("journal: the last frame is of deployment %s, stream %s; this is %s, %s",
			f.deployment, f.stream, c.Deployment, c.Stream)
	}
	if f.signed && f.keyID == w.signer.id {
		cp := f.checkpoint()
		if err := cp.Verify(w.signer.pub); err != nil {
			return fmt.Errorf("journal: the last frame, %d: %w", seq, err)
		}
	}
	if f.count == 0 {
		return nil
	}
	key := c.Key
	if f.keyVersion != c.KeyVersion {
		if c.PastKey == nil {
			return fmt.Errorf("journal: the last frame is sealed under key version %d, this is %d", f.keyVersion, c.KeyVersion)
		}
		var err error
		if key, err = c.PastKey(f.keyVersion); err != nil {
			return fmt.Errorf("journal: the key of the last frame: %w", err)
		}
	}
	_, err := f.open(key)
	return err
}

// Frame chains records (oldest first; none, for a checkpoint alone) onto the
// stream and returns the frame that the backend writes under seq in the same
// atomic commit. The frame carries a checkpoint when there are no records, when
// it is the first that this writer makes, and when a second has passed since
// the last checkpoint or the clock was set back.
//
// Each record is one line of JSON, an object, of at most [MaxRecord] bytes, and
// there are at most [MaxFrameRecords]. Calls are serial, in commit order. After
// an error every further call returns it: the chain would have a hole, so the
// process must not go on. The frame belongs to the caller; records are not
// kept.
func (w *Writer) Frame(records [][]byte) (seq uint64, frame []byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return 0, nil, w.failed
	}
	seq, frame, err = w.frameLocked(records)
	if err != nil {
		w.failed = fmt.Errorf("journal: frame %d could not be made: %w", w.last.seq+1, err)
		return 0, nil, w.failed
	}
	return seq, frame, nil
}

func (w *Writer) frameLocked(records [][]byte) (uint64, []byte, error) {
	now := w.c.Clock.Now().Truncate(time.Microsecond)
	f := frame{
		deployment: w.c.Deployment, stream: w.c.Stream,
		seq: w.last.seq + 1, prev: w.last.hash,
		time: now, runStart: w.last.runStart,
		count: uint32(len(records)), records: w.last.records + uint64(len(records)),
		root: emptyHash, bodyHash: emptyHash,
		signed: len(records) == 0 || w.checkpointDueLocked(now),
	}
	front := w.frontLocked(records)
	if f.signed = f.signed || front != w.front; f.signed {
		f.front = front
	}
	if back := w.last.time.Sub(now); back > 0 && back < jitter && w.last.seq > 0 {
		f.time = w.last.time
	}
	if f.time.Before(w.last.time) || w.last.seq == 0 {
		f.runStart = f.seq
	}
	if !validTime(f.time) {
		return 0, nil, fmt.Errorf("the clock reads %s", f.time)
	}
	if f.signed && w.c.State != nil {
		if f.state = w.c.State(); len(f.state) > MaxState {
			return 0, nil, fmt.Errorf("the state digest has %d bytes, more than %d", len(f.state), MaxState)
		}
	}
	if err := w.fillBody(&f, records); err != nil {
		return 0, nil, err
	}
	out, err := w.encode(&f)
	if err != nil {
		return 0, nil, err
	}
	w.last = positionOf(&f)
	if front != w.front {
		w.front, w.remove = front, nil
	}
	switch {
	case f.signed:
		w.signed, w.unsigned = now, time.Time{}
	case w.unsigned.IsZero():
		w.unsigned = now
	}
	return f.seq, out, nil
}

// Follow makes the frame with this number, of which head are the first bytes, the one
// that the next frame continues: of a stream that others write to as well, and after
// a frame of this writer's was not committed. 0 begins the stream. It refuses a frame
// of another stream. It takes the rest as it is: that a frame was forged is for
// [Verify] to say.
func (w *Writer) Follow(seq uint64, head []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq == 0 {
		if w.last.seq != 0 {
			w.last, w.unsigned = position{hash: genesis(w.c.Deployment, w.c.Stream)}, time.Time{}
		}
		return nil
	}
	f, _, err := parseHeadPrefix(head)
	if err != nil {
		return fmt.Errorf("journal: the last frame, %d: %w", seq, err)
	}
	if f.seq != seq || f.deployment != w.c.Deployment || f.stream != w.c.Stream {
		return fmt.Errorf("journal: the last frame is kept as %d and says that it is %d of deployment %s, stream %s", seq, f.seq, f.deployment, f.stream)
	}
	next := positionOf(f)
	if next == w.last {
		return nil
	}
	w.last = next
	switch now := w.c.Clock.Now(); {
	case f.signed:
		w.signed, w.unsigned = now, time.Time{}
	case w.unsigned.IsZero():
		w.unsigned = now
	}
	return nil
}

// Rekey seals the frames from the next one on under key, the journal key of another
// version of the domain key, which the writer keeps. The version must be on stable
// storage: what is sealed under one that is lost never opens again.
func (w *Writer) Rekey(version uint32, key secret.Bytes) error {
	if len(key) != keySize {
		return fmt.Errorf("journal: the journal key has %d bytes, not %d", len(key), keySize)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.c.Key, w.c.KeyVersion = key, version
	return nil
}

// keepBody is the largest buffer that is kept for the next frame, in bytes.
const keepBody = 4 << 20

// jitter is how far the clock may step back without starting a new run: a
// frame within it takes the time of the one before.
const jitter = time.Second

// fillBody checks records, commits to them and leaves the body, not yet sealed,
// in w.body, and its keys in w.keys.
func (w *Writer) fillBody(f *frame, records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	if len(records) > MaxFrameRecords {
		return fmt.Errorf("%d records, more than %d", len(records), MaxFrameRecords)
	}
	size := sealOverhead
	for i, r := range records {
		if err := checkRecord(r); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		size += recordOverhead + len(r)
	}
	if size > MaxFrameBody {
		return fmt.Errorf("a body of %d bytes, more than %d", size, MaxFrameBody)
	}
	f.bodySize = uint32(size)
	f.keyVersion = w.c.KeyVersion
	if _, err := io.ReadFull(w.c.Rand, f.salt[:]); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	if err := w.keys.derive(w.c.Key, &f.salt); err != nil {
		return err
	}
	w.c.Recent.add(f, &w.keys)
	w.leaves, w.scratch = w.keys.leaves(w.leaves, w.scratch, records)
	f.root = merkleRoot(w.leaves)
	w.body = appendBody(w.body[:0], records)
	return nil
}

// encode seals what fillBody left, signs, and returns the whole frame.
func (w *Writer) encode(f *frame) ([]byte, error) {
	headSize := f.headerSize()
	if f.signed {
		headSize += checkpointSize
	}
	out := make([]byte, headSize, headSize+int(f.bodySize))
	f.header = f.appendHeader(out[:0])[:f.headerSize()]
	if f.count > 0 {
		out = w.keys.body.Seal(out, nil, w.body, f.additional())
		f.body = out[headSize:]
		f.bodyHash = sha256.Sum256(f.body)
		if cap(w.body) > keepBody {
			w.body = nil
		}
		if len(f.body) != int(f.bodySize) {
			return nil, fmt.Errorf("the sealed body has %d bytes where %d were announced", len(f.body), f.bodySize)
		}
	}
	copy(f.header[len(f.additional()):], f.bodyHash[:])
	if f.signed {
		f.keyID = w.signer.id
		cp := f.checkpoint()
		var err error
		if f.signature, err = w.signer.sign(cp.Statement()); err != nil {
			return nil, err
		}
		n := copy(out[len(f.header):], f.keyID[:])
		copy(out[len(f.header)+n:headSize], f.signature[:])
	}
	return out, nil
}

func (w *Writer) checkpointDueLocked(now time.Time) bool {
	since := now.Sub(w.signed)
	return w.signed.IsZero() || since >= CheckpointInterval || since < 0
}

// NeedsCheckpoint reports whether the tail has been unsigned for a second or
// more, so that Frame(nil) is to be called although there are no records.
func (w *Writer) NeedsCheckpoint() bool {
	at, unsigned := w.CheckpointDue()
	return unsigned && !w.c.Clock.Now().Before(at)
}

// CheckpointDue reports whether there are frames after the last checkpoint, and
// when they are to be covered by Frame(nil) if no record comes before. Whoever
// closes the store calls Frame(nil) when there are.
func (w *Writer) CheckpointDue() (at time.Time, unsigned bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unsigned.IsZero() || w.failed != nil {
		return time.Time{}, false
	}
	// After a crash the tail that was left unsigned is due at once. The clock
	// may have been set back since.
	if now := w.c.Clock.Now(); w.signed.IsZero() || now.Before(w.unsigned) {
		return now, true
	}
	return w.unsigned.Add(CheckpointInterval), true
}

// Newest returns when the newest frame was made; zero if there is none.
func (w *Writer) Newest() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.time
}

// Last returns the number of the newest frame that was made; 0 if there is none.
func (w *Writer) Last() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.seq
}
