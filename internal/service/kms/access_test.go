package kms

import (
	"context"
	"fmt"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
)

// TestConditions puts one condition into the statement that lets the user in: the
// call that meets it goes through, the other is denied.
func TestConditions(t *testing.T) {
	equals := func(key string, values ...string) m { return m{"StringEquals": m{key: values}} }
	encrypt := m{"Plaintext": plaintextBase64}
	tests := []struct {
		name      string
		action    string
		condition m
		meets     m
		fails     []m
	}{
		{"context", "Encrypt", equals("kms:EncryptionContext:project", "x"),
			with(encrypt, m{"EncryptionContext": m{"project": "x"}}),
			[]m{encrypt, with(encrypt, m{"EncryptionContext": m{"project": "y"}}), with(encrypt, m{"EncryptionContext": m{"project": "X"}})}},
		{"context, another case", "Encrypt", equals("kms:EncryptionContext:PROJECT", "x"),
			with(encrypt, m{"EncryptionContext": m{"Project": "x"}}), []m{encrypt}},
		{"context, letters that only fold alike", "Encrypt", equals("kms:EncryptionContext:s", "x"),
			with(encrypt, m{"EncryptionContext": m{"S": "x"}}), []m{with(encrypt, m{"EncryptionContext": m{"ſ": "x"}})}},
		{"context keys", "Encrypt", m{"ForAllValues:StringEquals": m{"kms:EncryptionContextKeys": []string{"a", "b"}}},
			with(encrypt, m{"EncryptionContext": m{"a": "1", "b": "2"}}), []m{with(encrypt, m{"EncryptionContext": m{"a": "1", "c": "2"}})}},
		{"any context key", "Encrypt", m{"ForAnyValue:StringEquals": m{"kms:EncryptionContextKeys": "a"}},
			with(encrypt, m{"EncryptionContext": m{"a": "1", "c": "2"}}), []m{encrypt, with(encrypt, m{"EncryptionContext": m{"c": "2"}})}},
		{"no context at all", "Encrypt", m{"Null": m{"kms:EncryptionContextKeys": "true"}},
			encrypt, []m{with(encrypt, m{"EncryptionContext": m{"a": "1"}})}},
		{"alias", "Encrypt", equals("kms:RequestAlias", "alias/good"),
			with(encrypt, m{"KeyId": "alias/good"}),
			[]m{encrypt, with(encrypt, m{"KeyId": "alias/bad"})}},
		{"alias ARN", "DescribeKey", equals("kms:RequestAlias", "alias/good"),
			m{"KeyId": "arn:aws:kms:us-east-1:" + account + ":alias/good"}, []m{{}}},
		{"no pair spec where there is none", "Encrypt", m{"Null": m{"kms:DataKeyPairSpec": "true"}}, encrypt, nil},
		{"algorithm, left out", "Encrypt", equals("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"), encrypt, nil},
		{"algorithm, of a data key", "GenerateDataKey", equals("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"), m{"KeySpec": "AES_256"}, nil},
		{"another algorithm", "Encrypt", equals("kms:EncryptionAlgorithm", rsaOAEP), nil, []m{encrypt}},
		{"key spec", "DescribeKey", equals("kms:KeySpec", "SYMMETRIC_DEFAULT"), m{}, nil},
		{"key spec, deprecated", "DescribeKey", equals("kms:CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"), m{}, nil},
		{"another key spec", "DescribeKey", equals("kms:KeySpec", "RSA_2048"), nil, []m{{}}},
		{"key usage", "DescribeKey", equals("kms:KeyUsage", "ENCRYPT_DECRYPT"), m{}, nil},
		{"another key usage", "DescribeKey", equals("kms:KeyUsage", "SIGN_VERIFY"), nil, []m{{}}},
		{"origin", "DescribeKey", equals("kms:KeyOrigin", "AWS_KMS"), m{}, nil},
		{"another origin", "DescribeKey", equals("kms:KeyOrigin", "EXTERNAL"), nil, []m{{}}},
		{"multi-Region", "DescribeKey", m{"Bool": m{"kms:MultiRegion": "false"}}, m{}, nil},
		{"caller's account", "DescribeKey", equals("kms:CallerAccount", account), m{}, nil},
		{"another account", "DescribeKey", equals("kms:CallerAccount", other), nil, []m{{}}},
		{"tag", "DescribeKey", equals("aws:ResourceTag/Team", "red"), m{}, nil},
		{"tag, another case of its key", "DescribeKey", equals("aws:ResourceTag/TEAM", "red"), m{}, nil},
		{"tag, another value", "DescribeKey", equals("aws:ResourceTag/Team", "RED"), nil, []m{{}}},
		{"tag that is not there", "DescribeKey", equals("aws:ResourceTag/Cost", "red"), nil, []m{{}}},
		{"via no service", "DescribeKey", equals("kms:ViaService", "secretsmanager.us-east-1.amazonaws.com"), nil, []m{{}}},
		{"request tag", "TagResource", equals("aws:RequestTag/Stage", "dev"),
			m{"Tags": []m{{"TagKey": "Stage", "TagValue": "dev"}}}, []m{{"Tags": []m{{"TagKey": "Stage", "TagValue": "prod"}}}}},
		{"tag keys", "UntagResource", m{"ForAllValues:StringEquals": m{"aws:TagKeys": []string{"Stage"}}},
			m{"TagKeys": []string{"Stage"}}, []m{{"TagKeys": []string{"Stage", "Team"}}}},
		{"window", "ScheduleKeyDeletion", m{"NumericEquals": m{"kms:ScheduleKeyDeletionPendingWindowInDays": "30"}},
			m{}, []m{{"PendingWindowInDays": 7}}},
		{"bypass", "PutKeyPolicy", m{"Bool": m{"kms:BypassPolicyLockoutSafetyCheck": "true"}},
			m{"Policy": keyPolicy(), "BypassPolicyLockoutSafetyCheck": true}, []m{{"Policy": keyPolicy()}}},
		{"principal", "DescribeKey", m{"ArnEquals": m{"aws:PrincipalArn": userARN}}, m{}, nil},
		{"region", "DescribeKey", equals("aws:RequestedRegion", region), m{}, nil},
		{"source address", "DescribeKey", m{"IpAddress": m{"aws:SourceIp": "192.0.2.0/24"}}, m{}, nil},
		{"another source address", "DescribeKey", m{"IpAddress": m{"aws:SourceIp": "198.51.100.0/24"}}, nil, []m{{}}},
		{"time", "DescribeKey", m{"DateLessThan": m{"aws:CurrentTime": "2026-01-02T03:04:06Z"}}, m{}, nil},
		{"past time", "DescribeKey", m{"DateLessThan": m{"aws:CurrentTime": "2026-01-02T03:04:05Z"}}, nil, []m{{}}},
	}
	h := newHarness(t)
	for _, test := range tests {
		k := h.key(m{"Tags": []m{{"TagKey": "Team", "TagValue": "red"}}})
		id, arn := k["KeyId"].(string), k["Arn"].(string)
		for _, alias := range []string{"alias/good", "alias/bad"} {
			if a := h.send(root, "UpdateAlias", m{"AliasName": alias, "TargetKeyId": id}); a.code == "NotFoundException" {
				h.ok(root, "CreateAlias", m{"AliasName": alias, "TargetKeyId": id})
			}
		}
		h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy(allow(userARN, "kms:"+test.action, test.condition))})
		for _, in := range test.fails {
			a := h.send(user, test.action, with(m{"KeyId": id}, in))
			want := notAuthorized(userARN, "kms:"+test.action, "resource: "+arn+fmt.Sprintf(noIdentityTail, "kms:"+test.action))
			if a.code != "AccessDeniedException" || a.message != want {
				t.Errorf("%s: %v gives %d %s %s", test.name, in, a.status, a.code, a.message)
			}
		}
		if test.meets != nil {
			if a := h.send(user, test.action, with(m{"KeyId": id}, test.meets)); a.status != 200 {
				t.Errorf("%s: %v gives %s %s", test.name, test.meets, a.code, a.message)
			}
		}
	}
}

func TestCreateKeyConditions(t *testing.T) {
	h := newHarness(t)
	for _, test := range []struct {
		condition m
		meets     m
		fails     m
	}{
		{m{"StringEquals": m{"kms:KeySpec": "SYMMETRIC_DEFAULT"}}, m{}, nil},
		{m{"StringEquals": m{"kms:KeySpec": "RSA_2048"}}, nil, m{}},
		{m{"StringEquals": m{"kms:KeyUsage": "ENCRYPT_DECRYPT"}}, m{}, nil},
		{m{"StringEquals": m{"kms:KeyOrigin": "AWS_KMS"}}, m{}, m{"Origin": "EXTERNAL"}},
		{m{"Bool": m{"kms:MultiRegion": "false"}}, m{}, m{"MultiRegion": true}},
		{m{"Bool": m{"kms:BypassPolicyLockoutSafetyCheck": "false"}}, m{}, m{"BypassPolicyLockoutSafetyCheck": true}},
		{m{"StringEquals": m{"aws:RequestTag/Team": "red"}}, m{"Tags": []m{{"TagKey": "Team", "TagValue": "red"}}}, m{"Tags": []m{{"TagKey": "Team", "TagValue": "blue"}}}},
	} {
		h.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": []string{"kms:CreateKey", "kms:TagResource"}, "Resource": "*", "Condition": test.condition})
		if test.meets != nil {
			h.ok(user, "CreateKey", test.meets)
		}
		if test.fails != nil {
			h.fails(user, "CreateKey", test.fails, "AccessDeniedException", notAuthorized(userARN, "kms:CreateKey", "resource: *"+fmt.Sprintf(noIdentityTail, "kms:CreateKey")))
		}
	}
	// Tags at birth need a permission of their own.
	h.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"})
	h.ok(user, "CreateKey", m{})
	h.fails(user, "CreateKey", m{"Tags": []m{{"TagKey": "a", "TagValue": "b"}}}, "AccessDeniedException",
		notAuthorized(userARN, "kms:TagResource", "resource: *"+fmt.Sprintf(noIdentityTail, "kms:TagResource")))
}

// TestViaService: a key that its policy opens through one service alone. The calls are
// made as a service makes them for its caller, by the gateway's Invoke; nothing that
// a request from the wire can say has the same effect.
func TestViaService(t *testing.T) {
	const service = "s3.us-east-1.amazonaws.com"
	h := newHarness(t)
	id, arn := h.keyID()
	h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy(allow(userARN, "kms:GenerateDataKey", m{"StringEquals": m{"kms:ViaService": service}}))})
	denied := notAuthorized(userARN, "kms:GenerateDataKey", "resource: "+arn+fmt.Sprintf(noIdentityTail, "kms:GenerateDataKey"))
	h.fails(user, "GenerateDataKey", m{"KeyId": id, "KeySpec": "AES_256"}, "AccessDeniedException", denied)
	h.fails(user, "GenerateDataKey", m{"KeyId": id, "KeySpec": "AES_256", "EncryptionContext": m{"kms:ViaService": service, "aws:CalledVia": "s3.amazonaws.com"}}, "AccessDeniedException", denied)
	via := func(service, region string) (any, error) {
		h.journal.taken(t)
		parent := &authz.Call{Service: service, Operation: "PutObject", Principal: principals[user], Partition: "aws", Region: region, Time: h.clock.Now()}
		return h.gateway.Invoke(context.Background(), parent, "kms", "GenerateDataKey", &api.GenerateDataKeyInput{KeyId: id, KeySpec: api.DataKeySpecAes256})
	}
	if _, err := via("secretsmanager", region); awserr.Code(err) != "AccessDeniedException" {
		t.Errorf("through another service: %v", err)
	}
	if _, err := via("s3", "eu-west-1"); err == nil {
		t.Error("through the service of another Region: allowed")
	}
	out, err := via("s3", region)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(out.(*api.GenerateDataKeyOutput).Plaintext); n != 32 {
		t.Errorf("%d bytes", n)
	}
	if record := h.only(); record["sourceIPAddress"] != service || record["userAgent"] != service || record["userIdentity"].(m)["invokedBy"] != service {
		t.Errorf("the record: %v", record)
	}
}

// TestOnlyTheKeyPolicyOpensAKey: without the account's statement, neither the root
// nor an identity policy gets in; a Deny in an identity policy bites all the same.
func TestOnlyTheKeyPolicyOpensAKey(t *testing.T) {
	h := newHarness(t)
	k := h.key(m{"BypassPolicyLockoutSafetyCheck": true, "Policy": onlyPolicy(allow(userARN, "kms:*", nil))})
	id, arn := k["KeyId"].(string), k["Arn"].(string)
	h.identity[principals[otherUser].ARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
	h.ok(user, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64})
	for _, who := range []caller{root, otherUser} {
		h.fails(who, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64}, "AccessDeniedException",
			notAuthorized(principals[who].ARN, "kms:Encrypt", "resource: "+arn+fmt.Sprintf(keyPolicyTail, "kms:Encrypt")))
	}
	h.identity[userARN] = onlyPolicy(m{"Effect": "Deny", "Action": "kms:Encrypt", "Resource": "*"})
	h.fails(user, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64}, "AccessDeniedException",
		notAuthorized(userARN, "kms:Encrypt", "resource: "+arn+" with an explicit deny in an identity-based policy"))
}

// TestAcrossAccounts: both sides must agree, and a key that does not admit the
// caller answers as one that is not there.
func TestAcrossAccounts(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": id})
	blob := h.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64})["CiphertextBlob"]
	absent := "arn:aws:kms:us-east-1:" + account + ":key/" + absentKey
	aliasARN := "arn:aws:kms:us-east-1:" + account + ":alias/a"
	inputs := func(key string) map[string]m {
		return map[string]m{
			"Encrypt":                         {"KeyId": key, "Plaintext": plaintextBase64},
			"Decrypt":                         {"KeyId": key, "CiphertextBlob": blob},
			"GenerateDataKey":                 {"KeyId": key, "KeySpec": "AES_256"},
			"GenerateDataKeyWithoutPlaintext": {"KeyId": key, "KeySpec": "AES_256"},
			"DescribeKey":                     {"KeyId": key},
		}
	}
	unseen := func(who caller, operation string) string {
		return notAuthorized(principals[who].ARN, "kms:"+operation, "this resource"+unreadableTail)
	}
	closed := func(who caller, names ...string) {
		t.Helper()
		for _, name := range names {
			for operation, in := range inputs(name) {
				h.fails(who, operation, in, "AccessDeniedException", unseen(who, operation))
			}
		}
		h.fails(who, "Decrypt", m{"CiphertextBlob": blob}, "AccessDeniedException",
			notAuthorized(principals[who].ARN, "kms:Decrypt", "the resource associated with this ciphertext"+unreadableTail))
	}
	names := []string{arn, absent, aliasARN, aliasARN + "absent"}
	closed(foreignRoot, names...)
	h.identity[principals[foreignUser].ARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
	closed(foreignUser, names...)
	// A Deny of the caller's own says nothing of what is there either.
	h.identity[principals[foreignUser].ARN] = onlyPolicy(m{"Effect": "Deny", "Action": "kms:*", "Resource": "*"})
	closed(foreignUser, names...)

	// The key's side agrees, the caller's does not.
	h.identity[principals[foreignUser].ARN] = ""
	h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy(allow("arn:aws:iam::"+other+":root", "kms:*", nil))})
	for operation, in := range inputs(arn) {
		h.fails(foreignUser, operation, in, "AccessDeniedException",
			notAuthorized(principals[foreignUser].ARN, "kms:"+operation, "this resource"+fmt.Sprintf(noIdentityTail, "kms:"+operation)))
		h.ok(foreignRoot, operation, in)
	}
	// Both do.
	h.identity[principals[foreignUser].ARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:*", "Resource": arn})
	for _, name := range []string{arn, aliasARN} {
		for operation, in := range inputs(name) {
			h.ok(foreignUser, operation, in)
		}
	}
	h.ok(foreignUser, "Decrypt", m{"CiphertextBlob": blob})
	// A bare id or alias name means the caller's own account.
	h.fails(foreignRoot, "DescribeKey", m{"KeyId": id}, "NotFoundException", "Key 'arn:aws:kms:us-east-1:"+other+":key/"+id+"' does not exist")
	h.fails(foreignRoot, "DescribeKey", m{"KeyId": "alias/a"}, "NotFoundException", "Alias arn:aws:kms:us-east-1:"+other+":alias/a is not found.")

	// The rest is for the key's own account, whatever its policy says.
	for operation, in := range map[string]m{
		"EnableKey": {}, "DisableKey": {}, "GetKeyPolicy": {}, "PutKeyPolicy": {"Policy": keyPolicy()}, "ListKeyPolicies": {},
		"ListResourceTags": {}, "TagResource": {"Tags": []m{{"TagKey": "a", "TagValue": "b"}}}, "UntagResource": {"TagKeys": []string{"a"}},
		"UpdateKeyDescription": {"Description": "d"}, "ScheduleKeyDeletion": {}, "CancelKeyDeletion": {}, "ListAliases": {},
	} {
		for _, key := range []string{arn, absent} {
			h.fails(foreignRoot, operation, with(in, m{"KeyId": key}), "AccessDeniedException", unseen(foreignRoot, operation))
		}
	}
	for _, key := range []string{arn, absent} {
		h.fails(foreignRoot, "CreateAlias", m{"AliasName": "alias/b", "TargetKeyId": key}, "AccessDeniedException", unseen(foreignRoot, "CreateAlias"))
	}
}

// onlyPolicy returns a policy of one statement.
func onlyPolicy(statement m) string {
	return jsonText(m{"Version": "2012-10-17", "Statement": []m{statement}})
}
