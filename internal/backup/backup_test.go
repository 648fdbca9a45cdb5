package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

var key = secret.Bytes(strings.Repeat("k", 32))

func keyOf(Header) (secret.Bytes, error) { return key, nil }

// sample writes n records and frames of a size.
func sample(t testing.TB, n, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, key, Header{
		ID: "1", Deployment: "d", Made: time.Unix(1, 0).UTC(), Epoch: 7, Frame: uint64(n), Meta: map[string][]byte{"slots": []byte("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Record(fmt.Appendf(nil, "key-%d", i), bytes.Repeat([]byte{byte(i)}, size)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if err := w.Frame(uint64(i+1), bytes.Repeat([]byte{byte(i)}, size)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, size := range []int{0, 10, 300 << 10} {
		file := sample(t, 9, size)
		records, frames, blocks := 0, 0, 0
		h, m, err := Read(bytes.NewReader(file), Visitor{
			Key: keyOf,
			Record: func(k, v []byte) error {
				if string(k) != fmt.Sprintf("key-%d", records) || len(v) != size {
					t.Errorf("record %d is %q with %d bytes", records, k, len(v))
				}
				records++
				return nil
			},
			Frame: func(seq uint64, f []byte) error {
				if frames++; seq != uint64(frames) || len(f) != size {
					t.Errorf("frame %d is %d with %d bytes", frames, seq, len(f))
				}
				return nil
			},
			Block: func() error { blocks++; return nil },
		})
		if err != nil || records != 9 || frames != 9 || blocks != len(m.Blocks) || h.Epoch != 7 || m.Records != 9 {
			t.Errorf("size %d: %d records, %d frames, %+v, %v", size, records, frames, h, err)
		}
		if _, _, err := Read(bytes.NewReader(file), Visitor{Key: keyOf, Expect: &m}); err != nil {
			t.Error(err)
		}
	}
}

// TestNoByteMayChange flips each byte, cuts at each, and adds one.
func TestNoByteMayChange(t *testing.T) {
	file := sample(t, 3, 10)
	read := func(b []byte) error {
		_, _, err := Read(bytes.NewReader(b), Visitor{Key: keyOf})
		return err
	}
	for i := range file {
		flipped := bytes.Clone(file)
		flipped[i] ^= 1
		if err := read(flipped); !errors.Is(err, ErrBad) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if err := read(file[:i]); !errors.Is(err, ErrBad) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if err := read(append(bytes.Clone(file), 0)); !errors.Is(err, ErrBad) {
		t.Errorf("a byte more: %v", err)
	}
	_, _, err := Read(bytes.NewReader(file), Visitor{Key: func(Header) (secret.Bytes, error) { return key[1:], nil }})
	if !errors.Is(err, ErrBad) {
		t.Errorf("another key: %v", err)
	}
}

// TestAFileThatChangesWhileItIsRestored: nothing of a changed block is handed on.
func TestAFileThatChangesWhileItIsRestored(t *testing.T) {
	_, m, err := Read(bytes.NewReader(sample(t, 3, 10)), Visitor{Key: keyOf})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Read(bytes.NewReader(sample(t, 3, 11)), Visitor{
		Key: keyOf, Expect: &m, Record: func(_, _ []byte) error { t.Error("a record was handed on"); return nil },
	})
	if !errors.Is(err, ErrBad) {
		t.Error(err)
	}
}

// TestALengthIsNotBelieved: a header promises a long block, and nothing follows.
func TestALengthIsNotBelieved(t *testing.T) {
	in := io.MultiReader(strings.NewReader(magic), bytes.NewReader([]byte{kindHeader, 0x03, 0xff, 0xff, 0xff}))
	if _, _, err := Read(in, Visitor{Key: keyOf}); !errors.Is(err, ErrBad) {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample(f, 2, 5))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, _, err := Read(bytes.NewReader(file), Visitor{Key: keyOf})
		if err == nil && !bytes.Equal(file, sample(t, 2, 5)) {
			t.Error("a file that nobody wrote is taken")
		}
	})
}
