package keyring

import (
	"bytes"
	"testing"
)

// detached is what a proxy answers for a plaintext of that many bytes.
func detached(iv, metadata, plaintext int) Detached {
	return Detached{
		IV: bytes.Repeat([]byte{1}, iv), Metadata: bytes.Repeat([]byte{2}, metadata),
		Ciphertext: bytes.Repeat([]byte{3}, innerOverhead+plaintext), Tag: bytes.Repeat([]byte{4}, TagSize),
	}
}

func externalHeader(t testing.TB) []byte {
	t.Helper()
	header, err := headers.Append(nil, Header{Suite: SuiteExternal, KeyID: uuid, MaterialID: material})
	if err != nil {
		t.Fatal(err)
	}
	return header
}

func TestExternalSplitsWhatWasAppended(t *testing.T) {
	header := externalHeader(t)
	for _, c := range []struct{ iv, metadata, plaintext int }{
		{12, 0, 1}, {12, 20, 1}, {16, 0, 1}, {16, 20, MaxPlaintext}, {12, 13, 100},
	} {
		in := detached(c.iv, c.metadata, c.plaintext)
		blob, err := AppendExternal(header, in)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if len(blob) > 6144 {
			t.Errorf("%+v: a blob of %d bytes", c, len(blob))
		}
		h, out, err := SplitExternal(blob)
		if err != nil || !bytes.Equal(h, header) || !bytes.Equal(out.IV, in.IV) || !bytes.Equal(out.Metadata, in.Metadata) ||
			!bytes.Equal(out.Ciphertext, in.Ciphertext) || !bytes.Equal(out.Tag, in.Tag) {
			t.Errorf("%+v: %+v, %v", c, out, err)
		}
		if parsed, err := headers.Parse(blob); err != nil || parsed.Suite != SuiteExternal || parsed.KeyID != uuid {
			t.Errorf("%+v: Parse = %+v, %v", c, parsed, err)
		}
		for cut := range len(blob) {
			// What is cut may still be a shorter ciphertext, as far as lengths tell.
			if _, out, err := SplitExternal(blob[:cut]); err == nil && len(out.Ciphertext) >= len(in.Ciphertext) {
				t.Fatalf("%+v: %d of %d bytes: %+v", c, cut, len(blob), out)
			}
		}
	}
}

func TestExternalRefusesOtherSizes(t *testing.T) {
	header := externalHeader(t)
	for _, in := range []Detached{
		detached(11, 0, 1), detached(13, 0, 1), detached(0, 0, 1), detached(17, 0, 1),
		detached(12, 21, 1), detached(12, 0, 0), detached(16, 20, MaxPlaintext+1),
		{IV: make([]byte, 12), Ciphertext: make([]byte, 200), Tag: make([]byte, 15)},
		{IV: make([]byte, 12), Ciphertext: make([]byte, 200), Tag: make([]byte, 17)},
	} {
		if blob, err := AppendExternal(header, in); err != ErrInvalidCiphertext {
			t.Errorf("IV %d, metadata %d, ciphertext %d: %d bytes, %v", len(in.IV), len(in.Metadata), len(in.Ciphertext), len(blob), err)
		}
	}
}

func TestExternalAADBindsBoth(t *testing.T) {
	header := externalHeader(t)
	seen := map[string]bool{}
	for _, c := range []map[string]string{nil, {"a": "b"}, {"a": "c"}, {"b": "a"}, {"a": "b", "c": "d"}} {
		aad, err := ExternalAAD(header, c)
		if err != nil || len(aad) != 32 || seen[string(aad)] {
			t.Errorf("%v: %x, %v", c, aad, err)
		}
		seen[string(aad)] = true
	}
	other := bytes.Clone(header)
	other[20] ^= 1
	if aad, _ := ExternalAAD(other, nil); seen[string(aad)] {
		t.Error("the header is not bound")
	}
}

func FuzzSplitExternal(f *testing.F) {
	header := externalHeader(f)
	for _, d := range []Detached{detached(12, 0, 1), detached(16, 20, 4096)} {
		blob, err := AppendExternal(header, d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(blob)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		h, d, err := SplitExternal(blob)
		if err != nil {
			return
		}
		again, err := AppendExternal(h, d)
		if err != nil || !bytes.Equal(again, blob) {
			t.Fatalf("%x gives %x, %v", blob, again, err)
		}
	})
}
