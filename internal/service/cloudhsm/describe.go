package cloudhsm

import (
	"context"
	"slices"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

const clustersPage = 25

// DescribeClusters shows the clusters of the account and region that pass all
// filters.
func (s *Service) DescribeClusters(ctx context.Context, call *authz.Call, in *api.DescribeClustersInput) (*api.DescribeClustersOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	for name := range in.Filters {
		if name != "clusterIds" && name != "vpcIds" && name != "states" {
			return nil, api.CloudHsmInvalidRequestException("There is no filter " + name + "; there are clusterIds, vpcIds and states.")
		}
	}
	after, err := s.openToken(call, in.NextToken)
	if err != nil {
		return nil, err
	}
	limit := clustersPage
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out := &api.DescribeClustersOutput{Clusters: []api.Cluster{}}
	at := store.Scope{Account: call.Principal.Account, Region: call.Region}
	err = s.Store.View(ctx, func(r store.Reader) error {
		for more := true; more; {
			var items []store.Item[clusterRecord]
			if items, more, err = clusterRecords.Scan(r, at, after, scanned); err != nil {
				return err
			}
			for _, item := range items {
				shown := s.show(&item.Value)
				if passes(in.Filters, shown) {
					if len(out.Clusters) == limit {
						out.NextToken = s.token(call, after)
						return nil
					}
					out.Clusters = append(out.Clusters, *shown)
				}
				after = item.ID
			}
		}
		return nil
	})
	return out, err
}

// passes tells whether a cluster passes all filters. No cluster has a VPC.
func passes(filters map[string][]string, c *api.Cluster) bool {
	for name, value := range map[string]string{"clusterIds": c.ClusterId, "states": string(c.State), "vpcIds": c.VpcId} {
		if wanted, ok := filters[name]; ok && !slices.Contains(wanted, value) {
			return false
		}
	}
	return true
}

// state is the cluster's, as far as its HSMs are known to answer.
func (s *Service) state(r *clusterRecord) api.ClusterState {
	if r.Certificate == "" {
		return api.ClusterStateUninitialized
	}
	for i := range r.HSMs {
		if s.trouble(r.HSMs[i].ID) == "" {
			return api.ClusterStateActive
		}
	}
	if len(r.HSMs) == 0 {
		return api.ClusterStateActive
	}
	return api.ClusterStateDegraded
}

// show is a cluster as answers have it.
func (s *Service) show(r *clusterRecord) *api.Cluster {
	created := r.Created
	c := &api.Cluster{
		BackupPolicy:          api.BackupPolicyDefault,
		BackupRetentionPolicy: &api.BackupRetentionPolicy{Type: api.BackupRetentionTypeDays, Value: r.Retention},
		ClusterId:             r.ID, CreateTimestamp: &created, HsmType: r.Type, Mode: r.Mode, NetworkType: r.Network,
		State: s.state(r), SubnetMapping: r.Subnets, Hsms: []api.Hsm{}, TagList: shownTags(r.Tags),
		Certificates: &api.Certificates{},
	}
	if c.State == api.ClusterStateDegraded {
		c.StateMessage = "None of the cluster's HSMs answers."
	}
	for i := range r.HSMs {
		c.Hsms = append(c.Hsms, *s.showHSM(r, &r.HSMs[i]))
	}
	// AWS shows the request as long as it is of use, and the certificate afterwards.
	switch {
	case r.Certificate != "":
		c.Certificates.ClusterCertificate = r.Certificate
	case r.Request != "":
		c.Certificates.ClusterCsr = r.Request
	}
	return c
}

func (s *Service) showHSM(r *clusterRecord, h *hsmRecord) *api.Hsm {
	out := &api.Hsm{
		HsmId: h.ID, ClusterId: r.ID, AvailabilityZone: h.Zone, SubnetId: r.Subnets[h.Zone], HsmType: r.Type, State: api.HsmStateActive,
	}
	if why := s.trouble(h.ID); why != "" {
		out.State, out.StateMessage = api.HsmStateDegraded, why
	}
	return out
}
