package iam_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

const accountARN = "arn:aws:iam::000000000000:"

// trust is a trust policy that names a principal.
func trust(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"}]}`
}

// TestErrors: what each operation refuses, with AWS's codes and statuses.
func TestErrors(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	admin.newUser("alice", allow("kms:Encrypt"))
	admin.iam("CreateGroup", "GroupName", "staff").ok()
	admin.iam("CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust("000000000000")).ok()
	arn := admin.iam("CreatePolicy", "PolicyName", "p", "PolicyDocument", allow("kms:*")).ok().value("Arn")
	admin.iam("AttachUserPolicy", "UserName", "alice", "PolicyArn", arn).ok()
	admin.iam("AttachGroupPolicy", "GroupName", "staff", "PolicyArn", arn).ok()
	admin.iam("AttachRolePolicy", "RoleName", "worker", "PolicyArn", arn).ok()
	admin.iam("AddUserToGroup", "GroupName", "staff", "UserName", "alice").ok()

	bad := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*","Effect":"Deny"}]}`
	for _, c := range []struct {
		call   []string
		status int
		code   string
		text   string
	}{
		{[]string{"CreateUser", "UserName", "ALICE"}, 409, "EntityAlreadyExists", "User with name ALICE already exists."},
		{[]string{"CreateGroup", "GroupName", "staff"}, 409, "EntityAlreadyExists", "Group with name staff already exists."},
		{[]string{"CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust("*")}, 409, "EntityAlreadyExists", "Role with name worker already exists."},
		{[]string{"CreatePolicy", "PolicyName", "P", "Path", "/x/", "PolicyDocument", allow("kms:*")}, 409, "EntityAlreadyExists", "A policy called P already exists."},
		{[]string{"UpdateUser", "UserName", "nobody"}, 404, "NoSuchEntity", "The user with name nobody cannot be found."},
		{[]string{"GetUser", "UserName", "nobody"}, 404, "NoSuchEntity", "The user with name nobody cannot be found."},
		{[]string{"DeleteUser", "UserName", "nobody"}, 404, "NoSuchEntity", "nobody"},
		{[]string{"CreateAccessKey", "UserName", "nobody"}, 404, "NoSuchEntity", "nobody"},
		{[]string{"GetGroup", "GroupName", "nobody"}, 404, "NoSuchEntity", "The group with name nobody cannot be found."},
		{[]string{"GetRole", "RoleName", "nobody"}, 404, "NoSuchEntity", "The role with name nobody cannot be found."},
		{[]string{"AddUserToGroup", "GroupName", "staff", "UserName", "nobody"}, 404, "NoSuchEntity", "The user with name nobody cannot be found."},
		{[]string{"GetUserPolicy", "UserName", "alice", "PolicyName", "x"}, 404, "NoSuchEntity", "The user policy with name x cannot be found."},
		{[]string{"DeleteRolePolicy", "RoleName", "worker", "PolicyName", "x"}, 404, "NoSuchEntity", "The role policy with name x cannot be found."},
		{[]string{"GetPolicy", "PolicyArn", arn + "x"}, 404, "NoSuchEntity", "Policy " + arn + "x was not found."},
		{[]string{"GetPolicy", "PolicyArn", accountARN + "policy/" + strings.Repeat("x", 1900)}, 404, "NoSuchEntity", "was not found."},
		{[]string{"GetPolicyVersion", "PolicyArn", arn, "VersionId", "v9"}, 404, "NoSuchEntity", "version v9"},
		{[]string{"AttachUserPolicy", "UserName", "alice", "PolicyArn", arn + "x"}, 404, "NoSuchEntity", "does not exist or is not attachable."},
		{[]string{"AttachUserPolicy", "UserName", "alice", "PolicyArn", "arn:aws:iam::aws:policy/Nothing"}, 404, "NoSuchEntity", "does not exist"},
		{[]string{"DetachRolePolicy", "RoleName", "worker", "PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess"}, 404, "NoSuchEntity", "was not found"},
		{[]string{"DeleteUser", "UserName", "alice"}, 409, "DeleteConflict", "must delete access keys first"},
		{[]string{"DeleteGroup", "GroupName", "staff"}, 409, "DeleteConflict", "must remove users from group first"},
		{[]string{"DeleteRole", "RoleName", "worker"}, 409, "DeleteConflict", "must detach all policies first"},
		{[]string{"DeletePolicy", "PolicyArn", arn}, 409, "DeleteConflict", "Cannot delete a policy attached to entities."},
		{[]string{"DeletePolicyVersion", "PolicyArn", arn, "VersionId", "v1"}, 409, "DeleteConflict", "Cannot delete the default version of a policy."},
		{[]string{"DeletePolicy", "PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess"}, 403, "AccessDenied", "is not authorized to perform: iam:DeletePolicy"},
		{[]string{"PutUserPolicy", "UserName", "alice", "PolicyName", "bad", "PolicyDocument", bad}, 400, "MalformedPolicyDocument", "Effect"},
		{[]string{"CreatePolicy", "PolicyName", "bad", "PolicyDocument", "{}"}, 400, "MalformedPolicyDocument", ""},
		{[]string{"CreateRole", "RoleName", "bad", "AssumeRolePolicyDocument", allow("sts:AssumeRole")}, 400, "MalformedPolicyDocument", ""},
		{[]string{"CreateRole", "RoleName", "bad", "AssumeRolePolicyDocument", trust(accountARN + "user/nobody")}, 400, "MalformedPolicyDocument", "Invalid principal in policy: \"AWS\":\"" + accountARN + "user/nobody\""},
		{[]string{"CreateUser", "UserName", "bad", "PermissionsBoundary", arn + "x"}, 404, "NoSuchEntity", "does not exist or is not attachable."},
		{[]string{"CreateUser", "UserName", "a b"}, 400, "ValidationError", "Value 'a b' at 'userName' failed to satisfy constraint"},
		{[]string{"CreateUser"}, 400, "ValidationError", "Value null at 'userName'"},
		{[]string{"CreateUser", "UserName", "bad", "Tags.member.1.Key", "a", "Tags.member.1.Value", "1", "Tags.member.2.Key", "A", "Tags.member.2.Value", "2"}, 400, "InvalidInput", "Duplicate tag keys"},
		{[]string{"TagUser", "UserName", "alice", "Tags.member.1.Key", "aws:x", "Tags.member.1.Value", "1"}, 400, "InvalidInput", "reserved"},
		{[]string{"ListUsers", "Marker", "made-up"}, 400, "ValidationError", "Invalid Marker."},
		{[]string{"ListSSHPublicKeys"}, 400, "InvalidAction", "Strongroom does not support iam:ListSSHPublicKeys yet."},
		{[]string{"Nothing"}, 400, "InvalidAction", ""},
	} {
		admin.iam(c.call[0], c.call[1:]...).fails(c.status, c.code, c.text)
	}
}

// TestLimits: the quotas.
func TestLimits(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	admin.newUser("alice", "")
	admin.iam("CreateAccessKey", "UserName", "alice").ok()
	admin.iam("CreateAccessKey", "UserName", "alice").fails(409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")

	for i := range 11 {
		group := fmt.Sprintf("g%d", i)
		admin.iam("CreateGroup", "GroupName", group).ok()
		arn := admin.iam("CreatePolicy", "PolicyName", group, "PolicyDocument", allow("kms:*")).ok().value("Arn")
		added := admin.iam("AddUserToGroup", "GroupName", group, "UserName", "alice")
		attached := admin.iam("AttachUserPolicy", "UserName", "alice", "PolicyArn", arn)
		if i < 10 {
			added.ok()
			attached.ok()
			continue
		}
		added.fails(409, "LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10")
		attached.fails(409, "LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10")
	}

	// White space does not count, and inline policies count together.
	long := func(n int) string {
		empty := allow("kms:")
		return strings.Replace(empty, `"kms:"`, strings.Repeat(" ", 100)+`"kms:`+strings.Repeat("x", n-len(empty))+`"`, 1)
	}
	admin.iam("PutUserPolicy", "UserName", "alice", "PolicyName", "a", "PolicyDocument", long(1024)).ok()
	admin.iam("PutUserPolicy", "UserName", "alice", "PolicyName", "b", "PolicyDocument", long(1025)).
		fails(409, "LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user alice")
	admin.iam("PutUserPolicy", "UserName", "alice", "PolicyName", "b", "PolicyDocument", long(1024)).ok()
	admin.iam("PutUserPolicy", "UserName", "alice", "PolicyName", "a", "PolicyDocument", long(1000)).ok()
	admin.iam("CreatePolicy", "PolicyName", "long", "PolicyDocument", long(6145)).fails(409, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144")
	arn := admin.iam("CreatePolicy", "PolicyName", "long", "PolicyDocument", long(6144)).ok().value("Arn")
	for range 4 {
		admin.iam("CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", allow("kms:*")).ok()
	}
	admin.iam("CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", allow("kms:*")).fails(409, "LimitExceeded", "up to 5 versions")
	admin.iam("DeletePolicy", "PolicyArn", arn).fails(409, "DeleteConflict", "more than one version")
	admin.iam("DeletePolicyVersion", "PolicyArn", arn, "VersionId", "v3").ok()
	if got := admin.iam("CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", allow("kms:*"), "SetAsDefault", "true").ok().value("VersionId"); got != "v6" {
		t.Errorf("the next version is %s: numbers must not come again", got)
	}
	if got := fmt.Sprint(admin.iam("ListPolicyVersions", "PolicyArn", arn).ok().values("VersionId")); got != "[v6 v5 v4 v2 v1]" {
		t.Errorf("the versions are %s", got)
	}
	if got := admin.iam("GetPolicy", "PolicyArn", arn).ok().value("DefaultVersionId"); got != "v6" {
		t.Errorf("in force is %s", got)
	}
}

// pages walks a list with two items a page and returns all of them.
func pages(t *testing.T, c *client, element, operation string, params ...string) []string {
	t.Helper()
	var all []string
	marker := ""
	for range 20 {
		call := append(slices.Clone(params), "MaxItems", "2")
		if marker != "" {
			call = append(call, "Marker", marker)
		}
		a := c.iam(operation, call...).ok()
		items := a.values(element)
		all = append(all, items...)
		marker = a.value("Marker")
		if (a.value("IsTruncated") == "true") != (marker != "") || marker != "" && len(items) != 2 {
			t.Fatalf("%s: %s", operation, a.body)
		}
		if marker == "" {
			return all
		}
	}
	t.Fatalf("%s does not end", operation)
	return nil
}

// TestPages: every list gives each item once, in order, over pages.
func TestPages(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	admin.iam("CreateGroup", "GroupName", "all").ok()
	admin.iam("CreateUser", "UserName", "zero", "Path", "/other/").ok()
	for _, name := range []string{"bob", "Eve", "alice", "dora", "Carl"} {
		admin.iam("CreateUser", "UserName", name, "Path", "/team/").ok()
		admin.iam("AddUserToGroup", "GroupName", "all", "UserName", name).ok()
		admin.iam("CreateRole", "RoleName", name, "AssumeRolePolicyDocument", trust("*")).ok()
		admin.iam("PutUserPolicy", "UserName", "bob", "PolicyName", name, "PolicyDocument", allow("kms:*")).ok()
		admin.iam("TagUser", "UserName", "bob", "Tags.member.1.Key", name, "Tags.member.1.Value", "1").ok()
		arn := admin.iam("CreatePolicy", "PolicyName", name, "PolicyDocument", allow("kms:*")).ok().value("Arn")
		admin.iam("AttachGroupPolicy", "GroupName", "all", "PolicyArn", arn).ok()
	}
	for _, c := range []struct {
		want, element string
		call          []string
	}{
		{"[alice bob Carl dora Eve]", "UserName", []string{"ListUsers", "PathPrefix", "/team/"}},
		{"[alice bob Carl dora Eve zero]", "UserName", []string{"ListUsers"}},
		{"[alice bob Carl dora Eve]", "UserName", []string{"GetGroup", "GroupName", "all"}},
		{"[alice bob Carl dora Eve]", "RoleName", []string{"ListRoles"}},
		{"[Carl Eve alice bob dora]", "member", []string{"ListUserPolicies", "UserName", "bob"}},
		{"[Carl Eve alice bob dora]", "Key", []string{"ListUserTags", "UserName", "bob"}},
		{"[Carl Eve alice bob dora]", "PolicyName", []string{"ListAttachedGroupPolicies", "GroupName", "all"}},
		{"[alice bob Carl dora Eve]", "PolicyName", []string{"ListPolicies", "Scope", "Local"}},
		{"[AdministratorAccess AWSKeyManagementServiceCustomKeyStoresServiceRolePolicy AWSKeyManagementServiceMultiRegionKeysServiceRolePolicy AWSKeyManagementServicePowerUser ReadOnlyAccess]", "PolicyName", []string{"ListPolicies", "Scope", "AWS"}},
		{"[alice bob Carl dora Eve]", "PolicyName", []string{"ListPolicies", "OnlyAttached", "true"}},
		{"[all]", "GroupName", []string{"ListGroupsForUser", "UserName", "Eve"}},
		{"[all]", "GroupName", []string{"ListGroups"}},
		{"[all]", "GroupName", []string{"ListEntitiesForPolicy", "PolicyArn", accountARN + "policy/Eve"}},
	} {
		if got := fmt.Sprint(pages(t, admin, c.element, c.call[0], c.call[1:]...)); got != c.want {
			t.Errorf("%v\ngot  %s\nwant %s", c.call, got, c.want)
		}
	}
	marker := admin.iam("ListUsers", "MaxItems", "2").ok().value("Marker")
	admin.iam("ListRoles", "Marker", marker).fails(400, "ValidationError", "Invalid Marker.")
}

// TestEntitiesComeBack: what is written is read, documents percent-encoded; and
// what was emptied can be deleted.
func TestEntitiesComeBack(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	document := `{ "Version": "2012-10-17",
  "Statement": [{"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/ä+b": "50% & more"}}}]}`
	decoded := func(a *answer, element string) string {
		text, err := url.PathUnescape(a.ok().value(element))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	role := admin.iam("CreateRole", "RoleName", "worker", "Path", "/a/b/", "AssumeRolePolicyDocument", trust("000000000000"),
		"Description", "works", "MaxSessionDuration", "7200", "Tags.member.1.Key", "team", "Tags.member.1.Value", "blue").ok()
	if !strings.HasPrefix(role.value("RoleId"), "AROA") || role.value("Arn") != accountARN+"role/a/b/worker" {
		t.Errorf("the role is %s", role.body)
	}
	got := admin.iam("GetRole", "RoleName", "worker")
	if decoded(got, "AssumeRolePolicyDocument") != trust("000000000000") || got.value("Description") != "works" || got.value("MaxSessionDuration") != "7200" || got.value("Key") != "team" {
		t.Errorf("the role is %s", got.body)
	}
	admin.iam("UpdateRole", "RoleName", "worker", "Description", "", "MaxSessionDuration", "3600").ok()
	admin.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", trust("*")).ok()
	got = admin.iam("GetRole", "RoleName", "worker")
	if decoded(got, "AssumeRolePolicyDocument") != trust("*") || got.value("Description") != "" || got.value("MaxSessionDuration") != "3600" {
		t.Errorf("the role is %s", got.body)
	}
	admin.iam("UntagRole", "RoleName", "worker", "TagKeys.member.1", "TEAM").ok()
	if tags := admin.iam("ListRoleTags", "RoleName", "worker").ok().values("Key"); tags != nil {
		t.Errorf("tags are left: %v", tags)
	}
	admin.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "in", "PolicyDocument", document).ok()
	if text := decoded(admin.iam("GetRolePolicy", "RoleName", "worker", "PolicyName", "in"), "PolicyDocument"); text != document {
		t.Errorf("the policy is %s", text)
	}
	created := admin.iam("CreatePolicy", "PolicyName", "m", "PolicyDocument", document, "Description", "d", "Tags.member.1.Key", "k", "Tags.member.1.Value", "").ok()
	if !strings.HasPrefix(created.value("PolicyId"), "ANPA") {
		t.Errorf("the policy is %s", created.body)
	}
	arn := created.value("Arn")
	if text := decoded(admin.iam("GetPolicyVersion", "PolicyArn", arn, "VersionId", "v1"), "Document"); text != document {
		t.Errorf("the policy is %s", text)
	}
	admin.iam("AttachRolePolicy", "RoleName", "worker", "PolicyArn", arn).ok()
	if n := admin.iam("GetPolicy", "PolicyArn", arn).ok().value("AttachmentCount"); n != "1" {
		t.Errorf("attached %s times", n)
	}
	if got := admin.iam("ListInstanceProfilesForRole", "RoleName", "worker").ok(); !strings.Contains(got.body, "<InstanceProfiles></InstanceProfiles>") {
		t.Error(got.body)
	}
	admin.iam("DetachRolePolicy", "RoleName", "worker", "PolicyArn", arn).ok()
	admin.iam("DeleteRole", "RoleName", "worker").fails(409, "DeleteConflict", "must delete policies first")
	admin.iam("DeleteRolePolicy", "RoleName", "worker", "PolicyName", "in").ok()
	admin.iam("DeleteRole", "RoleName", "worker").ok()
	admin.iam("DeletePolicy", "PolicyArn", arn).ok()
	admin.iam("GetPolicy", "PolicyArn", arn).fails(404, "NoSuchEntity", "was not found")
	admin.iam("CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust("*")).ok()
}

// TestConditions: policies of callers see the tags, policies and boundaries that a
// request and its entity have.
func TestConditions(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	conditional := func(action, key, value string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + action + `","iam:TagUser"],"Resource":"` + accountARN + `*","Condition":{"StringEquals":{"` + key + `":"` + value + `"}}}]}`
	}
	limit := admin.iam("CreatePolicy", "PolicyName", "limit", "PolicyDocument", allow("kms:*")).ok().value("Arn")
	admin.iam("CreateUser", "UserName", "blue", "Tags.member.1.Key", "Team", "Tags.member.1.Value", "blue").ok()
	admin.iam("CreateUser", "UserName", "red").ok()
	for i, c := range []struct {
		policy  string
		yes, no []string
	}{
		{conditional("iam:DeleteUser", "aws:ResourceTag/team", "blue"), nil, []string{"DeleteUser", "UserName", "red"}},
		{conditional("iam:GetUser", "iam:ResourceTag/team", "blue"), []string{"GetUser", "UserName", "blue"}, []string{"GetUser", "UserName", "red"}},
		{conditional("iam:AttachUserPolicy", "iam:PolicyARN", limit),
			[]string{"AttachUserPolicy", "UserName", "red", "PolicyArn", limit}, []string{"AttachUserPolicy", "UserName", "red", "PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess"}},
		{conditional("iam:CreateUser", "iam:PermissionsBoundary", limit),
			[]string{"CreateUser", "UserName", "x", "PermissionsBoundary", limit}, []string{"CreateUser", "UserName", "y"}},
		{conditional("iam:CreateUser", "aws:RequestTag/cost", "7"),
			[]string{"CreateUser", "UserName", "z", "Tags.member.1.Key", "cost", "Tags.member.1.Value", "7"}, []string{"CreateUser", "UserName", "w", "Tags.member.1.Key", "cost", "Tags.member.1.Value", "8"}},
	} {
		caller := admin.newUser(fmt.Sprintf("caller%d", i), c.policy)
		if c.yes != nil {
			caller.iam(c.yes[0], c.yes[1:]...).ok()
		}
		caller.iam(c.no[0], c.no[1:]...).fails(403, "AccessDenied", "is not authorized to perform: iam:"+c.no[0])
	}
}

// TestNothingIsToldToStrangers: who may not ask does not learn whether it exists.
func TestNothingIsToldToStrangers(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	stranger := admin.newUser("stranger", "")
	admin.newUser("alice", "")
	for _, name := range []string{"alice", "nobody"} {
		stranger.iam("GetUser", "UserName", name).fails(403, "AccessDenied",
			"User: "+accountARN+"user/stranger is not authorized to perform: iam:GetUser on resource: "+accountARN+"user/"+name+" because no identity-based policy allows the iam:GetUser action")
	}
	// Accounts know nothing of each other.
	other := admin.with("111122223333", "x", "")
	other.iam("GetUser", "UserName", "alice").fails(404, "NoSuchEntity", "alice")
	if got := other.iam("ListUsers").ok().values("UserName"); got != nil {
		t.Errorf("another account lists %v", got)
	}
	other.iam("CreateUser", "UserName", "alice").ok()
	other.iam("DeleteUser", "UserName", "alice").ok()
	admin.iam("GetUser", "UserName", "alice").ok()
}
