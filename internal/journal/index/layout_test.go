package index

import (
	"slices"
	"strings"
	"testing"
)

// alike reports whether a hasher that remembers reads a record as a new one does.
func alike(t *testing.T, kept *hasher, record []byte) {
	t.Helper()
	got, want := kept.read(record), newHasher(make([]byte, 32)).read(record)
	if got.time != want.time || got.named != want.named || got.id != want.id || got.shape.scope != want.shape.scope ||
		!slices.Equal(got.shape.fingerprints, want.shape.fingerprints) {
		t.Errorf("%s is read as another record", record)
	}
}

// TestLayouts has records as long as one whose layout is known, which differ from it
// in one place.
func TestLayouts(t *testing.T) {
	r := newRig(t, 100)
	event := r.event("Encrypt", "alice", "k1")
	record := string(event.AppendJSON(nil))
	kept := newHasher(make([]byte, 32))
	kept.remember()
	for range 3 {
		alike(t, kept, []byte(record))
	}
	if _, found := kept.layouts.find([]byte(record)); found == nil {
		t.Fatal("the layout of a record that came three times is not known")
	}
	for i := range len(record) {
		for _, c := range "x\"\\{}:,0" {
			alike(t, kept, []byte(record[:i]+string(c)+record[i+1:]))
		}
	}
	// What stands in a context is no parameter, and what stands behind it is.
	const context = `"encryptionContext":{"a":"b"}`
	for _, other := range []string{`"encryptionContext":{"c":"d"}`, `"keyId":"12345678901234567890"`, `"encryptionContext":{},"a":{}`, `"x":"b","aliasName":"12345678"`} {
		if !strings.Contains(record, context) {
			t.Fatal("no context in " + record)
		}
		alike(t, kept, []byte(strings.Replace(record, context, other, 1)))
	}
}

// FuzzLayout reads two records, of which the first has been read before.
func FuzzLayout(f *testing.F) {
	r := newRig(f, 100)
	event := r.event("Encrypt", "alice", "k1")
	record := event.AppendJSON(nil)
	f.Add(record, []byte(strings.Replace(string(record), "alice", "carol", 1)))
	f.Add([]byte(`{"eventID":"a","requestParameters":{"b":{},"c":1}}`), []byte(`{"eventID":"b","requestParameters":{"keyId":"12"}}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		kept := newHasher(make([]byte, 32))
		kept.remember()
		for range 3 {
			alike(t, kept, a)
		}
		alike(t, kept, b)
		if n := min(len(a), len(b)); n > 0 {
			alike(t, kept, append(slices.Clone(b[:n]), a[n:]...))
			alike(t, kept, append(slices.Clone(a[:n/2]), b[n/2:]...))
		}
	})
}
