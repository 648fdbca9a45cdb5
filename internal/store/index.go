package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// An index entry's value is a sealed nothing: what it says stands in its key, and
// the seal says that this store wrote it. Whoever puts an old entry back is found
// when the record it leads to does not have that index value any more.

// Cursor is where a scan of an index goes on.
type Cursor struct {
	Value, ID string
}

// TimeValue returns an index value that sorts as times do, for every time whose
// year is within 1678 and 2261; times before and after sort as these ends.
func TimeValue(t time.Time) string {
	first, last := time.Unix(0, -1<<63), time.Unix(0, 1<<63-1)
	switch {
	case t.Before(first):
		t = first
	case t.After(last):
		t = last
	}
	return string(binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())^1<<63))
}

// ScanIndex returns up to limit records whose index values include value, in the
// byte order of their ids, beginning behind the id after, and whether there are
// more.
func (c *Collection[T]) ScanIndex(r Reader, s Scope, index, value, after string, limit int) (items []Item[T], more bool, err error) {
	if err := checkIndexValue(index, value); err != nil {
		return nil, false, err
	}
	var cursor Cursor
	if after != "" {
		cursor = Cursor{Value: value, ID: after}
	}
	return c.ScanIndexRange(r, s, index, value, value+"\x00", cursor, limit)
}

// ScanIndexRange returns up to limit records with an index value of from or
// above and, unless to is empty, below to; and whether there are more. They come
// in the byte order of value and id, a record once for each of its values in the
// range, beginning behind the cursor after: begin with the zero Cursor and go on
// with the last item's Index and ID.
func (c *Collection[T]) ScanIndexRange(r Reader, s Scope, index, from, to string, after Cursor, limit int) (items []Item[T], more bool, err error) {
	if err := s.check(); err != nil {
		return nil, false, err
	}
	at := slices.IndexFunc(c.indexes, func(x Index[T]) bool { return x.Name == index })
	if at < 0 {
		return nil, false, fmt.Errorf("store: collection %q has no index %q", c.name, index)
	}
	prefix := appendPart(collectionPrefix(s, c.name, markIndex), index)
	first, last := appendPart(slices.Clone(prefix), from), prefixEnd(prefix)
	if to != "" {
		last = appendPart(slices.Clone(prefix), to)
	}
	if after != (Cursor{}) {
		// The cursor may stand before the range, never behind the first of it.
		next := append(indexKey(s, c.name, index, after.Value, after.ID), 0)
		if string(next) > string(first) {
			first = next
		}
	}
	if string(first) >= string(last) {
		return nil, false, nil
	}
	entries, more, err := page(r.reading(), first, last, limit)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		item, err := c.follow(r, s, c.indexes[at], e)
		if err != nil {
			return nil, false, err
		}
		items = append(items, item)
	}
	return items, more, nil
}

// follow returns the record that an index entry leads to.
func (c *Collection[T]) follow(r Reader, s Scope, index Index[T], e found) (Item[T], error) {
	if _, _, err := r.reading().unseal(e.key, e.value); err != nil {
		return Item[T]{}, err
	}
	p, ok := parseKey(e.key)
	if !ok {
		return Item[T]{}, corrupt(e.key, "not a key of this store")
	}
	value, id := p.parts[1], p.parts[2]
	key := recordKey(s, c.name, id)
	raw, err := r.reading().get(key)
	if errors.Is(err, ErrNotFound) {
		return Item[T]{}, corrupt(e.key, "leads to no record")
	}
	if err != nil {
		return Item[T]{}, err
	}
	item, err := c.open(r.reading(), key, id, raw)
	if err != nil {
		return Item[T]{}, err
	}
	if !slices.Contains(index.Values(id, item.Value), value) {
		return Item[T]{}, corrupt(e.key, "leads to a record without that value")
	}
	item.Index = value
	return item, nil
}

// reindex changes the index entries of a record from those of its old value, if
// it existed, to those of its new one, if it is to exist.
func (c *Collection[T]) reindex(tx *Tx, s Scope, id string, old T, existed bool, value T, exists bool) error {
	for _, index := range c.indexes {
		var before, after []string
		if existed {
			before = index.Values(id, old)
		}
		if exists {
			after = index.Values(id, value)
		}
		for _, v := range before {
			if !slices.Contains(after, v) {
				if err := tx.put(indexKey(s, c.name, index.Name, v, id), c.schema, nil, nil, nil, false); err != nil {
					return err
				}
			}
		}
		for _, v := range after {
			if slices.Contains(before, v) {
				continue
			}
			if err := checkIndexValue(index.Name, v); err != nil {
				return err
			}
			if err := tx.put(indexKey(s, c.name, index.Name, v, id), c.schema, []byte{}, nil, nil, false); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkIndexValue(index, value string) error {
	if len(value) == 0 || len(value) > maxID {
		return fmt.Errorf("%w: a value of %d bytes in index %q; 1 to %d are allowed", ErrKey, len(value), index, maxID)
	}
	return nil
}
