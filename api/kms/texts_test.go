package kms

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/awserr"
)

func b64(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }

// TestRecordedTexts holds bodies against texts that AWS KMS was seen to answer.
func TestRecordedTexts(t *testing.T) {
	const one = "1 validation error detected: "
	for _, c := range []struct{ op, body, want string }{
		{"EnableKeyRotation", `{"KeyId":"k","RotationPeriodInDays":2561}`,
			one + "Value '2561' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value less than or equal to 2560"},
		{"EnableKeyRotation", `{"KeyId":"k","RotationPeriodInDays":89}`,
			one + "Value '89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90"},
		{"GenerateMac", `{"KeyId":"k","Message":"AA==","MacAlgorithm":"HMAC_SHA_1"}`,
			one + "Value 'HMAC_SHA_1' at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]"},
		{"TagResource", `{"KeyId":"k","Tags":[{"TagKey":"` + strings.Repeat("k", 129) + `","TagValue":"v"}]}`,
			one + "Value '" + strings.Repeat("k", 129) + "' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"TagResource", `{"KeyId":"k","Tags":[{"TagKey":"k","TagValue":"v"},{"TagKey":"k","TagValue":"` + strings.Repeat("v", 257) + `"}]}`,
			one + "Value '" + strings.Repeat("v", 257) + "' at 'tags.2.member.tagValue' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"DescribeKey", `{"KeyId":""}`,
			one + "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"DescribeKey", `{}`, one + "Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		{"DescribeKey", `{"KeyId":null}`, one + "Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		{"Encrypt", `{"KeyId":"k","Plaintext":"` + b64(4097) + `"}`,
			one + "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"Encrypt", `{"KeyId":"k","Plaintext":""}`,
			one + "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"Encrypt", `{}`, "2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; " +
			"Value null at 'plaintext' failed to satisfy constraint: Member must not be null"},
		{"GenerateDataKey", `{"KeyId":"k","NumberOfBytes":1025}`,
			one + "Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
		{"GenerateDataKey", `{"KeyId":"k","KeySpec":"AES_512"}`,
			one + "Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"},
		{"CreateAlias", `{"AliasName":"alias/a b","TargetKeyId":"k"}`,
			one + "Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"CreateCustomKeyStore", `{"CustomKeyStoreName":"s","KeyStorePassword":"hunter"}`,
			one + "Value at 'keyStorePassword' failed to satisfy constraint: Member must have length greater than or equal to 7"},
		{"CreateCustomKeyStore", `{"CustomKeyStoreName":"s","XksProxyAuthenticationCredential":{"AccessKeyId":"` + strings.Repeat("A", 20) + `","RawSecretAccessKey":"` + strings.Repeat("!", 43) + `"}}`,
			one + `Value at 'xksProxyAuthenticationCredential.rawSecretAccessKey' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9\/+=]+$`},
		{"DescribeKey", `{"KeyId":"k","GrantTokens":["t",""]}`,
			one + "Value '[t, ]' at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]"},
	} {
		_, err := Table(Unimplemented{}).Lookup(c.op).Decode([]byte(c.body))
		if err == nil || err.Error() != "ValidationException: "+c.want {
			t.Errorf("%s %.100s\ngot  %v\nwant %s", c.op, c.body, err, c.want)
		}
	}
}

// TestCheckedLater: the handlers answer these, with texts of their own.
func TestCheckedLater(t *testing.T) {
	for op, body := range map[string]string{
		"GenerateRandom":      `{}`,
		"Decrypt":             `{"EncryptionAlgorithm":"RSAES_OAEP_SHA_256","CiphertextBlob":"AA=="}`,
		"ReEncrypt":           `{"DestinationKeyId":"k"}`,
		"ScheduleKeyDeletion": `{"KeyId":"k","PendingWindowInDays":6}`,
		"CreateGrant":         `{"KeyId":"k","Operations":[],"GranteeServicePrincipal":"s3.amazonaws.com"}`,
		"GenerateDataKey":     `{"KeyId":"k","NumberOfBytes":1,"KeySpec":"AES_256"}`,
		"CreateKey":           ``,
		"Sign":                `{"KeyId":"k","Message":"AA==","MessageType":"DIGEST","SigningAlgorithm":"ECDSA_SHA_256"}`,
	} {
		if _, err := Table(Unimplemented{}).Lookup(op).Decode([]byte(body)); err != nil {
			t.Errorf("%s %s: %v", op, body, err)
		}
	}
}

// TestValidateInGo: requests that never were on the wire are judged by their
// values, where a required string that may be empty is there.
func TestValidateInGo(t *testing.T) {
	if err := (&UpdateKeyDescriptionInput{KeyId: "k"}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (&TagResourceInput{KeyId: "k", Tags: []Tag{{TagKey: "k"}}}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (&EncryptInput{KeyId: "k"}).Validate(); err == nil || !strings.Contains(err.Error(), "Value null at 'plaintext'") {
		t.Error(err)
	}
	_, err := decodeUpdateKeyDescription([]byte(`{"KeyId":"k"}`))
	if err == nil || !strings.Contains(err.Error(), "Value null at 'description'") {
		t.Error(err)
	}
}

// TestRequestsDoNotPrint: what a careless log line would show.
func TestRequestsDoNotPrint(t *testing.T) {
	in, err := decodeEncrypt([]byte(`{"KeyId":"k","Plaintext":"Y2FuYXJ5"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if shown := fmt.Sprintf(verb, in); strings.Contains(shown, "canary") || strings.Contains(shown, "99 97 110") || strings.Contains(shown, "0x63, 0x61") {
			t.Errorf("%s shows %s", verb, shown)
		}
	}
}

// TestDecodeAllocates keeps the hot path from growing: the input, its strings, the
// plaintext, and the map with its entry.
func TestDecodeAllocates(t *testing.T) {
	body := encryptBody(32)
	if n := testing.AllocsPerRun(100, func() { _, _ = decodeEncrypt(body) }); n > 8 {
		t.Errorf("decoding an Encrypt allocates %v times", n)
	}
	out := &EncryptOutput{CiphertextBlob: make([]byte, 100), KeyId: "k"}
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { dst = encodeEncrypt(dst[:0], out) }); n != 0 {
		t.Errorf("encoding an Encrypt allocates %v times", n)
	}
}

// TestErrors: only the three that AWS counts as its own fault have status 500.
func TestErrors(t *testing.T) {
	for _, e := range []*awserr.Error{DependencyTimeoutException("m"), KMSInternalException("m"), KeyUnavailableException("m")} {
		if e.HTTPStatus() != 500 || e.Fault != awserr.Server || e.Message != "m" {
			t.Errorf("%+v", e)
		}
	}
	for _, e := range []*awserr.Error{NotFoundException("m"), AlreadyExistsException("m"), LimitExceededException("m"), DisabledException("m")} {
		if e.HTTPStatus() != 400 || e.Fault != awserr.Client || e.Message != "m" {
			t.Errorf("%+v", e)
		}
	}
	if e := NotFoundException(""); e.Code != "NotFoundException" {
		t.Errorf("%+v", e)
	}
}
