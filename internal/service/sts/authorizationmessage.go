package sts

import (
	"context"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
)

// DecodeAuthorizationMessage refuses every message: only services that do not exist
// here, Amazon EC2 above all, encode why they denied something, so none is one of
// ours. Whoever may not decode messages is told that.
func (s *Service) DecodeAuthorizationMessage(ctx context.Context, call *authz.Call, _ *api.DecodeAuthorizationMessageInput) (*api.DecodeAuthorizationMessageOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	return nil, api.InvalidAuthorizationMessageException("The authorization message is not valid.")
}
