// Package sts is the security token service: who a caller is, and temporary
// credentials.
package sts

import (
	"context"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
)

// Service implements the operations of AWS STS that exist so far. It is safe for
// concurrent use.
type Service struct {
	api.Unimplemented
}

var _ api.Handler = (*Service)(nil)

// New returns the service.
func New() *Service { return &Service{} }

// GetCallerIdentity tells a caller who it is. It needs no permission, and even an
// explicit Deny does not touch it.
func (s *Service) GetCallerIdentity(_ context.Context, call *authz.Call, _ *api.GetCallerIdentityInput) (*api.GetCallerIdentityOutput, error) {
	call.NeedsNoPermission()
	return &api.GetCallerIdentityOutput{
		Account: call.Principal.Account,
		Arn:     call.Principal.ARN,
		UserId:  call.Principal.ID,
	}, nil
}
