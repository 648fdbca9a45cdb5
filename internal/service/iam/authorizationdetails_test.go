package iam_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

// populated is an account with one of each.
func populated(t *testing.T) *client {
	t.Helper()
	admin := root(t, strongroomtest.Start(t))
	admin.newUser("alice", allow("kms:Encrypt"))
	admin.iam("CreateGroup", "GroupName", "staff").ok()
	admin.iam("AddUserToGroup", "GroupName", "staff", "UserName", "alice").ok()
	admin.newRole(trust("000000000000"), allow("kms:Decrypt"))
	arn := admin.iam("CreatePolicy", "PolicyName", "own", "PolicyDocument", allow("kms:Sign")).ok().value("Arn")
	admin.iam("CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", allow("kms:Verify"), "SetAsDefault", "true").ok()
	admin.iam("AttachUserPolicy", "UserName", "alice", "PolicyArn", arn).ok()
	admin.iam("AttachGroupPolicy", "GroupName", "staff", "PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess").ok()
	admin.iam("CreateInstanceProfile", "InstanceProfileName", "web").ok()
	admin.iam("AddRoleToInstanceProfile", "InstanceProfileName", "web", "RoleName", "worker").ok()
	admin.iam("CreateVirtualMFADevice", "VirtualMFADeviceName", "phone").ok()
	return admin
}

func TestGetAccountAuthorizationDetails(t *testing.T) {
	admin := populated(t)
	a := admin.iam("GetAccountAuthorizationDetails").ok()
	for _, want := range []string{
		"<UserName>alice</UserName>", "<GroupList><member>staff</member></GroupList>", "kms%3AEncrypt", "<GroupName>staff</GroupName>",
		"<RoleName>worker</RoleName>", "kms%3ADecrypt", "<InstanceProfileName>web</InstanceProfileName>",
		"<PolicyName>own</PolicyName>", "kms%3ASign", "kms%3AVerify", "<DefaultVersionId>v2</DefaultVersionId>", "<PolicyName>ReadOnlyAccess</PolicyName>",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(a.body, "<PolicyName>AdministratorAccess") {
		t.Error("lists one of AWS's policies that nobody has")
	}
	for filter, want := range map[string][]string{"User": {"alice"}, "Role": nil} {
		if got := admin.iam("GetAccountAuthorizationDetails", "Filter.member.1", filter).ok().values("UserName"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s", filter, got)
		}
	}
	// One by one, each comes once.
	var seen int
	marker := ""
	for pages := 1; ; pages++ {
		params := []string{"MaxItems", "1"}
		if marker != "" {
			params = append(params, "Marker", marker)
		}
		page := admin.iam("GetAccountAuthorizationDetails", params...).ok()
		seen += len(page.values("UserId")) + len(page.values("GroupId")) + strings.Count(page.body, "<RolePolicyList>") + strings.Count(page.body, "<PolicyVersionList>")
		if page.value("IsTruncated") == "false" || pages > 10 {
			break
		}
		marker = page.value("Marker")
	}
	if seen != 5 {
		t.Errorf("%d entries on all pages, want 5", seen)
	}
	admin.newUser("bob", "").iam("GetAccountAuthorizationDetails").fails(403, "AccessDenied", "iam:GetAccountAuthorizationDetails")
}

func TestGetAccountSummary(t *testing.T) {
	a := populated(t).iam("GetAccountSummary").ok()
	got := map[string]string{}
	values := a.values("value")
	for i, key := range a.values("key") {
		got[key] = values[i]
	}
	for key, want := range map[string]string{"Users": "1", "Groups": "1", "Roles": "1", "Policies": "1", "PolicyVersionsInUse": "2",
		"InstanceProfiles": "1", "Providers": "0", "MFADevices": "1", "MFADevicesInUse": "0", "AccessKeysPerUserQuota": "2"} {
		if got[key] != want {
			t.Errorf("%s is %q, want %s", key, got[key], want)
		}
	}
}
