package iam

import (
	"context"
	"errors"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

// Uses knows what principals did: the audit trail does. Every call counts that was
// answered before, also one that was denied.
type Uses interface {
	// LastKeyUse returns the newest call that was signed with an access key of an
	// account; ok is false when there is none.
	LastKeyUse(ctx context.Context, account, accessKeyID string) (use Use, ok bool, err error)
	// LastAccess returns the newest call of a user or role, by its unique id, on one of
	// the services, which are named as actions name them, between two times; a zero
	// time is no bound.
	LastAccess(ctx context.Context, account, id string, services []string, since, until time.Time) (use Use, ok bool, err error)
}

// Use is a call that somebody made.
type Use struct {
	Time time.Time // in whole seconds, as the audit record has it
	// Service is named as actions name it: "kms".
	Service, Region string
}

// trackedFor is how far back IAM tells of uses (IAM User Guide, "Refine permissions
// using last accessed information").
const trackedFor = 400 * 24 * time.Hour

// served are the services that principals use here, by their namespaces, with the
// names that AWS's service authorization reference has.
var served = []struct{ namespace, name string }{
	{"cloudhsm", "AWS CloudHSM"},
	{"cloudtrail", "AWS CloudTrail"},
	{"iam", "AWS Identity and Access Management"},
	{"kms", "AWS Key Management Service"},
	{"sts", "AWS Security Token Service"},
}

// ServiceName returns the name of a service that is served here by its namespace;
// empty for others.
func ServiceName(namespace string) string {
	for _, service := range served {
		if service.namespace == namespace {
			return service.name
		}
	}
	return ""
}

func servedNamespaces() []string {
	var all []string
	for _, service := range served {
		all = append(all, service.namespace)
	}
	return all
}

// GetAccessKeyLastUsed tells whose an access key of the account is, and when and for
// what it was last used. Of a key that the account does not have nobody may know.
func (s *Service) GetAccessKeyLastUsed(ctx context.Context, call *authz.Call, in *api.GetAccessKeyLastUsedInput) (*api.GetAccessKeyLastUsedOutput, error) {
	account := call.Principal.Account
	record, err := s.accessKeys.Get(ctx, store.Deployment, in.AccessKeyId)
	missing := isNotFound(err) || errors.Is(err, store.ErrKey)
	if err != nil && !missing {
		return nil, err
	}
	if missing || record.Account != account {
		if err := s.authorize(ctx, call, "", "*", nil); err != nil {
			return nil, err
		}
		return nil, awserr.Newf(authz.ErrDenied.Code, "User: %s is not authorized to perform: %s on resource: access key %s", call.Principal.ARN, call.Action, in.AccessKeyId)
	}
	out := &api.GetAccessKeyLastUsedOutput{AccessKeyLastUsed: &api.AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}}
	if record.User == "" {
		err = s.authorize(ctx, call, "", s.arn(account, "root", "", ""), nil)
	} else {
		var user *compiledIdentity
		if user, err = s.identities.Get(ctx, scopeOf(account), record.User); err == nil {
			out.UserName = user.Name
			err = s.authorize(ctx, call, "", user.ARN, resourceTags(user.Tags).with(boundaryARN(user.Boundary)))
		}
	}
	if err != nil {
		return nil, err
	}
	use, used, err := s.Uses.LastKeyUse(ctx, account, in.AccessKeyId)
	if err != nil || !used {
		return out, err
	}
	*out.AccessKeyLastUsed = api.AccessKeyLastUsed{LastUsedDate: &use.Time, ServiceName: use.Service, Region: use.Region}
	return out, nil
}

// briefly is how long an answer that tells of a role's last use among other things
// waits for it.
const briefly = time.Second

// roleLastUsed is the last use of a role as answers show it: empty when there was none,
// or when the audit trail cannot tell within [briefly].
func (s *Service) roleLastUsed(ctx context.Context, call *authz.Call, id string) (*api.RoleLastUsed, error) {
	within, cancel := context.WithTimeout(ctx, briefly)
	defer cancel()
	use, used, err := s.Uses.LastAccess(within, call.Principal.Account, id, servedNamespaces(), call.Time.Add(-trackedFor), time.Time{})
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return &api.RoleLastUsed{}, nil
	}
	if err != nil || !used {
		return &api.RoleLastUsed{}, err
	}
	return &api.RoleLastUsed{LastUsedDate: &use.Time, Region: use.Region}, nil
}
