package policy

import (
	"strings"
	"testing"
)

// The world of the truth tables below.
const (
	keyARN   = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	rootOfA  = "arn:aws:iam::111111111111:root"
	aliceARN = "arn:aws:iam::111111111111:user/alice"
	roleARN  = "arn:aws:iam::111111111111:role/p/app"
	sessARN  = "arn:aws:sts::111111111111:assumed-role/app/s1"
)

var (
	root      = worldPrincipals[0]
	otherRoot = worldPrincipals[1]
	alice     = worldPrincipals[2]
	bob       = worldPrincipals[3] // of the other account
	session   = worldPrincipals[4]
	otherSess = worldPrincipals[5]
	fay       = worldPrincipals[6]
	logs      = worldPrincipals[7]
	google    = worldPrincipals[8]
	anonymous = worldPrincipals[9]
)

// setup is a request's policies as text; an empty text is no policy.
type setup struct {
	who              Principal
	action, resource string // kms:Encrypt and keyARN if empty
	account          string // of the resource: accountA if empty
	context          MapContext
	control          []string
	identity         []string
	boundary         string
	session          []string
	kind             Kind // of the resource's policy: KeyPolicy if 0
	policy           string
	grantees         []string
}

func (s *setup) decide(t *testing.T) Decision {
	t.Helper()
	r := &Request{Principal: s.who, Action: s.action, Resource: s.resource, ResourceAccount: s.account, Context: s.context}
	if r.Action == "" {
		r.Action = "kms:Encrypt"
	}
	if r.Resource == "" {
		r.Resource = keyARN
	}
	if r.ResourceAccount == "" {
		r.ResourceAccount = accountA
	}
	p := &Policies{}
	sources := func(kind Kind, texts []string) []Source {
		if texts == nil {
			return nil
		}
		list := []Source{}
		for _, text := range texts {
			list = append(list, Source{Name: "p", Document: mustParse(t, kind, text)})
		}
		return list
	}
	p.ServiceControl = sources(ServiceControlPolicy, s.control)
	p.Identity = sources(IdentityPolicy, s.identity)
	p.Session = sources(SessionPolicy, s.session)
	if s.boundary != "" {
		p.Boundary = &sources(BoundaryPolicy, []string{s.boundary})[0]
	}
	if s.policy != "" {
		if s.kind == 0 {
			s.kind = KeyPolicy
		}
		p.Resource = &sources(s.kind, []string{s.policy})[0]
	}
	for _, g := range s.grantees {
		p.Grants = append(p.Grants, Grant{ID: "g", Grantee: g})
	}
	return Evaluate(r, p)
}

// Statements that the tables put together.
const (
	allowAll     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	allowEncrypt = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}]}`
	allowDecrypt = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}]}`
	denyEncrypt  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}]}`
	allowS3      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
)

// names is a key policy that lets a principal do everything.
func names(principals ...string) string { return says("Allow", "Principal", principals...) }

func says(effect, element string, principals ...string) string {
	text := `{"Version":"2012-10-17","Statement":[`
	for i, p := range principals {
		if i > 0 {
			text += ","
		}
		sort := "AWS"
		if p == logs.Service {
			sort = "Service"
		}
		text += `{"Effect":"` + effect + `","` + element + `":{"` + sort + `":"` + p + `"},"Action":"kms:*","Resource":"*"}`
	}
	return text + `]}`
}

// allowed is the tail of a decision that allows.
const allowed = ""

const (
	noIdentity = "because no identity-based policy allows the kms:Encrypt action"
	noResource = "because no resource-based policy allows the kms:Encrypt action"
	noBoundary = "because no permissions boundary allows the kms:Encrypt action"
	noSession  = "because no session policy allows the kms:Encrypt action"
	noControl  = "because no service control policy allows the kms:Encrypt action"
)

func TestEvaluate(t *testing.T) {
	notPrincipal := func(principals string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotPrincipal":` + principals + `,"Action":"kms:*","Resource":"*"},
			{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`
	}
	denyAndAllow := func(principals string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
			{"Effect":"Deny","Principal":` + principals + `,"Action":"kms:*","Resource":"*"}]}`
	}
	const resourceDeny = "with an explicit deny in a resource-based policy"
	tests := []struct {
		name string
		setup
		want string
	}{
		// The root user and the key policy.
		{"root, default key policy", setup{who: root, policy: names(rootOfA)}, allowed},
		{"root, account digits", setup{who: root, policy: names(accountA)}, allowed},
		{"root without a statement is refused", setup{who: root, policy: names(aliceARN)}, noResource},
		{"root without a statement is refused, whatever IAM says", setup{who: root, identity: []string{allowAll}, policy: names(aliceARN)}, noResource},
		{"root under a statement for another action", setup{who: root, policy: `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"` + rootOfA + `"},"Action":"kms:Decrypt","Resource":"*"}]}`}, noResource},
		{"root and a statement for everyone", setup{who: root, policy: names("*")}, allowed},
		{"root denied by the key policy", setup{who: root, policy: denyAndAllow(`{"AWS":"` + rootOfA + `"}`)}, resourceDeny},

		// Delegation.
		{"user, key policy delegates, IAM allows", setup{who: alice, identity: []string{allowEncrypt}, policy: names(rootOfA)}, allowed},
		{"user, key policy delegates, IAM says nothing", setup{who: alice, policy: names(rootOfA)}, noIdentity},
		{"user, key policy delegates, IAM allows another action", setup{who: alice, identity: []string{allowDecrypt}, policy: names(rootOfA)}, noIdentity},
		{"user, key policy delegates, IAM denies", setup{who: alice, identity: []string{allowAll, denyEncrypt}, policy: names(rootOfA)}, "with an explicit deny in an identity-based policy"},
		{"without the root statement IAM Allows are ineffective", setup{who: alice, identity: []string{allowAll}, policy: names("arn:aws:iam::111111111111:user/carol")}, noResource},
		{"without the root statement IAM Denies still bite", setup{who: alice, identity: []string{denyEncrypt}, policy: names(aliceARN)}, "with an explicit deny in an identity-based policy"},
		{"delegation to another account delegates nothing here", setup{who: alice, identity: []string{allowAll}, policy: names(accountB)}, noResource},
		{"delegation may be for some actions", setup{who: alice, identity: []string{allowAll}, policy: `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"` + accountA + `"},"Action":"kms:Describe*","Resource":"*"}]}`}, noResource},

		// A same-account principal that is named suffices alone.
		{"user named", setup{who: alice, policy: names(aliceARN)}, allowed},
		{"user named by unique id", setup{who: alice, policy: names(alice.ID)}, allowed},
		{"ARNs are case-sensitive", setup{who: alice, policy: names("arn:aws:iam::111111111111:user/Alice")}, noResource},
		{"role named", setup{who: session, policy: names(roleARN)}, allowed},
		{"role named by unique id", setup{who: session, policy: names("AROAAAAAAAAAAAAAAAAA")}, allowed},
		{"session named by unique id", setup{who: session, policy: names("AROAAAAAAAAAAAAAAAAA:s1")}, allowed},
		{"another session named by unique id", setup{who: session, policy: names("AROAAAAAAAAAAAAAAAAA:s2")}, noResource},
		{"role named without its path", setup{who: session, policy: names("arn:aws:iam::111111111111:role/app")}, noResource},
		{"session named", setup{who: session, policy: names(sessARN)}, allowed},
		{"another session named", setup{who: session, policy: names("arn:aws:sts::111111111111:assumed-role/app/s2")}, noResource},
		{"federated user named", setup{who: fay, policy: names(fay.ARN)}, allowed},
		{"everyone", setup{who: alice, policy: names("*")}, allowed},

		// Role ARN, session ARN, boundary and session policies.
		{"user named, boundary silent", setup{who: alice, boundary: allowDecrypt, policy: names(aliceARN)}, allowed},
		{"user named, boundary denies", setup{who: alice, boundary: denyEncrypt, policy: names(aliceARN)}, "with an explicit deny in a permissions boundary"},
		{"role named, boundary allows", setup{who: session, boundary: allowEncrypt, policy: names(roleARN)}, allowed},
		{"role named, boundary silent", setup{who: session, boundary: allowDecrypt, policy: names(roleARN)}, noBoundary},
		{"role named, session policy silent", setup{who: session, session: []string{allowDecrypt}, policy: names(roleARN)}, noSession},
		{"role named, empty session policies", setup{who: session, session: []string{}, policy: names(roleARN)}, noSession},
		{"role named, one of two session policies allows", setup{who: session, session: []string{allowDecrypt, allowEncrypt}, policy: names(roleARN)}, allowed},
		{"session named, session policy silent", setup{who: session, session: []string{allowDecrypt}, policy: names(sessARN)}, allowed},
		{"session named, boundary silent", setup{who: session, boundary: allowDecrypt, policy: names(sessARN)}, allowed},
		{"session named, session policy denies", setup{who: session, session: []string{denyEncrypt}, policy: names(sessARN)}, "with an explicit deny in a session policy"},
		{"session and role named, session policy silent", setup{who: session, session: []string{allowDecrypt}, policy: names(roleARN, sessARN)}, allowed},
		{"federated user named, session policy silent", setup{who: fay, session: []string{allowDecrypt}, policy: names(fay.ARN)}, allowed},
		{"everyone by aws:PrincipalArn, session policy silent", setup{who: session, session: []string{allowDecrypt}, context: MapContext{"aws:principalarn": {roleARN}},
			policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"ArnEquals":{"aws:PrincipalArn":"` + roleARN + `"}}}]}`}, allowed},
		{"delegation, boundary silent", setup{who: alice, identity: []string{allowAll}, boundary: allowDecrypt, policy: names(rootOfA)}, noBoundary},
		{"delegation, boundary allows", setup{who: alice, identity: []string{allowAll}, boundary: allowEncrypt, policy: names(rootOfA)}, allowed},
		{"a boundary alone grants nothing", setup{who: alice, boundary: allowAll, policy: names(rootOfA)}, noIdentity},
		{"delegation, session policy silent", setup{who: session, identity: []string{allowAll}, session: []string{allowS3}, policy: names(rootOfA)}, noSession},
		{"a session policy alone grants nothing", setup{who: session, session: []string{allowAll}, policy: names(rootOfA)}, noIdentity},
		{"boundary and session policy both silent: the boundary is named", setup{who: session, identity: []string{allowAll}, boundary: allowS3, session: []string{allowS3}, policy: names(rootOfA)}, noBoundary},

		// Service control policies.
		{"service control policy silent", setup{who: alice, control: []string{allowS3}, identity: []string{allowAll}, policy: names(rootOfA)}, noControl},
		{"service control policy silent, user named", setup{who: alice, control: []string{allowS3}, policy: names(aliceARN)}, noControl},
		{"service control policy binds the root user", setup{who: root, control: []string{denyEncrypt, allowAll}, policy: names(rootOfA)}, "with an explicit deny in a service control policy"},
		{"service control policy allows", setup{who: alice, control: []string{allowS3, allowAll}, identity: []string{allowAll}, policy: names(rootOfA)}, allowed},
		{"empty service control policies allow nothing", setup{who: alice, control: []string{}, identity: []string{allowAll}, policy: names(rootOfA)}, noControl},
		{"service control policy alone grants nothing", setup{who: alice, control: []string{allowAll}, policy: names(rootOfA)}, noIdentity},

		// An ordinary resource: identity or resource policy.
		{"ordinary: identity alone", setup{who: alice, kind: ResourcePolicy, policy: names("arn:aws:iam::111111111111:user/carol"), identity: []string{allowEncrypt}}, allowed},
		{"ordinary: no policy, identity alone", setup{who: alice, identity: []string{allowEncrypt}}, allowed},
		{"ordinary: resource policy alone", setup{who: alice, kind: ResourcePolicy, policy: names(aliceARN)}, allowed},
		{"ordinary: the account is no grant to its users", setup{who: alice, kind: ResourcePolicy, policy: names(accountA)}, noIdentity},
		{"ordinary: nothing", setup{who: alice}, noIdentity},
		{"ordinary: root needs nothing", setup{who: root}, allowed},
		{"ordinary: root denied by the resource's policy", setup{who: root, kind: ResourcePolicy, policy: denyAndAllow(`"*"`)}, resourceDeny},
		{"ordinary: role named, boundary silent, identity allows", setup{who: session, kind: ResourcePolicy, boundary: allowS3, identity: []string{allowAll}, policy: names(roleARN)}, noBoundary},

		// Across accounts.
		{"foreign user named, own IAM allows", setup{who: bob, identity: []string{allowEncrypt}, policy: names(bob.ARN)}, allowed},
		{"foreign user named, own IAM silent", setup{who: bob, policy: names(bob.ARN)}, noIdentity},
		{"foreign account named, own IAM allows", setup{who: bob, identity: []string{allowEncrypt}, policy: names(accountB)}, allowed},
		{"foreign account named, own IAM silent", setup{who: bob, policy: names(accountB)}, noIdentity},
		{"foreign user, key policy silent", setup{who: bob, identity: []string{allowAll}, policy: names(rootOfA)}, noResource},
		{"foreign user and everyone, own IAM silent", setup{who: bob, policy: names("*")}, noIdentity},
		{"foreign root named by account", setup{who: otherRoot, policy: names(accountB)}, allowed},
		{"foreign root not named", setup{who: otherRoot, policy: names(rootOfA)}, noResource},
		{"foreign session named, own session policy silent", setup{who: otherSess, identity: []string{allowAll}, session: []string{allowS3}, policy: names(otherSess.ARN)}, noSession},
		{"foreign role named, boundary silent", setup{who: otherSess, identity: []string{allowAll}, boundary: allowS3, policy: names(otherSess.RoleARN)}, noBoundary},
		{"foreign role named, own IAM silent", setup{who: otherSess, policy: names(otherSess.RoleARN)}, noIdentity},
		{"foreign session named, own IAM silent", setup{who: otherSess, policy: names(otherSess.ARN)}, noIdentity},
		{"foreign role, both sides", setup{who: otherSess, identity: []string{allowEncrypt}, policy: names(otherSess.RoleARN)}, allowed},
		{"foreign ordinary resource without a policy", setup{who: bob, identity: []string{allowAll}}, noResource},
		{"foreign: own service control policy silent", setup{who: bob, control: []string{allowS3}, identity: []string{allowAll}, policy: names(accountB)}, noControl},

		// Principals without an account.
		{"service named", setup{who: logs, policy: names(logs.Service)}, allowed},
		{"service not named", setup{who: logs, policy: names(rootOfA)}, noResource},
		{"service and everyone", setup{who: logs, policy: names("*")}, allowed},
		{"service of another region", setup{who: logs, policy: `{"Statement":[{"Effect":"Allow","Principal":{"Service":"logs.eu-west-1.amazonaws.com"},"Action":"kms:*","Resource":"*"}]}`}, noResource},
		{"service denied with everyone", setup{who: logs, policy: denyAndAllow(`"*"`)}, resourceDeny},
		{"service control policies do not bind services", setup{who: logs, control: []string{}, policy: names(logs.Service)}, allowed},
		{"anonymous and everyone", setup{who: anonymous, kind: ResourcePolicy, policy: names("*")}, allowed},
		{"anonymous, not named", setup{who: anonymous, kind: ResourcePolicy, identity: []string{allowAll}, policy: names(rootOfA)}, noResource},

		// Deny.
		{"denied by role", setup{who: session, identity: []string{allowAll}, policy: denyAndAllow(`{"AWS":"` + roleARN + `"}`)}, resourceDeny},
		{"denied by session", setup{who: session, policy: denyAndAllow(`{"AWS":"` + sessARN + `"}`)}, resourceDeny},
		{"denied by account", setup{who: session, policy: denyAndAllow(`{"AWS":"` + accountA + `"}`)}, resourceDeny},
		{"denied by the other account: no", setup{who: session, policy: denyAndAllow(`{"AWS":"` + accountB + `"}`)}, allowed},
		{"a Deny that comes after its Allow", setup{who: alice, policy: denyAndAllow(`{"AWS":"` + aliceARN + `"}`)}, resourceDeny},
		{"of two Denies the outer kind is named", setup{who: alice, control: []string{denyEncrypt}, identity: []string{denyEncrypt}, policy: names(rootOfA)}, "with an explicit deny in a service control policy"},
		{"a Deny for another action", setup{who: alice, action: "kms:Decrypt", identity: []string{denyEncrypt, allowAll}, policy: names(rootOfA)}, allowed},

		// NotPrincipal.
		{"NotPrincipal lists user and account", setup{who: alice, policy: notPrincipal(`{"AWS":["` + aliceARN + `","` + rootOfA + `"]}`)}, allowed},
		{"NotPrincipal lists the user only", setup{who: alice, policy: notPrincipal(`{"AWS":"` + aliceARN + `"}`)}, resourceDeny},
		{"NotPrincipal lists the account only", setup{who: alice, policy: notPrincipal(`{"AWS":"` + accountA + `"}`)}, resourceDeny},
		{"NotPrincipal lists the root's account", setup{who: root, policy: notPrincipal(`{"AWS":"` + accountA + `"}`)}, allowed},
		{"NotPrincipal lists session, role and account", setup{who: session, policy: notPrincipal(`{"AWS":["` + sessARN + `","` + roleARN + `","` + rootOfA + `"]}`)}, allowed},
		{"NotPrincipal lists role and account", setup{who: session, policy: notPrincipal(`{"AWS":["` + roleARN + `","` + rootOfA + `"]}`)}, resourceDeny},
		{"NotPrincipal lists session and account", setup{who: session, policy: notPrincipal(`{"AWS":["` + sessARN + `","` + rootOfA + `"]}`)}, resourceDeny},
		{"NotPrincipal lists everyone", setup{who: alice, policy: notPrincipal(`"*"`)}, allowed},
		{"NotPrincipal lists the service", setup{who: logs, policy: notPrincipal(`{"Service":"` + logs.Service + `"}`)}, allowed},
		{"NotPrincipal denies whoever has a boundary", setup{who: alice, boundary: allowAll, policy: notPrincipal(`{"AWS":["` + aliceARN + `","` + rootOfA + `"]}`)}, resourceDeny},

		// Statements without effect, and Resource.
		{"key policy statement without Resource", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*"}]}`}, noResource},
		{"key policy Deny without Action", setup{who: alice, policy: `{"Statement":[{"Effect":"Deny","Principal":"*","Resource":"*"},{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`}, allowed},
		{"Resource is the key's ARN", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"` + keyARN + `"}]}`}, allowed},
		{"Resource is another key's ARN", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"` + keyARN + `x"}]}`}, noResource},
		{"NotAction", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":"kms:Decrypt","Resource":"*"}]}`}, allowed},
		{"NotAction that lists the action", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":["KMS:encrypt"],"Resource":"*"}]}`}, noResource},
		{"NotAction that lists many", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":["a:1","a:2","a:3","a:4","a:5","a:6","a:7","a:8","kms:encrypt"],"Resource":"*"}]}`}, noResource},
		{"NotAction that lists many others", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":["a:1","a:2","a:3","a:4","a:5","a:6","a:7","a:8","kms:encryp"],"Resource":"*"}]}`}, allowed},
		{"NotResource", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotResource":"arn:aws:s3:::*"}]}`}, allowed},
		{"NotResource that lists the resource", setup{who: alice, policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotResource":["arn:aws:kms:*"]}]}`}, noResource},
		{"actions are case-insensitive", setup{who: alice, action: "KMS:ENCRYPT", policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:eNcRyPt","Resource":"*"}]}`}, allowed},
		{"an action without resource", setup{who: alice, action: "kms:ListKeys", resource: "*", identity: []string{allowAll}}, allowed},
		{"an action without resource, policy for one key", setup{who: alice, resource: "*", identity: []string{`{"Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"` + keyARN + `"}]}`}}, noIdentity},

		// Grants.
		{"grant to the user", setup{who: alice, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{aliceARN}}, allowed},
		{"grant to another", setup{who: alice, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{roleARN}}, noResource},
		{"grant, IAM denies", setup{who: alice, identity: []string{denyEncrypt}, policy: names(rootOfA), grantees: []string{aliceARN}}, "with an explicit deny in an identity-based policy"},
		{"grant, key policy denies", setup{who: alice, policy: denyAndAllow(`"*"`), grantees: []string{aliceARN}}, resourceDeny},
		{"grant to the session, session policy silent", setup{who: session, session: []string{allowS3}, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{sessARN}}, allowed},
		{"grant to the session, boundary silent", setup{who: session, boundary: allowS3, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{sessARN}}, allowed},
		{"grant to the role", setup{who: session, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{roleARN}}, allowed},
		{"grant to the role, session policy silent", setup{who: session, session: []string{allowS3}, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{roleARN}}, noSession},
		{"grant to the role, boundary silent", setup{who: session, boundary: allowS3, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{roleARN}}, noBoundary},
		{"grant to a foreign user, own IAM silent", setup{who: bob, policy: names(rootOfA), grantees: []string{bob.ARN}}, noIdentity},
		{"grant to a foreign user, own IAM allows", setup{who: bob, identity: []string{allowEncrypt}, policy: names(rootOfA), grantees: []string{bob.ARN}}, allowed},
		{"grant to a foreign account", setup{who: bob, identity: []string{allowEncrypt}, policy: names(rootOfA), grantees: []string{otherRoot.ARN}}, allowed},
		{"grant to the account leaves it to IAM", setup{who: alice, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{rootOfA}}, noIdentity},
		{"grant to the account, for its root", setup{who: root, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{rootOfA}}, allowed},
		{"grant to a service", setup{who: logs, policy: names(rootOfA), grantees: []string{logs.Service}}, allowed},
		{"no grant to everyone", setup{who: alice, policy: names("arn:aws:iam::111111111111:user/carol"), grantees: []string{"*"}}, noResource},
		{"no grant without a grantee", setup{who: Principal{Type: AssumedRole, Account: accountA, ARN: sessARN}, policy: names(bob.ARN), grantees: []string{""}}, noResource},
		{"no grant to a caller without a name", setup{who: anonymous, policy: names(rootOfA), grantees: []string{""}}, noResource},

		// kms:ResourceAliases is for IAM policies only.
		{"kms:ResourceAliases in an IAM policy", setup{who: alice, context: onAlias, identity: []string{strings.Replace(byAlias, `"Principal":"*",`, "", 1)}, policy: names(rootOfA)}, allowed},
		{"kms:ResourceAliases in a key policy", setup{who: alice, context: onAlias, policy: byAlias}, noResource},

		// What people learn KMS by.
		{"S3-only use: through S3", setup{who: alice, context: MapContext{"kms:viaservice": {"s3.us-east-1.amazonaws.com"}}, identity: []string{allowAll}, policy: viaS3}, allowed},
		{"S3-only use: directly", setup{who: alice, identity: []string{allowAll}, policy: viaS3}, noResource},
	}
	for _, tt := range tests {
		d := tt.decide(t)
		if got := d.Because("kms:Encrypt"); d.Allowed != (tt.want == allowed) || got != tt.want {
			t.Errorf("%s: %v, %q, want %q", tt.name, describe(d), got, tt.want)
		}
	}
}

var onAlias = MapContext{"kms:resourcealiases": {"alias/x", "alias/y"}}

const byAlias = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/y"}}}]}`

const viaS3 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*",
	"Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}}]}`

func TestTrustPolicy(t *testing.T) {
	trust := func(principal string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":["sts:AssumeRole","sts:AssumeRoleWithWebIdentity"]}]}`
	}
	const none = "because no role trust policy allows the sts:AssumeRole action"
	tests := []struct {
		name string
		setup
		want string
	}{
		{"user named", setup{who: alice, policy: trust(`{"AWS":"` + aliceARN + `"}`)}, allowed},
		{"account named, IAM allows", setup{who: alice, identity: []string{allowAll}, policy: trust(`{"AWS":"` + accountA + `"}`)}, allowed},
		{"account named, IAM silent", setup{who: alice, policy: trust(`{"AWS":"` + accountA + `"}`)}, "because no identity-based policy allows the sts:AssumeRole action"},
		{"IAM allows, trust policy silent", setup{who: alice, identity: []string{allowAll}, policy: trust(`{"AWS":"` + accountB + `"}`)}, none},
		{"root not trusted", setup{who: root, policy: trust(`{"AWS":"` + accountB + `"}`)}, none},
		{"web identity", setup{who: google, action: "sts:AssumeRoleWithWebIdentity", policy: trust(`{"Federated":"accounts.google.com"}`)}, allowed},
		{"another web identity", setup{who: google, policy: trust(`{"Federated":"graph.facebook.com"}`)}, none},
		{"denied", setup{who: alice, policy: `{"Statement":{"Effect":"Deny","Principal":"*","Action":"sts:*"}}`}, "with an explicit deny in the role trust policy"},
	}
	for _, tt := range tests {
		tt.kind, tt.resource = TrustPolicy, roleARN
		if tt.action == "" {
			tt.action = "sts:AssumeRole"
		}
		d := tt.decide(t)
		if got := d.Because("sts:AssumeRole"); d.Allowed != (tt.want == allowed) || got != tt.want {
			t.Errorf("%s: %v, %q, want %q", tt.name, describe(d), got, tt.want)
		}
	}
}

// TestMatched: a decision names the statements that made it.
func TestMatched(t *testing.T) {
	source := func(name string, kind Kind, text string) Source {
		return Source{Name: name, Document: mustParse(t, kind, text)}
	}
	key := source("key policy", KeyPolicy, `{"Statement":[{"Sid":"other","Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"},{"Sid":"IAM","Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"kms:*","Resource":"*"}]}`)
	p := &Policies{
		ServiceControl: []Source{source("scp", ServiceControlPolicy, allowAll)},
		Identity:       []Source{source("one", IdentityPolicy, allowS3), source("two", IdentityPolicy, allowEncrypt)},
		Resource:       &key,
		Grants:         []Grant{{ID: "for another", Grantee: roleARN}},
	}
	r := &Request{Principal: alice, Action: "kms:Encrypt", Resource: keyARN, ResourceAccount: accountA}
	check := func(got, want []StatementRef) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("got %+v", got)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%d: got %+v, want %+v", i, got[i], want[i])
			}
		}
	}
	d := Evaluate(r, p)
	if !d.Allowed || d.Reason != Allowed || d.Kind != 0 {
		t.Fatal(describe(d))
	}
	all := []StatementRef{
		{Kind: ServiceControlPolicy, Source: "scp"},
		{Kind: KeyPolicy, Source: "key policy", Index: 1, Sid: "IAM"},
		{Kind: IdentityPolicy, Source: "two"},
	}
	check(d.Matched(), all)

	p.Grants = append(p.Grants, Grant{ID: "g", Grantee: aliceARN})
	d = Evaluate(r, p)
	check(d.Matched(), []StatementRef{all[0], {Kind: GrantPolicy, Source: "g"}})
	_, refs := Explain(r, p)
	check(refs, []StatementRef{all[0], all[1], {Kind: GrantPolicy, Source: "g"}, all[2]})

	p.Identity = append(p.Identity, source("three", IdentityPolicy, denyEncrypt))
	d = Evaluate(r, p)
	if d.Reason != ExplicitDeny || d.Kind != IdentityPolicy {
		t.Error(describe(d))
	}
	check(d.Matched(), []StatementRef{{Kind: IdentityPolicy, Source: "three", Deny: true}})

	// What allowed stays named when something else is missing.
	p.Identity, p.Grants = nil, nil
	d = Evaluate(r, p)
	if d.Reason != ImplicitDeny || d.Kind != IdentityPolicy {
		t.Error(describe(d))
	}
	check(d.Matched(), all[:2])
}

// TestMisplacedDocuments: an Allow in a document of the wrong kind for its place
// grants nothing, and a missing document allows nothing.
func TestMisplacedDocuments(t *testing.T) {
	r := &Request{Principal: alice, Action: "kms:Encrypt", Resource: keyARN, ResourceAccount: accountA}
	identity := Source{Name: "identity", Document: mustParse(t, IdentityPolicy, allowAll)}
	key := Source{Name: "key", Document: mustParse(t, KeyPolicy, names("*"))}
	denial := Source{Name: "denial", Document: mustParse(t, KeyPolicy, says("Deny", "Principal", "*"))}
	tests := []struct {
		name string
		p    Policies
		want Reason
	}{
		{"identity policy as key policy", Policies{Resource: &identity}, ImplicitDeny},
		{"key policy as identity policy", Policies{Identity: []Source{key}}, ImplicitDeny},
		{"its Deny bites all the same", Policies{Identity: []Source{identity, denial}}, ExplicitDeny},
		{"boundary without document", Policies{Identity: []Source{identity}, Boundary: &Source{}}, ImplicitDeny},
		{"resource without document", Policies{Identity: []Source{identity}, Resource: &Source{}}, ImplicitDeny},
		{"identity policy as resource policy beside identity policies", Policies{Identity: []Source{identity}, Resource: &identity}, ImplicitDeny},
		{"nothing", Policies{}, ImplicitDeny},
	}
	for _, tt := range tests {
		if d := Evaluate(r, &tt.p); d.Reason != tt.want || d.Allowed != (tt.want == Allowed) {
			t.Errorf("%s: %v", tt.name, describe(d))
		}
	}
	if d := Evaluate(&Request{}, &Policies{}); d.Allowed {
		t.Error("an empty request is allowed")
	}
	if (&Decision{}).Because("x") != "" || (&Decision{}).Allowed {
		t.Error("the zero Decision")
	}
}
