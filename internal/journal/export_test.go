package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func (r *rig) export(keep func([]byte) bool) string {
	var out bytes.Buffer
	if err := r.reader().Export(context.Background(), &out, testSigner, keep); err != nil {
		r.t.Fatal(err)
	}
	return out.String()
}

func verifyExport(text string, later ...Checkpoint) (*Report, error) {
	return VerifyExport(strings.NewReader(text), testPublic, later)
}

// every third record.
func third() func([]byte) bool {
	n := 0
	return func([]byte) bool { n++; return n%3 == 0 }
}

func TestExportHoldsEveryRecord(t *testing.T) {
	r := newRig(t).some()
	r.frame(2) // not signed yet: the export's own signature covers it
	text := r.export(nil)
	report, err := verifyExport(text, r.lastCheckpoint())
	if err != nil || report.Records != uint64(r.n) || report.Frames != 18 || report.Filtered || report.UnsignedRecords != 0 || !report.Opened {
		t.Fatalf("%+v, %v", report, err)
	}
	all := r.all()
	lines := slices.Collect(strings.Lines(text))
	if len(lines) != len(all) {
		t.Fatalf("%d lines for %d records", len(lines), len(all))
	}
	for i, line := range lines {
		var got struct {
			EventName  string
			N          int
			Strongroom struct {
				Seq   uint64
				Index int
			}
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if got.N != i || got.EventName != "Encrypt" || got.Strongroom.Seq != all[i].seq || got.Strongroom.Index != all[i].index ||
			!strings.HasPrefix(line, strings.TrimSuffix(all[i].record, "}")) {
			t.Errorf("line %d is not record %+v: %s", i+1, all[i], line)
		}
	}
	if _, err := verifyExport(strings.TrimSuffix(text, "\n")); err != nil {
		t.Errorf("without the last line end: %v", err)
	}
}

func TestExportOfSome(t *testing.T) {
	r := newRig(t).some()
	text := r.export(third())
	report, err := verifyExport(text, r.lastCheckpoint())
	if err != nil || !report.Filtered {
		t.Fatalf("%+v, %v", report, err)
	}
	if n := strings.Count(text, "\n"); n != r.n/3 {
		t.Fatalf("%d lines", n)
	}
	if strings.Contains(text, `"n":0,`) || !strings.Contains(text, `"n":2,`) {
		t.Error("the selection is another")
	}
}

// A record may hold whatever the caller of an operation chose.
func TestExportOfHostileRecords(t *testing.T) {
	r := newRig(t)
	r.commit([]byte(`{"a":{"b":1,"strongroom":{"v":1}}}`), []byte(`{"a":"\",\"strongroom\":{\"v\":1,\"end\":{"}`), []byte(`{"a":1,"end":{"lines":1}}`))
	r.commit([]byte(`{"a":1,"strongroom":{"v":1,"kind":"full"}}`))
	for _, keep := range []func([]byte) bool{nil, third()} {
		if _, err := verifyExport(r.export(keep)); err != nil {
			t.Error(err)
		}
	}
}

func TestEmptyExports(t *testing.T) {
	r := newRig(t)
	if text := r.export(nil); text != "" {
		t.Errorf("nothing is exported as %q", text)
	}
	r.frame(0)
	if text := r.export(nil); text != "" {
		t.Errorf("no record is exported as %q", text)
	}
	if p := mustProblem(t, errOf(verifyExport(""))); p.Kind != Cut {
		t.Error(p)
	}
}

func TestExportOfManyRecordsInOneFrame(t *testing.T) {
	r := newRig(t)
	r.frame(3000)
	r.frame(0)
	r.frame(0)
	if report, err := verifyExport(r.export(nil)); err != nil || report.Records != 3000 || report.Frames != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
}

func TestVerifyExportNamesWhatIsWrong(t *testing.T) {
	r := small(t) // frames of 2, 1, 3, 1, 1, 2, 1 and 0 records
	stranger := newRig(t)
	stranger.c.Stream = "other"
	stranger.open()
	stranger.frame(2)
	ahead := newRig(t)
	ahead.frame(1)
	full := r.export(nil)
	text := func(lines []string) string { return strings.Join(lines, "") }
	for name, c := range map[string]struct {
		edit  func(lines []string) string
		kind  Kind
		line  int
		seq   uint64
		index int
	}{
		"a record edited":         {func(l []string) string { return strings.Replace(text(l), `"n":4,`, `"n":9,`, 1) }, Changed, 5, 3, 1},
		"a record dropped":        {func(l []string) string { return text(slices.Delete(l, 4, 5)) }, Missing, 5, 3, 1},
		"the last of a frame":     {func(l []string) string { return text(slices.Delete(l, 5, 6)) }, Missing, 6, 3, 2},
		"a whole frame dropped":   {func(l []string) string { return text(slices.Delete(l, 2, 3)) }, Missing, 3, 2, -1},
		"the first dropped":       {func(l []string) string { return text(slices.Delete(l, 0, 1)) }, Missing, 1, 1, 0},
		"the last line dropped":   {func(l []string) string { return text(l[:10]) }, Cut, 11, 0, -1},
		"the last line cut":       {func(l []string) string { s := text(l); return s[:len(s)-9] }, Malformed, 11, 0, -1},
		"two lines swapped":       {func(l []string) string { l[3], l[4] = l[4], l[3]; return text(l) }, Missing, 4, 3, 0},
		"a line twice":            {func(l []string) string { return text(slices.Insert(l, 4, l[4])) }, Misplaced, 6, 3, 1},
		"one after the end":       {func(l []string) string { return text(append(l, l[0])) }, Misplaced, 12, 0, -1},
		"an empty line":           {func(l []string) string { return text(slices.Insert(l, 4, "\n")) }, Malformed, 5, 0, -1},
		"a record without proof":  {func(l []string) string { return text(slices.Insert(l, 4, "{\"a\":1}\n")) }, Malformed, 5, 0, -1},
		"another stream's export": {func(l []string) string { return text(append(l[:4], stranger.export(nil))) }, Missing, 5, 3, 1},
		"mixed kinds":             {func(l []string) string { return l[0] + r.export(third()) }, Malformed, 2, 0, -1},
		"a proof edited":          {func(l []string) string { l[4] = strings.Replace(l[4], `"proof":["`, `"proof":["AA`, 1); return text(l) }, Malformed, 5, 0, -1},
	} {
		_, err := verifyExport(c.edit(slices.Collect(strings.Lines(full))))
		p := mustProblem(t, err)
		if p.Kind != c.kind || p.Line != c.line || p.Seq != c.seq || p.Index != c.index {
			t.Errorf("%s: %v (%+v)", name, p, *p)
		}
	}
	r.frame(1)
	r.frame(0)
	if p := mustProblem(t, errOf(verifyExport(full, r.lastCheckpoint()))); p.Kind != Cut {
		t.Errorf("an export from before a later checkpoint: %v", p)
	}
	if p := mustProblem(t, errOf(verifyExport(full, ahead.lastCheckpoint()))); p.Kind != Changed {
		t.Errorf("another history's checkpoint: %v", p)
	}
	some := slices.Collect(strings.Lines(r.export(third())))
	if p := mustProblem(t, errOf(verifyExport(text(slices.Delete(some, 1, 2))))); p.Kind != Missing || !strings.Contains(p.Detail, "4 lines") {
		t.Errorf("a line dropped from a filtered export: %v", p)
	}
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	if p := mustProblem(t, errOf(VerifyExport(strings.NewReader(full), []ed25519.PublicKey{other}, nil))); p.Kind != Foreign {
		t.Errorf("under another key: %v", p)
	}
}

// Every byte of an export counts, of a filtered one as well.
func TestVerifyExportFindsEveryByte(t *testing.T) {
	r := newRig(t)
	r.frame(2)
	r.frame(1)
	for name, text := range map[string]string{"full": r.export(nil), "filtered": r.export(third())} {
		for i := range text {
			b := []byte(text)
			b[i] ^= 1
			_, err := verifyExport(string(b))
			var p *Problem
			if !errors.As(err, &p) {
				t.Fatalf("%s: byte %d: %v", name, i, err)
			}
		}
	}
}

func TestVerifyExportFindsRandomEdits(t *testing.T) {
	r, fork := small(t), smallFrom(newRigOf(t, 2))
	later := r.lastCheckpoint()
	random := rand.New(rand.NewPCG(3, 4))
	for _, export := range []struct{ name, text, other string }{
		{"full", r.export(nil), fork.export(nil)},
		{"filtered", r.export(third()), fork.export(third())},
	} {
		lines, others := slices.Collect(strings.Lines(export.text)), slices.Collect(strings.Lines(export.other))
		for n := range *edits / 2 {
			edited, what := editLines(random, slices.Clone(lines), others)
			if _, err := verifyExport(edited, later); err == nil {
				t.Fatalf("%s: edit %d was not found: %s", export.name, n, what)
			} else {
				mustProblem(t, err)
			}
		}
	}
}

// editLines changes an export in one way and says which.
func editLines(random *rand.Rand, lines, others []string) (edited, what string) {
	n := len(lines)
	i, j := random.IntN(n), random.IntN(n-1)
	if j >= i {
		j++
	}
	switch random.IntN(6) {
	case 0:
		b := []byte(lines[i])
		at, change := random.IntN(len(b)), byte(1+random.IntN(255))
		b[at] ^= change
		lines[i], what = string(b), fmt.Sprintf("byte %d of line %d changed by %#x", at, i+1, change)
	case 1:
		lines, what = slices.Delete(lines, i, i+1), fmt.Sprintf("line %d dropped", i+1)
	case 2:
		lines[i], lines[j] = lines[j], lines[i]
		what = fmt.Sprintf("lines %d and %d swapped", i+1, j+1)
	case 3:
		lines, what = slices.Insert(lines, j, lines[i]), fmt.Sprintf("line %d once more at %d", i+1, j+1)
	case 4:
		// The record of one line with the proof of another.
		a, b := strings.Index(lines[i], exportMember), strings.Index(lines[j], exportMember)
		lines[i] = lines[j][:b] + lines[i][a:]
		what = fmt.Sprintf("line %d has the record of line %d", i+1, j+1)
	default:
		lines[i], what = others[i], fmt.Sprintf("line %d of another history", i+1)
		if at := random.IntN(2); at == 1 {
			copy(lines[i:], others[i:])
			what += " and all after it"
		}
		if i == 0 {
			lines = lines[:n-1]
			what += ", the last dropped"
		}
	}
	return strings.Join(lines, ""), what
}

// Of all texts, only what was exported is accepted.
func FuzzVerifyExport(f *testing.F) {
	r := newRig(f)
	r.kept = golden(f) // always the same bytes, so that each process knows them
	full, some := r.export(nil), r.export(third())
	f.Add(full)
	f.Add(some)
	f.Add(full[:len(full)/2])
	f.Add("{}\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := verifyExport(text)
		if same := text == full || text == some || text+"\n" == full || text+"\n" == some; same != (err == nil) {
			t.Fatalf("%v: %s", err, text)
		}
	})
}

func TestExportReportsFailures(t *testing.T) {
	r := small(t)
	ctx := context.Background()
	if err := r.reader().Export(ctx, failing{}, testSigner, nil); err == nil {
		t.Error("a write error went unnoticed")
	}
	if err := r.reader().Export(ctx, &bytes.Buffer{}, nil, nil); err == nil {
		t.Error("an export without a signer")
	}
	reader := r.reader()
	reader.c.Frames = broken{}
	if err := reader.Export(ctx, &bytes.Buffer{}, testSigner, nil); err == nil {
		t.Error("a read error went unnoticed")
	}
	if _, err := VerifyExport(failing{}, testPublic, nil); err == nil {
		t.Error("a read error went unnoticed")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }
func (failing) Read([]byte) (int, error)  { return 0, errors.New("input/output error") }
