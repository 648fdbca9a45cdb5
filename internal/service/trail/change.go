package trail

import (
	"context"
	"errors"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/store"
)

const resourceType = "AWS::CloudTrail::Trail"

// conditions answers the condition keys that a request sets, in lower case.
type conditions map[string][]string

// Values implements policy.Context.
func (c conditions) Values(key string) ([]string, bool) {
	v, ok := c[key]
	return v, ok
}

// requested are the conditions of a request with tags.
func requested(tags []api.Tag) conditions {
	c := conditions{}
	for _, t := range tags {
		c["aws:tagkeys"] = append(c["aws:tagkeys"], t.Key)
		c["aws:requesttag/"+strings.ToLower(t.Key)] = []string{t.Value}
	}
	return c
}

// addResource adds the conditions of a trail's own tags.
func (c conditions) addResource(tags []delivery.Tag) {
	for _, t := range tags {
		c["aws:resourcetag/"+strings.ToLower(t.Key)] = []string{t.Value}
	}
}

// get returns the trail at a place of the caller's account; ok is false if there
// is none.
func get(r store.Reader, call *authz.Call, p place) (t delivery.Trail, ok bool, err error) {
	t, err = delivery.Trails.Get(r, store.Scope{Account: call.Principal.Account, Region: p.region}, p.name)
	if errors.Is(err, store.ErrNotFound) {
		return t, false, nil
	}
	return t, err == nil, err
}

// read finds a trail and asks whether the caller may do the operation on it.
func (s *Service) read(ctx context.Context, call *authz.Call, nameOrARN string, with conditions) (*delivery.Trail, error) {
	p, err := s.locate(call, nameOrARN)
	if err != nil {
		return nil, err
	}
	return s.readAt(ctx, call, p, nameOrARN, with)
}

func (s *Service) readAt(ctx context.Context, call *authz.Call, p place, nameOrARN string, with conditions) (*delivery.Trail, error) {
	var t delivery.Trail
	var found bool
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		t, found, err = get(r, call, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	if with == nil {
		with = conditions{}
	}
	with.addResource(t.Tags)
	if err := call.Authorize(ctx, authz.Access{Resource: p.arn(call), Context: with}); err != nil {
		return nil, err
	}
	if !found {
		return nil, unknownTrail(call, nameOrARN)
	}
	if p.region != call.Region && !t.MultiRegion {
		// Only multi-Region trails have shadows.
		return nil, unknownTrail(call, nameOrARN)
	}
	return &t, nil
}

// change finds a trail, asks for permission, and puts what edit makes of the trail
// into the commit. The trail must be at home in the caller's region.
func change[T any](ctx context.Context, s *Service, call *authz.Call, nameOrARN string, with conditions, edit func(tx *store.Tx, t *delivery.Trail) (T, error)) (T, error) {
	var none T
	t, err := s.read(ctx, call, nameOrARN, with)
	if err != nil {
		return none, err
	}
	if t.Region != call.Region {
		return none, wrongHome(call, t)
	}
	call.Audit.Resource(t.Account, resourceType, arnOf(call, t))
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (T, error) {
		now, found, err := get(tx, call, place{t.Region, t.Name})
		if err != nil {
			return none, err
		}
		if !found || now.ID != t.ID {
			return none, unknownTrail(call, nameOrARN)
		}
		out, err := edit(tx, &now)
		if err != nil {
			return none, err
		}
		return out, delivery.Trails.Put(tx, now.Scope(), now.Name, now)
	})
}

func wrongHome(call *authz.Call, t *delivery.Trail) error {
	return api.InvalidHomeRegionException("Cannot perform this operation on trail " + t.Name + " in Region " + call.Region + ": its home Region is " + t.Region + ".")
}

func arnOf(call *authz.Call, t *delivery.Trail) string {
	return delivery.ARN(call.Partition, t.Region, t.Account, t.Name)
}

// all returns the trails of an account that a region shows: its own, and the
// shadows of multi-Region trails of the others.
func (s *Service) all(ctx context.Context, account, at string, shadows bool) (list []delivery.Trail, err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		for _, region := range s.Regions {
			if region != at && !shadows {
				continue
			}
			items, _, err := delivery.Trails.Scan(r, store.Scope{Account: account, Region: region}, "", maxTrails)
			if err != nil {
				return err
			}
			for _, item := range items {
				if region == at || item.Value.MultiRegion {
					list = append(list, item.Value)
				}
			}
		}
		return nil
	})
	return list, err
}
