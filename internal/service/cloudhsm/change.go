package cloudhsm

import (
	"context"
	"errors"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

const clusterResource = "AWS::CloudHSM::Cluster"

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

func clusterARN(partition, region, account, id string) string {
	return "arn:" + partition + ":cloudhsm:" + region + ":" + account + ":cluster/" + id
}

func (r *clusterRecord) arn(partition string) string {
	return clusterARN(partition, r.Region, r.Account, r.ID)
}

func noCluster(id string) error {
	return api.CloudHsmResourceNotFoundException("Cluster " + id + " does not exist.")
}

// find returns a cluster of the caller's account and region.
func find(r store.Reader, call *authz.Call, id string) (*clusterRecord, error) {
	record, err := clusterRecords.Get(r, store.Scope{Account: call.Principal.Account, Region: call.Region}, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noCluster(id)
	}
	return &record, err
}

// read asks whether the caller may do the operation on a cluster, and finds it. with
// are the conditions that the request sets; the cluster's own tags are added.
func (s *Service) read(ctx context.Context, call *authz.Call, id string, with conditions) (*clusterRecord, error) {
	var record *clusterRecord
	var missing error
	err := s.Store.View(ctx, func(r store.Reader) error {
		record, missing = find(r, call, id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if with == nil {
		with = conditions{}
	}
	if missing == nil {
		for _, t := range record.Tags {
			with["aws:resourcetag/"+strings.ToLower(t.Key)] = []string{t.Value}
		}
	}
	arn := clusterARN(call.Partition, call.Region, call.Principal.Account, id)
	if err := call.Authorize(ctx, authz.Access{Resource: arn, Context: with}); err != nil {
		return nil, err
	}
	return record, missing
}

// change asks for permission on a cluster, and puts what edit makes of it into the
// commit.
func change[T any](ctx context.Context, s *Service, call *authz.Call, id string, with conditions, edit func(tx *store.Tx, r *clusterRecord) (T, error)) (T, error) {
	var none T
	old, err := s.read(ctx, call, id, with)
	if err != nil {
		return none, err
	}
	return commit(ctx, s, call, old, edit)
}

// commit puts what edit makes of a cluster that the caller may change into the
// commit.
func commit[T any](ctx context.Context, s *Service, call *authz.Call, old *clusterRecord, edit func(tx *store.Tx, r *clusterRecord) (T, error)) (T, error) {
	var none T
	call.Audit.Resource(old.Account, clusterResource, old.arn(call.Partition))
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (T, error) {
		r, err := find(tx, call, old.ID)
		if err != nil {
			return none, err
		}
		out, err := edit(tx, r)
		if err != nil {
			return none, err
		}
		return out, clusterRecords.Put(tx, r.scope(), r.ID, *r)
	})
}
