package iam_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/strongroomtest"
)

// members are the parameters of a list.
func members(name string, values ...string) []string {
	var params []string
	for i, v := range values {
		params = append(params, fmt.Sprintf("%s.member.%d", name, i+1), v)
	}
	return params
}

func join(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// contextEntry is one entry of a simulation's context.
func contextEntry(name, typ string, values ...string) []string {
	at := "ContextEntries.member.1."
	return join([]string{at + "ContextKeyName", name, at + "ContextKeyType", typ}, members(at+"ContextKeyValues", values...))
}

func statement(effect, action, more string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Action":"` + action + `","Resource":"*"` + more + `}}`
}

const keyARN = "arn:aws:kms:us-east-1:000000000000:key/k"

func TestSimulateCustomPolicy(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	dated := statement("Allow", "dynamodb:*", `,"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}`)
	caller := []string{"CallerArn", accountARN + "user/nobody"}
	keyPolicy := func(principal string) []string {
		return []string{"ResourcePolicy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"kms:Encrypt","Resource":"*"}]}`}
	}
	for _, test := range []struct {
		name     string
		policies []string
		actions  []string
		more     []string
		decision string
		ids      string // SourcePolicyId, in order
		missing  string
	}{
		// The AWS CLI's examples.
		{"a time that is late enough", []string{dated}, []string{"dynamodb:CreateBackup"}, contextEntry("aws:CurrentTime", "date", "2019-04-25T11:00:00Z"), "allowed", "PolicyInputList.1", ""},
		{"a time that is not", []string{dated}, []string{"dynamodb:CreateBackup"}, contextEntry("AWS:currenttime", "date", "2014-04-25T11:00:00Z"), "implicitDeny", "", ""},
		{"no time", []string{dated}, []string{"dynamodb:CreateBackup"}, nil, "implicitDeny", "", "aws:CurrentTime"},

		{"a Deny wins", []string{allow("kms:*"), statement("Deny", "kms:Enc*", "")}, []string{"kms:Encrypt"}, nil, "explicitDeny", "PolicyInputList.2", ""},
		{"every Allow is listed", []string{allow("kms:*"), allow("kms:Encrypt"), allow("iam:*")}, []string{"KMS:encrypt"}, nil, "allowed", "PolicyInputList.1 PolicyInputList.2", ""},
		{"a boundary that allows", []string{allow("kms:*")}, []string{"kms:Encrypt"}, members("PermissionsBoundaryPolicyInputList", allow("kms:Encrypt")), "allowed", "PolicyInputList.1", ""},
		{"a boundary that does not", []string{allow("kms:*")}, []string{"kms:Encrypt"}, members("PermissionsBoundaryPolicyInputList", allow("kms:Decrypt")), "implicitDeny", "PolicyInputList.1", ""},
		{"a boundary that denies", []string{allow("kms:*")}, []string{"kms:Encrypt"}, members("PermissionsBoundaryPolicyInputList", statement("Deny", "*", "")), "explicitDeny", "PermissionsBoundaryPolicyInputList.1", ""},
		{"the caller's name in a resource", []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:username}"}}`}, []string{"s3:GetObject"},
			join(caller, members("ResourceArns", "arn:aws:s3:::b/nobody")), "allowed", "PolicyInputList.1", ""},
		{"no caller's name", []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:username}"}}`}, []string{"s3:GetObject"},
			members("ResourceArns", "arn:aws:s3:::b/nobody"), "implicitDeny", "", "aws:username"},

		{"a key's policy that names the user", []string{allow("iam:*")}, []string{"kms:Encrypt"},
			join(caller, members("ResourceArns", keyARN), keyPolicy(accountARN+"user/nobody")), "allowed", "ResourcePolicy", ""},
		{"a key's policy that leaves it to IAM", []string{allow("kms:*")}, []string{"kms:Encrypt"},
			join(caller, members("ResourceArns", keyARN), keyPolicy(accountARN+"root")), "allowed", "ResourcePolicy PolicyInputList.1", ""},
		{"a key's policy that does not", []string{allow("kms:*")}, []string{"kms:Encrypt"},
			join(caller, members("ResourceArns", keyARN), keyPolicy(accountARN+"user/other")), "implicitDeny", "PolicyInputList.1", ""},
		{"another account's key, one side", []string{allow("iam:*")}, []string{"kms:Encrypt"},
			join(caller, members("ResourceArns", strings.Replace(keyARN, "000000000000", "111122223333", 1)), keyPolicy(accountARN+"root")), "implicitDeny", "ResourcePolicy", ""},
		{"another account's key, both", []string{allow("kms:*")}, []string{"kms:Encrypt"},
			join(caller, members("ResourceArns", strings.Replace(keyARN, "000000000000", "111122223333", 1)), keyPolicy(accountARN+"root")), "allowed", "ResourcePolicy PolicyInputList.1", ""},
		{"a bucket of another owner", []string{allow("iam:*")}, []string{"kms:Encrypt"},
			join(caller, members("ResourceArns", "arn:aws:s3:::b"), keyPolicy(accountARN+"root"), []string{"ResourceOwner", "arn:aws:iam::111122223333:root"}), "implicitDeny", "ResourcePolicy", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := admin.iam("SimulateCustomPolicy", join(members("PolicyInputList", test.policies...), members("ActionNames", test.actions...), test.more)...).ok()
			specific := strings.Contains(a.body, "<ResourceSpecificResults><member>")
			ids, decision := a.values("SourcePolicyId"), a.value("EvalDecision")
			if specific { // every statement stands there twice
				ids = ids[:len(ids)/2]
			}
			missing := ""
			if _, list, ok := strings.Cut(a.body, "<MissingContextValues><member>"); ok {
				missing, _, _ = strings.Cut(list, "</member>")
			}
			if decision != test.decision || strings.Join(ids, " ") != test.ids || missing != test.missing {
				t.Errorf("got %s by %v, missing %q\n%s", decision, ids, missing, a.body)
			}
		})
	}
	a := admin.iam("SimulateCustomPolicy", join(members("PolicyInputList", dated), members("ActionNames", "dynamodb:CreateBackup"), contextEntry("aws:CurrentTime", "date", "2019-04-25T11:00:00Z"))...).ok()
	for _, want := range []string{
		"<StartPosition><Line>1</Line><Column>38</Column></StartPosition>", "<EndPosition><Line>1</Line><Column>167</Column></EndPosition>",
		"<SourcePolicyType>IAM Policy</SourcePolicyType>", "<EvalResourceName>*</EvalResourceName>",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%s is not in\n%s", want, a.body)
		}
	}
	a = admin.iam("SimulateCustomPolicy", join(members("PolicyInputList", allow("iam:*")), members("ActionNames", "kms:Encrypt"), caller,
		members("ResourceArns", "arn:aws:kms:us-east-1:111122223333:key/k"), keyPolicy(accountARN+"root"), members("PermissionsBoundaryPolicyInputList", allow("kms:*")))...).ok()
	for _, want := range []string{
		"<key>IAM Policy</key><value>implicitDeny</value>", "<key>Resource Policy</key><value>allowed</value>",
		"<AllowedByPermissionsBoundary>true</AllowedByPermissionsBoundary>",
	} {
		if strings.Count(a.body, want) != 2 {
			t.Errorf("%s is not in both places of\n%s", want, a.body)
		}
	}
}

func TestRefusedSimulations(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	with := func(params ...string) []string {
		return join(members("PolicyInputList", allow("kms:*")), members("ActionNames", "kms:Encrypt"), params)
	}
	for _, c := range []struct {
		params []string
		text   string
	}{
		{join(members("PolicyInputList", "{"), members("ActionNames", "kms:Encrypt")), "PolicyInputList.1: policy: not valid JSON"},
		{join(members("PolicyInputList", allow("kms:*")), members("ActionNames", "kms:*")), "Invalid action name: kms:*"},
		{join(members("PolicyInputList", allow("kms:*")), members("ActionNames", "Encrypt")), "Invalid action name: Encrypt"},
		{with(members("PermissionsBoundaryPolicyInputList", allow("a:b"), allow("a:b"))...), "takes one policy"},
		{with("CallerArn", accountARN+"role/r"), "CallerArn must be"},
		{with("CallerArn", "nobody"), "CallerArn must be"},
		{with("ResourcePolicy", trust("*")), "CallerArn is required"},
		{with("ResourcePolicy", "[]", "CallerArn", accountARN+"user/u"), "ResourcePolicy: policy:"},
		{with("ResourceOwner", "me"), "ResourceOwner must be"},
		{with(contextEntry("aws:username", "string", "a", "b")...), "several values"},
	} {
		admin.iam("SimulateCustomPolicy", c.params...).fails(400, "InvalidInput", c.text)
	}
	admin.iam("SimulatePrincipalPolicy", "PolicySourceArn", accountARN+"user/nobody", "ActionNames.member.1", "kms:Encrypt").fails(404, "NoSuchEntity", "cannot be found")
	admin.iam("SimulatePrincipalPolicy", "PolicySourceArn", "arn:aws:iam::111122223333:user/u", "ActionNames.member.1", "kms:Encrypt").fails(404, "NoSuchEntity", "cannot be found")
	admin.iam("SimulateCustomPolicy", with("Marker", "made-up")...).fails(400, "ValidationError", "Invalid Marker.")
	// It is an operation like others: who may not, may not.
	alice := admin.newUser("alice", allow("iam:SimulateCustomPolicy"))
	alice.iam("SimulateCustomPolicy", with()...).ok()
	alice.iam("SimulatePrincipalPolicy", "PolicySourceArn", accountARN+"user/alice", "ActionNames.member.1", "kms:Encrypt").fails(403, "AccessDenied", "iam:SimulatePrincipalPolicy on resource: "+accountARN+"user/alice")
}

// TestSimulatedAndReal: what is simulated for a user, with the policy of a real key,
// is what happens.
func TestSimulatedAndReal(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	admin.newUser("alice", "")
	key := admin.newKey("")
	arn := admin.iam("CreatePolicy", "PolicyName", "managed", "PolicyDocument", allow("kms:*")).ok().value("Arn")
	boundary := admin.iam("CreatePolicy", "PolicyName", "edge", "PolicyDocument", allow("kms:DescribeKey")).ok().value("Arn")
	alice := admin.newUser("bob", allow("kms:Encrypt"))
	userARN := accountARN + "user/bob"
	for _, step := range []struct {
		name    string
		do      []string
		ids     string // of what decides about Encrypt
		allowed map[string]bool
	}{
		{"an inline policy", nil, "p", map[string]bool{"Encrypt": true, "DescribeKey": false}},
		{"a managed policy", []string{"AttachUserPolicy", "UserName", "bob", "PolicyArn", arn}, "p managed", map[string]bool{"Encrypt": true, "DescribeKey": true}},
		{"a boundary", []string{"PutUserPermissionsBoundary", "UserName", "bob", "PermissionsBoundary", boundary}, "p managed", map[string]bool{"Encrypt": false, "DescribeKey": true}},
		{"a Deny", []string{"PutUserPolicy", "UserName", "bob", "PolicyName", "no", "PolicyDocument", statement("Deny", "kms:*", "")}, "no", map[string]bool{"Encrypt": false, "DescribeKey": false}},
	} {
		if step.do != nil {
			admin.iam(step.do[0], step.do[1:]...).ok()
		}
		for operation, want := range step.allowed {
			in := map[string]any{"KeyId": key}
			if operation == "Encrypt" {
				in["Plaintext"] = "aGVsbG8="
			}
			if real := alice.kms(operation, in); (real.status == 200) != want {
				t.Errorf("%s: %s: %d %s", step.name, operation, real.status, real.body)
			}
			a := admin.iam("SimulatePrincipalPolicy", "PolicySourceArn", userARN, "ActionNames.member.1", "kms:"+operation, "ResourceArns.member.1", key).ok()
			if (a.value("EvalDecision") == "allowed") != want {
				t.Errorf("%s: %s is simulated as %s", step.name, operation, a.value("EvalDecision"))
			}
			if ids := a.values("SourcePolicyId"); operation == "Encrypt" && strings.Join(ids[:len(ids)/2], " ") != step.ids {
				t.Errorf("%s: by %v, want %s twice", step.name, ids, step.ids)
			}
		}
	}
	// Groups and roles have policies too.
	admin.iam("CreateGroup", "GroupName", "staff").ok()
	admin.iam("PutGroupPolicy", "GroupName", "staff", "PolicyName", "g", "PolicyDocument", statement("Allow", "kms:Sign", `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}`)).ok()
	admin.iam("AddUserToGroup", "GroupName", "staff", "UserName", "alice").ok()
	admin.iam("CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument", trust("000000000000")).ok()
	admin.iam("AttachRolePolicy", "RoleName", "worker", "PolicyArn", arn).ok()
	for _, source := range []string{"group/staff", "user/alice", "role/worker"} {
		a := admin.iam("SimulatePrincipalPolicy", join([]string{"PolicySourceArn", accountARN + source}, members("ActionNames", "kms:Sign", "kms:Encrypt"),
			members("PolicyInputList", statement("Deny", "kms:Nothing", "")), contextEntry("aws:SecureTransport", "boolean", "true"))...).ok()
		if a.value("EvalDecision") != "allowed" {
			t.Errorf("%s: %s", source, a.body)
		}
		keys := admin.iam("GetContextKeysForPrincipalPolicy", "PolicySourceArn", accountARN+source).ok()
		if has := strings.Contains(keys.body, "<member>aws:SecureTransport</member>"); has != (source != "role/worker") {
			t.Errorf("the keys of %s: %s", source, keys.body)
		}
	}
	keys := admin.iam("GetContextKeysForCustomPolicy", members("PolicyInputList", statement("Allow", "a:b", `,"Condition":{"Null":{"aws:CurrentTime":"true","AWS:currenttime":"true"}}`),
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"arn:aws:s3:::${aws:username}"}}`)...).ok()
	if got := strings.Join(keys.values("member"), " "); got != "aws:CurrentTime aws:username" {
		t.Errorf("the keys: %s", got)
	}
}

func TestSimulationPages(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	actions := make([]string, 7)
	for i := range actions {
		actions[i] = "kms:Action" + strconv.Itoa(i)
	}
	params := join(members("PolicyInputList", allow("kms:Action3")), members("ActionNames", actions...), members("ResourceArns", keyARN, keyARN+"2"), []string{"MaxItems", "4"})
	var got []string
	for marker := ""; ; {
		page := params
		if marker != "" {
			page = join(params, []string{"Marker", marker})
		}
		a := admin.iam("SimulateCustomPolicy", page...).ok()
		names := a.values("EvalActionName")
		if len(names) > 4 {
			t.Fatalf("%d results", len(names))
		}
		got = append(got, names...)
		if a.value("IsTruncated") != "true" {
			break
		}
		marker = a.value("Marker")
	}
	if len(got) != 14 || got[6] != "kms:Action3" || got[7] != "kms:Action3" || got[13] != "kms:Action6" {
		t.Errorf("%v", got)
	}
	// An answer stays small, however much matches.
	many := `{"Version":"2012-10-17","Statement":[` + strings.Repeat(`{"Effect":"Allow","Action":"*","Resource":"*"},`, 2000) + `{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	a := admin.iam("SimulateCustomPolicy", join(members("PolicyInputList", many), members("ActionNames", actions...))...).ok()
	if n := len(a.values("EvalActionName")); n < 1 || n > 6 || a.value("IsTruncated") != "true" {
		t.Errorf("%d results, truncated %s", n, a.value("IsTruncated"))
	}
}
