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

// GetSessionToken gives a user or the root temporary credentials with the same
// rights. It needs no permission.
func (s *Service) GetSessionToken(ctx context.Context, call *authz.Call, in *api.GetSessionTokenInput) (*api.GetSessionTokenOutput, error) {
	caller := &call.Principal
	if caller.Session != nil {
		return nil, awserr.New(authz.ErrDenied.Code, "Cannot call GetSessionToken with session credentials")
	}
	spend, err := s.oneTimeCode(ctx, call, in.SerialNumber, in.TokenCode)
	if err != nil {
		return nil, err
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
	spec.MFA = caller.MFA
	spec.Issued, spec.Expires = lifetime(call, seconds)
	credentials, err := s.issue(spec)
	if err != nil {
		return nil, err
	}
	return spending(ctx, s, call, spend, &api.GetSessionTokenOutput{Credentials: credentials})
}
