package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
)

const phrase = "correct horse battery staple"

// mustPassphraseRoot makes a root at the least cost that is taken.
func mustPassphraseRoot(t testing.TB, passphrase string) *PassphraseRoot {
	t.Helper()
	r, err := createPassphraseRoot(secret.Bytes(passphrase), nil, minPasses, minMemoryKiB, minLanes)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPassphrase(t *testing.T) {
	root := mustPassphraseRoot(t, phrase)
	made, slots := mustCreate(t, root, "deployment-1")
	info, err := Read(slots)
	if err != nil || len(info.Roots) != 1 || info.Roots[0].Kind != KindPassphrase || info.Roots[0].ID != root.ID() {
		t.Fatalf("Read = %+v, %v", info, err)
	}
	again, err := OpenPassphraseRoot(info.Roots[0], secret.Bytes(phrase), nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(context.Background(), again, slots)
	if err != nil {
		t.Fatal(err)
	}
	if !mustDerive(t, opened, LabelRecords).Equal(mustDerive(t, made, LabelRecords)) {
		t.Error("the passphrase opens another domain key")
	}
	for _, wrong := range []string{"", phrase + " ", strings.ToUpper(phrase), strings.Repeat("x", MaxPassphrase+1)} {
		_, err := OpenPassphraseRoot(info.Roots[0], secret.Bytes(wrong), nil)
		wantHint(t, err, ErrWrongRoot)
	}
	if other := mustPassphraseRoot(t, phrase); other.ID() == root.ID() {
		t.Error("two roots of one passphrase are one")
	}
	shown := fmt.Sprintf("%v %+v %#v %s", root, root, struct{ r *PassphraseRoot }{root}, slots)
	if strings.Contains(shown, phrase) {
		t.Error("the passphrase shows")
	}
}

func TestPassphraseIsLongEnough(t *testing.T) {
	for text, good := range map[string]bool{
		"": false, "elevenchars": false, "twelve chars": true, strings.Repeat("ä", 11): false, strings.Repeat("ä", 12): true,
		strings.Repeat("x", MaxPassphrase): true, strings.Repeat("x", MaxPassphrase+1): false,
	} {
		if err := CheckPassphrase(secret.Bytes(text)); (err == nil) != good {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
	_, err := CreatePassphraseRoot(secret.Bytes("short"), nil)
	wantHint(t, err, ErrRootMalformed)
}

// TestPassphraseCostIsBounded: what the slots ask for is refused before it is
// computed, also when it would be cheap.
func TestPassphraseCostIsBounded(t *testing.T) {
	good := passphraseParameters{KDF: "argon2id", Version: 19, Passes: minPasses, MemoryKiB: minMemoryKiB, Lanes: minLanes, Salt: make([]byte, 16)}
	for name, change := range map[string]func(*passphraseParameters){
		"another function": func(p *passphraseParameters) { p.KDF = "argon2i" },
		"another version":  func(p *passphraseParameters) { p.Version = 16 },
		"one pass":         func(p *passphraseParameters) { p.Passes = minPasses - 1 },
		"many passes":      func(p *passphraseParameters) { p.Passes = maxPasses + 1 },
		"little memory":    func(p *passphraseParameters) { p.MemoryKiB = minMemoryKiB - 1 },
		"all memory":       func(p *passphraseParameters) { p.MemoryKiB = 1<<32 - 1 },
		"no lane":          func(p *passphraseParameters) { p.Lanes = 0 },
		"many lanes":       func(p *passphraseParameters) { p.Lanes = maxLanes + 1 },
		"no salt":          func(p *passphraseParameters) { p.Salt = nil },
		"a short salt":     func(p *passphraseParameters) { p.Salt = p.Salt[1:] },
	} {
		p := good
		change(&p)
		stored, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPassphraseRoot(RootInfo{ID: "passphrase:0", Parameters: stored}, secret.Bytes(phrase), nil); !errors.Is(err, ErrSlotsCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzPassphraseParameters(f *testing.F) {
	f.Add(mustPassphraseRoot(f, phrase).Parameters())
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"kdf":"argon2id","version":19,"passes":2,"memoryKiB":4294967295,"lanes":1,"salt":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePassphraseParameters(b)
		if err != nil {
			if !errors.Is(err, ErrSlotsCorrupt) {
				t.Errorf("%v", err)
			}
			return
		}
		if again, err := json.Marshal(p); err != nil || !bytes.Equal(again, b) || p.MemoryKiB > maxMemoryKiB || p.Passes > maxPasses {
			t.Errorf("%q is taken as %q", b, again)
		}
	})
}
