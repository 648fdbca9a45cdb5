package sts

import (
	"context"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// errMFA is the answer to a one-time code that proves nothing.
var errMFA = awserr.New(authz.ErrDenied.Code, "MultiFactorAuthentication failed with invalid MFA one time pass code.")

// spender takes a one-time code for good, inside the commit of what it is for.
type spender func(tx *store.Tx) (bool, error)

// oneTimeCode checks the code that a request brings, if it does, and notes on the call
// that its caller has given one. Only users have devices.
func (s *Service) oneTimeCode(ctx context.Context, call *authz.Call, serial, code string) (spender, error) {
	if serial == "" && code == "" {
		return nil, nil
	}
	if serial == "" || code == "" || call.Principal.Type != policy.User {
		return nil, errMFA
	}
	spend, ok, err := s.Sessions.VerifyCode(ctx, call, serial, code)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errMFA
	}
	call.Principal.MFA = call.Time
	return spend, nil
}

// spending answers with out once the code is spent, if there is one.
func spending[T any](ctx context.Context, s *Service, call *authz.Call, spend spender, out *T) (*T, error) {
	if spend == nil {
		return out, nil
	}
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*T, error) {
		fresh, err := spend(tx)
		if err == nil && !fresh {
			err = errMFA
		}
		if err != nil {
			return nil, err
		}
		return out, nil
	})
}
