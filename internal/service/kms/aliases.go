package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	reservedPrefix = "alias/aws/"
	aliasResource  = "AWS::KMS::Alias"
)

// CreateAlias gives a key a name. It is not idempotent.
func (s *Service) CreateAlias(ctx context.Context, call *authz.Call, in *api.CreateAliasInput) (*api.CreateAliasOutput, error) {
	if err := checkAliasName(in.AliasName); err != nil {
		return nil, err
	}
	if in.AliasName == aliasPrefix { // which Update- and DeleteAlias, without this error, just do not find
		return nil, api.InvalidAliasNameException("")
	}
	return again(call, func() (*api.CreateAliasOutput, error) {
		k, err := s.aliasTarget(ctx, call, in.TargetKeyId)
		if err != nil {
			return nil, err
		}
		arn := noteAlias(call, in.AliasName)
		if err := s.mayAlias(ctx, call, arn, k); err != nil {
			return nil, err
		}
		if refused := k.admits(aliasing); refused != nil {
			return nil, refused
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateAliasOutput, error) {
			if _, err := unchanged(tx, k.key); err != nil {
				return nil, err
			}
			if err := renew(tx, k.key); err != nil {
				return nil, err
			}
			_, err := aliasRecords.Get(tx, scope(k.Account, k.Region), in.AliasName)
			if err == nil {
				return nil, api.AlreadyExistsException("An alias with the name " + arn + " already exists")
			}
			if !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
			if err := s.checkAliasQuota(tx, k.key); err != nil {
				return nil, err
			}
			return &api.CreateAliasOutput{}, aliasRecords.Put(tx, scope(k.Account, k.Region), in.AliasName, aliasRecord{
				Account: k.Account, Region: k.Region, Name: in.AliasName, Target: k.ID,
				Created: call.Time, Updated: call.Time,
			})
		})
	})
}

// UpdateAlias makes an alias lead to another key of the same family and usage.
func (s *Service) UpdateAlias(ctx context.Context, call *authz.Call, in *api.UpdateAliasInput) (*api.UpdateAliasOutput, error) {
	if err := checkAliasName(in.AliasName); err != nil {
		return nil, err
	}
	return again(call, func() (*api.UpdateAliasOutput, error) {
		to, err := s.aliasTarget(ctx, call, in.TargetKeyId)
		if err != nil {
			return nil, err
		}
		arn := noteAlias(call, in.AliasName)
		alias, from, err := s.ownAlias(ctx, call, in.AliasName, arn)
		if err != nil {
			return nil, err
		}
		if err := s.mayAlias(ctx, call, arn, from); err != nil {
			return nil, err
		}
		if err := s.mayOwn(ctx, call, need{key: to}); err != nil {
			return nil, err
		}
		if from.spec.family != to.spec.family || from.Usage != to.Usage {
			return nil, awserr.Validationf("Alias %s cannot be changed from a CMK with key usage %s to a CMK with key usage %s. The key usage of the current CMK and the new CMK must be the same.", arn, from.Usage, to.Usage)
		}
		if refused := to.admits(aliasing); refused != nil {
			return nil, refused
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.UpdateAliasOutput, error) {
			if _, err := unchanged(tx, to.key); err != nil {
				return nil, err
			}
			now, err := unchangedAlias(tx, alias, from.key)
			if err != nil {
				return nil, err
			}
			if now.Target != to.ID {
				if err := s.checkAliasQuota(tx, to.key); err != nil {
					return nil, err
				}
				if err := errors.Join(renew(tx, from.key), renew(tx, to.key)); err != nil {
					return nil, err
				}
			}
			now.Target, now.Updated = to.ID, call.Time
			return &api.UpdateAliasOutput{}, aliasRecords.Put(tx, scope(now.Account, now.Region), now.Name, now)
		})
	})
}

// DeleteAlias takes a name away; the key stays.
func (s *Service) DeleteAlias(ctx context.Context, call *authz.Call, in *api.DeleteAliasInput) (*api.DeleteAliasOutput, error) {
	if err := checkAliasName(in.AliasName); err != nil {
		return nil, err
	}
	return again(call, func() (*api.DeleteAliasOutput, error) {
		arn := noteAlias(call, in.AliasName)
		alias, k, err := s.ownAlias(ctx, call, in.AliasName, arn)
		if err != nil {
			return nil, err
		}
		call.Audit.Resource(k.Account, keyResource, k.ARN)
		if err := s.mayAlias(ctx, call, arn, k); err != nil {
			return nil, err
		}
		if refused := k.admits(viewing); refused != nil {
			return nil, refused
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.DeleteAliasOutput, error) {
			if _, err := unchangedAlias(tx, alias, k.key); err != nil {
				return nil, err
			}
			if err := renew(tx, k.key); err != nil {
				return nil, err
			}
			return &api.DeleteAliasOutput{}, aliasRecords.Delete(tx, scope(alias.Account, alias.Region), alias.Name)
		})
	})
}

// ListAliases lists the aliases of the caller's account and region, or those of
// one key.
func (s *Service) ListAliases(ctx context.Context, call *authz.Call, in *api.ListAliasesInput) (*api.ListAliasesOutput, error) {
	if err := s.mayInAccount(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	target := ""
	if in.KeyId != "" {
		k, err := s.find(ctx, call, in.KeyId, keysOnly)
		if err != nil {
			return nil, err
		}
		if k.Account != call.Principal.Account {
			return nil, call.DeniedUnseen(call.Action, "this resource")
		}
		target = k.ID
		call.Audit.Resources = nil // the trail has none for ListAliases
	}
	page, err := s.page(call, in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	out := &api.ListAliasesOutput{Aliases: []api.AliasListEntry{}}
	err = s.Store.View(ctx, func(r store.Reader) error {
		var items []store.Item[aliasRecord]
		var more bool
		var err error
		if in := scope(call.Principal.Account, call.Region); target == "" {
			items, more, err = aliasRecords.Scan(r, in, page.after, page.limit)
		} else {
			items, more, err = aliasRecords.ScanIndex(r, in, byTarget, target, page.after, page.limit)
		}
		if err != nil {
			return err
		}
		for _, item := range items {
			a := item.Value
			out.Aliases = append(out.Aliases, api.AliasListEntry{
				AliasName:       a.Name,
				AliasArn:        aliasARN(call.Partition, a.Region, a.Account, a.Name),
				TargetKeyId:     a.Target,
				CreationDate:    &a.Created,
				LastUpdatedDate: &a.Updated,
			})
		}
		out.Truncated, out.NextMarker = page.next(more, lastID(items))
		return nil
	})
	return out, err
}

// checkAliasName refuses what the model's pattern lets through and AWS does not.
func checkAliasName(name string) error {
	switch {
	case !strings.HasPrefix(name, aliasPrefix):
		return awserr.Validation(`Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
	case strings.HasPrefix(name, reservedPrefix):
		return awserr.New("NotAuthorizedException", "")
	case strings.Contains(name, ":"):
		return awserr.Validation(name + " contains invalid characters for an alias")
	}
	return nil
}

// aliasTarget finds the key that an alias is to lead to.
func (s *Service) aliasTarget(ctx context.Context, call *authz.Call, id string) (found, error) {
	if ref, err := parseReference(call, id, keysAndAliases); err == nil && ref.alias != "" {
		return found{}, awserr.Validation("Aliases must refer to keys. Not aliases")
	}
	k, err := s.find(ctx, call, id, keysOnly)
	if err == nil && k.Account != call.Principal.Account {
		err = call.DeniedUnseen(call.Action, "this resource")
	}
	return k, err
}

// ownAlias finds an alias of the caller's account and the key that it leads to.
func (s *Service) ownAlias(ctx context.Context, call *authz.Call, name, arn string) (aliasRecord, found, error) {
	alias, err := s.aliases.Get(ctx, scope(call.Principal.Account, call.Region), name)
	if errors.Is(err, store.ErrNotFound) {
		return alias, found{}, errNoAlias(arn)
	}
	if err != nil {
		return alias, found{}, err
	}
	k, err := s.keys.Get(ctx, scope(alias.Account, alias.Region), alias.Target)
	if errors.Is(err, store.ErrNotFound) {
		// The key was deleted, and the alias with it, between the two reads.
		err = errNoAlias(arn)
	}
	return alias, found{key: k}, err
}

func errNoAlias(arn string) *awserr.Error {
	return api.NotFoundException("Alias " + arn + " is not found.")
}

// mayAlias asks for both halves of an alias operation: identity policies decide
// on the alias, the key's policy on the key.
func (s *Service) mayAlias(ctx context.Context, call *authz.Call, arn string, k found) error {
	if err := s.mayInAccount(ctx, call, "", arn, nil); err != nil {
		return err
	}
	return s.mayOwn(ctx, call, need{key: k})
}

// noteAlias puts the alias into the audit record and returns its ARN.
func noteAlias(call *authz.Call, name string) string {
	arn := aliasARN(call.Partition, call.Region, call.Principal.Account, name)
	call.Audit.Resource(call.Principal.Account, aliasResource, arn)
	return arn
}

// unchangedAlias re-reads inside a commit the alias that a call was authorised on
// and the key that it led to.
func unchangedAlias(tx *store.Tx, alias aliasRecord, target *key) (aliasRecord, error) {
	now, err := aliasRecords.Get(tx, scope(alias.Account, alias.Region), alias.Name)
	if errors.Is(err, store.ErrNotFound) {
		return now, errChanged
	}
	if err != nil {
		return now, err
	}
	if now.Target != alias.Target {
		return now, errChanged
	}
	_, err = unchanged(tx, target)
	return now, err
}

func (s *Service) checkAliasQuota(tx *store.Tx, k *key) error {
	limit := s.Limits.aliases(k.Account)
	if limit == unlimited {
		return nil
	}
	used, after := int64(0), ""
	for more := true; more && used < limit; {
		var items []store.Item[aliasRecord]
		var err error
		items, more, err = aliasRecords.ScanIndex(tx, scope(k.Account, k.Region), byTarget, k.ID, after, maxAliases)
		if err != nil {
			return err
		}
		used, after = used+int64(len(items)), lastID(items)
	}
	if used >= limit {
		return api.LimitExceededException(fmt.Sprintf("Aliases per key quota for this account in this region is %d, current usage is %d.", limit, used))
	}
	return nil
}
