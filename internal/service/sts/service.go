// Package sts is the security token service: who a caller is, and temporary
// credentials.
//
// Credentials are made and verified by what Config.Sessions is; this package
// decides who gets which. The threat that it answers is a session that may more
// than its maker: a role is assumed only when its trust policy and, where that
// leaves it to the account, the caller's own policies allow it; a session's
// policies only limit; a chained session lasts an hour and keeps the transitive
// tags and the source identity of the one before. Limits and errors are those of
// the STS API Reference (2011-06-15).
package sts

import (
	"context"
	"time"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/oidc"
	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/store"
)

// Sessions makes temporary credentials and knows roles.
type Sessions interface {
	// Role returns the role with that ARN; nil if there is none.
	Role(ctx context.Context, arn string) (*authz.Role, error)
	// OpenIDProvider returns the issuer of that URL as an account has registered it;
	// nil if it has not.
	OpenIDProvider(ctx context.Context, account, issuer string) (*oidc.Issuer, error)
	// SAMLProvider returns the SAML provider with that ARN; nil if there is none.
	SAMLProvider(ctx context.Context, arn string) (*saml.Provider, error)
	// CheckSessionPolicies refuses managed policies that a session of the account
	// cannot have, with an *awserr.Error.
	CheckSessionPolicies(ctx context.Context, account string, arns []string) error
	// VerifyCode checks the one-time code of a user's MFA device. ok is false for one
	// that proves nothing. spend takes the code for good, inside the commit of what it
	// is for; it returns false if that has happened already.
	VerifyCode(ctx context.Context, call *authz.Call, serial, code string) (spend func(tx *store.Tx) (bool, error), ok bool, err error)
	// IssueSession makes temporary credentials.
	IssueSession(spec authz.SessionSpec) (authz.Credentials, error)
	// KeyAccount tells whose account a long-term access key belongs to; ok is
	// false for ids that were never given.
	KeyAccount(ctx context.Context, id string) (account string, ok bool, err error)
}

// Config is what the service needs.
type Config struct {
	// Sessions must be set.
	Sessions Sessions
	// Store must be set: one-time codes that were taken are kept in it.
	Store *store.Store
	// Verifier must be set.
	Verifier Verifier
	// Responses must be set.
	Responses ResponseVerifier
}

// Service implements the operations of AWS STS that exist so far. It is safe for
// concurrent use.
type Service struct {
	api.Unimplemented
	Config
}

var _ api.Handler = (*Service)(nil)

// New returns the service.
func New(cfg Config) *Service { return &Service{Config: cfg} }

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

// GetAccessKeyInfo tells which account a long-term access key belongs to.
func (s *Service) GetAccessKeyInfo(ctx context.Context, call *authz.Call, in *api.GetAccessKeyInfoInput) (*api.GetAccessKeyInfoOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	account, ok, err := s.Sessions.KeyAccount(ctx, in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, awserr.Validation("The access key id " + in.AccessKeyId + " is not known.")
	}
	return &api.GetAccessKeyInfoOutput{Account: account}, nil
}

// issue makes credentials, as answers show them.
func (s *Service) issue(spec authz.SessionSpec) (*api.Credentials, error) {
	made, err := s.Sessions.IssueSession(spec)
	if err != nil {
		return nil, err
	}
	return &api.Credentials{
		AccessKeyId: made.AccessKeyID, SecretAccessKey: made.Secret, SessionToken: made.Token, Expiration: spec.Expires,
	}, nil
}

// lifetime is when a session of that many seconds begins and ends.
func lifetime(call *authz.Call, seconds int32) (issued, expires time.Time) {
	issued = call.Time.UTC().Truncate(time.Second)
	return issued, issued.Add(time.Duration(seconds) * time.Second)
}
