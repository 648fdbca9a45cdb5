package store

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// part draws parts that are likely to collide if anything does.
func part() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 'i', 'r', 0xfe, 0xff}), 1, 6).Draw(t, "bytes"))
	})
}

func drawPath(t *rapid.T) path {
	p := path{scope: Scope{Account: part().Draw(t, "account"), Region: part().Draw(t, "region")},
		collection: part().Draw(t, "collection"), mark: markRecord}
	n := 1
	if rapid.Bool().Draw(t, "index") {
		p.mark, n = markIndex, 3
	}
	for range n {
		p.parts = append(p.parts, part().Draw(t, "part"))
	}
	return p
}

func (p path) key() []byte {
	if p.mark == markRecord {
		return recordKey(p.scope, p.collection, p.parts[0])
	}
	return indexKey(p.scope, p.collection, p.parts[0], p.parts[1], p.parts[2])
}

func (p path) equal(q path) bool {
	return p.scope == q.scope && p.collection == q.collection && p.mark == q.mark && slices.Equal(p.parts, q.parts)
}

func TestKeysReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPath(t)
		q, ok := parseKey(p.key())
		if !ok || !q.equal(p) {
			t.Fatalf("%+v was read back as %+v, %v", p, q, ok)
		}
	})
}

func TestKeysNeverCollide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPath(t), drawPath(t)
		if !p.equal(q) && (bytes.HasPrefix(p.key(), q.key()) || bytes.HasPrefix(q.key(), p.key())) {
			t.Fatalf("%+v and %+v collide", p, q)
		}
	})
}

func TestKeysSortAsTheirParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPath(t), drawPath(t)
		q.scope, q.collection = p.scope, p.collection
		if p.mark != q.mark {
			t.Skip()
		}
		want := slices.Compare(p.parts, q.parts)
		if got := bytes.Compare(p.key(), q.key()); got != want {
			t.Fatalf("keys of %q and %q compare as %d, want %d", p.parts, q.parts, got, want)
		}
	})
}

func TestPrefixHoldsItsCollectionAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPath(t), drawPath(t)
		if rapid.Bool().Draw(t, "same scope") {
			q.scope = p.scope
		}
		prefix := collectionPrefix(p.scope, p.collection, p.mark)
		key := q.key()
		inside := bytes.Compare(prefix, key) <= 0 && bytes.Compare(key, prefixEnd(prefix)) < 0
		if same := p.scope == q.scope && p.collection == q.collection && p.mark == q.mark; inside != same {
			t.Fatalf("the range of %+v holds %+v: %v", p, q, inside)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(recordKey(Deployment, "c", "id"))
	f.Add(indexKey(Scope{"1", "r"}, "c", "i", "v\x00", "id"))
	f.Add([]byte{0})
	f.Add([]byte("a\x00\x01b\x00\x01c\x00\x01x"))
	f.Fuzz(func(t *testing.T, key []byte) {
		if p, ok := parseKey(key); ok && !bytes.Equal(p.key(), key) {
			t.Errorf("%x was read as %+v, whose key is %x", key, p, p.key())
		}
		if describeKey(key) == "" {
			t.Error("a key has no description")
		}
	})
}

func TestScopesAndIDsThatCannotBe(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	for _, s := range []Scope{{}, {"a", ""}, {"", "r"}, {long, "r"}, {"a", long}} {
		if s.check() == nil {
			t.Errorf("%.80v was taken", s)
		}
	}
	if (Scope{long[1:], long[1:]}).check() != nil || Deployment.check() != nil {
		t.Error("a scope was refused")
	}
}
