package iam_test

import (
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/strongroomtest"
)

const workerARN = accountARN + "role/team/worker"

// newRole makes the role worker with a trust policy and an inline policy.
func (c *client) newRole(trusted, policy string) {
	c.t.Helper()
	c.iam("CreateRole", "RoleName", "worker", "Path", "/team/", "AssumeRolePolicyDocument", trusted, "MaxSessionDuration", "7200").ok()
	c.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument", policy).ok()
}

// assume asks for a session of the role worker.
func (c *client) assume(more ...string) *answer {
	c.t.Helper()
	return c.query("sts", "AssumeRole", append([]string{"RoleArn", workerARN, "RoleSessionName", "shift"}, more...)...)
}

// session is a client with the credentials of an answer.
func (c *client) session(a *answer) *client {
	c.t.Helper()
	a.ok()
	return c.with(a.value("AccessKeyId"), a.value("SecretAccessKey"), a.value("SessionToken"))
}

func (c *client) describe(key string) *answer {
	return c.kms("DescribeKey", map[string]any{"KeyId": key})
}

// TestAssumeRole: a session has the role's rights, no more, and says who it is.
func TestAssumeRole(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	alice := admin.newUser("alice", "")
	admin.newRole(trust(accountARN+"user/alice"), allow("kms:Encrypt"))
	made := alice.assume().ok()
	if !strings.HasPrefix(made.value("AccessKeyId"), "ASIA") {
		t.Errorf("the access key id is %s", made.value("AccessKeyId"))
	}
	id := admin.iam("GetRole", "RoleName", "worker").ok().value("RoleId")
	session := alice.session(made)
	who := session.query("sts", "GetCallerIdentity").ok()
	const arn = "arn:aws:sts::000000000000:assumed-role/worker/shift"
	if who.value("Arn") != arn || who.value("UserId") != id+":shift" || made.value("Arn") != arn || made.value("AssumedRoleId") != id+":shift" {
		t.Errorf("the session is %s\nmade as %s", who.body, made.body)
	}
	session.encrypt(key).ok()
	session.describe(key).fails(400, "AccessDeniedException", "User: "+arn+" is not authorized to perform: kms:DescribeKey on resource: "+key+" because no identity-based policy allows")
	alice.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")

	// The role's policies are those of now.
	admin.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument", allow("kms:DescribeKey")).ok()
	session.describe(key).ok()
	session.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")
}

// TestWhoMayAssume: the trust policy decides, and the caller's own policies where
// it names the account; what is denied and what is missing look alike.
func TestWhoMayAssume(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", "")
	bob := admin.newUser("bob", allow("sts:AssumeRole"))
	denied := func(c *client, who string) {
		t.Helper()
		c.assume().fails(403, "AccessDenied", "User: "+accountARN+"user/"+who+" is not authorized to perform: sts:AssumeRole on resource: "+workerARN)
	}
	denied(bob, "bob") // there is no such role
	admin.newRole(trust(accountARN+"user/alice"), allow("kms:*"))
	alice.assume().ok()
	denied(bob, "bob")
	admin.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", trust("000000000000")).ok()
	denied(alice, "alice")
	bob.assume().ok()
	admin.assume().fails(403, "AccessDenied", "Roles may not be assumed by root accounts.")

	// A namesake of someone trusted is someone else.
	admin.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", trust(accountARN+"user/alice")).ok()
	alice.assume().ok()
	admin.iam("DeleteAccessKey", "UserName", "alice", "AccessKeyId", alice.id).ok()
	admin.iam("DeleteUser", "UserName", "alice").ok()
	denied(admin.newUser("alice", allow("sts:AssumeRole")), "alice")

	// Across accounts both sides must allow.
	other := admin.with("111122223333", "x", "")
	carol := other.newUser("carol", allow("sts:AssumeRole"))
	dave := other.newUser("dave", "")
	admin.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", trust("111122223333")).ok()
	carol.assume().ok()
	// Whatever else is wrong with a request, it does not tell whether a role is there.
	for _, wrong := range [][]string{
		{"Tags.member.1.Key", "a", "Tags.member.1.Value", "1", "Tags.member.2.Key", "A", "Tags.member.2.Value", "2"},
		{"TransitiveTagKeys.member.1", "a"},
	} {
		there := dave.assume(wrong...)
		missing := dave.query("sts", "AssumeRole", append([]string{"RoleArn", accountARN + "role/team/absent", "RoleSessionName", "shift"}, wrong...)...)
		if there.status != missing.status || there.value("Code") != missing.value("Code") {
			t.Errorf("a role that is there: %s\none that is not: %s", there.body, missing.body)
		}
	}
	dave.assume().fails(403, "AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: "+workerARN)
}

// TestTrustConditions: an external id, a session's name, tags and the source
// identity can be asked for.
func TestTrustConditions(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", "")
	with := func(actions, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + accountARN + `user/alice"},"Action":[` + actions + `],"Condition":{"StringEquals":{` + condition + `}}}]}`
	}
	admin.newRole(with(`"sts:AssumeRole"`, `"sts:ExternalId":"secret-4711"`), allow("kms:*"))
	alice.assume().fails(403, "AccessDenied", "sts:AssumeRole")
	alice.assume("ExternalId", "another").fails(403, "AccessDenied", "sts:AssumeRole")
	alice.assume("ExternalId", "secret-4711").ok()
	tagged := []string{"Tags.member.1.Key", "Team", "Tags.member.1.Value", "blue"}
	alice.assume(append(tagged, "ExternalId", "secret-4711")...).fails(403, "AccessDenied", "sts:TagSession")
	admin.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", with(`"sts:AssumeRole","sts:TagSession"`, `"aws:RequestTag/Team":"blue","sts:RoleSessionName":"shift"`)).ok()
	alice.assume().fails(403, "AccessDenied", "sts:AssumeRole")
	session := alice.session(alice.assume(tagged...))
	alice.assume("SourceIdentity", "alice@example", "Tags.member.1.Key", "Team", "Tags.member.1.Value", "blue").fails(403, "AccessDenied", "sts:SetSourceIdentity")

	// The session's tags count in policies.
	admin.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/Team":"blue"}}}]}`).ok()
	key := admin.newKey("")
	session.encrypt(key).ok()
	admin.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/Team":"red"}}}]}`).ok()
	session.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")
	alice.assume(append(tagged, "Tags.member.2.Key", "TEAM", "Tags.member.2.Value", "x")...).fails(400, "InvalidParameterValue", "Duplicate tag keys")
	alice.assume("TransitiveTagKeys.member.1", "Team").fails(400, "InvalidParameterValue", "must be included")
}

// TestSessionPolicyLimits: a session's policies give nothing and limit everything.
func TestSessionPolicyLimits(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	alice := admin.newUser("alice", "")
	admin.newRole(trust(accountARN+"user/alice"), allow("kms:Encrypt", "kms:DescribeKey"))
	session := alice.session(alice.assume("Policy", allow("kms:Encrypt", "kms:ScheduleKeyDeletion")))
	session.encrypt(key).ok()
	session.describe(key).fails(400, "AccessDeniedException", "because no session policy allows the kms:DescribeKey action")
	session.kms("ScheduleKeyDeletion", map[string]any{"KeyId": key}).fails(400, "AccessDeniedException", "no identity-based policy")

	arn := admin.iam("CreatePolicy", "PolicyName", "limit", "PolicyDocument", allow("kms:DescribeKey")).ok().value("Arn")
	session = alice.session(alice.assume("PolicyArns.member.1.arn", arn))
	session.describe(key).ok()
	session.encrypt(key).fails(400, "AccessDeniedException", "because no session policy allows the kms:Encrypt action")
	admin.iam("DeletePolicy", "PolicyArn", arn).ok()
	session.describe(key).fails(400, "AccessDeniedException", "no session policy")

	alice.assume("PolicyArns.member.1.arn", arn).fails(400, "MalformedPolicyDocument", arn)
	alice.assume("Policy", "{}").fails(400, "MalformedPolicyDocument", "")
	alice.assume("Policy", allow("kms:"+strings.Repeat("x", 2048))).fails(400, "ValidationError", "at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048")
}

// TestSessionsEnd: a session ends when its time is over or its role is gone, and
// its token opens nothing else.
func TestSessionsEnd(t *testing.T) {
	server := strongroomtest.Start(t)
	admin := root(t, server)
	key := admin.newKey("")
	alice := admin.newUser("alice", "")
	admin.newRole(trust(accountARN+"user/alice"), allow("kms:*"))
	session := alice.session(alice.assume("DurationSeconds", "900"))
	longer := alice.session(alice.assume("DurationSeconds", "7200"))
	session.encrypt(key).ok()
	const invalid = "The security token included in the request is invalid."
	broken := []byte(session.token)
	broken[len(broken)/2] ^= 1
	for name, c := range map[string]*client{
		"without the token":        session.with(session.id, session.key, ""),
		"with another's token":     session.with(session.id, session.key, longer.token),
		"with a broken token":      session.with(session.id, session.key, string(broken)),
		"with no base64":           session.with(session.id, session.key, "%"),
		"a user's key and a token": session.with(alice.id, alice.key, session.token),
	} {
		t.Run(name, func(t *testing.T) {
			c := *c
			c.t = t
			c.encrypt(key).fails(400, "UnrecognizedClientException", invalid)
		})
	}
	session.with(session.id, longer.key, session.token).encrypt(key).fails(400, "InvalidSignatureException", "")

	server.Advance(901 * time.Second)
	session.encrypt(key).fails(400, "ExpiredTokenException", "The security token included in the request is expired")
	session.query("sts", "GetCallerIdentity").fails(403, "ExpiredToken", "The security token included in the request is expired")
	longer.encrypt(key).ok()
	admin.iam("DeleteRolePolicy", "RoleName", "worker", "PolicyName", "p").ok()
	admin.iam("DeleteRole", "RoleName", "worker").ok()
	longer.encrypt(key).fails(400, "UnrecognizedClientException", invalid)
	admin.newRole(trust(accountARN+"user/alice"), allow("kms:*"))
	longer.encrypt(key).fails(400, "UnrecognizedClientException", invalid) // another role of that name
}

// TestDurations: how long a session may last, chained ones above all.
func TestDurations(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", "")
	admin.newRole(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`, allow("sts:*"))
	admin.iam("PutUserPolicy", "UserName", "alice", "PolicyName", "p", "PolicyDocument", allow("sts:*")).ok()
	alice.assume("DurationSeconds", "7201").fails(400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	alice.assume("DurationSeconds", "899").fails(400, "ValidationError", "Member must have value greater than or equal to 900")
	alice.assume("SerialNumber", accountARN+"mfa/a", "TokenCode", "123456").fails(403, "AccessDenied", "MultiFactorAuthentication failed")
	first := alice.session(alice.assume("DurationSeconds", "7200", "SourceIdentity", "alice.in",
		"Tags.member.1.Key", "Team", "Tags.member.1.Value", "blue", "Tags.member.2.Key", "Desk", "Tags.member.2.Value", "4", "TransitiveTagKeys.member.1", "Team"))
	first.assume("DurationSeconds", "3601").fails(400, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	first.assume("SourceIdentity", "bob.in").fails(403, "AccessDenied", "sts:SetSourceIdentity")
	first.assume("Tags.member.1.Key", "team", "Tags.member.1.Value", "red").fails(400, "InvalidParameterValue", "conflicts with a transitive tag key")
	made := first.assume("DurationSeconds", "3600")
	second := first.session(made)
	if got := made.value("SourceIdentity"); got != "alice.in" {
		t.Errorf("the source identity is %q", got)
	}
	// Team was handed on, Desk was not.
	key := admin.newKey("")
	for tag, yes := range map[string]bool{"Team": true, "Desk": false} {
		admin.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument",
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"aws:PrincipalTag/`+tag+`":"false"}}}]}`).ok()
		first.encrypt(key).ok()
		if yes {
			second.encrypt(key).ok()
		} else {
			second.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")
		}
	}
}

// TestGetSessionToken: the same rights for a while, but neither IAM nor another
// session.
func TestGetSessionToken(t *testing.T) {
	server := strongroomtest.Start(t)
	admin := root(t, server)
	key := admin.newKey("")
	alice := admin.newUser("alice", allow("kms:Encrypt", "iam:*"))
	session := alice.session(alice.query("sts", "GetSessionToken"))
	if got := session.query("sts", "GetCallerIdentity").ok().value("Arn"); got != accountARN+"user/alice" {
		t.Errorf("the session is %s", got)
	}
	session.encrypt(key).ok()
	session.describe(key).fails(400, "AccessDeniedException", "no identity-based policy")
	session.iam("ListUsers").fails(403, "InvalidClientTokenId", "The security token included in the request is invalid")
	session.query("sts", "GetSessionToken").fails(403, "AccessDenied", "Cannot call GetSessionToken with session credentials")

	// Whoever has no session may see to it that sessions do nothing.
	admin.iam("PutUserPolicy", "UserName", "alice", "PolicyName", "no", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2100-01-01T00:00:00Z"}}}]}`).ok()
	session.encrypt(key).fails(400, "AccessDeniedException", "explicit deny")
	alice.encrypt(key).ok()
	admin.iam("DeleteUserPolicy", "UserName", "alice", "PolicyName", "no").ok()

	rootSession := admin.session(admin.query("sts", "GetSessionToken", "DurationSeconds", "43200"))
	rootSession.encrypt(key).ok()
	server.Advance(time.Hour)
	rootSession.encrypt(key).fails(400, "ExpiredTokenException", "expired")
	session.encrypt(key).ok()
	server.Advance(11 * time.Hour)
	session.encrypt(key).fails(400, "ExpiredTokenException", "expired")
}

// TestGetAccessKeyInfo: whose a long-term access key is.
func TestGetAccessKeyInfo(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	other := admin.with("111122223333", "x", "")
	carol := other.newUser("carol", "")
	if got := admin.query("sts", "GetAccessKeyInfo", "AccessKeyId", carol.id).ok().value("Account"); got != "111122223333" {
		t.Errorf("carol's account is %s", got)
	}
	carol.query("sts", "GetAccessKeyInfo", "AccessKeyId", carol.id).fails(403, "AccessDenied", "sts:GetAccessKeyInfo")
	admin.query("sts", "GetAccessKeyInfo", "AccessKeyId", "AKIAAAAAAAAAAAAAAAAA").fails(400, "ValidationError", "not known")
}

// TestGetFederationToken: what both the user and the session's policies allow.
func TestGetFederationToken(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	alice := admin.newUser("alice", allow("kms:Encrypt", "kms:DescribeKey", "sts:GetFederationToken"))
	made := alice.query("sts", "GetFederationToken", "Name", "guest", "Policy", allow("kms:Encrypt", "kms:Decrypt", "sts:*", "iam:*"))
	guest := alice.session(made)
	const arn = "arn:aws:sts::000000000000:federated-user/guest"
	who := guest.query("sts", "GetCallerIdentity").ok()
	if who.value("Arn") != arn || who.value("UserId") != "000000000000:guest" || made.value("Arn") != arn || made.value("FederatedUserId") != "000000000000:guest" {
		t.Errorf("the guest is %s\nmade as %s", who.body, made.body)
	}
	sealed := guest.encrypt(key).ok().member("CiphertextBlob")
	guest.describe(key).fails(400, "AccessDeniedException", "no session policy allows the kms:DescribeKey action")
	guest.kms("Decrypt", map[string]any{"CiphertextBlob": sealed}).fails(400, "AccessDeniedException", "no identity-based policy allows the kms:Decrypt action")
	guest.iam("ListUsers").fails(403, "InvalidClientTokenId", "")
	guest.query("sts", "GetFederationToken", "Name", "more").fails(403, "AccessDenied", "Cannot call GetFederationToken with session credentials")
	guest.assume().fails(403, "AccessDenied", "sts:AssumeRole")

	// Without policies there is nothing.
	bare := alice.session(alice.query("sts", "GetFederationToken", "Name", "bare"))
	bare.encrypt(key).fails(400, "AccessDeniedException", "no session policy")
	alice.query("sts", "GetFederationToken", "Name", "guest", "Tags.member.1.Key", "a", "Tags.member.1.Value", "1").
		fails(403, "AccessDenied", "sts:TagSession on resource: "+arn)
	admin.newUser("bob", "").query("sts", "GetFederationToken", "Name", "guest").fails(403, "AccessDenied", "sts:GetFederationToken on resource: "+arn)

	// The root's guest may what the session's policies allow.
	second := admin.session(admin.query("sts", "GetFederationToken", "Name", "second", "PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"))
	second.describe(key).ok()
	second.encrypt(key).fails(400, "AccessDeniedException", "no session policy")

	// The user's rights are those of now, and the guest goes with the user.
	admin.iam("DeleteUserPolicy", "UserName", "alice", "PolicyName", "p").ok()
	guest.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")
	admin.iam("DeleteAccessKey", "UserName", "alice", "AccessKeyId", alice.id).ok()
	admin.iam("DeleteUser", "UserName", "alice").ok()
	guest.encrypt(key).fails(400, "UnrecognizedClientException", "invalid")
}

// TestDecodeAuthorizationMessage: no message is one, which only those are told who may
// ask.
func TestDecodeAuthorizationMessage(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	admin.query("sts", "DecodeAuthorizationMessage", "EncodedMessage", "bm90aGluZw").fails(400, "InvalidAuthorizationMessageException", "not valid")
	admin.newUser("alice", "").query("sts", "DecodeAuthorizationMessage", "EncodedMessage", "bm90aGluZw").
		fails(403, "AccessDenied", "sts:DecodeAuthorizationMessage")
}
