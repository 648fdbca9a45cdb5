package xksapi

import (
	"bytes"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// The examples of the specification: sections Encrypt and Decrypt, appendix C.
const (
	exampleRequest = `{
    "requestMetadata": {
        "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
        "kmsKeyArn": "arn:aws:kms:us-east-2:123456789012:/key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "kmsOperation": "Encrypt",
        "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
        "kmsViaService": "ebs"
    },
    "additionalAuthenticatedData": "cHJvamVjdD1uaWxlLGRlcGFydG1lbnQ9bWFya2V0aW5n",
    "plaintext": "SGVsbG8gV29ybGQh",
    "encryptionAlgorithm": "AES_GCM",
    "ciphertextDataIntegrityValueAlgorithm": "SHA_256"
}`
	exampleAnswer = `{
    "authenticationTag": "vBxN2ncH1oEkR8WVXpmyYQ==",
    "ciphertext": "ghxkK1txeDNn3q8Y",
    "ciphertextDataIntegrityValue": "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=",
    "ciphertextMetadata": "a2V5X3ZlcnNpb249MQ==",
    "initializationVector": "HMrlRw85cAJUd5Ax"
}`
	exampleAAD = "project=nile,department=marketing"
)

func TestTheSpecificationsExamples(t *testing.T) {
	r, err := ParseRequest([]byte(exampleRequest))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CheckEncrypt(); err != nil || !r.Integrity || string(r.Plaintext) != "Hello World!" || string(r.AAD) != exampleAAD ||
		r.Metadata.ViaService != "ebs" || r.Metadata.PrincipalARN != "arn:aws:iam::123456789012:user/Alice" {
		t.Errorf("%+v, %v", r, err)
	}
	e, err := ParseEncrypted([]byte(exampleAnswer), []byte(exampleAAD), 12)
	if err != nil || string(e.CiphertextMetadata) != "key_version=1" {
		t.Fatalf("%+v, %v", e, err)
	}
	again, err := ParseEncrypted(e.AppendJSON(nil, []byte(exampleAAD), true), []byte(exampleAAD), 12)
	if err != nil || !reflect.DeepEqual(again, e) {
		t.Errorf("%+v, %v", again, err)
	}
	for what, lie := range map[string]string{
		"another tag":        strings.Replace(exampleAnswer, "vBxN", "vBxM", 1),
		"another ciphertext": strings.Replace(exampleAnswer, "ghxk", "ghxl", 1),
		"another value":      strings.Replace(exampleAnswer, "qHA/", "qHB/", 1),
		"no value":           strings.Replace(exampleAnswer, "ciphertextDataIntegrityValue", "x", 1),
		"no IV":              strings.Replace(exampleAnswer, "initializationVector", "x", 1),
		"no tag":             strings.Replace(exampleAnswer, "authenticationTag", "x", 1),
		"not JSON":           exampleAnswer[1:],
		"data after it":      exampleAnswer + "{}",
		"two tags":           strings.Replace(exampleAnswer, "{", `{"authenticationTag": "vBxN2ncH1oEkR8WVXpmyYQ==",`, 1),
		"nothing":            "",
	} {
		if _, err := ParseEncrypted([]byte(lie), []byte(exampleAAD), 12); err != ErrMalformed {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ParseEncrypted([]byte(exampleAnswer), []byte(exampleAAD), 13); err != ErrMalformed {
		t.Errorf("another length: %v", err)
	}
	if _, err := ParseEncrypted([]byte(exampleAnswer), nil, 12); err != ErrMalformed {
		t.Errorf("another aad: %v", err)
	}
}

func TestRequestsComeBack(t *testing.T) {
	m := Metadata{PrincipalARN: "arn:aws:iam::111122223333:user/ä\"", KeyARN: "arn:k", Operation: "Decrypt", RequestID: "id", SourceVPC: "vpc-1", SourceVPCE: "vpce-1", ViaService: "ebs"}
	in := Request{Metadata: m, Plaintext: []byte("p"), AAD: []byte("a"), Ciphertext: []byte("c"), CiphertextMetadata: []byte("m"), IV: make([]byte, 12), Tag: make([]byte, 16)}
	r, err := ParseRequest(in.AppendDecrypt(nil))
	if err != nil || r.CheckDecrypt() != nil || r.Metadata != m || string(r.Ciphertext) != "c" || string(r.CiphertextMetadata) != "m" || len(r.IV) != 12 || len(r.Tag) != 16 {
		t.Errorf("Decrypt: %+v, %v", r, err)
	}
	r, err = ParseRequest(in.AppendEncrypt(nil))
	if err != nil || r.CheckEncrypt() != nil || r.Metadata != m || string(r.Plaintext) != "p" || string(r.AAD) != "a" || !r.Integrity {
		t.Errorf("Encrypt: %+v, %v", r, err)
	}
	r, err = ParseRequest(AppendMetadataRequest(nil, &m))
	if err != nil || r.CheckMetadata() != nil || r.Metadata != m {
		t.Errorf("GetKeyMetadata: %+v, %v", r, err)
	}
}

func TestFieldsOutOfBounds(t *testing.T) {
	long := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	encrypt := func(old, new string) string { return strings.Replace(exampleRequest, old, new, 1) }
	decrypt := func(ciphertext, metadata, iv, tag string) string {
		return `{"requestMetadata":{"awsPrincipalArn":"p","kmsKeyArn":"k","kmsOperation":"Decrypt","kmsRequestId":"r"},"encryptionAlgorithm":"AES_GCM",` +
			`"ciphertext":"` + ciphertext + `","ciphertextMetadata":"` + metadata + `","initializationVector":"` + iv + `","authenticationTag":"` + tag + `"}`
	}
	for _, c := range []struct {
		what, body string
		check      func(*Request) error
		want       Name
	}{
		{"plaintext of 4300", encrypt("SGVsbG8gV29ybGQh", long(4300)), (*Request).CheckEncrypt, ""},
		{"plaintext of 4301", encrypt("SGVsbG8gV29ybGQh", long(4301)), (*Request).CheckEncrypt, Unsupported},
		{"no plaintext", encrypt("SGVsbG8gV29ybGQh", ""), (*Request).CheckEncrypt, Validation},
		{"plaintext that is no base64", encrypt("SGVsbG8gV29ybGQh", "?"), (*Request).CheckEncrypt, Validation},
		{"aad of 8192", encrypt("cHJvamVjdD1uaWxlLGRlcGFydG1lbnQ9bWFya2V0aW5n", long(8192)), (*Request).CheckEncrypt, ""},
		{"aad of 8193", encrypt("cHJvamVjdD1uaWxlLGRlcGFydG1lbnQ9bWFya2V0aW5n", long(8193)), (*Request).CheckEncrypt, Unsupported},
		{"another algorithm", encrypt("AES_GCM", "AES_CBC"), (*Request).CheckEncrypt, Validation},
		{"no algorithm", encrypt(`"encryptionAlgorithm"`, `"x"`), (*Request).CheckEncrypt, Validation},
		{"another integrity algorithm", encrypt("SHA_256", "SHA_512"), (*Request).CheckEncrypt, Validation},
		{"an empty integrity algorithm", encrypt("SHA_256", ""), (*Request).CheckEncrypt, Validation},
		{"no principal", encrypt("awsPrincipalArn", "x"), (*Request).CheckEncrypt, Validation},
		{"no key ARN", encrypt("kmsKeyArn", "x"), (*Request).CheckEncrypt, Validation},
		{"no operation", encrypt("kmsOperation", "x"), (*Request).CheckEncrypt, Validation},
		{"no request id", encrypt("kmsRequestId", "x"), (*Request).CheckEncrypt, Validation},
		{"an operation to come", encrypt(`"Encrypt"`, `"BulkEncrypt"`), (*Request).CheckEncrypt, ""},
		{"an ARN of 2048", encrypt("arn:aws:iam::123456789012:user/Alice", strings.Repeat("a", 2048)), (*Request).CheckEncrypt, ""},
		{"an ARN of 2049", encrypt("arn:aws:iam::123456789012:user/Alice", strings.Repeat("a", 2049)), (*Request).CheckEncrypt, Validation},
		{"a member to come", encrypt(`"kmsViaService"`, `"kmsSourceIdentity": {"a": [1]}, "kmsViaService"`), (*Request).CheckEncrypt, ""},
		{"a member twice", encrypt(`"kmsViaService"`, `"kmsViaService": "s3", "kmsViaService"`), (*Request).CheckEncrypt, Validation},
		{"metadata of another type", encrypt("{\n", `{"requestMetadata": 1,`), (*Request).CheckEncrypt, Validation},
		{"nothing", "", (*Request).CheckEncrypt, Validation},
		{"a decryption", decrypt("Yw==", "", long(12), long(16)), (*Request).CheckDecrypt, ""},
		{"an IV of 16", decrypt("Yw==", long(20), long(16), long(16)), (*Request).CheckDecrypt, ""},
		{"ciphertext of 4301", decrypt(long(4301), "", long(12), long(16)), (*Request).CheckDecrypt, Unsupported},
		{"no ciphertext", decrypt("", "", long(12), long(16)), (*Request).CheckDecrypt, Validation},
		{"metadata of 21", decrypt("Yw==", long(21), long(12), long(16)), (*Request).CheckDecrypt, Validation},
		{"an IV of 13", decrypt("Yw==", "", long(13), long(16)), (*Request).CheckDecrypt, Validation},
		{"no IV", decrypt("Yw==", "", "", long(16)), (*Request).CheckDecrypt, Validation},
		{"a tag of 15", decrypt("Yw==", "", long(12), long(15)), (*Request).CheckDecrypt, Validation},
		{"a tag of 17", decrypt("Yw==", "", long(12), long(17)), (*Request).CheckDecrypt, Validation},
	} {
		r, err := ParseRequest([]byte(c.body))
		if err == nil {
			err = c.check(r)
		}
		var refused *Error
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.want != "" && (!errors.As(err, &refused) || refused.Name != c.want):
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
		if refused != nil && (len(refused.Message) >= 512 || strings.IndexFunc(refused.Message, func(r rune) bool { return r < 0x20 || r > 0x7e }) >= 0) {
			t.Errorf("%s: the message is %q", c.what, refused.Message)
		}
	}
}

func TestErrorsAndTheirStatus(t *testing.T) {
	for name, status := range statuses {
		e, ok := ParseError(status, Refuse(name, "why").AppendJSON(nil))
		if !ok || e.Name != name || e.Message != "why" {
			t.Errorf("%s: %v, %v", name, e, ok)
		}
		if _, ok := ParseError(status+1, Refuse(name, "").AppendJSON(nil)); ok {
			t.Errorf("%s with status %d was taken", name, status+1)
		}
	}
	for _, body := range []string{"", "{}", "x", `{"errorName":"Made-up"}`, `{"errorName":1}`, `{"errorName":"ThrottlingException","errorName":"ThrottlingException"}`} {
		if e, ok := ParseError(429, []byte(body)); ok {
			t.Errorf("%s: %v", body, e)
		}
	}
}

func TestHealthAndKeyMetadata(t *testing.T) {
	h := &Health{FleetSize: 2, Vendor: "v", Model: "m", ManagerVendor: "e", Managers: []Manager{{"a", "b", Unavailable}, {"c", "d", Degraded}}}
	if again, err := ParseHealth(h.AppendJSON(nil)); err != nil || !reflect.DeepEqual(again, h) || !h.Serves() {
		t.Errorf("%+v, %v", again, err)
	}
	h.Managers = h.Managers[:1]
	if h.Serves() {
		t.Error("nothing is available, and it serves")
	}
	eleven := *h
	eleven.Managers = bytesOf(11)
	for _, body := range []string{"", "{}", "[]", string(eleven.AppendJSON(nil)), strings.Replace(string(h.AppendJSON(nil)), "UNAVAILABLE", "FINE", 1),
		strings.Replace(string(h.AppendJSON(nil)), `"ekmVendor"`, `"x"`, 1), `{"xksProxyFleetSize":"1"}`} {
		if _, err := ParseHealth([]byte(body)); err != ErrMalformed {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, enabled := range []bool{true, false} {
		m := AES256(enabled)
		again, err := ParseKeyMetadata(m.AppendJSON(nil))
		if err != nil || !reflect.DeepEqual(again, m) || m.Suits() != enabled {
			t.Errorf("%+v, %v", again, err)
		}
	}
	for body, suits := range map[string]bool{
		`{"keySpec":"AES_256","keyUsage":["ENCRYPT","DECRYPT","WRAP"],"keyStatus":"ENABLED"}`: true,
		`{"keySpec":"AES_256","keyUsage":["ENCRYPT"],"keyStatus":"ENABLED"}`:                  false,
		`{"keySpec":"AES_128","keyUsage":["ENCRYPT","DECRYPT"],"keyStatus":"ENABLED"}`:        false,
	} {
		if m, err := ParseKeyMetadata([]byte(body)); err != nil || m.Suits() != suits {
			t.Errorf("%s: %+v, %v", body, m, err)
		}
	}
	for _, body := range []string{"", `{"keySpec":"AES_256","keyUsage":["ENCRYPT"],"keyStatus":"on"}`, `{"keySpec":"AES_256","keyUsage":"ENCRYPT","keyStatus":"ENABLED"}`,
		`{"keySpec":"AES_256","keyUsage":[` + strings.Repeat(`"X",`, 10) + `"X"],"keyStatus":"ENABLED"}`} {
		if m, err := ParseKeyMetadata([]byte(body)); err != ErrMalformed {
			t.Errorf("%s: %+v, %v", body, m, err)
		}
	}
	if p, err := ParseDecrypted(AppendDecrypted(nil, []byte("plain")), 5); err != nil || string(p) != "plain" {
		t.Errorf("%v", err)
	}
	for _, body := range []string{"", "{}", `{"plaintext":"AA=="}`, `{"plaintext":null}`} {
		if _, err := ParseDecrypted([]byte(body), 5); err != ErrMalformed {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func bytesOf(n int) []Manager {
	list := make([]Manager, n)
	for i := range list {
		list[i].Status = Active
	}
	return list
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(exampleRequest))
	f.Add([]byte(exampleAnswer))
	f.Add((&Health{Managers: bytesOf(1)}).AppendJSON(nil))
	f.Add(AES256(true).AppendJSON(nil))
	f.Add(Refuse(Throttling, "x").AppendJSON(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := ParseRequest(body); err == nil && r.CheckDecrypt() == nil {
			again, err := ParseRequest(r.AppendDecrypt(nil))
			if err != nil || !bytes.Equal(again.Ciphertext, r.Ciphertext) || again.Metadata != r.Metadata {
				t.Fatalf("%s: %v", body, err)
			}
		}
		if h, err := ParseHealth(body); err == nil {
			if _, err := ParseHealth(h.AppendJSON(nil)); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
		}
		if m, err := ParseKeyMetadata(body); err == nil {
			if _, err := ParseKeyMetadata(m.AppendJSON(nil)); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
		}
		_, _ = ParseEncrypted(body, nil, 12)
		_, _ = ParseError(400, body)
	})
}
