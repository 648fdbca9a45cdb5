package kms

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// A key that is ready takes some 3 KB. A deployment with many has most of them alike:
// one material of 32 bytes, the same policy, and nothing of its own but its ids and
// dates. Of such a key the cache keeps what is its own, a packedKey, and points to what
// it has in common with others, a keyShape: some 200 bytes.

// keyShape is a key without what is each key's own.
type keyShape struct {
	*key
	name string // of the policy, which ends in the key's ARN, up to its id
}

// shapeKey tells shapes apart: the record without its policy and what is each key's
// own, as it is stored, so that whatever a record may have is a part of it.
type shapeKey struct {
	document *policy.Document
	rest     string
}

// mostShapes bounds the shapes in use, some 2 KB each: keys that differ in their
// descriptions or tags have one each.
const mostShapes = 4096

// shapes are the shapes of all packed keys.
var shapes interned[shapeKey, keyShape]

const (
	materialIDSize = 32
	// wrappedSize is the size of a wrapped material of 32 bytes, without its format.
	wrappedSize = 92
)

// packedKey is what is a key's own.
type packedKey struct {
	version uint64
	created int64 // nanoseconds since 1970
	rotates int64 // when it does automatically; 0 if it does not
	id      [16]byte
	// material is the id of the one material, wrapped that without its first byte,
	// which is the format and so of the shape.
	material [materialIDSize]byte
	wrapped  [wrappedSize]byte
}

var keyPacking = store.Packing[*key, keyShape, packedKey]{Pack: packKey, Unpack: unpackKey}

// packKey takes a key apart. Keys of several materials, multi-Region keys and those
// whose material is of another size stay as they are.
func packKey(k *key) (*keyShape, packedKey, bool) {
	p := packedKey{version: k.Version}
	if len(k.Materials) != 1 || !p.putID(k.ID) || !p.putMaterial(k.Materials[0].ID, k.Materials[0].Wrapped) {
		return nil, p, false
	}
	var ok bool
	if p.created, ok = instant(k.Created); !ok {
		return nil, p, false
	}
	if k.Rotation.Next != nil {
		if p.rotates, ok = instant(*k.Rotation.Next); !ok || p.rotates == 0 {
			return nil, p, false
		}
	}
	shape := k.shape
	if shape == nil {
		shape = shapeOf(k)
	}
	return shape, p, shape != nil
}

// instant returns a time in nanoseconds since 1970, if that is all there is to it.
func instant(t time.Time) (int64, bool) {
	n := t.UnixNano()
	return n, time.Unix(0, n).UTC() == t
}

// shapeOf finds the shape of a key that can be packed; nil if there are too many.
func shapeOf(k *key) *keyShape {
	record := k.keyRecord
	record.ID, record.Created, record.Policy = "", time.Time{}, ""
	g := record.Materials[0]
	g.ID, g.Wrapped = "", []byte{g.Wrapped[0]}
	record.Materials = []generation{g}
	if record.Rotation.Next != nil {
		record.Rotation.Next = &time.Time{}
	}
	rest, err := json.Marshal(&record)
	if err != nil {
		return nil // it was read from such text
	}
	at := shapeKey{k.policy.Document, string(rest)}
	if shape := shapes.get(at); shape != nil {
		return shape
	}
	record.Policy = k.Policy
	shape := &keyShape{
		key:  &key{keyRecord: record, policy: &policy.Source{Document: k.policy.Document}, spec: k.spec, expiry: k.expiry},
		name: k.policy.Name[:len(k.policy.Name)-len(k.ID)],
	}
	return shapes.keep(at, shape, mostShapes)
}

// unpacked is a key with the memory of what it points to: one allocation instead of
// five.
type unpacked struct {
	key       key
	source    policy.Source
	materials [1]generation
	wrapped   [1 + wrappedSize]byte
	rotates   time.Time
}

// unpackKey makes the key that was packed.
func unpackKey(in store.Scope, id string, shape *keyShape, p *packedKey) (*key, bool) {
	var own packedKey
	if in.Account != shape.Account || in.Region != shape.Region || !own.putID(id) || own.id != p.id {
		return nil, false
	}
	// All texts lie side by side: the policy's name, which ends in the ARN, which
	// ends in the id; and the material's id.
	var buffer [256]byte
	text := appendID(append(buffer[:0], shape.name...), p.id)
	named := len(text)
	text = hex.AppendEncode(text, p.material[:])
	texts := string(text)
	u := &unpacked{source: policy.Source{Name: texts[:named], Document: shape.policy.Document}, materials: [1]generation{shape.Materials[0]}}
	k := &u.key
	k.keyRecord, k.shape, k.spec, k.expiry = shape.keyRecord, shape, shape.spec, shape.expiry
	k.Version, k.policy = p.version, &u.source
	k.ARN = texts[len(sourceName):named]
	k.ID = texts[named-len(id) : named]
	k.Created = time.Unix(0, p.created).UTC()
	if k.Rotation.Next != nil {
		u.rotates = time.Unix(0, p.rotates).UTC()
		k.Rotation.Next = &u.rotates
	}
	u.wrapped[0] = shape.Materials[0].Wrapped[0]
	copy(u.wrapped[1:], p.wrapped[:])
	k.Materials = u.materials[:]
	k.Materials[0].ID, k.Materials[0].Wrapped = texts[named:], u.wrapped[:]
	return k, true
}

// putID takes a key id that is a lower-case UUID.
func (p *packedKey) putID(id string) bool {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return false
	}
	at := 0
	for i := 0; i < len(id); i += 2 {
		if id[i] == '-' {
			i++
		}
		high, low := lowerHex(id[i]), lowerHex(id[i+1])
		if high|low > 15 {
			return false
		}
		p.id[at] = high<<4 | low
		at++
	}
	return true
}

func appendID(text []byte, id [16]byte) []byte {
	for i, group := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, group)
	}
	return text
}

// putMaterial takes a material of the usual size.
func (p *packedKey) putMaterial(id string, wrapped []byte) bool {
	if len(id) != 2*materialIDSize || len(wrapped) != 1+wrappedSize {
		return false
	}
	for i := range p.material {
		high, low := lowerHex(id[2*i]), lowerHex(id[2*i+1])
		if high|low > 15 {
			return false
		}
		p.material[i] = high<<4 | low
	}
	copy(p.wrapped[:], wrapped[1:])
	return true
}

// lowerHex returns what a lower-case hex digit stands for, 255 for everything else.
func lowerHex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

func cachedKey(_ store.Scope, item store.Item[keyRecord]) (*key, error) {
	return newKey(item.Value, authz.PartitionOf(item.Value.Region), item.Version)
}
