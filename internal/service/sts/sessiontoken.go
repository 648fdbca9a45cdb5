package sts

import (
	"context"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
)

// Durations in seconds (STS API Reference, GetSessionToken).
const (
	usualUserSession = 43_200
	maxRootSession   = 3_600
)

// errMFA is the answer to a one-time code: there are no devices that could have
// given it.
var errMFA = awserr.New(authz.ErrDenied.Code, "MultiFactorAuthentication failed with invalid MFA one time pass code.")

// GetSessionToken gives a user or the root temporary credentials with the same
// rights. It needs no permission.
func (s *Service) GetSessionToken(_ context.Context, call *authz.Call, in *api.GetSessionTokenInput) (*api.GetSessionTokenOutput, error) {
	caller := &call.Principal
	if caller.Session != nil {
		return nil, awserr.New(authz.ErrDenied.Code, "Cannot call GetSessionToken with session credentials")
	}
	if in.SerialNumber != "" || in.TokenCode != "" {
		return nil, errMFA
	}
	call.NeedsNoPermission()
	seconds := int32(usualUserSession)
	if in.DurationSeconds != nil {
		seconds = *in.DurationSeconds
	}
	spec := authz.SessionSpec{Type: caller.Type, Account: caller.Account}
	if caller.Type == policy.Root {
		seconds = min(seconds, maxRootSession)
	} else {
		spec.ID = caller.ID
	}
	spec.Issued, spec.Expires = lifetime(call, seconds)
	credentials, err := s.issue(spec)
	if err != nil {
		return nil, err
	}
	return &api.GetSessionTokenOutput{Credentials: credentials}, nil
}
