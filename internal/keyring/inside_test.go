package keyring

import (
	"bytes"
	"testing"
)

func TestHSMSplitsWhatWasAppended(t *testing.T) {
	header, err := headers.Append(nil, Header{Suite: SuiteHSM, KeyID: uuid, MaterialID: material})
	if err != nil {
		t.Fatal(err)
	}
	const least = NonceSize + innerOverhead + TagSize
	for size, good := range map[int]bool{
		0: false, least: false, least + 1: true, least + 100: true, least + MaxPlaintext: true, least + MaxPlaintext + 1: false,
	} {
		sealed := bytes.Repeat([]byte{7}, size)
		blob, err := AppendHSM(header, sealed)
		if (err == nil) != good {
			t.Errorf("%d bytes: %v", size, err)
			continue
		}
		if !good {
			continue
		}
		h, s, err := SplitHSM(blob)
		if err != nil || !bytes.Equal(h, header) || !bytes.Equal(s, sealed) {
			t.Errorf("%d bytes: %x, %d bytes, %v", size, h, len(s), err)
		}
		if parsed, err := headers.Parse(blob); err != nil || parsed.Suite != SuiteHSM || parsed.KeyID != uuid {
			t.Errorf("%d bytes: Parse = %+v, %v", size, parsed, err)
		}
		for _, suite := range []Suite{SuiteProxy, 0x01, 0} {
			blob[0] = byte(suite)
			if _, _, err := SplitHSM(blob); err == nil {
				t.Errorf("suite %x is split", suite)
			}
			if _, err := headers.Parse(blob); err == nil {
				t.Errorf("suite %x is parsed", suite)
			}
		}
	}
	if _, err := AppendHSM(header[:65], bytes.Repeat([]byte{7}, 200)); err == nil {
		t.Error("a short header is taken")
	}
	external, err := headers.Append(nil, Header{Suite: SuiteExternal, KeyID: uuid, MaterialID: material})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AppendHSM(external, bytes.Repeat([]byte{7}, 200)); err == nil {
		t.Error("another suite's header is taken")
	}
}
