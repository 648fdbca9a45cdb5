package iam_test

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

const firstPassword, secondPassword = "Correct-Horse-1", "Battery-Staple-2"

func TestLoginProfiles(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", allow("iam:ChangePassword"))
	admin.iam("GetLoginProfile", "UserName", "alice").fails(404, "NoSuchEntity", "Login Profile for User alice cannot be found.")
	admin.iam("UpdateLoginProfile", "UserName", "alice", "Password", firstPassword).fails(404, "NoSuchEntity", "Login Profile for User alice cannot be found.")
	admin.iam("DeleteLoginProfile", "UserName", "alice").fails(404, "NoSuchEntity", "Login Profile for User alice cannot be found.")
	alice.iam("ChangePassword", "OldPassword", firstPassword, "NewPassword", secondPassword).fails(404, "NoSuchEntity", "Login Profile for User alice cannot be found.")
	admin.iam("CreateLoginProfile", "UserName", "nobody", "Password", firstPassword).fails(404, "NoSuchEntity", "nobody")
	admin.iam("CreateLoginProfile", "UserName", "alice").fails(400, "ValidationError", "password")
	admin.iam("CreateLoginProfile", "UserName", "alice", "Password", "short").fails(400, "PasswordPolicyViolation", "minimum length of 8")
	made := admin.iam("CreateLoginProfile", "UserName", "alice", "Password", firstPassword, "PasswordResetRequired", "true").ok()
	if made.value("UserName") != "alice" || made.value("PasswordResetRequired") != "true" || made.value("CreateDate") == "" {
		t.Errorf("%s", made.body)
	}
	admin.iam("CreateLoginProfile", "UserName", "alice", "Password", firstPassword).fails(409, "EntityAlreadyExists", "Login Profile for user alice already exists.")
	admin.iam("DeleteUser", "UserName", "alice").fails(409, "DeleteConflict", "must delete login profile first")

	alice.iam("ChangePassword", "OldPassword", secondPassword, "NewPassword", firstPassword).fails(403, "AccessDenied", "old password")
	alice.iam("ChangePassword", "OldPassword", firstPassword, "NewPassword", "12345678").fails(400, "PasswordPolicyViolation", "kinds")
	alice.iam("ChangePassword", "OldPassword", firstPassword, "NewPassword", secondPassword).ok()
	if got := admin.iam("GetLoginProfile", "UserName", "alice").ok().value("PasswordResetRequired"); got != "false" {
		t.Errorf("a changed password must be changed: %s", got)
	}
	alice.iam("ChangePassword", "OldPassword", firstPassword, "NewPassword", secondPassword).fails(403, "AccessDenied", "old password")
	admin.iam("ChangePassword", "OldPassword", firstPassword, "NewPassword", secondPassword).fails(400, "InvalidUserType", "Only IAM Users")

	admin.iam("UpdateLoginProfile", "UserName", "alice", "PasswordResetRequired", "true").ok()
	alice.iam("ChangePassword", "OldPassword", secondPassword, "NewPassword", secondPassword).ok()
	admin.iam("UpdateLoginProfile", "UserName", "alice", "Password", firstPassword).ok()
	alice.iam("ChangePassword", "OldPassword", firstPassword, "NewPassword", secondPassword).ok()
	admin.iam("DeleteLoginProfile", "UserName", "alice").ok()
	admin.iam("GetLoginProfile", "UserName", "alice").fails(404, "NoSuchEntity", "")
	alice.iam("GetLoginProfile").fails(403, "AccessDenied", "iam:GetLoginProfile")
	admin.iam("GetLoginProfile").fails(404, "NoSuchEntity", "Name a user")
}

// TestOwnPasswords: the account's policy lets users change their passwords, and keeps
// old ones away; a Deny is stronger.
func TestOwnPasswords(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", "")
	admin.iam("CreateLoginProfile", "UserName", "alice", "Password", firstPassword).ok()
	change := func(from, to string) *answer {
		return alice.iam("ChangePassword", "OldPassword", from, "NewPassword", to)
	}
	change(firstPassword, secondPassword).fails(403, "AccessDenied", "iam:ChangePassword on resource: "+accountARN+"user/alice")
	admin.iam("UpdateAccountPasswordPolicy", "AllowUsersToChangePassword", "true", "PasswordReusePrevention", "2", "RequireSymbols", "true").ok()
	change(firstPassword, firstPassword).fails(400, "PasswordPolicyViolation", "one of the last 2")
	change(firstPassword, "WithoutSymbols1").fails(400, "PasswordPolicyViolation", "at least one symbol")
	change(firstPassword, secondPassword).ok()
	change(secondPassword, firstPassword).fails(400, "PasswordPolicyViolation", "one of the last 2")
	admin.iam("UpdateLoginProfile", "UserName", "alice", "Password", firstPassword).fails(400, "PasswordPolicyViolation", "one of the last 2")
	change(secondPassword, "Third-One-3").ok()
	change("Third-One-3", firstPassword).ok()
	// What is another user's is not its own.
	admin.newUser("bob", "").iam("UpdateLoginProfile", "UserName", "alice", "Password", secondPassword).fails(403, "AccessDenied", "")
	admin.iam("PutUserPolicy", "UserName", "alice", "PolicyName", "no", "PolicyDocument", strings.Replace(allow("iam:ChangePassword"), "Allow", "Deny", 1)).ok()
	change(firstPassword, secondPassword).fails(403, "AccessDenied", "explicit deny")
	admin.iam("DeleteUserPolicy", "UserName", "alice", "PolicyName", "no").ok()

	// Guessing the old password is slowed down, and so is whoever knows it.
	for range 5 {
		change("Wrong-Guess-1", secondPassword).fails(403, "AccessDenied", "old password")
	}
	change(firstPassword, secondPassword).fails(403, "AccessDenied", "old password")
}
