package recovery

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

var made = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// deployment is one with a root file and a recovery set, in two versions.
type deployment struct {
	domain *seal.Domain
	slots  []byte
	root   *Root
	shares []Share
}

func mustDeployment(t testing.TB, needed, shares int) deployment {
	t.Helper()
	file, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var d deployment
	if d.domain, _, err = seal.Create(t.Context(), file, "deployment-1", nil); err != nil {
		t.Fatal(err)
	}
	if d.root, d.shares, err = New("deployment-1", needed, shares, made, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for _, rotate := range []bool{false, true} { // the second by the public half alone
		c, err := d.domain.Prepare(t.Context(), []seal.Root{file, d.root}, rotate, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Apply()
		d.slots = c.Slots
	}
	return d
}

func stored(t testing.TB, slots []byte) seal.RootInfo {
	t.Helper()
	info, err := seal.Read(slots)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(info.Roots, func(r seal.RootInfo) bool { return r.Kind == seal.KindRecovery })
	if i < 0 {
		t.Fatal("there is no recovery key in the slots")
	}
	return info.Roots[i]
}

// TestAllSubsets: each set of shares that is large enough opens every version, and
// none that is smaller.
func TestAllSubsets(t *testing.T) {
	for _, c := range []struct{ needed, shares int }{{2, 2}, {2, 4}, {3, 5}, {5, 6}} {
		d := mustDeployment(t, c.needed, c.shares)
		known := stored(t, d.slots)
		opened := 0
		for subset := range 1 << c.shares {
			var some []Share
			for i, s := range d.shares {
				if subset>>i&1 == 1 {
					some = append(some, s)
				}
			}
			root, err := Combine(known, "deployment-1", some)
			if bits.OnesCount(uint(subset)) < c.needed {
				if !errors.Is(err, seal.ErrWrongRoot) {
					t.Fatalf("%d of %d: %v", len(some), c.needed, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			domain, err := seal.Open(t.Context(), root, d.slots)
			if err != nil || domain.Current() != 2 {
				t.Fatalf("%v, %v", domain, err)
			}
			if err := d.domain.Proves(t.Context(), root); err != nil {
				t.Fatal(err)
			}
			opened++
		}
		if opened == 0 {
			t.Error("nothing was opened")
		}
	}
}

// TestSharing holds of random secrets, sizes and choices.
func TestSharing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		what := secret.Bytes(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "secret"))
		n := rapid.IntRange(2, 40).Draw(t, "n")
		k := rapid.IntRange(2, n).Draw(t, "k")
		points, err := split(what, k, n, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		chosen := rapid.Permutation(points).Draw(t, "order")
		if !at(0, chosen[:k]).Equal(what) {
			t.Fatal("k shares do not open")
		}
		for _, p := range chosen {
			if !at(p.x, chosen[:k]).Equal(p.y) {
				t.Fatal("a share is not on the polynomial of k others")
			}
		}
	})
}

// TestTooFewSayNothing: with k-1 shares fixed, every secret is as likely. For one
// byte and k = 2 that is: whatever the secret, the share at x takes each value for
// exactly one choice of the randomness.
func TestTooFewSayNothing(t *testing.T) {
	for _, what := range []byte{0, 1, 0x53, 0xff} {
		for _, x := range []int{0, 1, 31} {
			seen := map[byte]bool{}
			for r := range 256 {
				points, err := split(secret.Bytes{what}, 2, 32, bytes.NewReader([]byte{byte(r)}))
				if err != nil {
					t.Fatal(err)
				}
				seen[points[x].y[0]] = true
			}
			if len(seen) != 256 {
				t.Errorf("secret %d: the share at %d takes %d values", what, x+1, len(seen))
			}
		}
	}
}

// TestField holds multiply against the table-free definition, and FIPS 197's
// examples (sections 4.2 and 4.2.1).
func TestField(t *testing.T) {
	if multiply(0x57, 0x83) != 0xc1 || multiply(0x57, 0x13) != 0xfe {
		t.Error("multiply is not that of FIPS 197")
	}
	for a := range 256 {
		for b := range 256 {
			product := 0
			for i := range 8 {
				if b>>i&1 == 1 {
					product ^= a << i
				}
			}
			for i := 14; i >= 8; i-- {
				if product>>i&1 == 1 {
					product ^= 0x11b << (i - 8)
				}
			}
			if multiply(byte(a), byte(b)) != byte(product) {
				t.Fatalf("%d · %d", a, b)
			}
		}
		if a > 0 && multiply(byte(a), invert(byte(a))) != 1 {
			t.Fatalf("1/%d", a)
		}
	}
}

func TestSharesThatAreOfNoUse(t *testing.T) {
	d, other := mustDeployment(t, 2, 3), mustDeployment(t, 2, 3)
	known := stored(t, d.slots)
	forged := d.shares[1]
	forged.point.y = append(secret.Bytes{}, forged.point.y...)
	forged.point.y[7] ^= 1
	for name, c := range map[string]struct {
		deployment string
		shares     []Share
		text       string
	}{
		"another set":        {"deployment-1", []Share{d.shares[0], other.shares[1]}, "share 2 is of set " + other.root.set.Name()},
		"another deployment": {"deployment-2", d.shares, "share 1 is of another deployment"},
		"one twice":          {"deployment-1", []Share{d.shares[0], d.shares[0]}, "shares 1 and 2 are the same one"},
		"none":               {"deployment-1", nil, "0 shares are too few"},
		"a forged one":       {"deployment-1", []Share{d.shares[0], forged}, "do not make the recovery key"},
		"a forged extra":     {"deployment-1", []Share{d.shares[0], d.shares[2], forged}, "share 3 is not what was handed out"},
	} {
		root, err := Combine(known, c.deployment, c.shares)
		if root != nil || !errors.Is(err, seal.ErrWrongRoot) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, %v", name, root, err)
		}
	}
	if _, err := d.root.Unwrap(t.Context(), []byte("x"), seal.Place{}); !errors.Is(err, errPublic) {
		t.Errorf("the public half unwraps: %v", err)
	}
	for _, c := range [][2]int{{1, 1}, {1, 3}, {3, 2}, {2, 33}, {0, 0}, {-1, 2}} {
		if _, _, err := New("d", c[0], c[1], made, rand.Reader); err == nil {
			t.Errorf("%d of %d are made", c[0], c[1])
		}
	}
}

func TestShareText(t *testing.T) {
	_, shares, err := New("deployment-1", 3, 5, made, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := shares[4].Text()
	if len(text) != 99 || strings.Count(text, "-") != 19 {
		t.Errorf("a share has %d characters", len(text))
	}
	like := strings.NewReplacer("0", "o", "1", "l", "-", "  ").Replace(strings.ToLower(text))
	for _, typed := range []string{text, like, strings.ReplaceAll(text, "-", ""), " " + text + "\r\n", strings.ReplaceAll(text, "1", "I")} {
		if again, err := ParseShare(typed); err != nil || again.Text() != text || again.Index() != 5 {
			t.Errorf("typed otherwise: %v", err)
		}
	}
	for i, c := range []byte(text) {
		if c == '-' {
			continue
		}
		other := byte('7')
		if c == other {
			other = 'Q'
		}
		if _, err := ParseShare(text[:i] + string(other) + text[i+1:]); !errors.Is(err, ErrShare) {
			t.Errorf("character %d mistyped: %v", i, err)
		}
	}
	for _, bad := range []string{"", "x", text[:98], text + "0", text[:98] + "U", strings.Replace(text, "-", "ä", 1)} {
		if _, err := ParseShare(bad); !errors.Is(err, ErrShare) || bad != "" && len(bad) > 4 && strings.Contains(err.Error(), bad[:4]) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", shares[0], shares, &shares[0], struct{ s Share }{shares[0]}.s); strings.Contains(shown, text[:4]) || strings.Contains(shown, "point") {
		t.Errorf("a share shows: %s", shown)
	}
}

func FuzzParseShare(f *testing.F) {
	_, shares, err := New("deployment-1", 2, 2, made, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shares[0].Text())
	f.Add(strings.Repeat("0", 80))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseShare(text)
		if err != nil {
			return
		}
		if again, err := ParseShare(s.Text()); err != nil || again.Text() != s.Text() {
			t.Errorf("%q is read, and its text is not", text)
		}
	})
}

func FuzzOpen(f *testing.F) {
	root, _, err := New("deployment-1", 2, 2, made, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(root.ID(), root.Parameters())
	f.Add("recovery:0", []byte(`{}`))
	f.Fuzz(func(t *testing.T, id string, parameters []byte) {
		opened, err := Open(seal.RootInfo{ID: id, Kind: seal.KindRecovery, Parameters: parameters})
		if err == nil && (opened.ID() != id || !bytes.Equal(opened.Parameters(), parameters)) {
			t.Errorf("%q is taken as %q", parameters, opened.Parameters())
		}
	})
}

var update = flag.Bool("update", false, "make testdata/golden.json anew, which loses the proof that old shares open")

// TestGolden opens what an earlier build has made: shares are kept for decades.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "golden.json")
	var golden struct {
		Slots, Records string
		Shares         []string
	}
	if *update {
		d := mustDeployment(t, 2, 3)
		for _, s := range d.shares {
			golden.Shares = append(golden.Shares, s.Text())
		}
		key, err := d.domain.Derive(2, seal.LabelRecords)
		if err != nil {
			t.Fatal(err)
		}
		golden.Slots, golden.Records = string(d.slots), fmt.Sprintf("%x", []byte(key))
		text, err := json.MarshalIndent(golden, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	var shares []Share
	for _, s := range golden.Shares[1:] {
		share, err := ParseShare(s)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, share)
	}
	root, err := Combine(stored(t, []byte(golden.Slots)), "deployment-1", shares)
	if err != nil {
		t.Fatal(err)
	}
	domain, err := seal.Open(t.Context(), root, []byte(golden.Slots))
	if err != nil {
		t.Fatal(err)
	}
	key, err := domain.Derive(2, seal.LabelRecords)
	if err != nil || fmt.Sprintf("%x", []byte(key)) != golden.Records {
		t.Errorf("another domain key was opened, %v", err)
	}
}
