package kms

import (
	"context"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// KeyFacts is what a report about all keys goes by.
type KeyFacts struct {
	ARN     string
	State   string
	Created time.Time
	// Scheduled and Deletion are when deletion was asked for and when it is due;
	// zero while none is pending.
	Scheduled, Deletion time.Time
	// CanRotate says that the key's material can be rotated automatically,
	// Rotates that it will be.
	CanRotate, Rotates bool
}

const inventoryPage = 500

// Inventory calls fn for every key of the deployment, by account, Region and id,
// until it returns an error, which Inventory returns. It reads a page of keys at a
// time, and nothing is held while fn runs.
func Inventory(ctx context.Context, s *store.Store, fn func(KeyFacts) error) error {
	var scopes []store.Scope
	err := s.View(ctx, func(r store.Reader) (err error) {
		scopes, err = store.Scopes(r)
		return err
	})
	if err != nil {
		return err
	}
	for _, in := range scopes {
		after := ""
		for more := true; more; {
			var items []store.Item[keyRecord]
			err := s.View(ctx, func(r store.Reader) (err error) {
				items, more, err = keyRecords.Scan(r, in, after, inventoryPage)
				return err
			})
			if err != nil {
				return err
			}
			for _, item := range items {
				after = item.ID
				if err := fn(item.Value.facts()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *keyRecord) facts() KeyFacts {
	spec := specOf(r.Spec)
	f := KeyFacts{
		ARN: keyARN(authz.PartitionOf(r.Region), r.Region, r.Account, r.ID), State: string(r.State), Created: r.Created,
		CanRotate: spec != nil && spec.family == symmetricKey && r.Origin == api.OriginTypeAwsKms,
		Rotates:   r.Rotation.Next != nil,
	}
	if r.DeletionDate != nil {
		f.Deletion = *r.DeletionDate
		f.Scheduled = f.Deletion.Add(-time.Duration(r.PendingWindow) * 24 * time.Hour)
	}
	return f
}
