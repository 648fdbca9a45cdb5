package iam_test

import (
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/strongroomtest"
)

func TestAccountAlias(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	other := admin.with("111122223333", "x", "")
	list := func() string { return strings.Join(admin.iam("ListAccountAliases").ok().values("member"), ",") }
	admin.iam("CreateAccountAlias", "AccountAlias", "bank").ok()
	other.iam("CreateAccountAlias", "AccountAlias", "bank").fails(409, "EntityAlreadyExists", "The account alias bank already exists.")
	admin.iam("CreateAccountAlias", "AccountAlias", "vault").ok()
	if got := list(); got != "vault" {
		t.Errorf("aliases %s", got)
	}
	other.iam("CreateAccountAlias", "AccountAlias", "bank").ok() // free again
	admin.iam("DeleteAccountAlias", "AccountAlias", "bank").fails(404, "NoSuchEntity", "bank")
	admin.iam("DeleteAccountAlias", "AccountAlias", "vault").ok()
	if got := list(); got != "" {
		t.Errorf("aliases %s", got)
	}
	admin.iam("CreateAccountAlias", "AccountAlias", "No").fails(400, "ValidationError", "accountAlias")
	admin.newUser("alice", "").iam("ListAccountAliases").fails(403, "AccessDenied", "iam:ListAccountAliases")
}

func TestAccountPasswordPolicy(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	admin.iam("GetAccountPasswordPolicy").fails(404, "NoSuchEntity", "The Password Policy with domain name 000000000000 cannot be found.")
	admin.iam("DeleteAccountPasswordPolicy").fails(404, "NoSuchEntity", "The account policy with name PasswordPolicy cannot be found.")
	admin.iam("UpdateAccountPasswordPolicy", "MinimumPasswordLength", "14", "RequireSymbols", "true", "MaxPasswordAge", "90").ok()
	if a := admin.iam("GetAccountPasswordPolicy").ok(); a.value("MinimumPasswordLength") != "14" || a.value("RequireSymbols") != "true" || a.value("ExpirePasswords") != "true" || a.value("MaxPasswordAge") != "90" {
		t.Errorf("%s", a.body)
	}
	admin.iam("UpdateAccountPasswordPolicy").ok() // everything back to its default
	if a := admin.iam("GetAccountPasswordPolicy").ok(); a.value("MinimumPasswordLength") != "6" || a.value("RequireSymbols") != "false" || a.value("ExpirePasswords") != "false" || a.value("MaxPasswordAge") != "" {
		t.Errorf("%s", a.body)
	}
	admin.iam("DeleteAccountPasswordPolicy").ok()
	admin.iam("GetAccountPasswordPolicy").fails(404, "NoSuchEntity", "")
}

// TestRevokingARolesSessions: the policy that AWS's console attaches to a role to
// revoke its sessions ends those that were issued before, and no others.
func TestRevokingARolesSessions(t *testing.T) {
	s := strongroomtest.Start(t)
	admin := root(t, s)
	key := admin.newKey("")
	admin.newRole(trust("000000000000"), allow("kms:Encrypt"))
	alice := admin.newUser("alice", allow("sts:AssumeRole"))
	before := alice.session(alice.assume())
	before.encrypt(key).ok()
	s.Advance(time.Minute)
	admin.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "AWSRevokeOlderSessions", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"`+
			time.Now().Add(30*time.Second).UTC().Format("2006-01-02T15:04:05.000Z")+`"}}}]}`).ok()
	before.encrypt(key).fails(400, "AccessDeniedException", "with an explicit deny in an identity-based policy")
	alice.session(alice.assume()).encrypt(key).ok()
}
