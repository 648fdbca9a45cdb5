package kms

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/wire"

	api "github.com/strongroom/strongroom/api/kms"
)

// Callers besides those of the harness.
const (
	session      caller = "SESSION"  // a session of the role worker of account
	otherSession caller = "SESSION2" // another session of it
	foreignRole  caller = "FROLE"    // a session of the role worker of other
	service      caller = "SERVICE"  // an AWS service in its own name
)

const (
	rootName        = "arn:aws:iam::" + account + ":root"
	foreignRootName = "arn:aws:iam::" + other + ":root"
	bobARN          = "arn:aws:iam::" + account + ":user/bob"
	eveARN          = "arn:aws:iam::" + other + ":user/eve"
	roleARN         = "arn:aws:iam::" + account + ":role/team/worker"
	sessionARN      = "arn:aws:sts::" + account + ":assumed-role/worker/one"
	foreignRoleARN  = "arn:aws:iam::" + other + ":role/worker"
	serviceName     = "backup.us-east-1.amazonaws.com"
	sourceARN       = "arn:aws:backup:us-east-1:" + account + ":vault/a"
)

var grantCallers = map[caller]policy.Principal{
	session:      {Type: policy.AssumedRole, Account: account, ARN: sessionARN, RoleARN: roleARN, ID: "AROAWORKEREXAMPLE001:one"},
	otherSession: {Type: policy.AssumedRole, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/worker/two", RoleARN: roleARN, ID: "AROAWORKEREXAMPLE001:two"},
	foreignRole:  {Type: policy.AssumedRole, Account: other, ARN: "arn:aws:sts::" + other + ":assumed-role/worker/one", RoleARN: foreignRoleARN, ID: "AROAFOREIGNEXAMPLE01:one"},
	service:      {Type: policy.Service, Service: serviceName},
}

// grantHarness is the harness with roles, services and unique ids.
type grantHarness struct {
	*harness
	ids uniqueIDs
	// boundary and session limit callers, by ARN.
	boundary, session map[string]string
}

// uniqueIDs are the unique ids of users and roles, by ARN.
type uniqueIDs map[string]string

func (u uniqueIDs) UniqueID(_ context.Context, p policy.PrincipalRef) (string, error) {
	if p.Form == policy.SessionForm {
		return u[roleARN], nil
	}
	return u[p.Name], nil
}

func (u uniqueIDs) PrincipalARN(_ context.Context, _, id string) (string, error) {
	id, session, ofSession := strings.Cut(id, ":")
	for arn, its := range u {
		if its != id {
			continue
		}
		if ofSession {
			return strings.TrimSuffix(sessionARN, "one") + session, nil
		}
		return arn, nil
	}
	return "", nil
}

func newGrantHarness(t *testing.T) *grantHarness {
	t.Helper()
	g := &grantHarness{
		harness: newHarness(t),
		ids: uniqueIDs{
			userARN: principals[user].ID, bobARN: principals[otherUser].ID, eveARN: principals[foreignUser].ID,
			roleARN: "AROAWORKEREXAMPLE001", foreignRoleARN: "AROAFOREIGNEXAMPLE01",
		},
		boundary: map[string]string{}, session: map[string]string{},
	}
	g.config.GrantTokenKey = make(secret.Bytes, 32)
	g.config.Identities = g.ids
	g.restart()
	return g
}

// restart ends the service and makes it anew over the same store.
func (g *grantHarness) restart() {
	g.harness.restart()
	g.gateway = gateway.New(gateway.Config{
		Services: []*operation.Service{api.Table(g.service)}, Regions: g.config.Regions, Authenticator: g, Directory: g,
		Store: g.store, Clock: g.clock, Rand: g.config.Rand, Log: g.config.Log,
		Disturb: func(_ context.Context, call *authz.Call) error {
			if g.before != nil {
				g.before(call)
			}
			return nil
		},
	})
}

func (g *grantHarness) Authenticate(ctx context.Context, req *wire.Request, s *sigv4.Signature) (authz.Principal, error) {
	if p, ok := grantCallers[caller(s.AccessKeyID)]; ok {
		return authz.Principal{Principal: p, AccessKeyID: strings.Clone(s.AccessKeyID)}, nil
	}
	return g.harness.Authenticate(ctx, req, s)
}

func (g *grantHarness) Policies(ctx context.Context, p *authz.Principal, set *policy.Policies) error {
	if err := g.harness.Policies(ctx, p, set); err != nil {
		return err
	}
	if text := g.boundary[p.ARN]; text != "" {
		set.Boundary = &policy.Source{Name: "boundary", Document: mustParse(g.t, text, policy.BoundaryPolicy)}
	}
	if text := g.session[p.ARN]; text != "" {
		set.Session = []policy.Source{{Name: "session policy", Document: mustParse(g.t, text, policy.SessionPolicy)}}
	}
	return nil
}

func mustParse(t *testing.T, text string, kind policy.Kind) *policy.Document {
	t.Helper()
	document, err := policy.Parse([]byte(text), kind)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// grant makes a grant as the root and returns its id and token.
func (g *grantHarness) grant(key, grantee string, more m, operations ...string) (id, token string) {
	g.t.Helper()
	return g.grantAs(root, key, grantee, more, operations...)
}

func (g *grantHarness) grantAs(who caller, key, grantee string, more m, operations ...string) (id, token string) {
	g.t.Helper()
	out := g.ok(who, "CreateGrant", grantOf(key, grantee, more, operations...))
	return out["GrantId"].(string), out["GrantToken"].(string)
}

// grantOf is the request for a grant.
func grantOf(key, grantee string, more m, operations ...string) m {
	in := m{"KeyId": key, "Operations": operations}
	if grantee != "" {
		in["GranteePrincipal"] = grantee
	}
	for name, value := range more {
		in[name] = value
	}
	return in
}

// listed returns the grants on a key, as ListGrants tells.
func (g *grantHarness) listed(key string) []m {
	g.t.Helper()
	return entriesOf(g.ok(root, "ListGrants", m{"KeyId": key}))
}

func entriesOf(out m) []m {
	list := []m{}
	for _, e := range out["Grants"].([]any) {
		list = append(list, e.(m))
	}
	return list
}

// denied makes a call that must end in AccessDeniedException.
func (g *grantHarness) denied(who caller, name string, in m) {
	g.t.Helper()
	if a := g.send(who, name, in); a.code != "AccessDeniedException" {
		g.t.Errorf("%s as %s: %d %s: %q, want AccessDeniedException", name, who, a.status, a.code, a.message)
	}
}

func identityPolicy(effect string, actions ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}]}`
}

// plaintext is what the tests encrypt: "hello".
const plaintext = "aGVsbG8="

// Exists revokes the grant, once.
func (r *revoking) Exists(ctx context.Context, p policy.PrincipalRef) (bool, error) {
	r.once.Do(func() { r.g.ok(root, "RevokeGrant", r.in) })
	return r.known.Exists(ctx, p)
}

// fill gives a key n grants that allow alice no more than to see it.
func (g *grantHarness) fill(k *key, n int) {
	g.t.Helper()
	for made := 0; made < n; {
		err := g.store.Update(g.t.Context(), func(tx *store.Tx) error {
			now, err := readKey(tx, k.Account, k.Region, k.ID)
			if err != nil {
				return err
			}
			batch := min(n-made, 1000)
			for i := range batch {
				grant := grantRecord{
					ID: fmt.Sprintf("%064x", made+i), Account: k.Account, Key: k.ID, KeyCreated: k.Created,
					Created: k.Created, Issuer: k.Account, Grantee: grantPrincipal{Name: userARN}, Retiring: grantPrincipal{Name: bobARN},
					Operations: []api.GrantOperation{api.GrantOperationDescribeKey},
				}
				if err := grantRecords.Put(tx, regionScope(k.Region), grant.id(), grant); err != nil {
					return err
				}
			}
			return countGrants(tx, now, batch)
		})
		if err != nil {
			g.t.Fatal(err)
		}
		made += min(n-made, 1000)
	}
}
