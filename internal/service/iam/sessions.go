package iam

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
)

// sessionToken is what a session token holds, sealed. There is no session on the
// server that could be lost: the token is the session, and it is bound to its
// access key id, to the unique id of its role or user and, by the key that seals
// it, to the deployment.
type sessionToken struct {
	Secret  []byte               `json:"secret"`
	Type    policy.PrincipalType `json:"type"`
	Account string               `json:"account"`
	// ID is the unique id of the role or user; empty for the root.
	ID             string            `json:"id,omitempty"`
	Name           string            `json:"name,omitempty"`
	Issued         time.Time         `json:"issued"`
	Expires        time.Time         `json:"expires"`
	Policy         string            `json:"policy,omitempty"`
	PolicyARNs     []string          `json:"policyArns,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	TransitiveTags []string          `json:"transitiveTags,omitempty"`
	SourceIdentity string            `json:"sourceIdentity,omitempty"`
	// MFA is when its user gave a one-time code for it; zero for never.
	MFA time.Time `json:"mfa,omitzero"`
	// Provider and Claims are those of a session that came from an identity provider.
	Provider string              `json:"provider,omitempty"`
	Claims   map[string][]string `json:"claims,omitempty"`
}

// session is an opened token, as it is kept in memory.
type session struct {
	text   secret.String
	token  *sessionToken
	policy *policy.Source
}

func sessionBinding(id string) []byte { return []byte("session/" + id) }

// IssueSession makes temporary credentials.
func (s *Service) IssueSession(spec authz.SessionSpec) (authz.Credentials, error) {
	key, err := s.newKey("ASIA")
	if err != nil {
		return authz.Credentials{}, err
	}
	plain, err := json.Marshal(sessionToken{
		Secret: []byte(key.Secret), Type: spec.Type, Account: spec.Account, ID: spec.ID, Name: spec.Name,
		Issued: spec.Issued, Expires: spec.Expires, Policy: spec.Policy, PolicyARNs: spec.PolicyARNs,
		Tags: spec.Tags, TransitiveTags: spec.TransitiveTags, SourceIdentity: spec.SourceIdentity,
		MFA: spec.MFA, Provider: spec.Provider, Claims: spec.Claims,
	})
	if err != nil {
		return authz.Credentials{}, err
	}
	defer clear(plain)
	sealed, err := s.Tokens.Seal(s.Rand, plain, sessionBinding(key.ID))
	if err != nil {
		return authz.Credentials{}, err
	}
	return authz.Credentials{AccessKeyID: key.ID, Secret: key.Secret, Token: secret.String(base64.StdEncoding.EncodeToString(sealed))}, nil
}

// openSession returns the session of a token. Opened ones are remembered, since
// clients send the same token with every request.
func (s *Service) openSession(id, text string) (*session, error) {
	s.sessionsMu.Lock()
	known := s.sessions[id]
	s.sessionsMu.Unlock()
	if known != nil && subtle.ConstantTimeCompare([]byte(known.text), []byte(text)) == 1 {
		return known, nil
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, gateway.ErrUnknownKey
	}
	plain, err := s.Tokens.Open(sealed, sessionBinding(id))
	if err != nil {
		return nil, gateway.ErrUnknownKey
	}
	defer plain.Wipe()
	opened := &session{text: secret.String(strings.Clone(text)), token: new(sessionToken)}
	if err := json.Unmarshal(plain, opened.token); err != nil {
		return nil, fmt.Errorf("iam: a session token that we sealed: %w", err)
	}
	if opened.token.Policy != "" {
		document, err := policy.Parse([]byte(opened.token.Policy), policy.SessionPolicy)
		if err != nil {
			return nil, fmt.Errorf("iam: the policy of a session: %w", err)
		}
		opened.policy = &policy.Source{Name: "session policy", Document: document}
	}
	s.sessionsMu.Lock()
	defer s.sessionsMu.Unlock()
	if len(s.sessions) >= s.CachedKeys {
		clear(s.sessions)
	}
	s.sessions[id] = opened
	return opened, nil
}

// errExpired is the answer to a token whose time is over.
var errExpired = awserr.New("ExpiredTokenException", "The security token included in the request is expired")

// sessionKey is SigningKey for temporary credentials.
func (s *Service) sessionKey(ctx context.Context, id, text string, scope sigv4.Scope) (*sigv4.Key, authz.Principal, error) {
	opened, err := s.openSession(id, text)
	if err != nil {
		return nil, authz.Principal{}, err
	}
	if !s.Clock.Now().Before(opened.token.Expires) {
		return nil, authz.Principal{}, errExpired
	}
	principal, err := s.sessionPrincipal(ctx, id, opened)
	if err != nil {
		return nil, authz.Principal{}, err
	}
	key, err := s.signing.Key(id, scope, func() (secret.String, error) { return secret.String(opened.token.Secret), nil })
	return key, principal, err
}

// sessionPrincipal returns whoever uses a session. A role or user that is gone
// takes its sessions along.
func (s *Service) sessionPrincipal(ctx context.Context, id string, opened *session) (authz.Principal, error) {
	t := opened.token
	facts := &authz.Session{
		Name: t.Name, Issued: t.Issued, Expires: t.Expires, Policy: opened.policy, PolicyARNs: t.PolicyARNs,
		TransitiveTags: t.TransitiveTags, SourceIdentity: t.SourceIdentity, Provider: t.Provider, Claims: t.Claims,
	}
	if t.ID == "" { // the root's own, or a federated user's of the root
		if err := s.rootSignsIn(ctx, t.Account); err != nil {
			return authz.Principal{}, err
		}
	}
	if t.Type == policy.Root {
		p := Root(s.Partition, t.Account, id)
		p.Session = facts
		facts.Issuer = authz.Issuer{Type: "Root", ID: p.ID, ARN: p.ARN, Account: p.Account}
		return p, nil
	}
	if t.Type == policy.User {
		p, err := s.user(ctx, t.Account, t.ID, id)
		p.Session, p.MFA = facts, t.MFA
		facts.Issuer = authz.Issuer{Type: "IAMUser", ID: p.ID, ARN: p.ARN, Account: p.Account, Name: p.UserName}
		return p, err
	}
	if t.Type == policy.FederatedUser {
		return s.federated(ctx, id, t, facts)
	}
	role, err := s.identities.Get(ctx, scopeOf(t.Account), t.ID)
	if isNotFound(err) {
		return authz.Principal{}, gateway.ErrUnknownKey
	}
	if err != nil {
		return authz.Principal{}, err
	}
	facts.Issuer = authz.Issuer{Type: "Role", ID: role.ID, ARN: role.ARN, Account: t.Account, Name: role.Name}
	tags := role.tags
	if len(t.Tags) > 0 {
		tags = maps.Clone(tags)
		maps.Copy(tags, t.Tags)
	}
	return authz.Principal{
		Principal: policy.Principal{
			Type: policy.AssumedRole, Account: t.Account,
			ARN:     s.sessionARN(t.Account, role.Name, t.Name),
			RoleARN: role.ARN,
			ID:      role.ID + ":" + t.Name,
		},
		AccessKeyID: id,
		Tags:        tags,
		Session:     facts,
	}, nil
}

// federated returns the federated user of a session. Its tags are the session's
// alone.
func (s *Service) federated(ctx context.Context, id string, t *sessionToken, facts *authz.Session) (authz.Principal, error) {
	by := Root(s.Partition, t.Account, id)
	facts.Issuer = authz.Issuer{Type: "Root", ARN: by.ARN, Account: t.Account}
	if t.ID != "" {
		var err error
		if by, err = s.user(ctx, t.Account, t.ID, id); err != nil {
			return authz.Principal{}, err
		}
		facts.Issuer = authz.Issuer{Type: "IAMUser", ID: by.ID, ARN: by.ARN, Account: t.Account, Name: by.UserName}
	}
	return authz.Principal{
		Principal: policy.Principal{
			Type: policy.FederatedUser, Account: t.Account,
			ARN: "arn:" + s.Partition + ":sts::" + t.Account + ":federated-user/" + t.Name,
			ID:  t.Account + ":" + t.Name,
		},
		AccessKeyID: id,
		Tags:        t.Tags,
		Session:     facts,
	}, nil
}

// Role returns the role with that ARN; nil if there is none.
func (s *Service) Role(ctx context.Context, arn string) (*authz.Role, error) {
	ref, ok := policy.ParsePrincipal(arn)
	if !ok || ref.Form != policy.RoleForm {
		return nil, nil
	}
	id, ok, err := s.principal(ctx, ref)
	if err != nil || !ok {
		return nil, err
	}
	role, err := s.identities.Get(ctx, scopeOf(ref.Account), id)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &authz.Role{
		Account: ref.Account, Name: role.Name, ARN: role.ARN, ID: role.ID,
		MaxSession: time.Duration(role.Role.MaxSession) * time.Second, Trust: role.trust, Tags: role.tags,
	}, nil
}

// CheckSessionPolicies refuses managed policies that a session of the account
// cannot have.
func (s *Service) CheckSessionPolicies(ctx context.Context, account string, arns []string) error {
	for _, arn := range arns {
		_, err := s.managedPolicy(ctx, account, arn)
		if isNotFound(err) {
			return api.MalformedPolicyDocumentException("Policy " + arn + " does not exist or is not attachable.")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
