package software

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// rewrite writes DER as BER: each element with a longer length than it needs, or an
// open one, and octet strings in pieces.
func rewrite(t testing.TB, der []byte, open bool, piece int) []byte {
	t.Helper()
	var out []byte
	for rest := der; len(rest) > 0; {
		tag, content, _, after, err := berElement(rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = after
		constructed := tag&berConstructed != 0
		if constructed {
			content = rewrite(t, content, open, piece)
		}
		if tag == berOctetString && piece > 0 {
			var pieces []byte
			for at := 0; at < len(content); at += piece {
				part := content[at:min(at+piece, len(content))]
				pieces = append(pieces, berOctetString, 0x82, byte(len(part)>>8), byte(len(part)))
				pieces = append(pieces, part...)
			}
			tag, content, constructed = tag|berConstructed, pieces, true
		}
		if open && constructed {
			out = append(append(append(out, tag, berOpenLength), content...), 0, 0)
			continue
		}
		out = append(append(out, tag, 0x84, 0, 0, byte(len(content)>>8), byte(len(content))), content...)
	}
	return out
}

// TestImportOfBER: whatever form a key comes in, it is the same material.
func TestImportOfBER(t *testing.T) {
	r := newRing(t, Config{})
	for _, spec := range []keyring.Spec{keyring.RSA2048, keyring.P256, keyring.P384, keyring.P521, keyring.Secp256k1, keyring.Ed25519} {
		der, public, err := r.GeneratePair(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := materialOf(spec, der)
		if err != nil {
			t.Fatal(err)
		}
		for name, ber := range map[string][]byte{
			"long lengths":         rewrite(t, der, false, 0),
			"open lengths":         rewrite(t, der, true, 0),
			"pieces":               rewrite(t, der, false, 10),
			"pieces, open lengths": rewrite(t, der, true, 1000),
			"pieces of one byte":   rewrite(t, der, true, 1),
		} {
			got, spki, err := materialOf(spec, ber)
			if err != nil || !bytes.Equal(got, want) || !bytes.Equal(spki, public) {
				t.Errorf("%s, %s: %v", spec, name, err)
			}
		}
		// The algorithm's own structure is BER as well.
		var info privateKeyInfo
		if _, err := asn1.Unmarshal(der, &info); err != nil {
			t.Fatal(err)
		}
		info.PrivateKey = rewrite(t, info.PrivateKey, true, 7)
		outer, err := asn1.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := materialOf(spec, outer); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s, BER within: %v", spec, err)
		}
		for n := range len(der) {
			if _, _, err := materialOf(spec, der[:n]); err == nil {
				t.Errorf("%s: the first %d bytes are taken", spec, n)
			}
		}
	}
}

func TestToDER(t *testing.T) {
	for _, c := range []struct{ ber, der string }{
		{"020105", "020105"},
		{"02810105", "020105"},
		{"0284000000" + "0105", "020105"},
		{"0500", "0500"},
		{"3000", "3000"},
		{"30800000", "3000"},
		{"30060201050201" + "06", "3006020105020106"},
		{"3080308002010500000201060000", "30083003020105020106"},
		{"2480040101040102" + "0000", "04020102"},
		{"24072405040101" + "0400", "040101"}, // pieces of pieces, and an empty one
		{"2400", "0400"},
		{"a080020105" + "0000", "a003020105"},
		{"04810" + "0", "0400"},
		{"30850000000000", ""},      // a length of five bytes
		{"3003020105" + "00", ""},   // more than one element
		{"0280050000", ""},          // a primitive one without a length
		{"3080020105", ""},          // no end
		{"308002010500", ""},        // half an end
		{"2380030200ff0000", ""},    // a bit string in pieces
		{"2480020105" + "0000", ""}, // a piece of another kind
		{"1f8101" + "00", ""},       // a high tag
		{"0000", ""},                // an end of nothing
		{"30020000", ""},            // an end where none is due
		{"", ""},
		{"30", ""},
		{"3082ff", ""},
		{"308400000003020105", "3003020105"},
		{"3084ffffffff", ""},
		{strings.Repeat("3080", 40) + strings.Repeat("0000", 40), ""}, // too deep
	} {
		ber, err := hex.DecodeString(c.ber)
		if err != nil {
			t.Fatal(err)
		}
		der, err := toDER(ber)
		if got := hex.EncodeToString(der); got != c.der || (err == nil) != (c.der != "") {
			t.Errorf("%s: %s, %v; want %s", c.ber, got, err, c.der)
		}
	}
}

// FuzzToDER: what comes out is DER already, and no longer than what went in.
func FuzzToDER(f *testing.F) {
	f.Add([]byte{0x30, 0x80, 0x24, 0x03, 0x04, 0x01, 0x07, 0x00, 0x00})
	f.Add([]byte{0x30, 0x84, 0, 0, 0, 3, 2, 1, 5})
	f.Fuzz(func(t *testing.T, ber []byte) {
		if len(ber) > 0xffff {
			return
		}
		before := bytes.Clone(ber)
		der, err := toDER(ber)
		if !bytes.Equal(before, ber) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		again, err := toDER(der)
		if err != nil || !bytes.Equal(again, der) || len(der) > len(ber) || cap(der) != len(ber) {
			t.Fatalf("%x became %x, and that %x: %v", ber, der, []byte(again), err)
		}
		if _, err := derKey(secret.Bytes(ber)); err == nil && len(ber) < 8 {
			t.Fatalf("%x is no key", ber)
		}
	})
}
