package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
)

// keys has one key for each version of the domain key below its length.
type keys []secret.Bytes

func (k keys) Current() uint32 { return uint32(len(k) - 1) }

func (k keys) Key(version uint32) (secret.Bytes, error) {
	if int64(version) >= int64(len(k)) {
		return nil, ErrNotFound
	}
	return k[version], nil
}

func sealer(versions int) keys {
	var k keys
	for i := range versions {
		k = append(k, bytes.Repeat([]byte{byte(i + 1)}, 32))
	}
	return k
}

// TestSealFormat opens a sealed value as its comment says, without this package.
func TestSealFormat(t *testing.T) {
	s := &Store{sealer: sealer(3)}
	key := recordKey(Deployment, "c", "id")
	value, err := s.seal(key, sealed{schema: 0x0506, version: 0x0708090a0b0c0d0e}, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	header := []byte{1, 0, 0, 0, 2, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0xd, 0xe}
	if !bytes.HasPrefix(value, header) || len(value) != 15+32+12+4+16 {
		t.Fatalf("the sealed value is %x", value)
	}
	derived, err := hkdf.Key(sha256.New, bytes.Repeat([]byte{3}, 32), value[15:47], "strongroom store record v1", 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	text, err := gcm.Open(nil, value[47:59], value[59:], append(header, key...))
	if err != nil || string(text) != "text" {
		t.Errorf("opened %q, %v", text, err)
	}
	again, err := s.seal(key, sealed{}, []byte("text"))
	if err != nil || bytes.Equal(again[15:59], value[15:59]) {
		t.Errorf("salt and nonce are the same again: %x, %v", again, err)
	}
}

func TestUnsealRefusesEveryChange(t *testing.T) {
	s := &Store{sealer: sealer(2)}
	key := recordKey(Scope{"111122223333", "us-east-1"}, "things", "one")
	const text = "the canary"
	value, err := s.seal(key, sealed{schema: 1, version: 9}, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if h, got, err := s.unseal(key, value); err != nil || string(got) != text || h != (sealed{1, 9}) {
		t.Fatalf("unseal = %v, %q, %v", h, got, err)
	}
	refused := func(what string, key, value []byte) {
		t.Helper()
		_, got, err := s.unseal(key, value)
		if !errors.Is(err, ErrCorrupt) || got != nil {
			t.Errorf("%s: %q, %v; want ErrCorrupt", what, got, err)
			return
		}
		if strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), `"things"`) && what != "another key" {
			t.Errorf("%s: the error is %q", what, err)
		}
	}
	for bit := range len(value) * 8 {
		flipped := bytes.Clone(value)
		flipped[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprint("bit ", bit, " flipped"), key, flipped)
	}
	for n := range value {
		refused(fmt.Sprint("cut to ", n), key, value[:n])
	}
	refused("longer", key, append(bytes.Clone(value), 0))
	for i := range key {
		other := bytes.Clone(key)
		other[i] ^= 2
		refused("another key", other, value)
	}
	refused("an index entry's key", indexKey(Scope{"111122223333", "us-east-1"}, "things", "i", "v", "one"), value)
}

func TestUnsealUnderOlderDomainKeys(t *testing.T) {
	key := recordKey(Deployment, "c", "id")
	old, err := (&Store{sealer: sealer(1)}).seal(key, sealed{}, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if _, text, err := (&Store{sealer: sealer(5)}).unseal(key, old); err != nil || string(text) != "text" {
		t.Errorf("after rotations: %q, %v", text, err)
	}
	young, err := (&Store{sealer: sealer(2)}).seal(key, sealed{}, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (&Store{sealer: sealer(1)}).unseal(key, young); !errors.Is(err, ErrCorrupt) {
		t.Errorf("under a version that does not exist: %v, want ErrCorrupt", err)
	}
	if _, err := (&Store{sealer: keys{make([]byte, 31)}}).seal(key, sealed{}, nil); err == nil {
		t.Error("a key of 31 bytes was used")
	}
}

func FuzzUnseal(f *testing.F) {
	s := &Store{sealer: sealer(2)}
	key := recordKey(Deployment, "c", "id")
	value, err := s.seal(key, sealed{schema: 1, version: 1}, []byte("text"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add(value[:20])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, text, err := s.unseal(key, raw); err == nil && string(text) != "text" {
			t.Errorf("%x was opened as %q", raw, text)
		} else if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%x: %v, want ErrCorrupt", raw, err)
		}
	})
}
