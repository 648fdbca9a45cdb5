package index

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"
	"sync"

	"github.com/strongroom/strongroom/internal/secret"
)

// Kind says what a term is about.
type Kind byte

// The kinds of terms. They stand in fingerprints: none is ever given another
// meaning.
const (
	// All is every record of the scope; its value is empty.
	All Kind = 1
	// EventID is an eventID.
	EventID Kind = 2
	// Operation is an eventName in lower case.
	Operation Kind = 3
	// Source is an eventSource.
	Source Kind = 4
	// ReadOnly is "true" or "false".
	ReadOnly Kind = 5
	// Caller is what a record says of who called: the ARN, the principal id, the
	// account, the access key id, the userName.
	Caller Kind = 6
	// ResourceType is the type of a resource: "AWS::KMS::Key".
	ResourceType Kind = 7
	// Name is a resource's ARN, the part of it that names the resource, a key's
	// id.
	Name Kind = 8
	// Error is an errorCode in lower case, and "any" for each.
	Error Kind = 9
	// Use is the ARN of a key that a cryptographic operation has used with
	// success. It belongs to no scope: who used the key is of any account.
	Use Kind = 10
	// EventName is an eventName as it is.
	EventName Kind = 11
	// UserName is what CloudTrail calls the user name; see [UserNameOf].
	UserName Kind = 12
	// Sent is a key or alias as the request named it, in the forms of Name.
	Sent Kind = 13
	// Access is the unique id of a user or role, for each call that it or one of its
	// sessions made. It is asked for over all Regions of the account and for one
	// service: in its scope the eventSource has the Region's place.
	Access Kind = 14
)

// Scope is the account that a record is for and the Region.
type Scope struct{ Account, Region string }

// Term is what records are found by.
type Term struct {
	Kind  Kind
	Scope Scope // empty for Use
	Value string
}

// fingerprint is what stands for a term on disk.
type fingerprint uint64

// hasher makes fingerprints. It is used by one goroutine at a time.
type hasher struct {
	mac hash.Hash
	buf []byte
	sum [sha256.Size]byte

	// What comes again and again in records, for whoever reads many; nil for
	// others. Each is emptied when it is full.
	known  map[Term]fingerprint
	texts  map[string]string
	lowers map[string]string
	forms  map[Term][]fingerprint
	shapes map[string]*shape

	layouts     layouts
	outline     outline
	facts       facts
	prints      []fingerprint
	lastTime    string
	lastSeconds int64
}

func newHasher(key secret.Bytes) *hasher {
	return &hasher{mac: hmac.New(sha256.New, key)}
}

// remember makes the hasher one for many records.
func (h *hasher) remember() {
	h.known, h.texts, h.lowers = map[Term]fingerprint{}, map[string]string{}, map[string]string{}
	h.forms, h.shapes = map[Term][]fingerprint{}, map[string]*shape{}
	h.layouts.bySize = map[int][]*layout{}
}

const (
	// maxKnown bounds what a hasher remembers of each kind, in entries, maxText
	// the texts among them and maxKey the keys of shapes, in bytes.
	maxKnown = 1 << 13
	maxText  = 256
	maxKey   = 2 << 10
)

// keep remembers a value in m, which may be nil.
func keep[K comparable, V any](m map[K]V, key K, value V) {
	if m == nil {
		return
	}
	if len(m) >= maxKnown {
		clear(m)
	}
	m[key] = value
}

// intern returns text as a string, the same for the same text.
func (h *hasher) intern(text []byte) string {
	if s, ok := h.texts[string(text)]; ok {
		return s
	}
	s := string(text)
	if len(s) <= maxText {
		keep(h.texts, s, s)
	}
	return s
}

func (h *hasher) lower(s string) string {
	if l, ok := h.lowers[s]; ok {
		return l
	}
	l := strings.ToLower(s)
	if len(s) <= maxText {
		keep(h.lowers, s, l)
	}
	return l
}

func (h *hasher) of(t Term) fingerprint {
	if f, ok := h.known[t]; ok {
		return f
	}
	f := h.once(t.Kind, t.Scope, []byte(t.Value))
	if len(t.Value) <= maxText {
		keep(h.known, t, f)
	}
	return f
}

// once is of for a value that does not come again.
func (h *hasher) once(kind Kind, scope Scope, value []byte) fingerprint {
	h.buf = append(h.buf[:0], byte(kind))
	h.buf = append(binary.AppendUvarint(h.buf, uint64(len(scope.Account))), scope.Account...)
	h.buf = append(binary.AppendUvarint(h.buf, uint64(len(scope.Region))), scope.Region...)
	h.buf = append(binary.AppendUvarint(h.buf, uint64(len(value))), value...)
	h.mac.Reset()
	h.mac.Write(h.buf)
	return fingerprint(binary.BigEndian.Uint64(h.mac.Sum(h.sum[:0])))
}

// named appends the fingerprints of all forms of a name.
func (h *hasher) named(dst []fingerprint, kind Kind, scope Scope, name string) []fingerprint {
	if name == "" {
		return dst
	}
	t := Term{kind, scope, name}
	forms, ok := h.forms[t]
	if !ok {
		for _, form := range Names(name) {
			forms = append(forms, h.once(kind, scope, []byte(form)))
		}
		if len(name) <= maxText {
			keep(h.forms, t, forms)
		}
	}
	return append(dst, forms...)
}

// hashers lends a hasher to each query.
type hashers struct {
	key  secret.Bytes
	pool sync.Pool
}

func (p *hashers) of(terms []Term) []fingerprint {
	h, _ := p.pool.Get().(*hasher)
	if h == nil {
		h = newHasher(p.key)
	}
	defer p.pool.Put(h)
	out := make([]fingerprint, len(terms))
	for i, t := range terms {
		out[i] = h.of(t)
	}
	return out
}
