package pebble

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// Flush begins to move what is in memory to files, and does not wait for it.
func (b *Backend) Flush() error {
	_, err := b.db.AsyncFlush()
	return err
}

// Compact merges all files, so that reads come from files alone.
func (b *Backend) Compact() error {
	if err := b.db.Flush(); err != nil {
		return err
	}
	return b.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)
}

// SetFormat makes the folder one of another format.
func (b *Backend) SetFormat(n uint64) error {
	return b.db.Set(metaKey(metaFormat), binary.BigEndian.AppendUint64(nil, n), pebble.Sync)
}
