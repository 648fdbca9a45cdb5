package journal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// golden reads frames that an earlier build wrote: three records with a
// checkpoint and state digest CAFE, one record, and a checkpoint alone; keys,
// clock and names are those of newRig. Their headers, hashes, bodies, salts and
// roots were read back by a second implementation, written from the comments in
// this package alone.
func golden(t testing.TB) *kept {
	text, err := os.ReadFile("testdata/frames-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{}
	for line := range strings.Lines(string(text)) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		k.frames = append(k.frames, b)
	}
	k.renumber()
	return k
}

func TestGoldenFrames(t *testing.T) {
	k := golden(t)
	report, err := verify(k, journalKey)
	if err != nil || report.Frames != 3 || report.Records != 4 || report.UnsignedFrames != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	for i, want := range []struct {
		hash    string
		at      time.Duration
		signed  bool
		state   string
		records []string
	}{
		{"99f5bf215204d922edf60391ff2ae85fb9b3d79790754d9e78d83a5ef606c8d6", 0, true, "cafe",
			[]string{`{"eventName":"CreateKey"}`, `{"eventName":"Encrypt","userAgent":"ä"}`, `{"eventName":"Decrypt"}`}},
		{"8f7839756127fecdf91c440f68be701d93b0059693f715f4721dd35707307a58", 250 * time.Millisecond, false, "",
			[]string{`{"eventName":"DescribeKey"}`}},
		{"7a9a55ff4ae83dddbc511b2c704a7d01e0bfeab0cf3b5a80a515d41a2c7de727", 375 * time.Millisecond, true, "cafe", nil},
	} {
		f, err := parseFrame(k.frames[i])
		if err != nil {
			t.Fatal(err)
		}
		hash := f.hash()
		if hex.EncodeToString(hash[:]) != want.hash || !f.time.Equal(start.Add(want.at)) || f.signed != want.signed || hex.EncodeToString(f.state) != want.state {
			t.Errorf("frame %d: %x %s %v %x", i+1, hash, f.time, f.signed, f.state)
		}
		o, err := f.open(testKey)
		if err != nil {
			t.Fatal(err)
		}
		var records []string
		for _, r := range o.records {
			records = append(records, string(r))
		}
		if !slices.Equal(records, want.records) {
			t.Errorf("frame %d holds %q", i+1, records)
		}
	}
}

// There is one encoding of each frame.
func checkCanonical(t *testing.T, encoded []byte) {
	f, err := parseFrame(encoded)
	if err != nil {
		if !errors.Is(err, errFrame) {
			t.Fatalf("an error of another kind: %v", err)
		}
		return
	}
	again := f.appendHeader(nil)
	again = append(again, f.bodyHash[:]...)
	if len(again) != f.headerSize() {
		t.Fatalf("headerSize is %d, the header has %d bytes", f.headerSize(), len(again))
	}
	if f.signed {
		again = append(again, f.keyID[:]...)
		again = append(again, f.signature[:]...)
	}
	if again = append(again, f.body...); !bytes.Equal(again, encoded) {
		t.Fatalf("frame %x is written again as %x", encoded, again)
	}
}

func FuzzParseFrame(f *testing.F) {
	for _, b := range retained(f).kept.frames {
		f.Add(b)
	}
	for _, b := range golden(f).frames {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkCanonical(t, b)
		if g, err := parseFrame(b); err == nil {
			// Not ours: it must not open, and must not panic on the way.
			if _, err := g.open(bytes.Repeat([]byte{1}, keySize)); err == nil && g.count > 0 {
				t.Fatal("a frame opens under a key that never sealed one")
			}
			if head, err := parseHead(g.head); err != nil || head.hash() != g.hash() {
				t.Fatalf("its head by itself: %v", err)
			}
		}
	})
}

func TestParseFrameRefuses(t *testing.T) {
	k := golden(t)
	for i, b := range k.frames {
		checkCanonical(t, b)
		for n := range b {
			if _, err := parseFrame(b[:n]); !errors.Is(err, errFrame) {
				t.Fatalf("frame %d cut at %d: %v", i+1, n, err)
			}
		}
		if _, err := parseFrame(append(bytes.Clone(b), 0)); !errors.Is(err, errFrame) {
			t.Errorf("frame %d with a byte more: %v", i+1, err)
		}
	}
	base, err := parseFrame(k.frames[1])
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*frame){
		"number 0":            func(f *frame) { f.seq = 0 },
		"run 0":               func(f *frame) { f.runStart = 0 },
		"a run from later":    func(f *frame) { f.runStart = f.seq + 1 },
		"too many records":    func(f *frame) { f.count, f.records = MaxFrameRecords+1, MaxFrameRecords+1 },
		"more than there are": func(f *frame) { f.count = 9 },
		"no records":          func(f *frame) { f.count = 0 },
		"a bad deployment":    func(f *frame) { f.deployment = "a b" },
		"a bad stream":        func(f *frame) { f.stream = "" },
		"state, unsigned":     func(f *frame) { f.state = []byte{1} },
		"the year 10000":      func(f *frame) { f.time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a body too large":    func(f *frame) { f.bodySize = MaxFrameBody + 1 },
		"a body too small":    func(f *frame) { f.bodySize = sealOverhead },
	} {
		f := *base
		change(&f)
		b := f.appendHeader(nil)
		b = append(b, f.bodyHash[:]...)
		b = append(b, f.body...)
		if _, err := parseFrame(b); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeysInEnforcedFIPSMode makes frames where Go's module refuses what is not approved:
// there HMACs are made in another way.
func TestKeysInEnforcedFIPSMode(t *testing.T) {
	if os.Getenv("GODEBUG") == "fips140=only" {
		r := newRig(t)
		for range 3 {
			r.frame(2)
		}
		if got := r.all(); len(got) != 6 {
			t.Errorf("%d records", len(got))
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestKeysInEnforcedFIPSMode$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A body that was sealed right but holds nonsense is refused, not trusted.
func TestOpenRefusesNonsense(t *testing.T) {
	for name, body := range map[string][]byte{
		"a length cut":    {0, 0, 0},
		"a length beyond": {0, 0, 0, 9, '{', '}'},
		"a huge length":   {0xff, 0xff, 0xff, 0xff, '{', '}'},
		"one too few":     nil,
		"one too many":    {0, 0, 0, 0, 0, 0, 0, 0},
	} {
		var keys frameKeys
		if err := keys.derive(testKey, &Hash{5}); err != nil {
			t.Fatal(err)
		}
		f := frame{deployment: "d", stream: "s", seq: 1, runStart: 1, count: 1, records: 1, keyVersion: 3, salt: Hash{5}, time: start}
		f.header = append(f.appendHeader(nil), f.bodyHash[:]...)
		f.body = keys.body.Seal(nil, nil, body, f.additional())
		if o, err := f.open(testKey); err == nil {
			t.Errorf("%s: opened as %q", name, o.records)
		}
	}
}
