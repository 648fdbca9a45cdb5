package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// DescribeKey tells everything about a key but its policy, tags and aliases.
func (s *Service) DescribeKey(ctx context.Context, call *authz.Call, in *api.DescribeKeyInput) (*api.DescribeKeyOutput, error) {
	k, err := s.findFor(ctx, call, in.KeyId, keysAndAliases, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	if err := s.may(ctx, call, need{key: k}); err != nil {
		return nil, err
	}
	return &api.DescribeKeyOutput{KeyMetadata: k.metadata()}, nil
}

// ListKeys lists the keys of the caller's account and region.
func (s *Service) ListKeys(ctx context.Context, call *authz.Call, in *api.ListKeysInput) (*api.ListKeysOutput, error) {
	if err := s.mayInAccount(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	page, err := s.page(call, in.Limit, in.Marker, 100, 1000)
	if err != nil {
		return nil, err
	}
	out := &api.ListKeysOutput{Keys: []api.KeyListEntry{}}
	err = s.Store.View(ctx, func(r store.Reader) error {
		items, more, err := keyRecords.Scan(r, scope(call.Principal.Account, call.Region), page.after, page.limit)
		if err != nil {
			return err
		}
		for _, item := range items {
			out.Keys = append(out.Keys, api.KeyListEntry{
				KeyId:  item.ID,
				KeyArn: keyARN(call.Partition, call.Region, call.Principal.Account, item.ID),
			})
		}
		out.Truncated, out.NextMarker = page.next(more, lastID(items))
		return nil
	})
	return out, err
}

func lastID[T any](items []store.Item[T]) string {
	if len(items) == 0 {
		return ""
	}
	return items[len(items)-1].ID
}
