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
	// known are those that come again and again; nil where none do.
	known map[Term]fingerprint
	buf   []byte
	sum   [sha256.Size]byte
}

func newHasher(key secret.Bytes) *hasher {
	return &hasher{mac: hmac.New(sha256.New, key)}
}

// maxKnown bounds what a hasher remembers, in terms.
const maxKnown = 1 << 14

func (h *hasher) of(t Term) fingerprint {
	if f, ok := h.known[t]; ok {
		return f
	}
	h.buf = append(h.buf[:0], byte(t.Kind))
	for _, part := range []string{t.Scope.Account, t.Scope.Region, t.Value} {
		h.buf = binary.AppendUvarint(h.buf, uint64(len(part)))
		h.buf = append(h.buf, part...)
	}
	h.mac.Reset()
	h.mac.Write(h.buf)
	f := fingerprint(binary.BigEndian.Uint64(h.mac.Sum(h.sum[:0])))
	if h.known != nil && t.Kind != EventID {
		if len(h.known) >= maxKnown {
			clear(h.known)
		}
		t.Scope.Account, t.Scope.Region, t.Value = strings.Clone(t.Scope.Account), strings.Clone(t.Scope.Region), strings.Clone(t.Value)
		h.known[t] = f
	}
	return f
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
