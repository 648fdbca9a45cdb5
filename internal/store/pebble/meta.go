package pebble

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// Meta implements store.Backend.
func (b *Backend) Meta(context.Context) (map[string][]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure.get(); err != nil {
		return nil, err
	}
	all := make(map[string][]byte)
	err := scan(b.db, []byte{areaMeta}, []byte{areaMeta + 1}, func(key, value []byte) bool {
		if name := string(key[1:]); !strings.HasPrefix(name, reserved) {
			all[name] = append([]byte{}, value...)
		}
		return true
	})
	return all, err
}

// SetMeta implements store.Backend.
func (b *Backend) SetMeta(_ context.Context, changes map[string][]byte) error {
	for name := range changes {
		if name == "" || strings.HasPrefix(name, reserved) {
			return fmt.Errorf("pebble: a meta entry can't be named %q", name)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure.get(); err != nil {
		return err
	}
	return b.apply(func(p *pebble.Batch) error {
		for name, value := range changes {
			var err error
			if value == nil {
				err = p.Delete(metaKey(name), nil)
			} else {
				err = p.Set(metaKey(name), bytes.Clone(value), nil)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
