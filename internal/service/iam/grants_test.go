package iam_test

import (
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

// TestGrantsKnowWhoseNameItWas: a grant is to the user that had the name when it
// was made, not to whoever has the name now.
func TestGrantsKnowWhoseNameItWas(t *testing.T) {
	s := strongroomtest.Start(t)
	admin := root(t, s)
	key := admin.newKey("")
	alice := admin.newUser("alice", "")
	arn := "arn:aws:iam::" + s.Account + ":user/alice"
	admin.kms("CreateGrant", map[string]any{"KeyId": key, "GranteePrincipal": arn, "Operations": []string{"Encrypt"}}).ok()
	alice.encrypt(key).ok()

	id := admin.iam("ListAccessKeys", "UserName", "alice").ok().value("AccessKeyId")
	admin.iam("DeleteAccessKey", "UserName", "alice", "AccessKeyId", id).ok()
	admin.iam("DeleteUser", "UserName", "alice").ok()
	another := admin.newUser("alice", "")
	another.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy allows")
}
