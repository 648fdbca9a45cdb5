package store

import (
	"fmt"
	"strings"
)

// A record's key is
//
//	account · region · collection · 'r' · id
//
// and an index entry's key is
//
//	account · region · collection · 'i' · index · value · id
//
// where each part but the mark ('r' or 'i') is written so that the end of it can
// be told: a zero byte inside becomes 00 FF, and 00 01 ends it. Hence
//
//   - a key is read back in one way only, so that two different paths never give
//     the same key, and no key is the beginning of another;
//   - the keys of one collection are those that begin with its prefix, and stand
//     in the byte order of their ids: the end mark 00 01 is below 00 FF and below
//     every part's next byte, so that an id stands before its own extensions.
//
// Keys are not sealed: whoever reads the database reads accounts, collections,
// ids and index values. Nothing that is private may be one of them.
const (
	partZero = 0xff // after 00: a zero byte of the part
	partEnd  = 0x01 // after 00: the end of the part

	markRecord = 'r'
	markIndex  = 'i'

	maxName = 64   // bytes of an account, region, collection or index name
	maxID   = 1024 // bytes of an id or an index value
	maxKey  = 2600 // bytes of a whole key: PostgreSQL's indexes take little more
)

// Scope is the account and region that records belong to; "-" stands for all
// regions, or for the whole deployment.
type Scope struct {
	Account, Region string
}

// Deployment is the scope of what belongs to no account.
var Deployment = Scope{Account: "-", Region: "-"}

func (s Scope) check() error {
	if !validName(s.Account) || !validName(s.Region) {
		return fmt.Errorf("%w: account %.70q, region %.70q", ErrKey, s.Account, s.Region)
	}
	return nil
}

func validName(name string) bool { return 0 < len(name) && len(name) <= maxName }

func appendPart(dst []byte, part string) []byte {
	for {
		i := strings.IndexByte(part, 0)
		if i < 0 {
			break
		}
		dst = append(dst, part[:i]...)
		dst = append(dst, 0, partZero)
		part = part[i+1:]
	}
	dst = append(dst, part...)
	return append(dst, 0, partEnd)
}

// cutPart reads one part back from the front of key.
func cutPart(key []byte) (part string, rest []byte, ok bool) {
	var b strings.Builder
	for i := 0; i < len(key); i++ {
		if key[i] != 0 {
			b.WriteByte(key[i])
			continue
		}
		i++
		if i == len(key) {
			break
		}
		switch key[i] {
		case partEnd:
			return b.String(), key[i+1:], true
		case partZero:
			b.WriteByte(0)
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}

// collectionPrefix begins the keys of a collection's records or index entries.
func collectionPrefix(s Scope, collection string, mark byte) []byte {
	key := make([]byte, 0, len(s.Account)+len(s.Region)+len(collection)+64)
	key = appendPart(key, s.Account)
	key = appendPart(key, s.Region)
	key = appendPart(key, collection)
	return append(key, mark)
}

func recordKey(s Scope, collection, id string) []byte {
	return appendPart(collectionPrefix(s, collection, markRecord), id)
}

func indexKey(s Scope, collection, index, value, id string) []byte {
	key := appendPart(collectionPrefix(s, collection, markIndex), index)
	return appendPart(appendPart(key, value), id)
}

// path is a key read back.
type path struct {
	scope      Scope
	collection string
	mark       byte
	parts      []string // the id; or the index, the value and the id
}

func parseKey(key []byte) (path, bool) {
	var p path
	var ok bool
	if p.scope.Account, key, ok = cutPart(key); !ok {
		return path{}, false
	}
	if p.scope.Region, key, ok = cutPart(key); !ok {
		return path{}, false
	}
	if p.collection, key, ok = cutPart(key); !ok || len(key) == 0 {
		return path{}, false
	}
	p.mark, key = key[0], key[1:]
	want := 1
	switch p.mark {
	case markRecord:
	case markIndex:
		want = 3
	default:
		return path{}, false
	}
	for range want {
		var part string
		if part, key, ok = cutPart(key); !ok {
			return path{}, false
		}
		p.parts = append(p.parts, part)
	}
	return p, len(key) == 0
}

// describeKey names a key in an error.
func describeKey(key []byte) string {
	p, ok := parseKey(key)
	if !ok {
		return fmt.Sprintf("malformed key %x", key)
	}
	kind := "record"
	if p.mark == markIndex {
		kind = "index entry"
	}
	return fmt.Sprintf("%s %q of collection %q in %s/%s", kind, p.parts, p.collection, p.scope.Account, p.scope.Region)
}

// prefixEnd returns the least key above all that begin with prefix. Prefixes
// here end in a mark or an end mark, never in FF.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}

func checkID(id string) error {
	if len(id) == 0 || len(id) > maxID {
		return fmt.Errorf("%w: an id of %d bytes; 1 to %d are allowed", ErrKey, len(id), maxID)
	}
	return nil
}
