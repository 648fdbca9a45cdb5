package kms

import (
	"slices"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/store"
)

// generation is one of a key's materials and how it came to be. Imported material
// may be away: then Wrapped is nil, and the id tells which bytes belong here.
type generation struct {
	keyring.Material
	// Rotated and RotationType tell when and how it became the current material;
	// the first one never did.
	Rotated      *time.Time       `json:"rotated,omitempty"`
	RotationType api.RotationType `json:"rotationType,omitempty"`
	// Import is set for imported material.
	Import *imported `json:"import,omitempty"`
}

// imported is what is known of imported material beside its bytes.
type imported struct {
	// Deleted says that the bytes are away because they were deleted, or never came
	// to this region. Of those that expired it says nothing.
	Deleted bool `json:"deleted,omitempty"`
	// ExpirationModel and ValidTo are of the last import.
	ExpirationModel api.ExpirationModelType `json:"expirationModel,omitempty"`
	ValidTo         *time.Time              `json:"validTo,omitempty"`
	Description     string                  `json:"description,omitempty"`
}

// pendingMaterial waits for RotateKeyOnDemand.
type pendingMaterial struct {
	generation
	// Everywhere says that all regions of the key have its bytes.
	Everywhere bool `json:"everywhere,omitempty"`
}

func (g *generation) present() bool { return g.Wrapped != nil }

// ready tells whether the material can become the current one.
func (p *pendingMaterial) ready() bool { return p != nil && p.present() && p.Everywhere }

// away returns g without its bytes, as it is in a region that they never came to.
func (g generation) away() generation {
	g.Wrapped = nil
	g.Import = &imported{Deleted: true, Description: g.Import.Description}
	return g
}

// complete tells whether all permanent materials are there, without which a key
// cannot be used.
func (r *keyRecord) complete() bool {
	return len(r.Materials) > 0 && !slices.ContainsFunc(r.Materials, func(g generation) bool { return !g.present() })
}

// material returns the material with that id, pending material included, or nil.
func (r *keyRecord) material(id string) *generation {
	for i := range r.Materials {
		if r.Materials[i].ID == id {
			return &r.Materials[i]
		}
	}
	if r.Pending != nil && r.Pending.ID == id {
		return &r.Pending.generation
	}
	return nil
}

// isPending tells whether the material with that id waits for a rotation.
func (r *keyRecord) isPending(id string) bool { return r.Pending != nil && r.Pending.ID == id }

// turnTo makes fresh the current material or, if that is nil, the pending one.
func (r *keyRecord) turnTo(fresh *generation, at time.Time, how api.RotationType) {
	next := fresh
	if next == nil {
		next, r.Pending = &r.Pending.generation, nil
	}
	g := *next
	g.Rotated, g.RotationType = &at, how
	r.Materials = append(r.Materials, g)
}

// shareMaterials gives a new replica the primary's materials: their bytes if they
// were made here, and what is to be imported if they were not.
func (r *keyRecord) shareMaterials(primary *keyRecord) {
	r.Materials = slices.Clone(primary.Materials)
	if primary.Origin != api.OriginTypeExternal {
		return
	}
	for i := range r.Materials {
		r.Materials[i] = r.Materials[i].away()
	}
	if primary.Pending != nil {
		r.Pending = &pendingMaterial{generation: primary.Pending.away()}
	}
}

// expires is the task of a material's expiry; there is one if ok.
func (r *keyRecord) expires(g *generation) (due dueRecord, ok bool) {
	if !g.present() || g.Import == nil || g.Import.ValidTo == nil {
		return due, false
	}
	return dueRecord{At: *g.Import.ValidTo, Account: r.Account, Key: r.ID, Task: expireMaterial, Material: g.ID}, true
}

// lose takes a material's bytes away. Pending material goes altogether with the
// primary's, in all regions; a key that loses permanent material waits for it,
// unless it is about to be deleted.
func lose(tx *store.Tx, record *keyRecord, g *generation) error {
	if due, ok := record.expires(g); ok {
		if err := strike(tx, record.Region, due); err != nil {
			return err
		}
	}
	g.Wrapped = nil
	if !record.isPending(g.ID) {
		switch record.State {
		case api.KeyStateEnabled, api.KeyStateDisabled, api.KeyStateUpdating:
			record.State = api.KeyStatePendingImport
		}
		return nil
	}
	if record.isReplica() {
		return settlePending(tx, record)
	}
	record.Pending = nil
	return inSiblings(tx, record, func(sibling *keyRecord) error {
		if sibling.Pending == nil {
			return nil
		}
		if due, ok := sibling.expires(&sibling.Pending.generation); ok {
			if err := strike(tx, sibling.Region, due); err != nil {
				return err
			}
		}
		sibling.Pending = nil
		return nil
	})
}

// settlePending finds out anew whether all regions have the pending material, after
// that changed in record's.
func settlePending(tx *store.Tx, record *keyRecord) error {
	if record.Pending == nil {
		return nil
	}
	others, err := siblings(tx, record)
	if err != nil {
		return err
	}
	everywhere := record.Pending.present() && !slices.ContainsFunc(others, func(sibling keyRecord) bool {
		return sibling.Pending == nil || !sibling.Pending.present()
	})
	record.Pending.Everywhere = everywhere
	return inSiblings(tx, record, func(sibling *keyRecord) error {
		if sibling.Pending != nil {
			sibling.Pending.Everywhere = everywhere
		}
		return nil
	})
}

// expiry is the worker's task: it deletes material whose time is over, unless that
// was changed meanwhile.
func expiry(due dueRecord, events *serviceEvents) job {
	return func(tx *store.Tx, k *key) error {
		record := k.keyRecord
		g := record.material(due.Material)
		if g == nil {
			return nil
		}
		if planned, ok := record.expires(g); !ok || !planned.At.Equal(due.At) {
			return nil
		}
		if err := lose(tx, &record, g); err != nil {
			return err
		}
		if err := keyRecords.Put(tx, scope(k.Account, k.Region), k.ID, record); err != nil {
			return err
		}
		return events.add(tx, 0, k, "DeleteExpiredKeyMaterial", `{"keyId":"`+k.ID+`"}`)
	}
}
