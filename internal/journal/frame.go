package journal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A frame is a head and a sealed body. All integers are big-endian; a text is
// one byte with its length and then its bytes.
//
//	header
//	  8  magic, its last byte the version: "SRframe" 0x01
//	  1  flags: bit 0 says that a checkpoint follows the header, bit 1 that the
//	     header has a front; others are 0
//	  t  deployment id
//	  t  stream id
//	  8  seq, from 1
//	  32 SHA-256 of the header before; for seq 1, see [genesis]
//	  8  time of the commit, microseconds since 1970 UTC
//	  8  run start: the first frame of the run, up to this one, in which time
//	     never goes back
//	  4  number of records in this frame
//	  8  number of records in the stream up to and including this frame
//	  32 Merkle root over the commitments to the records
//	  4  version of the journal key
//	  32 salt from which the body's key is derived
//	  t  state: a digest that the store adds to a checkpoint, or empty
//	  f  front, when flagged: see below
//	  4  length of the sealed body
//	  32 SHA-256 of the sealed body
//	front: the last frame that was removed, in each frame with a checkpoint since
//	  8  seq
//	  32 hash
//	  8  time of the commit
//	  8  run start
//	  8  number of records in the stream up to and including it
//	checkpoint, when flagged
//	  16 key id
//	  64 Ed25519 signature over [Checkpoint.Statement]
//	sealed body
//
// The hash of a frame is the SHA-256 of its header. A frame without records has
// no body; its key version and salt are zero.
const frameMagic = "SRframe\x01"

const (
	flagSigned = 1 << 0
	flagFront  = 1 << 1

	headerFixed    = len(frameMagic) + 1 + 1 + 1 + 8 + 32 + 8 + 8 + 4 + 8 + 32 + 4 + 32 + 1 + 4 + 32
	checkpointSize = keyIDSize + ed25519.SignatureSize
	frontSize      = 8 + 32 + 8 + 8 + 8
)

// errFrame is wrapped by what is wrong with a frame's form.
var errFrame = errors.New("not a well-formed frame")

// frame is a parsed frame. Its slices point into what it was parsed from.
type frame struct {
	deployment, stream string
	seq                uint64
	prev               Hash
	time               time.Time
	runStart           uint64
	count              uint32
	records            uint64
	root               Hash
	keyVersion         uint32
	salt               Hash
	state              []byte
	front              position // of the last frame that was removed; seq 0 for none
	bodySize           uint32
	bodyHash           Hash

	signed    bool
	keyID     KeyID
	signature [ed25519.SignatureSize]byte

	header []byte // as encoded
	head   []byte // header and checkpoint
	body   []byte // sealed; nil when only the head was parsed
}

// genesis is what the first frame of a stream names as the hash before it.
func genesis(deployment, stream string) Hash {
	b := []byte("strongroom journal genesis v1\n")
	b = appendShort(b, deployment)
	b = appendShort(b, stream)
	return sha256.Sum256(b)
}

// hash is what the next frame names and a checkpoint signs.
func (f *frame) hash() Hash { return sha256.Sum256(f.header) }

// additional returns the authenticated data of the sealed body: the header up
// to, and without, the hash of that body.
func (f *frame) additional() []byte { return f.header[:len(f.header)-sha256.Size] }

// checkpoint returns the checkpoint of a signed frame. It is not verified.
func (f *frame) checkpoint() Checkpoint {
	return Checkpoint{
		Deployment: f.deployment, Stream: f.stream, Seq: f.seq, Hash: f.hash(),
		Records: f.records, Time: f.time, KeyID: f.keyID, Signature: f.signature,
	}
}

// appendHeader appends the header but for its last member, the hash of the
// sealed body.
func (f *frame) appendHeader(dst []byte) []byte {
	dst = append(dst, frameMagic...)
	var flags byte
	if f.signed {
		flags |= flagSigned
	}
	if f.front.seq > 0 {
		flags |= flagFront
	}
	dst = append(dst, flags)
	dst = appendShort(dst, f.deployment)
	dst = appendShort(dst, f.stream)
	dst = binary.BigEndian.AppendUint64(dst, f.seq)
	dst = append(dst, f.prev[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(f.time.UnixMicro()))
	dst = binary.BigEndian.AppendUint64(dst, f.runStart)
	dst = binary.BigEndian.AppendUint32(dst, f.count)
	dst = binary.BigEndian.AppendUint64(dst, f.records)
	dst = append(dst, f.root[:]...)
	dst = binary.BigEndian.AppendUint32(dst, f.keyVersion)
	dst = append(dst, f.salt[:]...)
	dst = appendShort(dst, string(f.state))
	if f.front.seq > 0 {
		dst = f.front.append(dst)
	}
	return binary.BigEndian.AppendUint32(dst, f.bodySize)
}

func appendShort(dst []byte, s string) []byte {
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

// headerSize is the length of the whole header.
func (f *frame) headerSize() int {
	n := headerFixed + len(f.deployment) + len(f.stream) + len(f.state)
	if f.front.seq > 0 {
		n += frontSize
	}
	return n
}

// parseFrame parses a whole frame and checks everything that can be checked
// without keys and neighbours.
func parseFrame(b []byte) (*frame, error) {
	f, err := parseUnhashed(b)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(f.body) != f.bodyHash {
		return nil, fmt.Errorf("%w: the sealed body is not the one that the header names", errFrame)
	}
	return f, nil
}

// parseUnhashed is parseFrame for who will open the body: its tag tells then
// whether it is the one that the rest of the header belongs to.
func parseUnhashed(b []byte) (*frame, error) {
	f, rest, err := parseHeadPrefix(b)
	if err != nil {
		return nil, err
	}
	if len(rest) != int(f.bodySize) {
		return nil, fmt.Errorf("%w: the sealed body has %d bytes, the header says %d", errFrame, len(rest), f.bodySize)
	}
	f.body = rest
	return f, nil
}

// parseHead parses a head without a body, as exports hold it.
func parseHead(b []byte) (*frame, error) {
	f, rest, err := parseHeadPrefix(b)
	if err == nil && len(rest) != 0 {
		err = fmt.Errorf("%w: %d bytes after the head", errFrame, len(rest))
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func parseHeadPrefix(b []byte) (f *frame, rest []byte, err error) {
	d := decoder{rest: b}
	f = &frame{}
	if string(d.take(len(frameMagic))) != frameMagic {
		return nil, nil, fmt.Errorf("%w: unknown magic or version", errFrame)
	}
	flags := d.take(1)
	f.deployment = string(d.text())
	f.stream = string(d.text())
	f.seq = d.uint64()
	d.hash(&f.prev)
	f.time = time.UnixMicro(int64(d.uint64())).UTC()
	f.runStart = d.uint64()
	f.count = d.uint32()
	f.records = d.uint64()
	d.hash(&f.root)
	f.keyVersion = d.uint32()
	d.hash(&f.salt)
	f.state = d.text()
	if flags[0]&flagFront != 0 {
		f.front = d.position()
	}
	f.bodySize = d.uint32()
	d.hash(&f.bodyHash)
	if d.truncated {
		return nil, nil, fmt.Errorf("%w: it ends within the header", errFrame)
	}
	f.header = b[:len(b)-len(d.rest)]
	if flags[0]&^(flagSigned|flagFront) != 0 || flags[0]&flagFront != 0 && f.front.seq == 0 {
		return nil, nil, fmt.Errorf("%w: unknown flags %#x", errFrame, flags[0])
	}
	if f.signed = flags[0]&flagSigned != 0; f.signed {
		copy(f.keyID[:], d.take(keyIDSize))
		copy(f.signature[:], d.take(ed25519.SignatureSize))
		if d.truncated {
			return nil, nil, fmt.Errorf("%w: it ends within the checkpoint", errFrame)
		}
	}
	f.head = b[:len(b)-len(d.rest)]
	if err := f.check(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	return f, d.rest, nil
}

// check holds what the writer promises of each header by itself, so that there
// is one encoding of each frame and no field that nobody reads.
func (f *frame) check() error {
	if err := checkNames(f.deployment, f.stream); err != nil {
		return err
	}
	switch {
	case f.seq == 0:
		return errors.New("frame number 0")
	case f.runStart == 0 || f.runStart > f.seq:
		return fmt.Errorf("a run that starts at frame %d cannot hold frame %d", f.runStart, f.seq)
	case f.count > MaxFrameRecords:
		return fmt.Errorf("%d records, more than %d", f.count, MaxFrameRecords)
	case uint64(f.count) > f.records:
		return fmt.Errorf("%d records of %d", f.count, f.records)
	case len(f.state) > MaxState || len(f.state) > 0 && !f.signed:
		return fmt.Errorf("a state digest of %d bytes", len(f.state))
	case f.front.seq > 0 && !f.signed:
		return errors.New("it says where the stream begins, and is not signed")
	case f.front.seq >= f.seq, f.front.records > f.records-uint64(f.count), f.front.seq > 0 && !f.front.valid():
		return fmt.Errorf("the stream cannot begin behind frame %d and %d records", f.front.seq, f.front.records)
	case !validTime(f.time):
		return errors.New("a time beyond the years 1 to 9999")
	case f.bodySize > MaxFrameBody:
		return fmt.Errorf("a body of %d bytes", f.bodySize)
	case f.count > 0:
		if least := sealOverhead + int(f.count)*recordOverhead; int(f.bodySize) < least {
			return fmt.Errorf("a body of %d bytes is too short for %d records", f.bodySize, f.count)
		}
	case !f.signed:
		return errors.New("neither records nor a checkpoint")
	case f.bodySize != 0 || f.bodyHash != emptyHash || f.root != emptyHash || f.keyVersion != 0 || f.salt != (Hash{}):
		return errors.New("a body without records")
	}
	return nil
}

func validTime(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

// decoder takes members off the front of rest. Once it runs out, truncated is set
// and it yields zeros.
type decoder struct {
	rest      []byte
	truncated bool
}

func (d *decoder) take(n int) []byte {
	if d.truncated || len(d.rest) < n {
		d.truncated = true
		return make([]byte, n)
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) text() []byte   { return d.take(int(d.take(1)[0])) }
func (d *decoder) hash(h *Hash)   { copy(h[:], d.take(len(h))) }
func (d *decoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
