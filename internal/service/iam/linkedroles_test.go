package iam_test

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

const (
	linkedRole   = "AWSServiceRoleForKeyManagementServiceMultiRegionKeys"
	linkedPolicy = "arn:aws:iam::aws:policy/aws-service-role/AWSKeyManagementServiceMultiRegionKeysServiceRolePolicy"
	onlyByAWS    = "Cannot perform the operation on the protected role '" + linkedRole + "' - this role is only modifiable by AWS"
)

// TestServiceLinkedRoles: a service's role is made and deleted as such; users change
// its description and its tags, and nothing else, whatever they may.
func TestServiceLinkedRoles(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	made := admin.iam("CreateServiceLinkedRole", "AWSServiceName", "mrk.kms.amazonaws.com").ok()
	arn := accountARN + "role/aws-service-role/mrk.kms.amazonaws.com/" + linkedRole
	if made.value("Arn") != arn || !strings.Contains(made.value("AssumeRolePolicyDocument"), "mrk.kms.amazonaws.com") {
		t.Errorf("%s", made.body)
	}
	if got := admin.iam("ListAttachedRolePolicies", "RoleName", linkedRole).ok().value("PolicyArn"); got != linkedPolicy {
		t.Errorf("its policy is %s", got)
	}
	admin.iam("CreateServiceLinkedRole", "AWSServiceName", "mrk.kms.amazonaws.com").fails(400, "InvalidInput", "has been taken in this account")
	admin.iam("CreateServiceLinkedRole", "AWSServiceName", "cks.kms.amazonaws.com", "CustomSuffix", "x").fails(400, "InvalidInput", "Custom suffix is not allowed for cks.kms.amazonaws.com")
	admin.iam("CreateServiceLinkedRole", "AWSServiceName", "nothing.amazonaws.com").fails(400, "InvalidInput", "nothing.amazonaws.com")

	admin.iam("CreateInstanceProfile", "InstanceProfileName", "p").ok()
	for _, refused := range []*answer{
		admin.iam("DeleteRole", "RoleName", linkedRole),
		admin.iam("UpdateAssumeRolePolicy", "RoleName", linkedRole, "PolicyDocument", trust("000000000000")),
		admin.iam("UpdateRole", "RoleName", linkedRole, "MaxSessionDuration", "43200"),
		admin.iam("PutRolePolicy", "RoleName", linkedRole, "PolicyName", "p", "PolicyDocument", allow("kms:*")),
		admin.iam("AttachRolePolicy", "RoleName", linkedRole, "PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess"),
		admin.iam("DetachRolePolicy", "RoleName", linkedRole, "PolicyArn", linkedPolicy),
		admin.iam("PutRolePermissionsBoundary", "RoleName", linkedRole, "PermissionsBoundary", "arn:aws:iam::aws:policy/AdministratorAccess"),
		admin.iam("AddRoleToInstanceProfile", "InstanceProfileName", "p", "RoleName", linkedRole),
	} {
		refused.fails(400, "UnmodifiableEntity", onlyByAWS)
	}
	admin.iam("UpdateRole", "RoleName", linkedRole, "Description", "ours").ok()
	admin.iam("UpdateRoleDescription", "RoleName", linkedRole, "Description", "still ours").ok()
	admin.iam("TagRole", "RoleName", linkedRole, "Tags.member.1.Key", "a", "Tags.member.1.Value", "b").ok()
	admin.iam("UntagRole", "RoleName", linkedRole, "TagKeys.member.1", "a").ok()
	alice := admin.newUser("alice", allow("sts:*"))
	alice.query("sts", "AssumeRole", "RoleArn", arn, "RoleSessionName", "day").fails(403, "AccessDenied", "sts:AssumeRole")

	// Such a path and such a policy are for such roles.
	admin.iam("CreateRole", "RoleName", "mine", "Path", "/aws-service-role/mrk.kms.amazonaws.com/", "AssumeRolePolicyDocument", trust("000000000000")).fails(400, "InvalidInput", "reserved")
	admin.iam("AttachUserPolicy", "UserName", "alice", "PolicyArn", linkedPolicy).fails(400, "PolicyNotAttachable", "Service Role Policy")
	admin.iam("PutUserPermissionsBoundary", "UserName", "alice", "PermissionsBoundary", linkedPolicy).fails(400, "PolicyNotAttachable", "Service Role Policy")

	admin.newRole(trust("000000000000"), allow("kms:*"))
	admin.iam("DeleteServiceLinkedRole", "RoleName", "worker").fails(400, "InvalidInput", "worker")
	task := admin.iam("DeleteServiceLinkedRole", "RoleName", linkedRole).ok().value("DeletionTaskId")
	if !strings.HasPrefix(task, "task/aws-service-role/mrk.kms.amazonaws.com/"+linkedRole+"/") {
		t.Errorf("the task is %s", task)
	}
	if got := admin.iam("GetServiceLinkedRoleDeletionStatus", "DeletionTaskId", task).ok().value("Status"); got != "SUCCEEDED" {
		t.Errorf("the deletion is %s", got)
	}
	for _, other := range []string{task + "x", "task/aws-service-role/mrk.kms.amazonaws.com/x/y", "none", strings.Repeat("/", 4)} {
		admin.iam("GetServiceLinkedRoleDeletionStatus", "DeletionTaskId", other).fails(404, "NoSuchEntity", other)
	}
	admin.iam("GetRole", "RoleName", linkedRole).fails(404, "NoSuchEntity", "")
	admin.iam("DeleteServiceLinkedRole", "RoleName", linkedRole).fails(404, "NoSuchEntity", "")
	admin.iam("CreateServiceLinkedRole", "AWSServiceName", "mrk.kms.amazonaws.com").ok()
}

// TestServiceLinkedRoleConditions: whoever may make the role of one service makes no
// other's.
func TestServiceLinkedRoleConditions(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole"],"Resource":"*",
		"Condition":{"StringLike":{"iam:AWSServiceName":"mrk.kms.amazonaws.com"}}}]}`)
	alice.iam("CreateServiceLinkedRole", "AWSServiceName", "mrk.kms.amazonaws.com").ok()
	alice.iam("CreateServiceLinkedRole", "AWSServiceName", "cks.kms.amazonaws.com").fails(403, "AccessDenied", "role/aws-service-role/cks.kms.amazonaws.com/AWSServiceRoleForKeyManagementServiceCustomKeyStores")
	alice.iam("CreateServiceLinkedRole", "AWSServiceName", "nothing.amazonaws.com").fails(403, "AccessDenied", "")
	alice.iam("DeleteServiceLinkedRole", "RoleName", linkedRole).ok()
}
