package trail

import (
	"context"
	"encoding/hex"
	"io"
	"strconv"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/store"
)

// maxTrails is the quota of trails whose home is one region, of one account.
const maxTrails = 5

// CreateTrail makes a trail, which does not log until StartLogging.
func (s *Service) CreateTrail(ctx context.Context, call *authz.Call, in *api.CreateTrailInput) (*api.CreateTrailOutput, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	at := place{call.Region, in.Name}
	if err := call.Authorize(ctx, authz.Access{Resource: at.arn(call), Context: requested(in.TagsList)}); err != nil {
		return nil, err
	}
	err := checkOutside(&outside{in.SnsTopicName, in.CloudWatchLogsLogGroupArn, in.CloudWatchLogsRoleArn, in.IsOrganizationTrail})
	if err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, in.TagsList)
	if err != nil {
		return nil, err
	}
	t := delivery.Trail{
		Account: call.Principal.Account, Region: call.Region, Name: in.Name, Created: call.Time,
		Bucket: in.S3BucketName, Prefix: value(in.S3KeyPrefix, ""),
		Global: value(in.IncludeGlobalServiceEvents, true), MultiRegion: value(in.IsMultiRegionTrail, false),
		Validation: value(in.EnableLogFileValidation, false), Tags: tags,
	}
	if err := s.check(ctx, &t); err != nil {
		return nil, err
	}
	if t.Key, err = s.keyOf(ctx, &t, value(in.KmsKeyId, "")); err != nil {
		return nil, err
	}
	if t.ID, err = s.newID(); err != nil {
		return nil, err
	}
	call.Audit.Resource(t.Account, resourceType, at.arn(call))
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateTrailOutput, error) {
		items, _, err := delivery.Trails.Scan(tx, t.Scope(), "", maxTrails)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			if item.ID == t.Name {
				return nil, api.TrailAlreadyExistsException("Trail " + t.Name + " already exists for customer: " + t.Account)
			}
		}
		if len(items) >= maxTrails {
			return nil, api.MaximumNumberOfTrailsExceededException("User: " + t.Account + " already has " + strconv.Itoa(maxTrails) + " trails in " + t.Region + ".")
		}
		out := api.CreateTrailOutput(answer(call, &t))
		return &out, delivery.Trails.Put(tx, t.Scope(), t.Name, t)
	})
}

// UpdateTrail changes a trail; what the request does not name stays. A prefix of
// "" takes the prefix away, a KmsKeyId of "" the encryption.
func (s *Service) UpdateTrail(ctx context.Context, call *authz.Call, in *api.UpdateTrailInput) (*api.UpdateTrailOutput, error) {
	update := func(t *delivery.Trail) {
		t.Bucket, t.Prefix = value(in.S3BucketName, t.Bucket), value(in.S3KeyPrefix, t.Prefix)
		t.Global, t.MultiRegion = value(in.IncludeGlobalServiceEvents, t.Global), value(in.IsMultiRegionTrail, t.MultiRegion)
		t.Validation = value(in.EnableLogFileValidation, t.Validation)
	}
	t, err := s.read(ctx, call, in.Name, nil)
	if err != nil {
		return nil, err
	}
	err = checkOutside(&outside{in.SnsTopicName, in.CloudWatchLogsLogGroupArn, in.CloudWatchLogsRoleArn, in.IsOrganizationTrail})
	if err != nil {
		return nil, err
	}
	update(t)
	if err := s.check(ctx, t); err != nil {
		return nil, err
	}
	var key *string
	if in.KmsKeyId != nil {
		arn, err := s.keyOf(ctx, t, *in.KmsKeyId)
		if err != nil {
			return nil, err
		}
		key = &arn
	}
	return change(ctx, s, call, in.Name, nil, func(_ *store.Tx, t *delivery.Trail) (*api.UpdateTrailOutput, error) {
		update(t)
		t.Key = value(key, t.Key)
		out := api.UpdateTrailOutput(answer(call, t))
		return &out, checkFlags(t)
	})
}

// DeleteTrail removes a trail; its files stay where they were delivered.
func (s *Service) DeleteTrail(ctx context.Context, call *authz.Call, in *api.DeleteTrailInput) (*api.DeleteTrailOutput, error) {
	t, err := s.read(ctx, call, in.Name, nil)
	if err != nil {
		return nil, err
	}
	if t.Region != call.Region {
		return nil, wrongHome(call, t)
	}
	call.Audit.Resource(t.Account, resourceType, arnOf(call, t))
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.DeleteTrailOutput, error) {
		now, found, err := get(tx, call, place{t.Region, t.Name})
		if err != nil {
			return nil, err
		}
		if !found || now.ID != t.ID {
			return nil, unknownTrail(call, in.Name)
		}
		if err := delivery.Forget(tx, &now, s.Regions); err != nil {
			return nil, err
		}
		return &api.DeleteTrailOutput{}, delivery.Trails.Delete(tx, now.Scope(), now.Name)
	})
}

// outside are the members of a request that name what is not here.
type outside struct {
	topic, logGroup, logRole *string
	organization             *bool
}

// checkOutside refuses what a trail cannot have here.
func checkOutside(o *outside) error {
	switch {
	case value(o.organization, false):
		return api.OrganizationsNotInUseException("Your account is not a member of an organization.")
	case value(o.topic, "") != "":
		return api.UnsupportedOperationException("SnsTopicName is not supported: there is no notification service.")
	case value(o.logGroup, "") != "" || value(o.logRole, "") != "":
		return api.UnsupportedOperationException("CloudWatch Logs are not supported as the destination of a trail.")
	}
	return nil
}

// check refuses a trail that cannot be delivered.
func (s *Service) check(ctx context.Context, t *delivery.Trail) error {
	if err := checkFlags(t); err != nil {
		return err
	}
	if err := checkBucket(t.Bucket); err != nil {
		return err
	}
	if err := checkPrefix(t.Prefix); err != nil {
		return err
	}
	known, err := s.Deliveries.HasBucket(ctx, t.Bucket)
	if err == nil && !known {
		err = api.S3BucketDoesNotExistException("S3 bucket " + t.Bucket + " does not exist!")
	}
	return err
}

func checkFlags(t *delivery.Trail) error {
	if t.MultiRegion && !t.Global {
		return api.InvalidParameterCombinationException("Multi-Region trail must include global service events.")
	}
	return nil
}

func (s *Service) newID() (string, error) {
	var id [16]byte
	_, err := io.ReadFull(s.Rand, id[:])
	return hex.EncodeToString(id[:]), err
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// answer is how CreateTrail and UpdateTrail show a trail.
func answer(call *authz.Call, t *delivery.Trail) api.CreateTrailOutput {
	no := false
	return api.CreateTrailOutput{
		Name: t.Name, S3BucketName: t.Bucket, S3KeyPrefix: t.Prefix, TrailARN: arnOf(call, t), KmsKeyId: t.Key,
		IncludeGlobalServiceEvents: &t.Global, IsMultiRegionTrail: &t.MultiRegion, LogFileValidationEnabled: &t.Validation,
		IsOrganizationTrail: &no,
	}
}
