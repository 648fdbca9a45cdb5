package iam_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/strongroomtest"
)

// TestGetAccessKeyLastUsed: each call with a key is its use, a denied one too, and of
// keys of others nothing is told.
func TestGetAccessKeyLastUsed(t *testing.T) {
	s := strongroomtest.Start(t)
	admin := root(t, s)
	alice := admin.newUser("alice", "")
	lastUsed := func() *answer { return admin.iam("GetAccessKeyLastUsed", "AccessKeyId", alice.id).ok() }
	if a := lastUsed(); a.value("UserName") != "alice" || a.value("ServiceName") != "N/A" || a.value("Region") != "N/A" || a.value("LastUsedDate") != "" {
		t.Errorf("never used: %s", a.body)
	}
	alice.query("sts", "GetCallerIdentity").ok()
	if a := lastUsed(); a.value("ServiceName") != "sts" || a.value("Region") != "us-east-1" || a.value("LastUsedDate") == "" {
		t.Errorf("after GetCallerIdentity: %s", a.body)
	}
	s.Advance(time.Hour)
	alice.kms("ListKeys", map[string]any{}).fails(400, "AccessDeniedException", "")
	// A user whose name is the id of the key uses something else.
	admin.newUser(alice.id, "").query("sts", "GetCallerIdentity").ok()
	if a := lastUsed(); a.value("ServiceName") != "kms" {
		t.Errorf("after a denied ListKeys: %s", a.body)
	}

	const denied = "is not authorized to perform: iam:GetAccessKeyLastUsed on resource: "
	admin.iam("GetAccessKeyLastUsed", "AccessKeyId", "AKIAAAAAAAAAAAAAAAAA").fails(403, "AccessDenied", denied+"access key AKIAAAAAAAAAAAAAAAAA")
	admin.with("444455556666", "any", "").iam("GetAccessKeyLastUsed", "AccessKeyId", alice.id).fails(403, "AccessDenied", denied+"access key "+alice.id)
	alice.iam("GetAccessKeyLastUsed", "AccessKeyId", alice.id).fails(403, "AccessDenied", denied+accountARN+"user/alice")
}

// TestRoleLastUsed: what a role's sessions do is its use, in whatever Region.
func TestRoleLastUsed(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", allow("sts:AssumeRole"))
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}]}`
	admin.iam("CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust).ok()
	if a := admin.iam("GetRole", "RoleName", "worker").ok(); a.value("LastUsedDate") != "" {
		t.Errorf("a role that nobody has used: %s", a.body)
	}
	session := alice.query("sts", "AssumeRole", "RoleArn", accountARN+"role/worker", "RoleSessionName", "day").ok()
	if a := admin.iam("GetRole", "RoleName", "worker").ok(); a.value("LastUsedDate") != "" {
		t.Errorf("a role that was only assumed: %s", a.body)
	}
	admin.with(session.value("AccessKeyId"), session.value("SecretAccessKey"), session.value("SessionToken")).query("sts", "GetCallerIdentity").ok()
	for _, ask := range []func() *answer{
		func() *answer { return admin.iam("GetRole", "RoleName", "worker") },
		func() *answer { return admin.iam("GetAccountAuthorizationDetails", "Filter.member.1", "Role") },
	} {
		a := ask().ok()
		for range 10 { // what takes long to find out is left out
			if a.value("LastUsedDate") == "" {
				a = ask().ok()
			}
		}
		if a.value("LastUsedDate") == "" || a.value("Region") != "us-east-1" {
			t.Errorf("a role that was used: %s", a.body)
		}
	}
	// A namesake was never used.
	admin.iam("DeleteRole", "RoleName", "worker").ok()
	admin.iam("CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust).ok()
	if a := admin.iam("GetRole", "RoleName", "worker").ok(); a.value("LastUsedDate") != "" {
		t.Errorf("a namesake: %s", a.body)
	}
}

// TestServiceLastAccessed asks for reports about a user, a group and a policy.
func TestServiceLastAccessed(t *testing.T) {
	s := strongroomtest.Start(t)
	admin := root(t, s)
	alice, bob := admin.newUser("alice", allow("kms:ListKeys", "s3:GetObject")), admin.newUser("bob", "")
	policy := admin.iam("CreatePolicy", "PolicyName", "use", "PolicyDocument", allow("kms:*", "iam:GetUser")).ok().value("Arn")
	admin.iam("CreateGroup", "GroupName", "team").ok()
	admin.iam("AttachGroupPolicy", "GroupName", "team", "PolicyArn", policy).ok()
	for _, user := range []string{"alice", "bob"} {
		admin.iam("AddUserToGroup", "GroupName", "team", "UserName", user).ok()
	}
	report := func(arn string) (job string) {
		t.Helper()
		if job = admin.iam("GenerateServiceLastAccessedDetails", "Arn", arn).ok().value("JobId"); len(job) != 36 {
			t.Fatalf("the job of %s is %q", arn, job)
		}
		return job
	}
	details := func(job string) *answer {
		t.Helper()
		return admin.iam("GetServiceLastAccessedDetails", "JobId", job).ok()
	}
	early := report(policy)
	s.Advance(time.Minute)
	bob.kms("ListKeys", map[string]any{}).ok()
	s.Advance(time.Minute)
	alice.kms("ListKeys", map[string]any{}).ok()
	alice.iam("GetUser").ok()

	ofAlice := details(report(accountARN + "user/alice"))
	if got := strings.Join(ofAlice.values("ServiceNamespace"), " "); got != "iam kms" {
		t.Errorf("alice may use %s", got)
	}
	if ofAlice.value("JobStatus") != "COMPLETED" || ofAlice.value("JobType") != "SERVICE_LEVEL" || ofAlice.value("ServiceName") != "AWS Identity and Access Management" ||
		!slices.Equal(ofAlice.values("LastAuthenticatedEntity"), []string{accountARN + "user/alice", accountARN + "user/alice"}) {
		t.Errorf("of alice: %s", ofAlice.body)
	}
	for _, arn := range []string{policy, accountARN + "group/team"} {
		job := report(arn)
		a := details(job)
		if got := strings.Join(a.values("TotalAuthenticatedEntities"), " "); got != "1 2" {
			t.Errorf("of %s, iam and kms were used by %s", arn, got)
		}
		if got := a.values("LastAuthenticatedEntity"); len(got) != 2 || got[1] != accountARN+"user/alice" {
			t.Errorf("of %s, the last were %v", arn, got)
		}
		who := admin.iam("GetServiceLastAccessedDetailsWithEntities", "JobId", job, "ServiceNamespace", "iam").ok()
		if got := strings.Join(who.values("Name"), " "); got != "alice bob" || len(who.values("LastAuthenticated")) != 1 || who.value("Type") != "USER" {
			t.Errorf("of %s: %s", arn, who.body)
		}
		first := admin.iam("GetServiceLastAccessedDetailsWithEntities", "JobId", job, "ServiceNamespace", "kms", "MaxItems", "1").ok()
		second := admin.iam("GetServiceLastAccessedDetailsWithEntities", "JobId", job, "ServiceNamespace", "kms", "MaxItems", "1", "Marker", first.value("Marker")).ok()
		if first.value("Name") != "alice" || first.value("IsTruncated") != "true" || second.value("Name") != "bob" || second.value("IsTruncated") != "false" {
			t.Errorf("of %s, in pages: %s %s", arn, first.body, second.body)
		}
	}
	// What was asked for earlier tells of what was before.
	if a := details(early); len(a.values("LastAuthenticated")) != 0 || strings.Join(a.values("TotalAuthenticatedEntities"), " ") != "0 0" {
		t.Errorf("of an early report: %s", a.body)
	}
	// After 400 days nobody tells any more.
	s.Advance(401 * 24 * time.Hour)
	if a := details(report(policy)); len(a.values("LastAuthenticated")) != 0 {
		t.Errorf("after 400 days: %s", a.body)
	}

	job := report(accountARN + "user/alice")
	admin.iam("UpdateUser", "UserName", "alice", "NewUserName", "alicia").ok()
	if got := details(job).value("JobStatus"); got != "COMPLETED" {
		t.Errorf("of a user who was renamed: %s", got)
	}
	admin.iam("GenerateServiceLastAccessedDetails", "Arn", accountARN+"user/nobody").fails(404, "NoSuchEntity", accountARN+"user/nobody")
	for _, id := range []string{strings.Repeat("0", 36), strings.Repeat("/", 36), "00000000-" + strings.Repeat("x", 27)} {
		admin.iam("GetServiceLastAccessedDetails", "JobId", id).fails(404, "NoSuchEntity", id)
	}
	admin.with("444455556666", "any", "").iam("GetServiceLastAccessedDetails", "JobId", job).fails(404, "NoSuchEntity", job)
	admin.iam("GetServiceLastAccessedDetailsWithEntities", "JobId", job, "ServiceNamespace", "s3").fails(400, "InvalidInput", "s3")
	bob.iam("GetServiceLastAccessedDetails", "JobId", job).fails(403, "AccessDenied", "")
}

func TestListPoliciesGrantingServiceAccess(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	alice := admin.newUser("alice", allow("kms:Encrypt"))
	admin.iam("CreateGroup", "GroupName", "team").ok()
	admin.iam("PutGroupPolicy", "GroupName", "team", "PolicyName", "g", "PolicyDocument", allow("iam:*")).ok()
	admin.iam("AddUserToGroup", "GroupName", "team", "UserName", "alice").ok()
	const everything = "arn:aws:iam::aws:policy/AdministratorAccess"
	admin.iam("AttachGroupPolicy", "GroupName", "team", "PolicyArn", everything).ok()
	admin.iam("AttachUserPolicy", "UserName", "alice", "PolicyArn", everything).ok()
	ask := func(arn string) *answer {
		return admin.iam("ListPoliciesGrantingServiceAccess", "Arn", arn,
			"ServiceNamespaces.member.1", "kms", "ServiceNamespaces.member.2", "iam", "ServiceNamespaces.member.3", "kms")
	}
	a := ask(accountARN + "user/alice").ok()
	if got := strings.Join(a.values("ServiceNamespace"), " "); got != "iam kms" {
		t.Errorf("the services are %s", got)
	}
	if got := strings.Join(a.values("PolicyName"), " "); got != "AdministratorAccess g p AdministratorAccess" {
		t.Errorf("the policies are %s", got)
	}
	if got := strings.Join(a.values("EntityType"), " ") + " " + strings.Join(a.values("EntityName"), " "); got != "GROUP USER team alice" {
		t.Errorf("they are of %s", got)
	}
	ask(accountARN+"user/nobody").fails(404, "NoSuchEntity", "nobody")
	alice.iam("DetachUserPolicy", "UserName", "alice", "PolicyArn", everything).ok()
	if got := strings.Join(ask(accountARN+"group/team").ok().values("PolicyName"), " "); got != "g AdministratorAccess AdministratorAccess" {
		t.Errorf("the group's policies are %s", got)
	}
}
