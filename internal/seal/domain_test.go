package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
)

func mustFileRoot(t testing.TB) *FileRoot {
	t.Helper()
	r, err := CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustCreate(t testing.TB, root Root, deployment string) (*Domain, []byte) {
	t.Helper()
	d, slots, err := Create(context.Background(), root, deployment, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d, slots
}

// domainOf is a Domain with these keys that was never stored.
func domainOf(deployment string, current uint32, keys map[uint32]*[keySize]byte) *Domain {
	d := &Domain{deployment: deployment}
	d.state.Store(&state{current: current, keys: keys})
	return d
}

func mustDerive(t testing.TB, d *Domain, label Label) secret.Bytes {
	t.Helper()
	key, err := d.Derive(d.Current(), label)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var labels = []Label{LabelRecords, LabelMaterial, LabelJournalSealing, LabelJournalSigning,
	LabelSigV4Secrets, LabelSessionTokens, LabelGrantTokens, LabelPagination, labelSlots}

func TestOpenGivesWhatCreateGave(t *testing.T) {
	root := mustFileRoot(t)
	made, slots := mustCreate(t, root, "deployment-1")
	opened, err := Open(context.Background(), root, slots)
	if err != nil {
		t.Fatal(err)
	}
	if opened.Deployment() != "deployment-1" || opened.Current() != 1 {
		t.Errorf("opened %v", opened)
	}
	seen := map[string]Label{}
	for _, label := range labels {
		key := mustDerive(t, opened, label)
		if len(key) != 32 || !key.Equal(mustDerive(t, made, label)) {
			t.Errorf("label %s gives another key after Open", label)
		}
		if other, ok := seen[string(key)]; ok {
			t.Errorf("labels %s and %s give one key", label, other)
		}
		seen[string(key)] = label
	}
	if _, err := opened.Derive(2, LabelRecords); !errors.Is(err, ErrUnknownVersion) {
		t.Errorf("Derive of version 2: %v", err)
	}
	other, _ := mustCreate(t, root, "deployment-1")
	if mustDerive(t, other, LabelRecords).Equal(mustDerive(t, made, LabelRecords)) {
		t.Error("two domains have one key")
	}
}

// TestVectors holds the stored form and the derivation against testdata/vectors.py.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Root, RootID, Slots string
		Derived             map[Label]string
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(v.Root)
	if err != nil {
		t.Fatal(err)
	}
	root, err := CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), bytes.NewReader(key))
	if err != nil {
		t.Fatal(err)
	}
	if root.ID() != v.RootID {
		t.Errorf("root id %s, want %s", root.ID(), v.RootID)
	}
	d, err := Open(context.Background(), root, []byte(v.Slots))
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Derived) != len(labels)-1 {
		t.Errorf("%d vectors for %d public labels", len(v.Derived), len(labels)-1)
	}
	for label, want := range v.Derived {
		if got := hex.EncodeToString(mustDerive(t, d, label)); got != want {
			t.Errorf("label %s gives %s, want %s", label, got, want)
		}
	}
}

func TestEveryChangeToSlotsIsRefused(t *testing.T) {
	root := mustFileRoot(t)
	_, slots := mustCreate(t, root, "deployment-1")
	try := func(what string, changed []byte) {
		if d, err := Open(context.Background(), root, changed); err == nil {
			t.Errorf("%s: opened %v", what, d)
		} else if !errors.Is(err, ErrSlotsCorrupt) && !errors.Is(err, ErrWrongRoot) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range slots {
		for bit := range 8 {
			changed := bytes.Clone(slots)
			changed[i] ^= 1 << bit
			try(fmt.Sprintf("bit %d of byte %d", bit, i), changed)
		}
		try(fmt.Sprintf("cut to %d", i), slots[:i])
	}
	for _, suffix := range []string{" ", "\n", "{}", "\x00"} {
		try(fmt.Sprintf("extended by %q", suffix), append(bytes.Clone(slots), suffix...))
	}
	try("duplicate member", bytes.Replace(slots, []byte(`"current":1`), []byte(`"current":1,"current":1`), 1))
	try("unknown member", bytes.Replace(slots, []byte(`"current":1`), []byte(`"current":1,"more":1`), 1))
	try("other deployment", bytes.Replace(slots, []byte("deployment-1"), []byte("deployment-2"), 1))
	try("too long", bytes.Repeat([]byte(" "), maxSlots+1))
}

// TestSlotsAreAuthenticAsAWhole drops and moves slots that each are genuine.
func TestSlotsAreAuthenticAsAWhole(t *testing.T) {
	root := mustFileRoot(t)
	two := domainOf("d", 2, map[uint32]*[keySize]byte{1: {1}, 2: {2}})
	change, err := two.Prepare(context.Background(), []Root{root}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	slots := change.Slots
	d, err := Open(context.Background(), root, slots)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := d.Derive(1, LabelRecords)
	second, _ := d.Derive(2, LabelRecords)
	if d.Current() != 2 || first.Equal(second) {
		t.Fatalf("opened %v", d)
	}
	for name, change := range map[string]func(*keyslots){
		"current set back":   func(s *keyslots) { s.Current = 1 },
		"newest dropped":     func(s *keyslots) { s.Versions, s.Current = s.Versions[:1], 1 },
		"oldest dropped":     func(s *keyslots) { s.Versions = s.Versions[1:] },
		"none":               func(s *keyslots) { s.Versions, s.Current = nil, 0 },
		"versions swapped":   func(s *keyslots) { s.Versions[0].Slots, s.Versions[1].Slots = s.Versions[1].Slots, s.Versions[0].Slots },
		"no slots":           func(s *keyslots) { s.Versions[0].Slots = nil },
		"mac gone":           func(s *keyslots) { s.MAC = nil },
		"root renamed":       func(s *keyslots) { s.Versions[0].Slots[0].Root = "file:0" },
		"slot doubled":       func(s *keyslots) { s.Versions[0].Slots = append(s.Versions[0].Slots, s.Versions[0].Slots[0]) },
		"current out of it":  func(s *keyslots) { s.Current = 3 },
		"format of others":   func(s *keyslots) { s.Format = 2 },
		"format of tomorrow": func(s *keyslots) { s.Format = 3 },
		"parameters added":   func(s *keyslots) { s.Format, s.Roots = 2, []rootEntry{{root.ID(), []byte("{}")}} },
	} {
		var s keyslots
		if err := json.Unmarshal(slots, &s); err != nil {
			t.Fatal(err)
		}
		change(&s)
		changed, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(context.Background(), root, changed)
		if !errors.Is(err, ErrSlotsCorrupt) && !errors.Is(err, ErrWrongRoot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrongRootIsNamed(t *testing.T) {
	_, slots := mustCreate(t, mustFileRoot(t), "deployment-1")
	_, err := Open(context.Background(), mustFileRoot(t), slots)
	wantHint(t, err, ErrWrongRoot)
}

// deafRoot cannot be reached, or returns what it should not.
type deafRoot struct {
	Root
	id  string
	key secret.Bytes
	err error
}

func (r deafRoot) ID() string { return r.id }
func (r deafRoot) Wrap(context.Context, secret.Bytes, Place) ([]byte, error) {
	return nil, r.err
}
func (r deafRoot) Unwrap(context.Context, []byte, Place) (secret.Bytes, error) {
	return r.key, r.err
}

// TestUnreachableRootIsNotCorruption matters because the two want different
// actions: wait, or restore.
func TestUnreachableRootIsNotCorruption(t *testing.T) {
	root := mustFileRoot(t)
	_, slots := mustCreate(t, root, "deployment-1")
	away := errors.New("the token was pulled")
	_, err := Open(context.Background(), deafRoot{Root: root, id: root.ID(), err: away}, slots)
	if !errors.Is(err, away) || errors.Is(err, ErrSlotsCorrupt) {
		t.Errorf("Open with an unreachable root: %v", err)
	}
	if _, _, err := Create(context.Background(), deafRoot{Root: root, id: "x", err: away}, "d", nil); !errors.Is(err, away) {
		t.Errorf("Create with an unreachable root: %v", err)
	}
	_, err = Open(context.Background(), deafRoot{Root: root, id: root.ID(), key: make(secret.Bytes, 31)}, slots)
	wantHint(t, err, ErrSlotsCorrupt)
}

func TestNamesAreChecked(t *testing.T) {
	root := mustFileRoot(t)
	for _, name := range []string{"", "a b", "a\n", "ä", "\x7f", strings.Repeat("x", 129)} {
		if _, _, err := Create(context.Background(), root, name, nil); err == nil {
			t.Errorf("Create accepts the deployment id %q", name)
		}
		if _, _, err := Create(context.Background(), deafRoot{Root: root, id: name}, "d", nil); err == nil {
			t.Errorf("Create accepts the root id %q", name)
		}
	}
	if _, _, err := Create(context.Background(), root, "d", strings.NewReader("short")); err == nil {
		t.Error("Create makes a key from 5 bytes")
	}
}

// TestNothingIsShown prints what may end up in a log and looks for the keys.
func TestNothingIsShown(t *testing.T) {
	key := bytes.Repeat([]byte("\xc5\xe7"), 16)
	root, err := CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), bytes.NewReader(append(bytes.Clone(key), make([]byte, 32)...)))
	if err != nil {
		t.Fatal(err)
	}
	d, slots, err := Create(context.Background(), root, "deployment-1", bytes.NewReader(key))
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Root   *FileRoot
		Domain *Domain
		root   *FileRoot
		domain *Domain
	}
	var shown strings.Builder
	for _, v := range []any{root, d, holder{root, d, root, d}, &holder{root, d, root, d}, []any{root, d}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
	}
	shown.Write(slots)
	_, err = Open(context.Background(), root, bytes.Replace(slots, []byte("deployment-1"), []byte("deployment-2"), 1))
	fmt.Fprintf(&shown, "%+v %#v", err, err)
	out := strings.ToLower(shown.String())
	for _, form := range []string{string(key), hex.EncodeToString(key), "197 231 197 231", "0xc5, 0xe7", base64.StdEncoding.EncodeToString(key)} {
		if strings.Contains(out, strings.ToLower(form)) {
			t.Errorf("the key is shown as %q in:\n%s", form, out)
		}
	}
}

func FuzzOpen(f *testing.F) {
	root := mustFileRoot(f)
	_, slots := mustCreate(f, root, "deployment-1")
	f.Add(slots)
	f.Add([]byte(`{"format":1,"deployment":"d","current":1,"versions":[{"version":1,"slots":[]}],"mac":null}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Open(context.Background(), root, b)
		if err == nil != bytes.Equal(b, slots) {
			t.Errorf("Open(%q) = %v, %v", b, d, err)
		}
	})
}

// wantHint checks that err is a refusal of the given kind that says what to do.
func wantHint(t *testing.T, err, kind error) {
	t.Helper()
	var refusal *Error
	if !errors.Is(err, kind) || !errors.As(err, &refusal) {
		t.Errorf("got %v, want a refusal that is %v", err, kind)
	} else if refusal.Hint() == "" || refusal.Error() == "" {
		t.Errorf("%v has no hint", err)
	}
}
