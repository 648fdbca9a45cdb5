package iam

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/policy"
)

// ErrNoPrincipal says that there is no such user, role or account.
var ErrNoPrincipal = errors.New("iam: no such principal")

// PrincipalNamed returns the user, the role (in a session without policies of its
// own) or the root that an ARN, or an account's 12 digits, names.
func (s *Service) PrincipalNamed(ctx context.Context, name string) (authz.Principal, error) {
	ref, ok := policy.ParsePrincipal(name)
	if !ok {
		return authz.Principal{}, ErrNoPrincipal
	}
	switch ref.Form {
	case policy.AccountForm:
		has, err := s.HasAccount(ctx, ref.Account)
		if err == nil && !has {
			err = ErrNoPrincipal
		}
		return Root(s.Partition, ref.Account, ""), err
	case policy.UserForm, policy.RoleForm, policy.SessionForm:
	default:
		return authz.Principal{}, ErrNoPrincipal
	}
	found, _, err := s.behind(ctx, ref)
	if err != nil {
		return authz.Principal{}, err
	}
	if found == nil || ref.Form != policy.SessionForm && found.ARN != name {
		return authz.Principal{}, ErrNoPrincipal
	}
	p, err := s.acting(ctx, ref.Account, found)
	if ref.Form == policy.SessionForm {
		_, session := pathAndName(name)
		p.ARN, p.ID = name, found.ID+":"+session
	}
	return p, err
}

// ErrNoSession says that there are no such sessions, or none with policies.
var ErrNoSession = errors.New("iam: only sessions of roles and federated users have policies of their own, and only federated users an issuer")

// Limits are what a session has beside its principal.
type Limits struct {
	// Policy is the text of the session's policy, PolicyARNs are managed ones.
	Policy     string
	PolicyARNs []string
	// Issuer is the ARN of the user that a federated user is of; empty for the root.
	Issuer string
}

// SessionNamed returns a role, a role's session or a federated user as it would act in a
// session with those limits. Errors are ErrNoPrincipal, ErrNoSession, and for the
// limits *policy.SyntaxError and [awserr.Error].
func (s *Service) SessionNamed(ctx context.Context, name string, limits Limits) (authz.Principal, error) {
	ref, ok := policy.ParsePrincipal(name)
	if !ok {
		return authz.Principal{}, ErrNoPrincipal
	}
	opened := &session{token: &sessionToken{Account: ref.Account, Name: simulatedSession, Issued: s.Clock.Now().UTC(), PolicyARNs: limits.PolicyARNs}}
	_, last := pathAndName(name)
	t := opened.token
	by := ref
	switch ref.Form {
	case policy.RoleForm, policy.SessionForm:
		if limits.Issuer != "" {
			return authz.Principal{}, ErrNoSession
		}
		if t.Type = policy.AssumedRole; ref.Form == policy.SessionForm {
			t.Name = last
		}
	case policy.FederatedUserForm:
		t.Type, t.Name = policy.FederatedUser, last
		by = policy.PrincipalRef{}
		if limits.Issuer != "" {
			if by, ok = policy.ParsePrincipal(limits.Issuer); !ok || by.Form != policy.UserForm || by.Account != ref.Account {
				return authz.Principal{}, ErrNoPrincipal
			}
		}
	default:
		return authz.Principal{}, ErrNoSession
	}
	if by.Name != "" {
		found, _, err := s.behind(ctx, by)
		if err != nil {
			return authz.Principal{}, err
		}
		if found == nil || by.Form != policy.SessionForm && found.ARN != by.Name {
			return authz.Principal{}, ErrNoPrincipal
		}
		t.ID = found.ID
	} else {
		has, err := s.HasAccount(ctx, ref.Account)
		if err == nil && !has {
			err = ErrNoPrincipal
		}
		if err != nil {
			return authz.Principal{}, err
		}
	}
	if limits.Policy != "" {
		document, err := policy.Parse([]byte(limits.Policy), policy.SessionPolicy)
		if err != nil {
			return authz.Principal{}, err
		}
		opened.policy = &policy.Source{Name: "session policy", Document: document}
	}
	if err := s.CheckSessionPolicies(ctx, ref.Account, limits.PolicyARNs); err != nil {
		return authz.Principal{}, err
	}
	return s.sessionPrincipal(ctx, "", opened)
}

// acting is how a user or role acts.
func (s *Service) acting(ctx context.Context, account string, i *identity) (authz.Principal, error) {
	if i.Kind == userKind {
		return s.user(ctx, account, i.ID, "")
	}
	role, err := s.identities.Get(ctx, scopeOf(account), i.ID)
	if err != nil {
		return authz.Principal{}, err
	}
	return roleSession(s.Partition, account, role), nil
}

// PrincipalsOf calls each with the root, and with every user and role of an account
// by its ARN.
func (s *Service) PrincipalsOf(ctx context.Context, account string, each func(arn string, p authz.Principal) error) error {
	root := Root(s.Partition, account, "")
	if err := each(root.ARN, root); err != nil {
		return err
	}
	all, err := s.identitiesIn(ctx, account)
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.Kind == groupKind {
			continue
		}
		p, err := s.acting(ctx, account, i)
		if isNotFound(err) || errors.Is(err, gateway.ErrUnknownKey) {
			continue // deleted since
		}
		if err != nil {
			return err
		}
		if err := each(i.ARN, p); err != nil {
			return err
		}
	}
	return nil
}
