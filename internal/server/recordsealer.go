package server

import (
	"sync"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// recordSealer gives the store the keys that it seals records under. They are derived
// once for each version of the domain key: the store asks for one with every record.
type recordSealer struct {
	domain *seal.Domain
	keys   sync.Map // version → secret.Bytes
}

var _ store.Sealer = (*recordSealer)(nil)

func newRecordSealer(domain *seal.Domain) *recordSealer { return &recordSealer{domain: domain} }

// Current implements [store.Sealer].
func (r *recordSealer) Current() uint32 { return r.domain.Current() }

// Key implements [store.Sealer].
func (r *recordSealer) Key(version uint32) (secret.Bytes, error) {
	if key, ok := r.keys.Load(version); ok {
		return key.(secret.Bytes), nil
	}
	key, err := r.domain.Derive(version, seal.LabelRecords)
	if err != nil {
		return nil, err
	}
	kept, before := r.keys.LoadOrStore(version, key)
	if before {
		key.Wipe()
	}
	return kept.(secret.Bytes), nil
}
