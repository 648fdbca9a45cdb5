package keyring

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var (
	uuid     = "1234abcd-12ab-34cd-56ef-1234567890ab"
	mrk      = "mrk-1234abcd12ab34cd56ef1234567890ab"
	material = strings.Repeat("0123456789abcdef", 4)
	headers  = NewHeaders(bytes.Repeat([]byte{7}, HeaderKeySize))
)

// mustBlob returns bytes that parse: a header and size more.
func mustBlob(t testing.TB, keyID string, size int) []byte {
	t.Helper()
	header, err := headers.Append(nil, Header{SuiteSoftware, keyID, material})
	if err != nil {
		t.Fatal(err)
	}
	return append(header, make([]byte, size)...)
}

// tagged puts the right tag behind the ids of a blob.
func tagged(blob []byte) {
	headers.withTag(blob[:idsSize], func(tag []byte) { copy(blob[idsSize:], tag) })
}

func TestParseRefusesWhatThisDeploymentDidNotMake(t *testing.T) {
	blob := mustBlob(t, uuid, 200)
	for i := range HeaderSize * 8 {
		blob[i/8] ^= 1 << (i % 8)
		if h, err := headers.Parse(blob); err != ErrInvalidCiphertext || h != (Header{}) {
			t.Errorf("bit %d flipped: %+v, %v", i, h, err)
		}
		blob[i/8] ^= 1 << (i % 8)
	}
	if _, err := NewHeaders(bytes.Repeat([]byte{8}, HeaderKeySize)).Parse(blob); err != ErrInvalidCiphertext {
		t.Errorf("another deployment's blob: %v", err)
	}
}

func TestHeader(t *testing.T) {
	const least, most = Overhead - HeaderSize + 1, Overhead - HeaderSize + MaxPlaintext
	for _, keyID := range []string{uuid, mrk, "ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000"} {
		for size, want := range map[int]error{least - 1: ErrInvalidCiphertext, least: nil, most: nil, most + 1: ErrInvalidCiphertext} {
			h, err := headers.Parse(mustBlob(t, keyID, size))
			if !errors.Is(err, want) {
				t.Errorf("%s and %d bytes: %v", keyID, size, err)
			}
			if err == nil && h != (Header{SuiteSoftware, keyID, material}) {
				t.Errorf("%s comes back as %+v", keyID, h)
			}
		}
	}
	if bytes.Equal(mustBlob(t, uuid, 0), mustBlob(t, mrk, 0)) {
		t.Error("a UUID and a multi-Region key id of the same digits have one header")
	}
	if total := Overhead + MaxPlaintext; total > 6144 {
		t.Errorf("the largest blob has %d bytes", total)
	}
}

func TestParseRefusesEveryOtherSuiteAndForm(t *testing.T) {
	for b := range 256 {
		blob := mustBlob(t, uuid, 200)
		blob[0] = byte(b)
		tagged(blob)
		if _, err := headers.Parse(blob); (err == nil) != (Suite(b) == SuiteSoftware || Suite(b) == SuiteHSM) {
			t.Errorf("suite %#x: %v", b, err)
		}
		blob = mustBlob(t, uuid, 200)
		blob[1] = byte(b)
		tagged(blob)
		if _, err := headers.Parse(blob); (err == nil) != (b == formUUID || b == formMRK) {
			t.Errorf("form %d: %v", b, err)
		}
	}
}

func TestAppendHeaderRefusesMalformedIDs(t *testing.T) {
	for _, keyID := range []string{
		"", "x", strings.ToUpper(uuid), uuid[1:], uuid + "0", "MRK-" + mrk[4:], strings.ToUpper(mrk),
		strings.ReplaceAll(uuid, "-", ""), strings.ReplaceAll(uuid, "-", "0"), mrk[4:] + "mrk-", "mrk-" + uuid[4:],
		strings.Replace(uuid, "a", "g", 1), strings.Replace(uuid, "a", "\x00", 1), strings.Replace(mrk, "a", "é", 1),
		strings.Repeat("a", 36), "alias/" + strings.Repeat("a", 30), strings.Repeat("0", 2048),
	} {
		if out, err := headers.Append(nil, Header{SuiteSoftware, keyID, material}); !errors.Is(err, ErrKeyID) {
			t.Errorf("key id %q: %x, %v", keyID, out, err)
		}
	}
	for _, id := range []string{"", material[1:], material + "0", strings.ToUpper(material), "g" + material[1:]} {
		if out, err := headers.Append(nil, Header{SuiteSoftware, uuid, id}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("material id %q: %x, %v", id, out, err)
		}
	}
}

func FuzzParseCiphertext(f *testing.F) {
	f.Add(mustBlob(f, uuid, 93))
	f.Add(mustBlob(f, mrk, 4188))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, blob []byte) {
		if len(blob) >= HeaderSize {
			tagged(blob)
		}
		h, err := headers.Parse(blob)
		if err != nil {
			if err != ErrInvalidCiphertext || h != (Header{}) {
				t.Fatalf("Parse = %+v, %v", h, err)
			}
			return
		}
		again, err := headers.Append(nil, h)
		if err != nil || !bytes.Equal(again, blob[:HeaderSize]) {
			t.Fatalf("%+v is encoded as %x (%v), it came from %x", h, again, err, blob[:HeaderSize])
		}
	})
}
