package kms

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/operation"
)

const secretsHost = "secretsmanager." + region + ".amazonaws.com"

// withSecrets puts a service beside KMS that does what Secrets Manager does with its
// key: CreateSecret makes a data key, by the key's ARN or, with "byAlias", by its
// alias; GetSecret opens one.
func withSecrets(t *testing.T) *harness {
	h := newHarness(t)
	type input struct {
		ByAlias bool
		Blob    []byte
	}
	row := func(name string, act func(ctx context.Context, call *authz.Call, in *input) (any, error)) operation.Row {
		null := func(dst []byte, _ any) []byte { return append(dst, "null"...) }
		return operation.Row{
			Name: name, Action: "secretsmanager:" + name, BodyLimit: 1 << 16,
			Decode: func(body []byte) (any, error) {
				in := &input{}
				return in, json.Unmarshal(body, in)
			},
			Invoke: func(ctx context.Context, call *authz.Call, in any) (any, error) {
				if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
					return nil, err
				}
				return act(ctx, call, in.(*input))
			},
			Encode:       func(dst []byte, out any) []byte { return append(dst, jsonText(out)...) },
			AuditRequest: null, AuditResponse: null,
		}
	}
	create := func(ctx context.Context, call *authz.Call, in *input) (any, error) {
		id := "alias/aws/secretsmanager"
		if !in.ByAlias {
			var err error
			if id, err = h.service.ManagedKey(ctx, call, "secretsmanager"); err != nil {
				return nil, err
			}
		}
		out, err := h.gateway.Invoke(ctx, call, "kms", "GenerateDataKey", &api.GenerateDataKeyInput{KeyId: id, KeySpec: api.DataKeySpecAes256})
		if err != nil {
			return nil, err
		}
		made := out.(*api.GenerateDataKeyOutput)
		return m{"Key": made.KeyId, "Material": made.KeyMaterialId, "Blob": made.CiphertextBlob}, nil
	}
	open := func(ctx context.Context, call *authz.Call, in *input) (any, error) {
		out, err := h.gateway.Invoke(ctx, call, "kms", "Decrypt", &api.DecryptInput{CiphertextBlob: in.Blob})
		if err != nil {
			return nil, err
		}
		return m{"Material": out.(*api.DecryptOutput).KeyMaterialId}, nil
	}
	h.services = []*operation.Service{{
		Name: "secretsmanager", EventSource: "secretsmanager.amazonaws.com", Protocol: operation.AWSJSON11, TargetPrefix: "secretsmanager",
		Operations: []operation.Row{row("CreateSecret", create), row("GetSecret", open)},
	}}
	h.restart()
	for _, who := range []caller{user, otherUser} {
		h.identity[principals[who].ARN] = onlyPolicy(m{"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"})
	}
	return h
}

// secret makes a call to the service that must succeed.
func (h *harness) secret(who caller, name string, in m) m {
	h.t.Helper()
	a := h.post(who, "secretsmanager", "secretsmanager."+name, in)
	if a.status != 200 {
		h.t.Fatalf("%s as %s: %d %s: %s\nlog: %s", name, who, a.status, a.code, a.message, h.log)
	}
	return a.body
}

// TestManagedKeyIsMadeOnFirstUse follows the key of a service from its first use by
// a user who may use the service and nothing of KMS.
func TestManagedKeyIsMadeOnFirstUse(t *testing.T) {
	h := withSecrets(t)
	first := h.secret(user, "CreateSecret", m{})
	arn := first["Key"].(string)
	var seen []string
	for _, r := range h.journal.taken(t) {
		by, _ := r["userIdentity"].(m)["invokedBy"].(string)
		seen = append(seen, fmt.Sprint(r["eventName"], " by ", r["userIdentity"].(m)["arn"], " through ", by, " on ", resources(r)))
	}
	if want := []string{
		"CreateKey by " + userARN + " through " + secretsHost + " on [" + arn + "]",
		"GenerateDataKey by " + userARN + " through " + secretsHost + " on [" + arn + "]",
		"CreateSecret by " + userARN + " through  on []",
	}; !slices.Equal(seen, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	if again := h.secret(otherUser, "CreateSecret", m{"ByAlias": true}); again["Key"] != arn {
		t.Errorf("the second use is of %s, the first of %s", again["Key"], arn)
	}
	h.restart()
	if again := h.secret(user, "CreateSecret", m{}); again["Key"] != arn {
		t.Errorf("after a restart, it is %s", again["Key"])
	}
	if opened := h.secret(otherUser, "GetSecret", m{"Blob": first["Blob"]}); opened["Material"] != first["Material"] {
		t.Errorf("%v", opened)
	}

	k := h.ok(root, "DescribeKey", m{"KeyId": "alias/aws/secretsmanager"})["KeyMetadata"].(m)
	for name, want := range map[string]any{
		"Arn": arn, "KeyManager": "AWS", "KeyState": "Enabled", "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT",
		"Origin": "AWS_KMS", "MultiRegion": false, "Description": "Default key that protects my Secrets Manager data when no other key is defined",
	} {
		if k[name] != want {
			t.Errorf("%s is %v, want %v", name, k[name], want)
		}
	}
	aliases := h.ok(root, "ListAliases", m{})["Aliases"].([]any)
	if len(aliases) != 1 || aliases[0].(m)["AliasName"] != "alias/aws/secretsmanager" || aliases[0].(m)["TargetKeyId"] != k["KeyId"] {
		t.Errorf("the aliases are %v", aliases)
	}
	if h.key(m{})["KeyManager"] != "CUSTOMER" {
		t.Error("a customer's key is not")
	}
}

// TestManagedKeyPolicy is the policy as Secrets Manager's guide shows it.
func TestManagedKeyPolicy(t *testing.T) {
	h := withSecrets(t)
	id := h.secret(user, "CreateSecret", m{})["Key"]
	const want = `{
  "Version" : "2012-10-17",
  "Id" : "auto-secretsmanager-1",
  "Statement" : [ {
    "Sid" : "Allow access through AWS Secrets Manager for all principals in the account that are authorized to use AWS Secrets Manager",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:ViaService" : "secretsmanager.us-east-1.amazonaws.com",
        "kms:CallerAccount" : "111122223333"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::111122223333:root"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  } ]
}`
	if got := h.ok(root, "GetKeyPolicy", m{"KeyId": id})["Policy"]; got != want {
		t.Errorf("%s", got)
	}
	for i := range managedServices {
		service := &managedServices[i]
		record := service.newKey(&authz.Call{Principal: principals[user], Partition: "aws", Region: region, Time: h.clock.Now()})
		record.ID = absentKey
		if k, err := newKey(record, "aws", 0); err != nil || k.policy.Document.Pretty() != record.Policy {
			t.Errorf("%s: the policy would be answered in another form than it is stored in: %v", service.name, err)
		}
	}
}

// TestManagedKeysAreNotForCustomers: whoever is not the service can look at the key,
// and nothing else, the account's root included.
func TestManagedKeysAreNotForCustomers(t *testing.T) {
	h := withSecrets(t)
	arn := h.secret(user, "CreateSecret", m{})["Key"].(string)
	blob := h.secret(user, "CreateSecret", m{})["Blob"]
	h.ok(root, "CreateAlias", m{"AliasName": "alias/mine", "TargetKeyId": h.key(m{})["KeyId"]})
	h.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": "*", "Resource": "*"})
	for operation, in := range map[string]m{
		"EnableKeyRotation": {}, "DisableKeyRotation": {}, "RotateKeyOnDemand": {}, "PutKeyPolicy": {"Policy": keyPolicy(), "BypassPolicyLockoutSafetyCheck": true},
		"ScheduleKeyDeletion": {}, "CancelKeyDeletion": {}, "DisableKey": {}, "EnableKey": {}, "UpdateKeyDescription": {"Description": "mine"},
		"TagResource": {"Tags": []m{{"TagKey": "a", "TagValue": "b"}}}, "UntagResource": {"TagKeys": []string{"a"}},
		"CreateGrant": {"GranteePrincipal": userARN, "Operations": []string{"Decrypt"}}, "ReplicateKey": {"ReplicaRegion": second}, "UpdatePrimaryRegion": {"PrimaryRegion": second},
		"DeleteImportedKeyMaterial": {}, "Encrypt": {"Plaintext": plaintextBase64}, "Decrypt": {"CiphertextBlob": blob}, "GenerateDataKey": {"KeySpec": "AES_256"},
		"GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"}, "GenerateDataKeyPair": {"KeyPairSpec": "ECC_NIST_P256"},
	} {
		for _, who := range []caller{root, user} {
			h.fails(who, operation, with(in, m{"KeyId": arn}), "AccessDeniedException",
				notAuthorized(principals[who].ARN, "kms:"+operation, "resource: "+arn+fmt.Sprintf(keyPolicyTail, "kms:"+operation)))
		}
	}
	for _, operation := range []string{"CreateAlias", "UpdateAlias"} {
		name := map[string]string{"CreateAlias": "alias/new", "UpdateAlias": "alias/mine"}[operation]
		h.fails(root, operation, m{"AliasName": name, "TargetKeyId": arn}, "AccessDeniedException",
			notAuthorized(principals[root].ARN, "kms:"+operation, "resource: "+arn+fmt.Sprintf(keyPolicyTail, "kms:"+operation)))
	}
	for _, in := range []m{{"AliasName": "alias/aws/secretsmanager", "TargetKeyId": arn}, {"AliasName": "alias/aws/mine", "TargetKeyId": arn}} {
		h.fails(root, "CreateAlias", in, "NotAuthorizedException", "")
		h.fails(root, "UpdateAlias", in, "NotAuthorizedException", "")
		h.fails(root, "DeleteAlias", m{"AliasName": in["AliasName"]}, "NotAuthorizedException", "")
	}
	for _, operation := range []string{"DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListKeyRotations", "ListKeyPolicies", "ListGrants", "ListResourceTags"} {
		h.ok(root, operation, m{"KeyId": arn})
		h.ok(user, operation, m{"KeyId": arn})
	}
	h.identity[userARN] = ""
	h.fails(user, "DescribeKey", m{"KeyId": arn}, "AccessDeniedException",
		notAuthorized(userARN, "kms:DescribeKey", "resource: "+arn+fmt.Sprintf(noIdentityTail, "kms:DescribeKey")))
	// Not even a user of another account for whom the service calls.
	h.identity[principals[foreignUser].ARN] = onlyPolicy(m{"Effect": "Allow", "Action": "*", "Resource": "*"})
	if a := h.post(foreignUser, "secretsmanager", "secretsmanager.GetSecret", m{"Blob": blob}); a.code != "AccessDeniedException" {
		t.Errorf("another account: %d %s: %s", a.status, a.code, a.message)
	}
	if theirs := h.secret(foreignUser, "CreateSecret", m{})["Key"].(string); !strings.Contains(theirs, ":"+other+":") {
		t.Errorf("another account's key is %s", theirs)
	}
}

// TestFirstUsesAtOnceMakeOneKey races the first uses, by ARN and by alias.
func TestFirstUsesAtOnceMakeOneKey(t *testing.T) {
	h := withSecrets(t)
	const calls = 8
	var keys [calls]string
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			a := h.post(user, "secretsmanager", "secretsmanager.CreateSecret", m{"ByAlias": i%2 == 1})
			keys[i], _ = a.body["Key"].(string)
		})
	}
	group.Wait()
	for _, key := range keys {
		if key == "" || key != keys[0] {
			t.Fatalf("the keys are %q", keys)
		}
	}
	if all := h.ok(root, "ListKeys", m{})["Keys"].([]any); len(all) != 1 {
		t.Errorf("there are %d keys", len(all))
	}
	created := 0
	for _, r := range h.journal.taken(t) {
		if r["eventName"] == "CreateKey" {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d are recorded", created)
	}
}

// TestManagedKeysRotateYearly, though AWS answers that they do not.
func TestManagedKeysRotateYearly(t *testing.T) {
	h := withSecrets(t)
	before := h.secret(user, "CreateSecret", m{})
	for year := 1; year <= 3; year++ {
		h.clock.Advance(365 * 24 * time.Hour)
		h.journal.taken(t)
		h.work()
		if r := h.only(); r["eventName"] != "RotateKey" || !strings.Contains(jsonText(r["serviceEventDetails"]), "AUTOMATIC") {
			t.Errorf("year %d: %v", year, r)
		}
	}
	after := h.secret(user, "CreateSecret", m{})
	if after["Key"] != before["Key"] || after["Material"] == before["Material"] {
		t.Errorf("before %v, after %v", before, after)
	}
	if opened := h.secret(user, "GetSecret", m{"Blob": before["Blob"]}); opened["Material"] != before["Material"] {
		t.Errorf("%v", opened)
	}
	if status := h.ok(root, "GetKeyRotationStatus", m{"KeyId": before["Key"]}); jsonText(status) != jsonText(m{"KeyId": before["Key"], "KeyRotationEnabled": false}) {
		t.Errorf("%v", status)
	}
}

// TestDescribingAPredefinedAliasMakesItsKey: for whoever may describe it, and for
// services that AWS managed keys are known of.
func TestDescribingAPredefinedAliasMakesItsKey(t *testing.T) {
	h := newHarness(t)
	absent := func(who caller, operation, name string, in m) {
		t.Helper()
		h.fails(who, operation, with(in, m{"KeyId": name}), "NotFoundException", "Alias "+aliasPrefixARN+name+" is not found.")
	}
	absent(user, "DescribeKey", "alias/aws/ebs", m{})
	absent(root, "DescribeKey", "alias/aws/nothing", m{})
	absent(root, "Encrypt", "alias/aws/ebs", m{"Plaintext": plaintextBase64})
	if keys := h.ok(root, "ListKeys", m{})["Keys"].([]any); len(keys) != 0 {
		t.Fatalf("there are keys: %v", keys)
	}
	h.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "*"})
	h.journal.taken(t)
	k := h.ok(user, "DescribeKey", m{"KeyId": aliasPrefixARN + "alias/aws/ebs"})["KeyMetadata"].(m)
	if k["KeyManager"] != "AWS" || k["Description"] != "Default key that protects my EBS volumes when no other key is defined" {
		t.Errorf("%v", k)
	}
	var names []string
	for _, r := range h.journal.taken(t) {
		names = append(names, r["eventName"].(string))
	}
	if fmt.Sprint(names) != "[CreateKey DescribeKey]" {
		t.Errorf("recorded %v", names)
	}
	if again := h.ok(root, "DescribeKey", m{"KeyId": "alias/aws/ebs"})["KeyMetadata"].(m); again["Arn"] != k["Arn"] {
		t.Errorf("another key: %v", again)
	}
	if policy := h.ok(root, "GetKeyPolicy", m{"KeyId": k["KeyId"]})["Policy"].(string); !strings.Contains(policy, `"ec2.us-east-1.amazonaws.com"`) {
		t.Errorf("EBS calls as ec2: %s", policy)
	}
	// Each region has its own; another account's is not made for a stranger.
	h.region = second
	if there := h.ok(root, "DescribeKey", m{"KeyId": "alias/aws/ebs"})["KeyMetadata"].(m); there["Arn"] == k["Arn"] || !strings.Contains(there["Arn"].(string), ":"+second+":") {
		t.Errorf("in another region: %v", there)
	}
	h.region = region
	h.fails(foreignRoot, "DescribeKey", m{"KeyId": aliasPrefixARN + "alias/aws/s3"}, "AccessDeniedException",
		notAuthorized(principals[foreignRoot].ARN, "kms:DescribeKey", "this resource"+unreadableTail))

	call := &authz.Call{Service: "nothing", Principal: principals[user], Partition: "aws", Region: region, Time: h.clock.Now()}
	if arn, err := h.service.ManagedKey(t.Context(), call, "nothing"); err == nil {
		t.Errorf("a service without a managed key got %s", arn)
	}
}
