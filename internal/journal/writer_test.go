package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

func TestCheckpointsOncePerSecond(t *testing.T) {
	r := newRig(t)
	step := func(advance time.Duration, records int, signed bool) {
		t.Helper()
		r.clock.Advance(advance)
		if f := r.frame(records); f.signed != signed {
			t.Fatalf("frame %d: signed is %v", f.seq, f.signed)
		}
	}
	step(0, 1, true) // the first of a process
	step(999*time.Millisecond, 1, false)
	step(time.Millisecond, 1, true)
	step(0, 1, false)
	step(0, 0, true) // asked for
	step(0, 1, false)
	step(-time.Minute, 1, true) // the clock was set back
	step(999*time.Millisecond, 2, false)
	r.open()
	step(0, 1, true)
	if _, err := verify(r.kept, journalKey); err != nil {
		t.Fatal(err)
	}
}

func TestNeedsCheckpoint(t *testing.T) {
	r := newRig(t)
	want := func(needs, unsigned bool, at time.Time) {
		t.Helper()
		got, gotUnsigned := r.w.CheckpointDue()
		if n := r.w.NeedsCheckpoint(); n != needs || gotUnsigned != unsigned || !got.Equal(at) {
			t.Fatalf("NeedsCheckpoint %v, CheckpointDue %v %v; want %v, %v %v", n, got, gotUnsigned, needs, at, unsigned)
		}
	}
	want(false, false, time.Time{})
	r.frame(1)
	want(false, false, time.Time{}) // it was signed
	r.clock.Advance(500 * time.Millisecond)
	r.frame(1)
	want(false, true, start.Add(1500*time.Millisecond))
	r.clock.Advance(400 * time.Millisecond)
	r.frame(1) // does not put it off
	r.clock.Advance(600 * time.Millisecond)
	want(true, true, start.Add(1500*time.Millisecond))
	r.frame(0)
	want(false, false, time.Time{})
	r.clock.Advance(time.Millisecond)
	r.frame(1)
	r.clock.Advance(-time.Hour)
	want(true, true, r.clock.Now())
	r.open() // after a crash the tail that nobody signed is due at once
	want(true, true, r.clock.Now())
	r.frame(0)
	r.open()
	want(false, false, time.Time{})
}

func TestTimesAndRuns(t *testing.T) {
	r := newRig(t)
	for i, step := range []struct {
		advance time.Duration
		time    time.Duration // of the frame, since start
		run     uint64
	}{
		{0, 0, 1},
		{time.Second + 1500*time.Nanosecond, time.Second + time.Microsecond, 1},
		{-time.Millisecond, time.Second + time.Microsecond, 1},                     // jitter
		{-time.Minute, -59*time.Second - time.Millisecond + 1*time.Microsecond, 4}, // set back
		{time.Millisecond, -59*time.Second + 1*time.Microsecond, 4},
	} {
		r.clock.Advance(step.advance)
		f := r.frame(1)
		if want := start.Add(step.time); !f.time.Equal(want) || f.runStart != step.run {
			t.Errorf("frame %d: time %s, run %d; want %s, %d", i+1, f.time, f.runStart, want, step.run)
		}
	}
	if _, err := verify(r.kept, nil); err != nil {
		t.Fatal(err)
	}
}

func TestStateIsSigned(t *testing.T) {
	r := newRig(t)
	n := byte(0)
	r.c.State = func() []byte { n++; return bytes.Repeat([]byte{n}, MaxState) }
	r.open()
	if f := r.frame(1); !bytes.Equal(f.state, bytes.Repeat([]byte{1}, MaxState)) {
		t.Errorf("the first frame holds state %x", f.state)
	}
	if f := r.frame(1); len(f.state) != 0 {
		t.Errorf("a frame without a checkpoint holds state %x", f.state)
	}
	if f := r.frame(0); !bytes.Equal(f.state, bytes.Repeat([]byte{2}, MaxState)) {
		t.Errorf("the checkpoint holds state %x", f.state)
	}
	if _, err := verify(r.kept, journalKey); err != nil {
		t.Fatal(err)
	}
	r.c.State = func() []byte { return make([]byte, MaxState+1) }
	r.open()
	if _, _, err := r.w.Frame(nil); err == nil {
		t.Error("a state digest beyond the limit was taken")
	}
}

func TestOpenRefuses(t *testing.T) {
	r := newRig(t)
	r.frame(2)
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	damage := func(at int) *kept {
		k := r.kept.clone()
		last := k.frames[len(k.frames)-1]
		last[(at+len(last))%len(last)] ^= 1
		return k
	}
	f, err := parseFrame(r.kept.frames[0])
	if err != nil {
		t.Fatal(err)
	}
	renumbered := r.kept.clone()
	renumbered.seqs[0] = 2
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no deployment":      {func(c *Config) { c.Deployment = "" }, "deployment id"},
		"a space in it":      {func(c *Config) { c.Stream = "a b" }, "stream id"},
		"too long":           {func(c *Config) { c.Stream = strings.Repeat("a", MaxName+1) }, "stream id"},
		"a short key":        {func(c *Config) { c.Key = c.Key[:31] }, "31 bytes"},
		"no clock":           {func(c *Config) { c.Clock = nil }, "Config.Clock"},
		"no signer":          {func(c *Config) { c.Signer = nil }, "signing key"},
		"another deployment": {func(c *Config) { c.Deployment = "other" }, "deployment"},
		"another stream":     {func(c *Config) { c.Stream = "other" }, "stream"},
		"another key":        {func(c *Config) { c.Key = bytes.Repeat([]byte{8}, 32) }, ErrKey.Error()},
		"a later version":    {func(c *Config) { c.KeyVersion = 4 }, "key version 3"},
		"a changed body":     {func(c *Config) { c.Frames = damage(-1) }, "sealed body"},
		"a changed signature": {func(c *Config) { c.Frames = damage(len(f.head) - 1) },
			"signature"},
		"a wrong number": {func(c *Config) { c.Frames = renumbered }, "kept as 2"},
		"a broken disk":  {func(c *Config) { c.Frames = broken{} }, "input/output"},
	} {
		config := r.c
		c.change(&config)
		if _, err := Open(context.Background(), config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	config := r.c
	config.KeyVersion, config.Key, config.PastKey = 4, bytes.Repeat([]byte{8}, 32), journalKey
	if _, err := Open(context.Background(), config); err != nil {
		t.Errorf("with the past key: %v", err)
	}
	// After a change of signing keys the chain goes on.
	config = r.c
	config.Signer = other
	w, err := Open(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	seq, encoded, err := w.Frame(nil)
	if err != nil {
		t.Fatal(err)
	}
	k := r.kept.clone()
	k.seqs, k.frames = append(k.seqs, seq), append(k.frames, encoded)
	both := append([]ed25519.PublicKey{other.Public().(ed25519.PublicKey)}, testPublic...)
	if _, err := Verify(context.Background(), VerifyConfig{PublicKeys: both, Frames: k}); err != nil {
		t.Errorf("with both public keys: %v", err)
	}
	if p := mustProblem(t, errOf(verify(k, nil))); p.Kind != Foreign || p.Seq != 2 {
		t.Errorf("with the first public key: %v", p)
	}
}

type broken struct{}

func (broken) LastFrame(context.Context) (uint64, []byte, error) {
	return 0, nil, errors.New("input/output error")
}
func (broken) Frames(context.Context, uint64, func(uint64, []byte) error) error {
	return errors.New("input/output error")
}

func errOf(_ *Report, err error) error { return err }

func TestFrameRefusesAndStaysDown(t *testing.T) {
	for name, record := range map[string]string{
		"empty":         "",
		"no members":    "{}",
		"no object":     `["a"]`,
		"two lines":     "{\"a\":\n1}",
		"a NUL":         "{\"a\":\x00}",
		"longer than 1": `{"a":"` + strings.Repeat("x", MaxRecord) + `"}`,
	} {
		r := newRig(t)
		r.frame(1)
		_, _, err := r.w.Frame([][]byte{[]byte(`{"a":1}`), []byte(record)})
		if err == nil || !strings.Contains(err.Error(), "frame 2") || !strings.Contains(err.Error(), "record 1") {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, again := r.w.Frame(nil); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: the next frame: %v", name, again)
		}
	}
	r := newRig(t)
	if _, _, err := r.w.Frame(make([][]byte, MaxFrameRecords+1)); err == nil {
		t.Error("too many records were taken")
	}
	r = newRig(t)
	r.c.Rand = strings.NewReader("too short")
	r.open()
	if _, _, err := r.w.Frame([][]byte{[]byte(`{"a":1}`)}); err == nil {
		t.Error("went on without randomness")
	}
}

func TestLargestRecordAndManyRecords(t *testing.T) {
	r := newRig(t)
	record := []byte(`{"a":"` + strings.Repeat("x", MaxRecord-len(`{"a":""}`)) + `"}`)
	r.commit(record)
	many := make([][]byte, MaxFrameRecords)
	for i := range many {
		many[i] = fmt.Appendf(nil, `{"n":%d}`, i)
	}
	r.commit(many...)
	report, err := verify(r.kept, journalKey)
	if err != nil || report.Records != MaxFrameRecords+1 {
		t.Fatalf("%+v, %v", report, err)
	}
}

// What is recorded is private: nothing of it stands in a frame in the clear, and
// neither does the key.
func TestFramesAreSealed(t *testing.T) {
	r := newRig(t)
	const canary = "arn:aws:kms:us-east-1:111122223333:key/canary"
	for range 5 {
		r.commit([]byte(`{"keyId":"`+canary+`"}`), []byte(`{"sourceIPAddress":"`+canary+`"}`))
	}
	for i, f := range r.kept.frames {
		for n := 0; n+6 <= len(canary); n++ {
			if bytes.Contains(f, []byte(canary[n:n+6])) {
				t.Fatalf("frame %d shows %q", i+1, canary[n:n+6])
			}
		}
		if bytes.Contains(f, testKey[:8]) || bytes.Contains(f, testSigner.Seed()[:8]) {
			t.Fatalf("frame %d shows key bytes", i+1)
		}
	}
	// Equal records make equal text nowhere.
	a, _ := parseFrame(r.kept.frames[1])
	b, _ := parseFrame(r.kept.frames[2])
	if a.root == b.root || bytes.Equal(a.body, b.body) || a.salt == b.salt {
		t.Error("two frames of the same records can be told to be that")
	}
	_, err := verify(r.kept, func(uint32) (secret.Bytes, error) { return bytes.Repeat([]byte{8}, 32), nil })
	if p := mustProblem(t, err); p.Kind != Changed || p.Seq != 1 {
		t.Errorf("under another key: %v", p)
	}
}

// TestRekey: frames from there on are sealed under the other version, the chain goes
// on, and a key that is none changes nothing.
func TestRekey(t *testing.T) {
	r := newRig(t)
	r.commit([]byte(`{"n":1}`))
	if err := r.w.Rekey(4, make(secret.Bytes, keySize-1)); err == nil {
		t.Error("a short key is taken")
	}
	other := secret.Bytes(bytes.Repeat([]byte{8}, keySize))
	if err := r.w.Rekey(4, other); err != nil {
		t.Fatal(err)
	}
	if f := r.commit([]byte(`{"n":2}`)); f.keyVersion != 4 {
		t.Errorf("sealed under version %d", f.keyVersion)
	} else if _, err := f.open(other); err != nil {
		t.Error(err)
	}
	report, err := verify(r.kept, func(version uint32) (secret.Bytes, error) {
		if version == 4 {
			return other, nil
		}
		return journalKey(version)
	})
	if err != nil || report.Records != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestFollow: two writers of one stream, each going on from whatever was committed
// last, make one chain; a frame that was not committed leaves no trace.
func TestFollow(t *testing.T) {
	one, two := newRig(t), newRigOf(t, 2)
	two.kept = one.kept
	follow := func(r *rig) {
		t.Helper()
		seq, last, err := r.kept.LastFrame(t.Context())
		if err != nil {
			seq, last = 0, nil
		}
		if err := r.w.Follow(seq, last[:min(len(last), 1024)]); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range []*rig{one, two, two, one, one, one, two, one} {
		follow(r)
		if i%3 == 0 { // made, and not committed
			if _, _, err := r.w.Frame([][]byte{[]byte(`{"lost":1}`)}); err != nil {
				t.Fatal(err)
			}
			follow(r)
		}
		r.frame(i % 4)
		r.clock.Advance(400 * time.Millisecond)
	}
	if report, err := verify(one.kept, journalKey); err != nil || report.Frames != 8 || report.Records != 0+1+2+3+0+1+2+3 {
		t.Errorf("the chain of two writers: %+v, %v", report, err)
	}
	_, last, _ := one.kept.LastFrame(t.Context())
	other := newRig(t)
	other.c.Stream = "other"
	other.open()
	for name, err := range map[string]error{
		"another stream's": other.w.Follow(8, last),
		"another number":   one.w.Follow(9, last),
		"cut short":        one.w.Follow(8, last[:40]),
		"nothing":          one.w.Follow(8, nil),
	} {
		if err == nil {
			t.Errorf("a frame was followed: %s", name)
		}
	}
}
