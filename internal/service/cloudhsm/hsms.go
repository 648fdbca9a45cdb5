package cloudhsm

import (
	"context"
	"slices"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// maxHSMs is the quota of HSMs in a cluster.
const maxHSMs = 28

// mayHSMs asks for a permission on HSMs, which no resource narrows, and finds their
// cluster.
func (s *Service) mayHSMs(ctx context.Context, call *authz.Call, cluster string) (r *clusterRecord, err error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	var missing error
	err = s.Store.View(ctx, func(reader store.Reader) error {
		r, missing = find(reader, call, cluster)
		return nil
	})
	if err == nil {
		err = missing
	}
	return r, err
}

// CreateHsm puts a free slot of an Availability Zone into a cluster. With a cluster's
// first HSM comes its certificate request.
func (s *Service) CreateHsm(ctx context.Context, call *authz.Call, in *api.CreateHsmInput) (*api.CreateHsmOutput, error) {
	r, err := s.mayHSMs(ctx, call, in.ClusterId)
	if err != nil {
		return nil, err
	}
	if in.IpAddress != nil {
		return nil, api.CloudHsmInvalidRequestException("IpAddress is not supported: HSMs have no addresses here.")
	}
	id, err := s.newID("hsm-")
	if err != nil {
		return nil, err
	}
	request := r.Request
	if request == "" {
		if request, err = s.certificateRequest(r.ID); err != nil {
			return nil, err
		}
	}
	return commit(ctx, s, call, r, func(tx *store.Tx, r *clusterRecord) (*api.CreateHsmOutput, error) {
		if r.Subnets[in.AvailabilityZone] == "" {
			return nil, api.CloudHsmInvalidRequestException("Cluster " + r.ID + " has no subnet in " + in.AvailabilityZone + ".")
		}
		if len(r.HSMs) >= maxHSMs {
			return nil, api.CloudHsmInvalidRequestException("Cluster " + r.ID + " has 28 HSMs already.")
		}
		h := hsmRecord{ID: id, Zone: in.AvailabilityZone}
		if err := take(tx, r, &h); err != nil {
			return nil, err
		}
		if r.Request == "" {
			r.Request = request
		}
		r.HSMs = append(slices.Clone(r.HSMs), h)
		out := s.showHSM(r, &h)
		out.State = api.HsmStateCreateInProgress
		return &api.CreateHsmOutput{Hsm: out}, nil
	})
}

// DeleteHsm takes an HSM out of its cluster and gives its slot back. What the token
// holds stays in it.
func (s *Service) DeleteHsm(ctx context.Context, call *authz.Call, in *api.DeleteHsmInput) (*api.DeleteHsmOutput, error) {
	r, err := s.mayHSMs(ctx, call, in.ClusterId)
	if err != nil {
		return nil, err
	}
	named := 0
	for _, name := range []*string{in.HsmId, in.EniId, in.EniIp} {
		if name != nil {
			named++
		}
	}
	if named != 1 {
		return nil, api.CloudHsmInvalidRequestException("Exactly one of HsmId, EniId and EniIp must be given.")
	}
	if in.HsmId == nil {
		return nil, api.CloudHsmResourceNotFoundException("No HSM has a network interface here; name it by its HsmId.")
	}
	return commit(ctx, s, call, r, func(tx *store.Tx, r *clusterRecord) (*api.DeleteHsmOutput, error) {
		i := slices.IndexFunc(r.HSMs, func(h hsmRecord) bool { return h.ID == *in.HsmId })
		if i < 0 {
			return nil, api.CloudHsmResourceNotFoundException("HSM " + *in.HsmId + " does not exist in cluster " + r.ID + ".")
		}
		if err := free(tx, r.HSMs[i].Slot); err != nil {
			return nil, err
		}
		r.HSMs = slices.Delete(slices.Clone(r.HSMs), i, i+1)
		return &api.DeleteHsmOutput{HsmId: *in.HsmId}, nil
	})
}
