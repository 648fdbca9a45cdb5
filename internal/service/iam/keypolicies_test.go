package iam_test

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

// TestKeyPoliciesKnowWhoseNameItWas: a key policy admits the user, role or session
// that was meant when it was put, whatever it is called now, and nobody who comes
// after it.
func TestKeyPoliciesKnowWhoseNameItWas(t *testing.T) {
	s := strongroomtest.Start(t)
	admin := root(t, s)
	alice := admin.newUser("alice", "")
	trusts := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + s.Account + `"},"Action":"sts:AssumeRole"}]}`
	role := func() *client {
		admin.iam("CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trusts).ok()
		a := admin.newUser("assumer", allow("sts:AssumeRole")).query("sts", "AssumeRole", "RoleArn", "arn:aws:iam::"+s.Account+":role/worker", "RoleSessionName", "one").ok()
		return admin.with(a.value("AccessKeyId"), a.value("SecretAccessKey"), a.value("SessionToken"))
	}
	worker := role()
	const names = `["arn:aws:iam::000000000000:user/alice","arn:aws:iam::000000000000:role/worker","arn:aws:sts::000000000000:assumed-role/worker/one"]`
	policy := func(principals string) string {
		return `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":` + principals + `},"Action":"kms:Encrypt","Resource":"*"}]}`
	}
	key := admin.newKey(policy(names))
	shown := func() string {
		return strings.Join(strings.Fields(admin.kms("GetKeyPolicy", map[string]any{"KeyId": key}).ok().member("Policy")), "")
	}
	alice.encrypt(key).ok()
	worker.encrypt(key).ok()
	if got := shown(); !strings.Contains(got, names) {
		t.Errorf("shown as %s", got)
	}

	admin.iam("UpdateUser", "UserName", "alice", "NewUserName", "alicia", "NewPath", "/team/").ok()
	alice.encrypt(key).ok()
	if got := shown(); !strings.Contains(got, "user/team/alicia") {
		t.Errorf("shown as %s", got)
	}

	userID := admin.iam("GetUser", "UserName", "alicia").ok().value("UserId")
	roleID := admin.iam("GetRole", "RoleName", "worker").ok().value("RoleId")
	for _, user := range []string{"alicia", "assumer"} {
		if user == "assumer" {
			admin.iam("DeleteUserPolicy", "UserName", user, "PolicyName", "p").ok()
		}
		id := admin.iam("ListAccessKeys", "UserName", user).ok().value("AccessKeyId")
		admin.iam("DeleteAccessKey", "UserName", user, "AccessKeyId", id).ok()
		admin.iam("DeleteUser", "UserName", user).ok()
	}
	admin.iam("DeleteRole", "RoleName", "worker").ok()
	admin.newUser("alice", "").encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy allows")
	admin.iam("CreateUser", "UserName", "alicia", "Path", "/team/").ok()
	role().encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy allows")
	if got, want := shown(), `["`+userID+`","`+roleID+`","`+roleID+`:one"]`; !strings.Contains(got, want) {
		t.Errorf("shown as %s, want %s", got, want)
	}
	// Who is gone cannot be named anew.
	admin.kms("PutKeyPolicy", map[string]any{"KeyId": key, "Policy": policy(`"` + userID + `"`)}).
		fails(400, "MalformedPolicyDocumentException", "invalid principals")
}
