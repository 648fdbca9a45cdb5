package kms

import (
	"slices"
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

func TestAGrantAllowsItsGrantee(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	encrypt := m{"KeyId": arn, "Plaintext": plaintext}
	g.denied(user, "Encrypt", encrypt)
	grant, _ := g.grant(id, userARN, nil, "Encrypt")
	g.ok(user, "Encrypt", encrypt)
	g.denied(otherUser, "Encrypt", encrypt)
	g.denied(user, "DescribeKey", m{"KeyId": arn})
	g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	g.denied(user, "Encrypt", encrypt)
	if list := g.listed(id); len(list) != 0 {
		t.Errorf("grants after the only one was revoked: %v", list)
	}
}

// TestEachOperationOfAGrant: a grant of one operation allows that operation and
// none of the others.
func TestEachOperationOfAGrant(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	blob := g.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintext})["CiphertextBlob"]
	from, _ := g.keyID()
	foreignBlob := g.ok(root, "Encrypt", m{"KeyId": from, "Plaintext": plaintext})["CiphertextBlob"]
	g.grant(from, userARN, nil, "ReEncryptFrom", "Encrypt")
	to, _ := g.keyID()
	g.grant(to, userARN, nil, "ReEncryptTo", "Decrypt")
	calls := []struct {
		operation, call string
		in              m
	}{
		{"Encrypt", "Encrypt", m{"KeyId": arn, "Plaintext": plaintext}},
		{"Decrypt", "Decrypt", m{"CiphertextBlob": blob}},
		{"ReEncryptFrom", "ReEncrypt", m{"CiphertextBlob": blob, "DestinationKeyId": to}},
		{"ReEncryptTo", "ReEncrypt", m{"CiphertextBlob": foreignBlob, "DestinationKeyId": id}},
		{"GenerateDataKey", "GenerateDataKey", m{"KeyId": arn, "KeySpec": "AES_256"}},
		{"GenerateDataKeyWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", m{"KeyId": arn, "KeySpec": "AES_256"}},
		{"DescribeKey", "DescribeKey", m{"KeyId": arn}},
	}
	for _, granted := range calls {
		grant, _ := g.grant(id, userARN, nil, granted.operation)
		for _, c := range calls {
			if c.operation == granted.operation {
				g.ok(user, c.call, c.in)
			} else {
				g.denied(user, c.call, c.in)
			}
		}
		g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	}
	// Other permissions cannot come from a grant at all.
	g.grant(id, userARN, nil, "Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey",
		"GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
		"CreateGrant", "RetireGrant", "DescribeKey")
	for _, name := range []string{"DisableKey", "EnableKey", "GetKeyPolicy", "ListGrants", "ListResourceTags", "ScheduleKeyDeletion"} {
		g.denied(user, name, m{"KeyId": id})
	}
	g.denied(user, "RevokeGrant", m{"KeyId": id, "GrantId": g.listed(id)[0]["GrantId"]})
}

func TestGrantRefusals(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	long := strings.Repeat("x", maxConstraintText+1)
	pairs := func(n int) m {
		context := m{}
		for i := range n {
			context[strings.Repeat("k", i+1)] = "v"
		}
		return context
	}
	const (
		valid     = "[CreateGrant, RetireGrant, DescribeKey, Encrypt, Decrypt, ReEncryptFrom, ReEncryptTo, GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext]"
		noName    = "ARN is not valid: "
		nobody    = "ARN does not refer to a valid principal: "
		invalid   = "ValidationException"
		badARN    = "InvalidArnException"
		oneOfTwo  = "You must specify either GranteePrincipal or GranteeServicePrincipal, but not both."
		onContext = "A name or value in the encryption context of a grant constraint can have at most 384 characters."
	)
	for name, c := range map[string]struct {
		in            m
		code, message string
	}{
		"alias":              {grantOf("alias/none", userARN, nil, "Encrypt"), badARN, "Key Aliases are not supported for this operation."},
		"no such key":        {grantOf(strings.Repeat("0", 8)+id[8:], userARN, nil, "Encrypt"), "NotFoundException", "Key '" + strings.Replace(arn, id[:8], "00000000", 1) + "' does not exist"},
		"no operations":      {grantOf(id, userARN, nil, []string{}...), invalid, "A grant must contain at least one operation."},
		"CreateGrant alone":  {grantOf(id, userARN, nil, "CreateGrant"), invalid, "Grants must not contain only the CreateGrant operation."},
		"and again":          {grantOf(id, userARN, nil, "CreateGrant", "CreateGrant"), invalid, "Grants must not contain only the CreateGrant operation."},
		"of another usage":   {grantOf(id, userARN, nil, "Sign", "Encrypt", "VerifyMac"), invalid, "Operations [Sign, VerifyMac] are not supported when creating a grant for a symmetric KMS key with key usage ENCRYPT_DECRYPT. Valid operations are " + valid},
		"public key":         {grantOf(id, userARN, nil, "GetPublicKey"), invalid, "Operations [GetPublicKey] are not supported when creating a grant for a symmetric KMS key with key usage ENCRYPT_DECRYPT. Valid operations are " + valid},
		"nine pairs":         {grantOf(id, userARN, m{"Constraints": m{"EncryptionContextSubset": pairs(9)}}, "Encrypt"), invalid, "A grant constraint can have at most 8 encryption context pairs."},
		"nine equal pairs":   {grantOf(id, userARN, m{"Constraints": m{"EncryptionContextEquals": pairs(9)}}, "Encrypt"), invalid, "A grant constraint can have at most 8 encryption context pairs."},
		"long value":         {grantOf(id, userARN, m{"Constraints": m{"EncryptionContextSubset": m{"a": long}}}, "Encrypt"), invalid, onContext},
		"long name":          {grantOf(id, userARN, m{"Constraints": m{"EncryptionContextEquals": m{long: "a"}}}, "Encrypt"), invalid, onContext},
		"no grantee":         {grantOf(id, "", nil, "Encrypt"), invalid, oneOfTwo},
		"two grantees":       {grantOf(id, userARN, m{"GranteeServicePrincipal": serviceName}, "Encrypt"), invalid, oneOfTwo},
		"two retiring":       {grantOf(id, userARN, m{"RetiringPrincipal": bobARN, "RetiringServicePrincipal": serviceName}, "Encrypt"), invalid, "You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both."},
		"service, no source": {grantOf(id, "", m{"GranteeServicePrincipal": serviceName, "RetiringPrincipal": bobARN}, "Encrypt"), invalid, "A grant with a GranteeServicePrincipal must have a SourceArn constraint."},
		"service, no retirer": {grantOf(id, "", m{"GranteeServicePrincipal": serviceName, "Constraints": m{"SourceArn": sourceARN}}, "Encrypt"), invalid,
			"A grant with a GranteeServicePrincipal must have a RetiringPrincipal or a RetiringServicePrincipal."},
		"not an ARN":       {grantOf(id, "alice", nil, "Encrypt"), badARN, noName + "alice"},
		"an account's id":  {grantOf(id, account, nil, "Encrypt"), badARN, noName + account},
		"a unique id":      {grantOf(id, "AROAWORKEREXAMPLE001", nil, "Encrypt"), badARN, noName + "AROAWORKEREXAMPLE001"},
		"half an ARN":      {grantOf(id, "arn:aws:iam", nil, "Encrypt"), badARN, noName + "arn:aws:iam"},
		"a service":        {grantOf(id, serviceName, nil, "Encrypt"), badARN, "GranteePrincipal does not refer to a valid principal."},
		"not a principal":  {grantOf(id, arn, nil, "Encrypt"), badARN, nobody + arn},
		"a group":          {grantOf(id, "arn:aws:iam::"+account+":group/all", nil, "Encrypt"), badARN, nobody + "arn:aws:iam::" + account + ":group/all"},
		"a vanished user":  {grantOf(id, "arn:aws:iam::"+account+":user/gone", nil, "Encrypt"), badARN, nobody + "arn:aws:iam::" + account + ":user/gone"},
		"other partition":  {grantOf(id, "arn:aws-cn:iam::"+account+":root", nil, "Encrypt"), badARN, nobody + "arn:aws-cn:iam::" + account + ":root"},
		"retiring nobody":  {grantOf(id, userARN, m{"RetiringPrincipal": "arn:aws:iam::" + account + ":user/gone"}, "Encrypt"), badARN, nobody + "arn:aws:iam::" + account + ":user/gone"},
		"retiring service": {grantOf(id, userARN, m{"RetiringPrincipal": serviceName}, "Encrypt"), badARN, "RetiringPrincipal does not refer to a valid principal."},
		"bad token":        {grantOf(id, userARN, m{"GrantTokens": []string{"AQpAM2RhZ"}}, "Encrypt"), "InvalidGrantTokenException", ""},
		"bad enum": {grantOf(id, userARN, nil, "DisableKey"), invalid,
			"1 validation error detected: Value '[DisableKey]' at 'operations' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [" + strings.Join(operationValues, ", ") + "]]"},
	} {
		t.Run(name, func(t *testing.T) {
			h := *g.harness
			h.t = t
			h.fails(root, "CreateGrant", c.in, c.code, c.message)
		})
	}
	if list := g.listed(id); len(list) != 0 {
		t.Errorf("refused requests made grants: %v", list)
	}
}

var operationValues = []string{"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "Sign", "Verify", "GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate"}

// TestGrantOperationsOfEachKind holds the table of operations against kms.md §9.
func TestGrantOperationsOfEachKind(t *testing.T) {
	symmetric, asymmetric, hmac := &keySpec{family: symmetricKey}, &keySpec{family: asymmetricKey}, &keySpec{family: hmacKey}
	for _, c := range []struct {
		spec  *keySpec
		usage api.KeyUsageType
		want  string
	}{
		{symmetric, api.KeyUsageTypeEncryptDecrypt, "Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext"},
		{asymmetric, api.KeyUsageTypeEncryptDecrypt, "Encrypt Decrypt ReEncryptFrom ReEncryptTo GetPublicKey"},
		{asymmetric, api.KeyUsageTypeSignVerify, "Sign Verify GetPublicKey"},
		{asymmetric, api.KeyUsageTypeKeyAgreement, "DeriveSharedSecret GetPublicKey"},
		{asymmetric, api.KeyUsageTypeEncapsulateDecapsulate, "Encapsulate Decapsulate GetPublicKey"},
		{hmac, api.KeyUsageTypeGenerateVerifyMac, "GenerateMac VerifyMac"},
	} {
		k := &key{keyRecord: keyRecord{Usage: c.usage}, spec: c.spec}
		want := append([]string{"CreateGrant", "RetireGrant", "DescribeKey"}, strings.Fields(c.want)...)
		for _, o := range operationValues {
			err := k.checkGrantOperations([]api.GrantOperation{api.GrantOperation(o), api.GrantOperationDescribeKey})
			if ok := slices.Contains(want, o); ok != (err == nil) {
				t.Errorf("%s on a key for %s: %v", o, c.usage, err)
			}
		}
		constraints := &grantConstraints{Subset: map[string]string{"a": "b"}}
		err := k.checkConstraints(constraints)
		if c.spec == symmetric {
			if err != nil {
				t.Errorf("constraints on a symmetric encryption key: %v", err)
			}
		} else if err == nil || err.Error() != "ValidationException: EncryptionContext is supported only when creating a grant for a symmetric encryption KMS key." {
			t.Errorf("constraints on a key for %s: %v", c.usage, err)
		}
		if err := k.checkConstraints(&grantConstraints{SourceARN: sourceARN}); err != nil {
			t.Errorf("SourceArn on a key for %s: %v", c.usage, err)
		}
	}
	// The text that was recorded from AWS (kms.md §9).
	k := &key{keyRecord: keyRecord{Usage: api.KeyUsageTypeGenerateVerifyMac}, spec: hmac}
	want := "ValidationException: Operations [Encrypt] are not supported when creating a grant for a symmetric KMS key with key usage GENERATE_VERIFY_MAC. Valid operations are [CreateGrant, RetireGrant, DescribeKey, GenerateMac, VerifyMac]"
	if err := k.checkGrantOperations([]api.GrantOperation{"Encrypt"}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestGrantIdempotency(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	second, _ := g.keyID()
	more := func(name string, change m) m {
		in := m{"Name": name, "RetiringPrincipal": bobARN, "Constraints": m{"EncryptionContextSubset": m{"a": "1"}}}
		for k, v := range change {
			in[k] = v
		}
		return in
	}
	first, token := g.grant(id, userARN, more("n", nil), "Encrypt", "Decrypt")
	again, newToken := g.grant(id, userARN, more("n", nil), "Encrypt", "Decrypt")
	if again != first || newToken == token {
		t.Errorf("the same request again: grants %s and %s, tokens equal %t", first, again, newToken == token)
	}
	if again, _ := g.grant(id, userARN, more("n", nil), "Decrypt", "Encrypt", "Decrypt"); again != first {
		t.Errorf("the operations in another order: another grant")
	}
	g.fails(root, "CreateGrant", grantOf(id, userARN, more("n", m{"DryRun": true}), "Encrypt", "Decrypt"), "DryRunOperationException",
		"The request would have succeeded, but the DryRun option is set.")
	if n := len(g.listed(id)); n != 1 {
		t.Fatalf("%d grants, want 1", n)
	}
	for what, in := range map[string]m{
		"name":        grantOf(id, userARN, more("N", nil), "Encrypt", "Decrypt"),
		"grantee":     grantOf(id, bobARN, more("n", nil), "Encrypt", "Decrypt"),
		"retiring":    grantOf(id, userARN, more("n", m{"RetiringPrincipal": userARN}), "Encrypt", "Decrypt"),
		"operations":  grantOf(id, userARN, more("n", nil), "Encrypt"),
		"constraints": grantOf(id, userARN, more("n", m{"Constraints": m{"EncryptionContextEquals": m{"a": "1"}}}), "Encrypt", "Decrypt"),
		"key":         grantOf(second, userARN, more("n", nil), "Encrypt", "Decrypt"),
	} {
		if other := g.ok(root, "CreateGrant", in)["GrantId"]; other == first {
			t.Errorf("with another %s: the same grant", what)
		}
	}
	// Either token leads to the one grant, and once it is gone the name makes a new one.
	g.ok(root, "RetireGrant", m{"GrantToken": newToken})
	g.fails(root, "RetireGrant", m{"GrantToken": token}, "NotFoundException", "Grant ID "+first+" not found.")
	if again, _ := g.grant(id, userARN, more("n", nil), "Encrypt", "Decrypt"); again == first {
		t.Errorf("a retired grant came back")
	}
	// Without a name, each call makes one.
	a, _ := g.grant(second, userARN, nil, "Encrypt")
	b, _ := g.grant(second, userARN, nil, "Encrypt")
	if a == b {
		t.Errorf("two requests without a name made one grant")
	}
}

func TestGrantQuota(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	err := g.store.Update(t.Context(), func(tx *store.Tx) error {
		record, err := keyRecords.Get(tx, scope(account, region), id)
		if err != nil {
			return err
		}
		record.Grants = maxGrants - 1
		return keyRecords.Put(tx, scope(account, region), id, record)
	})
	if err != nil {
		t.Fatal(err)
	}
	grant, _ := g.grant(id, userARN, m{"Name": "last"}, "Encrypt")
	g.fails(root, "CreateGrant", grantOf(id, userARN, nil, "Encrypt"), "LimitExceededException", "The quota of 50000 grants for a KMS key is used up.")
	if again, _ := g.grant(id, userARN, m{"Name": "last"}, "Encrypt"); again != grant {
		t.Error("a repeated request counts against the quota")
	}
	g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	g.grant(id, userARN, nil, "Encrypt")
}

func TestGrantDryRunChangesNothing(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	grant, token := g.grant(id, userARN, nil, "Encrypt")
	const would = "The request would have succeeded, but the DryRun option is set."
	for name, in := range map[string]m{
		"CreateGrant": grantOf(id, userARN, nil, "Encrypt"),
		"RevokeGrant": {"KeyId": id, "GrantId": grant},
		"RetireGrant": {"GrantToken": token},
	} {
		in["DryRun"] = true
		g.fails(root, name, in, "DryRunOperationException", would)
		g.denied(otherUser, name, in)
	}
	if list := g.listed(id); len(list) != 1 {
		t.Errorf("%d grants, want 1", len(list))
	}
}

// TestGrantConditions: policies can limit which grants may be made.
func TestGrantConditions(t *testing.T) {
	g := newGrantHarness(t)
	full := m{"RetiringPrincipal": bobARN, "Constraints": m{"EncryptionContextEquals": m{"Dept": "IT", "b": "2"}}}
	plain := m(nil)
	viaService := func(call *authz.Call) { call.Via = []string{"rds.us-east-1.amazonaws.com"} }
	for _, c := range []struct {
		operator, key string
		value         any
		more          m
		before        func(*authz.Call)
		ok            bool
	}{
		{"StringEquals", "kms:GrantConstraintType", "EncryptionContextEquals", full, nil, true},
		{"StringEquals", "kms:GrantConstraintType", "EncryptionContextSubset", full, nil, false},
		{"StringEquals", "kms:GrantConstraintType", "EncryptionContextEquals", plain, nil, false},
		{"StringEquals", "kms:GrantConstraintType", "SourceArn", m{"Constraints": m{"SourceArn": sourceARN}}, nil, true},
		{"ArnLike", "kms:GrantConstraintSourceArn", "arn:aws:backup:*:*:vault/*", m{"Constraints": m{"SourceArn": sourceARN}}, nil, true},
		{"ArnLike", "kms:GrantConstraintSourceArn", "arn:aws:backup:*:*:vault/*", full, nil, false},
		{"Bool", "kms:GrantIsForAWSResource", "true", plain, nil, false},
		{"Bool", "kms:GrantIsForAWSResource", "false", plain, nil, true},
		{"Bool", "kms:GrantIsForAWSResource", "true", plain, viaService, true},
		{"ForAllValues:StringEquals", "kms:GrantOperations", []string{"Encrypt", "Decrypt"}, plain, nil, true},
		{"ForAllValues:StringEquals", "kms:GrantOperations", []string{"Encrypt"}, plain, nil, false},
		{"StringEquals", "kms:GranteePrincipal", userARN, plain, nil, true},
		{"StringEquals", "kms:GranteePrincipal", bobARN, plain, nil, false},
		{"StringEquals", "kms:RetiringPrincipal", bobARN, full, nil, true},
		{"StringEquals", "kms:RetiringPrincipal", bobARN, plain, nil, false},
		{"Null", "kms:GranteeServicePrincipal", "true", plain, nil, true},
		{"Null", "kms:RetiringServicePrincipal", "true", full, nil, true},
		{"StringEquals", "kms:RetiringServicePrincipal", serviceName, m{"RetiringServicePrincipal": serviceName}, nil, true},
		{"StringEquals", "kms:EncryptionContext:dept", "IT", full, nil, true},
		{"StringEquals", "kms:EncryptionContext:dept", "HR", full, nil, false},
		{"ForAllValues:StringEquals", "kms:EncryptionContextKeys", []string{"Dept", "b"}, full, nil, true},
		{"ForAnyValue:StringEquals", "kms:EncryptionContextKeys", []string{"c"}, full, nil, false},
		{"StringEquals", "kms:KeyUsage", "ENCRYPT_DECRYPT", plain, nil, true},
	} {
		k := g.key(m{"Policy": keyPolicy(allow(bobARN, "kms:CreateGrant", m{c.operator: m{c.key: c.value}}))})
		g.before = c.before
		a := g.send(otherUser, "CreateGrant", grantOf(k["KeyId"].(string), userARN, c.more, "Encrypt", "Decrypt"))
		g.before = nil
		if (a.status == 200) != c.ok {
			t.Errorf("%s %s %v with %v: %d %s %s, want allowed %t", c.operator, c.key, c.value, c.more, a.status, a.code, a.message, c.ok)
		}
	}
}
