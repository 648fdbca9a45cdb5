package iam_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

func TestInstanceProfiles(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	admin.newRole(trust("000000000000"), allow("kms:Encrypt"))
	made := admin.iam("CreateInstanceProfile", "InstanceProfileName", "Web", "Path", "/team/", "Tags.member.1.Key", "cost", "Tags.member.1.Value", "7").ok()
	const arn = accountARN + "instance-profile/team/Web"
	if made.value("Arn") != arn || !strings.HasPrefix(made.value("InstanceProfileId"), "AIPA") || !strings.Contains(made.body, "<Roles/>") && !strings.Contains(made.body, "<Roles></Roles>") {
		t.Errorf("made as %s", made.body)
	}
	admin.iam("CreateInstanceProfile", "InstanceProfileName", "web").fails(409, "EntityAlreadyExists", "Instance Profile web already exists.")
	admin.iam("GetInstanceProfile", "InstanceProfileName", "web").fails(404, "NoSuchEntity", "Instance Profile web cannot be found.")

	// The role must be one that the caller may pass.
	ops := admin.newUser("ops", allow("iam:AddRoleToInstanceProfile"))
	ops.iam("AddRoleToInstanceProfile", "InstanceProfileName", "Web", "RoleName", "worker").fails(403, "AccessDenied", "iam:PassRole on resource: "+workerARN)
	admin.iam("PutUserPolicy", "UserName", "ops", "PolicyName", "p", "PolicyDocument",
		strings.Replace(allow("iam:AddRoleToInstanceProfile", "iam:PassRole"), `"Effect"`, `"Condition":{"StringEqualsIfExists":{"iam:PassedToService":"ec2.amazonaws.com"}},"Effect"`, 1)).ok()
	ops.iam("AddRoleToInstanceProfile", "InstanceProfileName", "Web", "RoleName", "worker").ok()
	admin.iam("AddRoleToInstanceProfile", "InstanceProfileName", "Web", "RoleName", "worker").fails(409, "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	admin.iam("AddRoleToInstanceProfile", "InstanceProfileName", "Web", "RoleName", "nobody").fails(404, "NoSuchEntity", "The role with name nobody cannot be found.")
	admin.iam("AddRoleToInstanceProfile", "InstanceProfileName", "none", "RoleName", "worker").fails(404, "NoSuchEntity", "Instance Profile none cannot be found.")

	if a := admin.iam("GetInstanceProfile", "InstanceProfileName", "Web").ok(); a.value("RoleName") != "worker" || a.value("Value") != "7" || !strings.Contains(a.body, "<AssumeRolePolicyDocument>") {
		t.Errorf("shown as %s", a.body)
	}
	admin.iam("CreateInstanceProfile", "InstanceProfileName", "other").ok()
	for path, want := range map[string][]string{"/": {"other", "Web"}, "/team/": {"Web"}, "/none/": nil} {
		if a := admin.iam("ListInstanceProfiles", "PathPrefix", path).ok(); !reflect.DeepEqual(a.values("InstanceProfileName"), want) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	first := admin.iam("ListInstanceProfiles", "MaxItems", "1").ok()
	second := admin.iam("ListInstanceProfiles", "MaxItems", "1", "Marker", first.value("Marker")).ok()
	if first.value("InstanceProfileName") != "other" || first.value("IsTruncated") != "true" || second.value("InstanceProfileName") != "Web" || second.value("IsTruncated") != "false" {
		t.Errorf("pages %s\n%s", first.body, second.body)
	}
	if a := admin.iam("ListInstanceProfilesForRole", "RoleName", "worker").ok(); !reflect.DeepEqual(a.values("InstanceProfileName"), []string{"Web"}) {
		t.Errorf("of the role: %s", a.body)
	}
	admin.iam("TagInstanceProfile", "InstanceProfileName", "Web", "Tags.member.1.Key", "team", "Tags.member.1.Value", "blue").ok()
	admin.iam("UntagInstanceProfile", "InstanceProfileName", "Web", "TagKeys.member.1", "cost").ok()
	if a := admin.iam("ListInstanceProfileTags", "InstanceProfileName", "Web").ok(); !reflect.DeepEqual(a.values("Key"), []string{"team"}) {
		t.Errorf("tags %s", a.body)
	}

	// Neither goes before the other is let go.
	admin.iam("DeleteRolePolicy", "RoleName", "worker", "PolicyName", "p").ok()
	const conflict = "Cannot delete entity, must remove roles from instance profile first."
	admin.iam("DeleteRole", "RoleName", "worker").fails(409, "DeleteConflict", conflict)
	admin.iam("DeleteInstanceProfile", "InstanceProfileName", "Web").fails(409, "DeleteConflict", conflict)
	admin.iam("RemoveRoleFromInstanceProfile", "InstanceProfileName", "Web", "RoleName", "worker").ok()
	admin.iam("RemoveRoleFromInstanceProfile", "InstanceProfileName", "Web", "RoleName", "worker").fails(404, "NoSuchEntity", "Role worker in Instance Profile Web cannot be found.")
	admin.iam("DeleteRole", "RoleName", "worker").ok()
	admin.iam("DeleteInstanceProfile", "InstanceProfileName", "Web").ok()
	admin.iam("DeleteInstanceProfile", "InstanceProfileName", "Web").fails(404, "NoSuchEntity", "cannot be found")
}
