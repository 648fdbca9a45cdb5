package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

// TestUserMayEncryptOnly: a user whose policy allows kms:Encrypt may encrypt, but
// neither decrypt nor change the key's policy.
func TestUserMayEncryptOnly(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	alice := admin.newUser("alice", allow("kms:Encrypt"))
	sealed := alice.encrypt(key).ok().member("CiphertextBlob")
	decrypt := map[string]any{"CiphertextBlob": sealed}
	alice.kms("Decrypt", decrypt).fails(400, "AccessDeniedException", "because no identity-based policy allows the kms:Decrypt action")
	alice.kms("PutKeyPolicy", map[string]any{"KeyId": key, "Policy": allow("kms:*")}).
		fails(400, "AccessDeniedException", "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: kms:PutKeyPolicy on resource: "+key)
	admin.kms("Decrypt", decrypt).ok()

	// An explicit Deny wins over every Allow, at once.
	admin.iam("PutUserPolicy", "UserName", "alice", "PolicyName", "no",
		"PolicyDocument", strings.Replace(allow("kms:Encrypt"), "Allow", "Deny", 1)).ok()
	alice.encrypt(key).fails(400, "AccessDeniedException", "with an explicit deny in an identity-based policy")
	admin.iam("DeleteUserPolicy", "UserName", "alice", "PolicyName", "no").ok()
	alice.encrypt(key).ok()
	admin.iam("DeleteUserPolicy", "UserName", "alice", "PolicyName", "p").ok()
	alice.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")
}

// TestKeyPolicyWithoutRoot: the root needs a statement in the key policy, and
// without the account's statement IAM policies have no effect.
func TestKeyPolicyWithoutRoot(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	keeper := admin.newUser("keeper", "")
	bystander := admin.newUser("bystander", allow("kms:*"))
	key := admin.newKey(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/keeper"},"Action":"kms:*","Resource":"*"}]}`)
	const noStatement = "because no resource-based policy allows the kms:Encrypt action"
	admin.encrypt(key).fails(400, "AccessDeniedException", noStatement)
	bystander.encrypt(key).fails(400, "AccessDeniedException", noStatement)
	keeper.encrypt(key).ok() // named by the key policy, without any IAM policy

	// IAM's Deny still bites.
	admin.iam("PutUserPolicy", "UserName", "keeper", "PolicyName", "no", "PolicyDocument", strings.Replace(allow("kms:*"), "Allow", "Deny", 1)).ok()
	keeper.encrypt(key).fails(400, "AccessDeniedException", "with an explicit deny in an identity-based policy")
}

// TestKeyPolicyNamesWhoExists: a user or role that a key policy names must exist.
func TestKeyPolicyNamesWhoExists(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	admin.newUser("alice", "")
	for arn, exists := range map[string]bool{
		"arn:aws:iam::000000000000:user/alice":                        true,
		"arn:aws:iam::000000000000:user/team/alice":                   false,
		"arn:aws:iam::000000000000:user/bob":                          false,
		"arn:aws:iam::000000000000:role/alice":                        false,
		"arn:aws:iam::000000000000:user/" + strings.Repeat("x", 1100): false,
	} {
		a := admin.kms("CreateKey", map[string]any{"BypassPolicyLockoutSafetyCheck": true,
			"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + arn + `"},"Action":"kms:*","Resource":"*"}]}`})
		if exists {
			a.ok()
		} else {
			a.fails(400, "MalformedPolicyDocumentException", "invalid principals")
		}
	}
}

// TestBoundaryLimits: a permissions boundary gives nothing and limits everything
// that identity policies give.
func TestBoundaryLimits(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	boundary := admin.iam("CreatePolicy", "PolicyName", "limit", "PolicyDocument", allow("kms:Encrypt")).ok().value("Arn")
	alice := admin.newUser("alice", allow("kms:*"))
	admin.iam("PutUserPermissionsBoundary", "UserName", "alice", "PermissionsBoundary", boundary).ok()
	alice.encrypt(key).ok()
	alice.kms("DescribeKey", map[string]any{"KeyId": key}).fails(400, "AccessDeniedException", "because no permissions boundary allows the kms:DescribeKey action")
	if got := admin.iam("GetUser", "UserName", "alice").ok().value("PermissionsBoundaryArn"); got != boundary {
		t.Errorf("the boundary is %q", got)
	}
	admin.iam("DeletePolicy", "PolicyArn", boundary).fails(409, "DeleteConflict", "attached")

	// A new version in force changes what the boundary lets through.
	admin.iam("CreatePolicyVersion", "PolicyArn", boundary, "PolicyDocument", allow("kms:Describe*"), "SetAsDefault", "true").ok()
	alice.encrypt(key).fails(400, "AccessDeniedException", "permissions boundary")
	alice.kms("DescribeKey", map[string]any{"KeyId": key}).ok()
	admin.iam("DeleteUserPermissionsBoundary", "UserName", "alice").ok()
	alice.encrypt(key).ok()
	admin.iam("DeleteUserPermissionsBoundary", "UserName", "alice").fails(404, "NoSuchEntity", "does not have a permissions boundary")
	admin.iam("PutUserPermissionsBoundary", "UserName", "alice", "PermissionsBoundary", boundary+"x").fails(404, "NoSuchEntity", "does not exist")
}

// TestAccessKeysStopAtOnce: a key that is deactivated or deleted opens nothing
// from the answer on.
func TestAccessKeysStopAtOnce(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	alice := admin.newUser("alice", allow("kms:Encrypt"))
	const invalid = "The security token included in the request is invalid."
	alice.encrypt(key).ok()
	admin.iam("UpdateAccessKey", "UserName", "alice", "AccessKeyId", alice.id, "Status", "Inactive").ok()
	alice.encrypt(key).fails(400, "UnrecognizedClientException", invalid)
	alice.query("sts", "GetCallerIdentity").fails(403, "InvalidClientTokenId", invalid)
	admin.iam("UpdateAccessKey", "UserName", "alice", "AccessKeyId", alice.id, "Status", "Active").ok()
	alice.encrypt(key).ok()
	admin.iam("DeleteAccessKey", "UserName", "alice", "AccessKeyId", alice.id).ok()
	alice.encrypt(key).fails(400, "UnrecognizedClientException", invalid)
	admin.iam("DeleteAccessKey", "UserName", "alice", "AccessKeyId", alice.id).fails(404, "NoSuchEntity", alice.id)
}

// TestGroupsAndManagedPolicies: policies of a group hold for its members, and
// managed policies for whom they are attached to, AWS's own too.
func TestGroupsAndManagedPolicies(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	alice := admin.newUser("alice", "")
	admin.iam("CreateGroup", "GroupName", "readers").ok()
	admin.iam("AddUserToGroup", "GroupName", "readers", "UserName", "alice").ok()
	describe := func() *answer { return alice.kms("DescribeKey", map[string]any{"KeyId": key}) }
	describe().fails(400, "AccessDeniedException", "no identity-based policy")
	admin.iam("AttachGroupPolicy", "GroupName", "readers", "PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess").ok()
	describe().ok()
	alice.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")
	alice.iam("ListUsers").ok()
	alice.iam("CreateUser", "UserName", "mallory").fails(403, "AccessDenied",
		"User: arn:aws:iam::000000000000:user/alice is not authorized to perform: iam:CreateUser on resource: arn:aws:iam::000000000000:user/mallory because no identity-based policy allows the iam:CreateUser action")
	admin.iam("RemoveUserFromGroup", "GroupName", "readers", "UserName", "alice").ok()
	describe().fails(400, "AccessDeniedException", "no identity-based policy")

	admin.iam("AttachUserPolicy", "UserName", "alice", "PolicyArn", "arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser").ok()
	describe().ok()
	alice.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")
	admin.iam("AttachUserPolicy", "UserName", "alice", "PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess").ok()
	alice.encrypt(key).ok()
	alice.iam("CreateUser", "UserName", "bob").ok()
	if got := fmt.Sprint(admin.iam("ListAttachedUserPolicies", "UserName", "alice").ok().values("PolicyName")); got != "[AWSKeyManagementServicePowerUser AdministratorAccess]" {
		t.Errorf("attached: %s", got)
	}
	admin.iam("DetachUserPolicy", "UserName", "alice", "PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess").ok()
	alice.encrypt(key).fails(400, "AccessDeniedException", "no identity-based policy")
	admin.iam("DetachUserPolicy", "UserName", "alice", "PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess").fails(404, "NoSuchEntity", "was not found")
}

// TestOwnCredentials: without a name an operation means the caller.
func TestOwnCredentials(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", allow("iam:*"))
	if got := alice.iam("GetUser").ok().value("UserName"); got != "alice" {
		t.Errorf("alice is %q", got)
	}
	if got := alice.iam("ListAccessKeys").ok().value("AccessKeyId"); got != alice.id {
		t.Errorf("alice's key is %q, not %s", got, alice.id)
	}
	if got := admin.iam("GetUser").ok().value("Arn"); got != "arn:aws:iam::000000000000:root" {
		t.Errorf("the root is %q", got)
	}
	// The root's keys can be rotated.
	made := admin.iam("CreateAccessKey").ok()
	second := admin.with(made.value("AccessKeyId"), made.value("SecretAccessKey"), "")
	if got := second.query("sts", "GetCallerIdentity").ok().value("Arn"); got != "arn:aws:iam::000000000000:root" {
		t.Errorf("the new key is %q's", got)
	}
	second.iam("DeleteAccessKey", "AccessKeyId", second.id).ok()
	second.query("sts", "GetCallerIdentity").fails(403, "InvalidClientTokenId", "")
}

// TestRenamedUserStaysWhoItIs: access keys and groups follow a user who is
// renamed.
func TestRenamedUserStaysWhoItIs(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	key := admin.newKey("")
	alice := admin.newUser("alice", allow("kms:Encrypt"))
	id := admin.iam("GetUser", "UserName", "alice").ok().value("UserId")
	admin.iam("UpdateUser", "UserName", "alice", "NewUserName", "Alicia", "NewPath", "/team/").ok()
	alice.encrypt(key).ok()
	who := alice.query("sts", "GetCallerIdentity").ok()
	if who.value("Arn") != "arn:aws:iam::000000000000:user/team/Alicia" || who.value("UserId") != id {
		t.Errorf("alice is %s", who.body)
	}
	admin.iam("GetUser", "UserName", "alice").fails(404, "NoSuchEntity", "The user with name alice cannot be found.")
}

// TestRenameNeedsBothNames: whoever may change one path cannot move users out of
// it, or into it.
func TestRenameNeedsBothNames(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	keeper := admin.newUser("keeper", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:Update*","Resource":"`+accountARN+`*/low/*"}]}`)
	admin.iam("CreateUser", "UserName", "alice", "Path", "/low/").ok()
	admin.iam("CreateGroup", "GroupName", "staff", "Path", "/low/").ok()
	keeper.iam("UpdateUser", "UserName", "alice", "NewUserName", "alicia").ok()
	keeper.iam("UpdateUser", "UserName", "alicia", "NewPath", "/high/").fails(403, "AccessDenied", "iam:UpdateUser on resource: "+accountARN+"user/high/alicia")
	keeper.iam("UpdateGroup", "GroupName", "staff", "NewPath", "/high/").fails(403, "AccessDenied", "iam:UpdateGroup on resource: "+accountARN+"group/high/staff")
	keeper.iam("UpdateUser", "UserName", "keeper", "NewPath", "/low/").fails(403, "AccessDenied", "iam:UpdateUser on resource: "+accountARN+"user/keeper")
	admin.iam("UpdateGroup", "GroupName", "staff", "NewGroupName", "crew", "NewPath", "/high/").ok()
	if got := admin.iam("GetGroup", "GroupName", "crew").ok().value("Arn"); got != accountARN+"group/high/crew" {
		t.Errorf("the group is %s", got)
	}
	admin.iam("CreateGroup", "GroupName", "other").ok()
	admin.iam("UpdateGroup", "GroupName", "other", "NewGroupName", "CREW").fails(409, "EntityAlreadyExists", "Group with name CREW already exists.")
}
