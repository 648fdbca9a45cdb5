package iam

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

// entity says how operations on one kind of record that is neither an identity nor
// a policy find it.
type entity[R any] struct {
	records *store.Collection[R]
	// tags are where a record keeps its tags.
	tags func(r *R) *[]tag
	// missing is the refusal of one that is not there.
	missing func(name string) *awserr.Error
}

// one is an operation on one existing record.
type one struct {
	// id is the record's in its collection, name how its caller names it.
	id, name string
	// arn is what is authorised unless the record, once found, has another by arnOf:
	// that returns an empty one if the record is not the one that is meant.
	arn string
	// conditions are those that the request answers.
	conditions conditions
}

// lookupEntity finds a record of the caller's account and asks for permission to do
// the call's operation on it. That it is missing is told to those who may.
func lookupEntity[R any](ctx context.Context, s *Service, call *authz.Call, e *entity[R], o one, arnOf func(*R) string) (store.Item[R], error) {
	var item store.Item[R]
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		item, err = e.records.GetItem(r, scopeOf(call.Principal.Account), o.id)
		return err
	})
	missing := isNotFound(err) || errors.Is(err, store.ErrKey)
	if err != nil && !missing {
		return item, err
	}
	if !missing && arnOf != nil {
		if arn := arnOf(&item.Value); arn != "" {
			o.arn = arn
		} else {
			missing = true
		}
	}
	c := o.conditions
	if !missing {
		c = resourceTags(*e.tags(&item.Value)).with(c)
	}
	if err := s.authorize(ctx, call, "", o.arn, c); err != nil {
		return item, err
	}
	if missing {
		return item, e.missing(o.name)
	}
	return item, nil
}

// changeEntity finds a record, asks for permission and commits what edit makes of
// it; edit runs inside the commit, may run twice, and returns nil to delete the
// record.
func changeEntity[R, T any](ctx context.Context, s *Service, call *authz.Call, e *entity[R], o one, arnOf func(*R) string, edit func(tx *store.Tx, r *R) (*R, error)) (*T, error) {
	return again(func() (*T, error) {
		before, err := lookupEntity(ctx, s, call, e, o, arnOf)
		if err != nil {
			return nil, err
		}
		in := scopeOf(call.Principal.Account)
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*T, error) {
			item, err := e.records.GetItem(tx, in, o.id)
			if isNotFound(err) || err == nil && item.Version != before.Version {
				return nil, errChanged
			}
			if err != nil {
				return nil, err
			}
			after, err := edit(tx, &item.Value)
			if err != nil {
				return nil, err
			}
			if after == nil {
				return new(T), e.records.Delete(tx, in, o.id)
			}
			return new(T), e.records.Put(tx, in, o.id, *after)
		})
	})
}

// tagEntity adds tags to a record, or gives them new values.
func tagEntity[R, T any](ctx context.Context, s *Service, call *authz.Call, e *entity[R], o one, arnOf func(*R) string, tags []api.Tag) (*T, error) {
	o.conditions = requestTags(tags)
	return changeEntity[R, T](ctx, s, call, e, o, arnOf, func(_ *store.Tx, r *R) (*R, error) {
		at := e.tags(r)
		merged, err := merge(*at, tags)
		*at = merged
		return r, err
	})
}

// untagEntity removes tags from a record; those that it does not have are no error.
func untagEntity[R, T any](ctx context.Context, s *Service, call *authz.Call, e *entity[R], o one, arnOf func(*R) string, keys []string) (*T, error) {
	o.conditions = conditions{"aws:tagkeys": keys}
	return changeEntity[R, T](ctx, s, call, e, o, arnOf, func(_ *store.Tx, r *R) (*R, error) {
		at := e.tags(r)
		*at = remove(*at, keys)
		return r, nil
	})
}

// listEntityTags lists a record's tags by their keys.
func listEntityTags[R any](ctx context.Context, s *Service, call *authz.Call, e *entity[R], o one, arnOf func(*R) string, marker string, maxItems *int32) ([]api.Tag, bool, string, error) {
	item, err := lookupEntity(ctx, s, call, e, o, arnOf)
	if err != nil {
		return nil, false, "", err
	}
	p, err := newPage(call, marker, maxItems)
	if err != nil {
		return nil, false, "", err
	}
	tags, truncated, next := cut(p, *e.tags(&item.Value), func(t tag) string { return t.Key })
	return listedTags(tags), truncated, next, nil
}

// mayCreateEntity asks for permission to make an entity, and for the one to tag it
// if it comes with tags, which it returns as they are kept.
func (s *Service) mayCreateEntity(ctx context.Context, call *authz.Call, arn, tagAction string, tags []api.Tag) ([]tag, error) {
	if err := s.authorize(ctx, call, "", arn, requestTags(tags)); err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := s.authorize(ctx, call, tagAction, arn, requestTags(tags)); err != nil {
			return nil, err
		}
	}
	return merge(nil, tags)
}

// allOf returns every record of an account in a collection, by id. Quotas bound how
// many there are.
func allOf[R any](ctx context.Context, s *Service, records *store.Collection[R], account string) (all []store.Item[R], err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		all = nil
		for after, more := "", true; more; {
			var items []store.Item[R]
			var err error
			if items, more, err = records.Scan(r, scopeOf(account), after, maxCounted); err != nil {
				return err
			}
			for _, item := range items {
				all, after = append(all, item), item.ID
			}
		}
		return nil
	})
	return all, err
}
