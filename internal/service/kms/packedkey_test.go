package kms

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"
	"unsafe"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/store"
)

// usualKey is a key as CreateKey makes most.
func usualKey(n uint64) keyRecord {
	rnd := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	fresh := func(size int) []byte {
		b := make([]byte, size)
		_, _ = rnd.Read(b)
		return b
	}
	id := fresh(16)
	wrapped := fresh(93)
	wrapped[0] = 1
	return keyRecord{
		Account: "111122223333", Region: "us-east-1", ID: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		Created: time.UnixMilli(1_700_000_000_000 + int64(n)).UTC(), Spec: api.KeySpecSymmetricDefault, Usage: api.KeyUsageTypeEncryptDecrypt,
		Origin: api.OriginTypeAwsKms, State: api.KeyStateEnabled, Policy: documentOf(1),
		Materials: []generation{{Material: keyring.Material{ID: hex.EncodeToString(fresh(32)), Spec: keyring.SymmetricDefault, DomainVersion: 1, Wrapped: wrapped}}},
	}
}

func mustKey(t testing.TB, record keyRecord) *key {
	t.Helper()
	k, err := newKey(record, "aws", 7)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestPackedKeysAreWhatTheyWere packs keys that differ in one thing from the usual one.
// Whatever comes back must be the same in every field.
func TestPackedKeysAreWhatTheyWere(t *testing.T) {
	day := func(n int) *time.Time { at := time.UnixMilli(int64(n) * 86_400_000).UTC(); return &at }
	for _, c := range []struct {
		name   string
		change func(*keyRecord)
		packed bool
	}{
		{"usual", func(*keyRecord) {}, true},
		{"disabled", func(r *keyRecord) { r.State = api.KeyStateDisabled }, true},
		{"described", func(r *keyRecord) { r.Description = "for <the> payroll" }, true},
		{"tagged", func(r *keyRecord) { r.Tags = []tag{{"team", "blue"}} }, true},
		{"granted", func(r *keyRecord) { r.Grants = 3 }, true},
		{"another policy", func(r *keyRecord) { r.Policy = documentOf(2) }, true},
		{"a policy with unique ids", func(r *keyRecord) { r.PolicyIDs = map[string]string{"AIDAEXAMPLE": "111122223333"} }, true},
		{"rotating", func(r *keyRecord) { r.Rotation = rotation{PeriodInDays: 90, Next: day(20_000)} }, true},
		{"rotating on demand", func(r *keyRecord) { r.Rotation.OnDemand = day(20_001) }, true},
		{"pending deletion", func(r *keyRecord) {
			r.State, r.DeletionDate, r.PendingWindow = api.KeyStatePendingDeletion, day(20_002), 7
		}, true},
		{"imported", func(r *keyRecord) {
			r.Origin = api.OriginTypeExternal
			r.Materials[0].Import = &imported{ExpirationModel: api.ExpirationModelTypeKeyMaterialExpires, ValidTo: day(20_003)}
		}, true},
		{"a service's", func(r *keyRecord) { r.Manager = api.KeyManagerTypeAws }, true},
		{"a MAC key", func(r *keyRecord) {
			r.Spec, r.Usage, r.Materials[0].Spec = api.KeySpecHmac256, api.KeyUsageTypeGenerateVerifyMac, keyring.HMAC256
		}, true},
		{"under a later domain key", func(r *keyRecord) { r.Materials[0].DomainVersion = 9 }, true},
		{"wrapped in another form", func(r *keyRecord) { r.Materials[0].Wrapped[0] = 2 }, true},
		{"in a key store", func(r *keyRecord) { r.Store, r.ExternalKey = "cks-1", "outside" }, true},
		{"to the nanosecond", func(r *keyRecord) { r.Created = r.Created.Add(123_456_789) }, true},

		{"long ago", func(r *keyRecord) { r.Created = time.Time{} }, false},
		{"of another zone", func(r *keyRecord) { r.Created = r.Created.In(time.FixedZone("", 3600)) }, false},
		{"rotating from the epoch", func(r *keyRecord) { r.Rotation.Next = day(0) }, false},
		{"multi-Region", func(r *keyRecord) { r.ID = "mrk-1234abcd12ab34cd56ef1234567890ab" }, false},
		{"upper case", func(r *keyRecord) { r.ID = "1234ABCD-12ab-34cd-56ef-1234567890ab" }, false},
		{"no digit", func(r *keyRecord) { r.ID = "1234abcd-12ab-34cd-56ef-1234567890ag" }, false},
		{"material of another id", func(r *keyRecord) { r.Materials[0].ID = "x" + r.Materials[0].ID[1:] }, false},
		{"waiting for material", func(r *keyRecord) { r.Materials = nil }, false},
		{"without its material", func(r *keyRecord) { r.Materials[0].Wrapped = nil }, false},
		{"longer material", func(r *keyRecord) { r.Materials[0].Wrapped = make([]byte, 125) }, false},
		{"rotated", func(r *keyRecord) { r.Materials = append(r.Materials, usualKey(99).Materials...) }, false},
	} {
		record := usualKey(1)
		c.change(&record)
		k := mustKey(t, record)
		common, own, ok := packKey(k)
		if ok != c.packed {
			t.Errorf("%s: packed is %v, want %v", c.name, ok, c.packed)
			continue
		}
		if !ok {
			continue
		}
		in := scope(record.Account, record.Region)
		again, ok := unpackKey(in, record.ID, common, &own)
		if !ok {
			t.Errorf("%s: not unpacked", c.name)
			continue
		}
		if again.shape != common {
			t.Errorf("%s: the shape is not remembered", c.name)
		}
		again.shape = nil
		if !reflect.DeepEqual(again, k) {
			t.Errorf("%s:\n%+v, want\n%+v", c.name, again, k)
		}
		for _, other := range []struct {
			in store.Scope
			id string
		}{{scope("444455556666", record.Region), record.ID}, {scope(record.Account, "eu-west-1"), record.ID}, {in, usualKey(2).ID}, {in, "x"}} {
			if _, ok := unpackKey(other.in, other.id, common, &own); ok {
				t.Errorf("%s: came back as %v", c.name, other)
			}
		}
	}
}

// TestKeysOfOneShapeShareIt and those of another do not, and shapes that no key has
// are forgotten.
func TestKeysOfOneShapeShareIt(t *testing.T) {
	pack := func(record keyRecord) *keyShape {
		shape, _, ok := packKey(mustKey(t, record))
		if !ok {
			t.Fatal("not packed")
		}
		return shape
	}
	one, other := usualKey(1), usualKey(2)
	other.Rotation = rotation{PeriodInDays: 365, Next: &other.Created}
	shape := pack(one)
	if pack(usualKey(3)) != shape {
		t.Error("keys of one shape do not share it")
	}
	if pack(other) == shape {
		t.Error("a key that rotates has the shape of one that does not")
	}
	for i := range 100 {
		odd := usualKey(4)
		odd.Description = fmt.Sprint("one of its kind ", i)
		pack(odd)
	}
	held := func() int {
		shapes.mu.RLock()
		defer shapes.mu.RUnlock()
		return len(shapes.by)
	}
	for held() > 50 && t.Context().Err() == nil { // cleanups run some time after a collection
		runtime.GC()
		runtime.Gosched()
	}
	if pack(usualKey(5)) != shape {
		t.Error("a shape in use was forgotten")
	}
}

// What a key may take that is packed, and what it may cost to unpack one. This does not
// depend on the machine.
const (
	packedBytes       = 168
	unpackAllocations = 2
	unpackGarbage     = 720 // bytes, beside the texts
)

func TestSizeOfPackedKeys(t *testing.T) {
	k := mustKey(t, usualKey(1))
	common, own, _ := packKey(k)
	in := scope(k.Account, k.Region)
	allocations := testing.AllocsPerRun(100, func() {
		if _, ok := unpackKey(in, k.ID, common, &own); !ok {
			t.Fatal("not unpacked")
		}
	})
	t.Logf("a packed key has %d bytes; unpacking allocates %v times, %d bytes beside the texts", unsafe.Sizeof(own), allocations, unsafe.Sizeof(unpacked{}))
	if unsafe.Sizeof(own) > packedBytes || allocations > unpackAllocations || unsafe.Sizeof(unpacked{}) > unpackGarbage {
		t.Errorf("more than %d bytes, or %d times and %d bytes", packedBytes, unpackAllocations, unpackGarbage)
	}
}

func BenchmarkUnpackKey(b *testing.B) {
	k := mustKey(b, usualKey(1))
	common, own, _ := packKey(k)
	in := scope(k.Account, k.Region)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := unpackKey(in, k.ID, common, &own); !ok {
			b.Fatal("not unpacked")
		}
	}
}

func BenchmarkPackKey(b *testing.B) {
	k := mustKey(b, usualKey(1))
	first, _, _ := packKey(k)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := packKey(k); !ok {
			b.Fatal("not packed")
		}
	}
	runtime.KeepAlive(first)
}
