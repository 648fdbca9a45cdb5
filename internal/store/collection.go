package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Collection is a typed set of records of one kind, each under a [Scope] and an
// id. It holds no state: declare it once, as a variable of the package that owns
// the records.
//
// Values are stored as JSON in encoding/json's terms, so that T's exported fields
// and their tags are a format on disk; strings must be valid UTF-8, other bytes
// belong into a []byte. A member that T does not know is refused
// as ErrCorrupt, and a schema number above the collection's as ErrNewerSchema.
// Records of a lower number are read as T: a schema may add members, whose zero
// value then means "not said", and must raise its number when it does.
type Collection[T any] struct {
	name    string
	schema  uint16
	indexes []Index[T]
}

// Index finds records by something else than their id. Its entries are written
// in the same transaction as the record.
type Index[T any] struct {
	// Name is unique within the collection, 1 to 64 bytes, and fixed once records
	// exist.
	Name string
	// Values returns the values that a record is found under, each 1 to 1,024
	// bytes; none keeps it out of the index. It must be a pure function. Values
	// sort as bytes ([TimeValue] for times) and, like ids, are not sealed.
	Values func(id string, value T) []string
}

// Item is a record as it was read.
type Item[T any] struct {
	ID    string
	Value T
	// Version is the epoch of the Update that wrote the record. While it is the
	// same the record is: so what was authorised upon in a View can be checked to
	// be unchanged inside an Update.
	Version uint64
	// Index is the index value that the record was found under; empty unless it
	// came from ScanIndex or ScanIndexRange.
	Index string
}

// NewCollection declares a collection. The name is 1 to 64 bytes and fixed once
// records exist; schema starts at 1. It panics when these or an index can't be, or
// when T's zero value can't be read as it is written, because that is a mistake in the
// program.
func NewCollection[T any](name string, schema uint16, indexes ...Index[T]) *Collection[T] {
	if !validName(name) || schema == 0 {
		panic(fmt.Sprintf("store: collection %.70q with schema %d", name, schema))
	}
	var none T
	if text, err := json.Marshal(none); err == nil {
		if _, err := decode[T](nil, text); err != nil {
			panic(fmt.Sprintf("store: collection %q can't read the %T that it writes: %v", name, none, err))
		}
	}
	for i, index := range indexes {
		again := slices.ContainsFunc(indexes[:i], func(x Index[T]) bool { return x.Name == index.Name })
		if !validName(index.Name) || index.Values == nil || again {
			panic(fmt.Sprintf("store: index %.70q of collection %q", index.Name, name))
		}
	}
	return &Collection[T]{name: name, schema: schema, indexes: indexes}
}

// Name returns the collection's name, which [Store.Watch] takes.
func (c *Collection[T]) Name() string { return c.name }

// Get returns the record under id, or ErrNotFound.
func (c *Collection[T]) Get(r Reader, s Scope, id string) (T, error) {
	item, err := c.GetItem(r, s, id)
	return item.Value, err
}

// GetItem is Get with the record's version.
func (c *Collection[T]) GetItem(r Reader, s Scope, id string) (Item[T], error) {
	key, value, err := c.get(r, s, id)
	if err != nil {
		return Item[T]{}, err
	}
	return c.open(r.reading(), key, id, value)
}

// key returns what a record is kept under.
func (c *Collection[T]) key(s Scope, id string) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	return recordKey(s, c.name, id), nil
}

// get returns the key that a record is kept under, and what is kept there, or
// ErrNotFound.
func (c *Collection[T]) get(r Reader, s Scope, id string) (key, sealed []byte, err error) {
	if key, err = c.key(s, id); err != nil {
		return nil, nil, err
	}
	if sealed, err = r.reading().get(key); errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: %s", ErrNotFound, describeKey(key))
	}
	return key, sealed, err
}

// Put writes the record under id, whether or not there is one.
func (c *Collection[T]) Put(tx *Tx, s Scope, id string, value T) (err error) {
	defer func() { tx.spoil(err) }()
	key, sealed, before, err := c.replaced(tx, s, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return c.write(tx, s, id, key, value, sealed, before.Value)
}

// Add writes a record under an id that was drawn at random for it, 122 bits or more, so
// that nothing can be there: it does not look. What was there all the same would be lost,
// its index entries would lead to another record, and [Store.CheckLive] would miss it
// unless both were written in one commit.
func (c *Collection[T]) Add(tx *Tx, s Scope, id string, value T) (err error) {
	defer func() { tx.spoil(err) }()
	key, err := c.key(s, id)
	if err != nil {
		return err
	}
	var none T
	return c.write(tx, s, id, key, value, nil, none)
}

// write puts value in the place of before, which is kept as sealed; nil for nothing.
func (c *Collection[T]) write(tx *Tx, s Scope, id string, key []byte, value T, sealed []byte, before T) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("store: encoding %s: %w", describeKey(key), err)
	}
	if len(c.indexes) > 0 {
		// What will be read is what must be indexed: encoding may lose something, such
		// as a time's zone or what isn't UTF-8.
		stored, err := decode[T](key, text)
		if err != nil {
			return fmt.Errorf("store: %s could not be read back as it was encoded", describeKey(key))
		}
		if err := c.reindex(tx, s, id, before, sealed != nil, stored, true); err != nil {
			return err
		}
	}
	return tx.put(key, c.schema, text, c.change(tx, s, id, false), sealed, true)
}

// Delete removes the record under id; ErrNotFound if there is none.
func (c *Collection[T]) Delete(tx *Tx, s Scope, id string) (err error) {
	defer func() { tx.spoil(err) }()
	key, sealed, before, err := c.replaced(tx, s, id)
	if err != nil {
		return err
	}
	var none T
	if err := c.reindex(tx, s, id, before.Value, true, none, false); err != nil {
		return err
	}
	return tx.put(key, c.schema, nil, c.change(tx, s, id, true), sealed, true)
}

// replaced returns the record that a write replaces, as it is kept and as it is, or
// ErrNotFound.
func (c *Collection[T]) replaced(tx *Tx, s Scope, id string) (key, sealed []byte, before Item[T], err error) {
	if key, sealed, err = c.get(tx, s, id); err == nil {
		before, err = c.open(tx.reading(), key, id, sealed)
	}
	return key, sealed, before, err
}

func (c *Collection[T]) change(tx *Tx, s Scope, id string, deleted bool) *Change {
	return &Change{Epoch: tx.version, Collection: c.name, Scope: s, ID: id, Deleted: deleted}
}

// Scan returns up to limit records of a scope in the byte order of their ids,
// beginning behind after, and whether there are more. Begin with "" and go on
// with the last item's id.
func (c *Collection[T]) Scan(r Reader, s Scope, after string, limit int) (items []Item[T], more bool, err error) {
	if err := s.check(); err != nil {
		return nil, false, err
	}
	from := collectionPrefix(s, c.name, markRecord)
	to := prefixEnd(from)
	if after != "" {
		if err := checkID(after); err != nil {
			return nil, false, err
		}
		from = append(recordKey(s, c.name, after), 0)
	}
	found, more, err := page(r.reading(), from, to, limit)
	if err != nil {
		return nil, false, err
	}
	for _, f := range found {
		p, ok := parseKey(f.key)
		if !ok {
			return nil, false, corrupt(f.key, "not a key of this store")
		}
		item, err := c.open(r.reading(), f.key, p.parts[0], f.value)
		if err != nil {
			return nil, false, err
		}
		items = append(items, item)
	}
	return items, more, nil
}

// open unseals and decodes a record.
func (c *Collection[T]) open(r *reader, key []byte, id string, value []byte) (Item[T], error) {
	h, text, err := r.unseal(key, value)
	if err != nil {
		return Item[T]{}, err
	}
	if h.schema > c.schema {
		return Item[T]{}, fmt.Errorf("%w: %s has schema %d; this version of Strongroom knows up to %d",
			ErrNewerSchema, describeKey(key), h.schema, c.schema)
	}
	v, err := decode[T](key, text)
	if err != nil {
		return Item[T]{}, err
	}
	return Item[T]{ID: id, Value: v, Version: h.version}, nil
}

func decode[T any](key, text []byte) (value T, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&value); err != nil {
		var none T
		return none, corrupt(key, "not a value of its schema")
	}
	if _, err := d.Token(); err != io.EOF {
		var none T
		return none, corrupt(key, "not one value")
	}
	return value, nil
}

// unseal opens a value, which cannot be of a later version than the state it was
// found in.
func (r *reader) unseal(key, value []byte) (sealed, []byte, error) {
	h, text, err := r.store.unseal(key, value)
	if err != nil {
		return sealed{}, nil, err
	}
	latest := r.epoch
	if r.tx != nil {
		latest = r.tx.version
	}
	if h.version > latest {
		return sealed{}, nil, corrupt(key, fmt.Sprintf("version %d in a state of epoch %d", h.version, latest))
	}
	return h, text, nil
}

type found struct{ key, value []byte }

// page reads up to limit entries, and whether there is one more.
func page(r *reader, from, to []byte, limit int) (list []found, more bool, err error) {
	if limit < 1 {
		return nil, false, ErrLimit
	}
	err = r.scan(from, to, func(key, value []byte) bool {
		if len(list) == limit {
			more = true
			return false
		}
		list = append(list, found{bytes.Clone(key), bytes.Clone(value)})
		return true
	})
	if err != nil {
		return nil, false, err
	}
	return list, more, nil
}

// Scopes returns the scopes that hold anything at all, in the byte order of
// account and region.
func Scopes(r Reader) ([]Scope, error) {
	var scopes []Scope
	from := []byte{}
	for {
		var next *path
		var bad []byte
		err := r.reading().scan(from, []byte{0xff}, func(key, _ []byte) bool {
			if p, ok := parseKey(key); ok {
				next = &p
			} else {
				bad = bytes.Clone(key)
			}
			return false
		})
		switch {
		case err != nil:
			return nil, err
		case bad != nil:
			return nil, corrupt(bad, "not a key of this store")
		case next == nil:
			return scopes, nil
		}
		scopes = append(scopes, next.scope)
		from = prefixEnd(appendPart(appendPart(nil, next.scope.Account), next.scope.Region))
	}
}
