package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

// mostMemory bounds the peak of the server's resident size under everything that
// this file throws at it, in bytes. An idle server has some 50 MB.
const mostMemory = 512 << 20

// snapshot returns all state that a client can see, as text.
func snapshot(t *testing.T, c *kms.Client) string {
	t.Helper()
	var lines []string
	keys := kms.NewListKeysPaginator(c, &kms.ListKeysInput{})
	for keys.HasMorePages() {
		page, err := keys.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range page.Keys {
			described, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId})
			if err != nil {
				t.Fatal(err)
			}
			policy, err := c.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: key.KeyId})
			if err != nil {
				t.Fatal(err)
			}
			metadata, err := json.Marshal(described.KeyMetadata)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(metadata)+aws.ToString(policy.Policy)+tagsOf(t, c, *key.KeyId))
		}
	}
	aliases := kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{})
	for aliases.HasMorePages() {
		page, err := aliases.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, alias := range page.Aliases {
			lines = append(lines, aws.ToString(alias.AliasName)+"="+aws.ToString(alias.TargetKeyId))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// refusal is what a hostile request must be answered with.
type refusal struct {
	name    string
	request string
	// codes that are right; the first is AWS's where it is established. "" stands
	// for an answer of HTTP itself, without a code.
	codes  []string
	status int // 0 for any refusal
	// message must be in the answer, if it is not empty.
	message string
}

// check sends the request and compares the answer.
func (r refusal) check(t *testing.T, s *binary.Server) {
	t.Helper()
	a := raw(t, s, r.request)
	if a.status < 400 || a.status > 499 || r.status != 0 && a.status != r.status {
		t.Errorf("%s: status %d %.300s, want %d", r.name, a.status, a.body, r.status)
		return
	}
	if !slices.Contains(r.codes, a.code()) {
		t.Errorf("%s: code %q (%.300s), want %q", r.name, a.code(), a.body, r.codes)
	}
	if !strings.Contains(a.message(), r.message) {
		t.Errorf("%s: message %q, want %q", r.name, a.message(), r.message)
	}
	if !slices.Contains(r.codes, "") && a.header.Get("x-amzn-RequestId") == "" {
		t.Errorf("%s: no x-amzn-RequestId", r.name)
	}
	if a.header.Get("Date") == "" {
		t.Errorf("%s: no Date; SDKs set their clock by it", r.name)
	}
}

func TestHostileRequests(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	key := createKey(t, c, &kms.CreateKeyInput{Description: aws.String("must stay as it is")})
	if _, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/must-stay"), TargetKeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	blob := encrypt(t, c, *key.KeyId, []byte("x"), nil)
	before := snapshot(t, c)
	for _, r := range append(unauthenticated(t, s), malformed(t, s, *key.KeyId)...) {
		r.check(t, s)
	}
	if after := snapshot(t, c); after != before {
		t.Errorf("state changed from\n%s\nto\n%s", before, after)
	}
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err != nil {
		t.Error(err)
	}
	verify(t, s)
}

// unauthenticated returns requests whose signature is missing or wrong. Each
// would create a key.
func unauthenticated(t *testing.T, s *binary.Server) []refusal {
	good := signedRequest(t, s, signing{}, "CreateKey", []byte("{}"))
	id, secret, err := binary.Credentials(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(with signing) string { return signedRequest(t, s, with, "CreateKey", []byte("{}")) }
	invalid := []string{"InvalidSignatureException"}
	incomplete := []string{"IncompleteSignatureException"}
	return []refusal{
		{"unsigned", without(good, "Authorization"), []string{"MissingAuthenticationTokenException"}, 400, ""},
		{"empty Authorization", with(good, "Authorization", ""), []string{"MissingAuthenticationTokenException", "IncompleteSignatureException"}, 400, ""},
		{"Authorization of another scheme", with(good, "Authorization", "Basic dGVzdDp0ZXN0"), []string{"MissingAuthenticationTokenException", "IncompleteSignatureException"}, 400, ""},
		{"no Credential", with(good, "Authorization", "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00"), incomplete, 400, ""},
		{"no date", without(good, "X-Amz-Date"), []string{"IncompleteSignatureException", "InvalidSignatureException"}, 400, ""},
		{"wrong secret", sign(signing{accessKeyID: id, secretAccessKey: secret + "x"}), invalid, 400, ""},
		{"body changed after signing", strings.Replace(good, "\r\n\r\n{}", "\r\n\r\n[]", 1), invalid, 400, ""},
		{"target changed after signing", with(good, "X-Amz-Target", "TrentService.GenerateRandom"), invalid, 400, ""},
		{"host changed after signing", with(good, "Host", "kms.example"), invalid, 400, ""},
		{"signature of zeros", good[:strings.Index(good, "Signature=")+10] + strings.Repeat("0", 64) + good[strings.Index(good, "Signature=")+74:], invalid, 400, ""},
		{"unknown access key", sign(signing{accessKeyID: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: secret}), []string{"UnrecognizedClientException"}, 400, "The security token included in the request is invalid."},
		{"made up session token", strings.Replace(good, "X-Amz-Date:", "X-Amz-Security-Token: made up\r\nX-Amz-Date:", 1), []string{"UnrecognizedClientException", "InvalidSignatureException"}, 400, ""},
		{"dev credentials on a production server", sign(signing{accessKeyID: "test", secretAccessKey: "test"}), []string{"UnrecognizedClientException"}, 400, ""},
		{"an account id as access key on a production server", sign(signing{accessKeyID: defaultAccount, secretAccessKey: "x"}), []string{"UnrecognizedClientException"}, 400, ""},
		{"expired", sign(signing{at: time.Now().Add(-6 * time.Minute)}), invalid, 400, "Signature expired: "},
		{"not yet current", sign(signing{at: time.Now().Add(6 * time.Minute)}), invalid, 400, "Signature not yet current: "},
		{"foreign region", sign(signing{region: "eu-west-1"}), invalid, 400, "Credential should be scoped to a valid region."},
		{"scope of another service", sign(signing{service: "sts"}), append(invalid, "UnknownOperationException", "SignatureDoesNotMatch", ""), 0, ""},
		{"scope of no service", sign(signing{service: "nothing"}), append(invalid, "UnknownOperationException", ""), 0, ""},
	}
}

// malformed returns signed requests that no client of ours sends.
func malformed(t *testing.T, s *binary.Server, key string) []refusal {
	call := func(operation, body string) string {
		return signedRequest(t, s, signing{}, operation, []byte(body))
	}
	encryptTo := func(keyID string) string {
		text, err := json.Marshal(keyID)
		if err != nil {
			t.Fatal(err)
		}
		return call("Encrypt", fmt.Sprintf(`{"KeyId":%s,"Plaintext":"eA=="}`, text))
	}
	serialization := []string{"SerializationException"}
	validation := []string{"ValidationException"}
	unknown := []string{"UnknownOperationException"}
	long := strings.Repeat("a", 2048)
	return []refusal{
		{"unknown target", call("MakeCoffee", "{}"), unknown, 0, ""},
		{"target of no service", signedRequest(t, s, signing{target: "Nothing.Encrypt"}, "", []byte("{}")), unknown, 0, ""},
		{"target in other letters", signedRequest(t, s, signing{target: "trentservice.listkeys"}, "", []byte("{}")), unknown, 0, ""},
		{"GET", signedRequest(t, s, signing{method: http.MethodGet}, "CreateKey", []byte("{}")), append(unknown, ""), 0, ""},
		{"PUT", signedRequest(t, s, signing{method: http.MethodPut}, "CreateKey", []byte("{}")), append(unknown, ""), 0, ""},
		{"DELETE", signedRequest(t, s, signing{method: http.MethodDelete}, "CreateKey", []byte("{}")), append(unknown, ""), 0, ""},

		{"body of 0 bytes", call("Encrypt", ""), append(validation, "SerializationException"), 400, ""},
		{"not JSON", call("CreateKey", "key please"), serialization, 400, ""},
		{"an array", call("CreateKey", "[]"), serialization, 400, ""},
		{"null", call("CreateKey", "null"), serialization, 400, ""},
		{"a number for a string", call("CreateKey", `{"Description":1}`), serialization, 400, ""},
		{"an object for a string", call("CreateKey", `{"Description":{}}`), serialization, 400, ""},
		{"a string for a boolean", call("CreateKey", `{"MultiRegion":"true"}`), serialization, 400, ""},
		{"a fraction for an integer", call("ListKeys", `{"Limit":1.5}`), serialization, 400, ""},
		{"cut off", call("CreateKey", `{"Description":"x"`), serialization, 400, ""},
		{"trailing data", call("CreateKey", `{} {}`), serialization, 400, ""},
		{"a member twice", call("CreateKey", `{"Description":"a","Description":"b"}`), serialization, 400, ""},
		{"a byte order mark", call("CreateKey", "\xef\xbb\xbf{}"), serialization, 400, ""},
		{"invalid UTF-8", call("CreateKey", "{\"Description\":\"\xff\xfe\"}"), serialization, 400, ""},
		{"an overlong NUL", call("CreateKey", "{\"Description\":\"\xc0\x80\"}"), serialization, 400, ""},
		{"a raw NUL", call("CreateKey", "{\"Description\":\"\x00\"}"), serialization, 400, ""},
		{"a lone high surrogate", call("CreateKey", `{"Description":"\ud800"}`), serialization, 400, ""},
		{"a lone low surrogate", call("CreateKey", `{"Description":"\udc00 "}`), serialization, 400, ""},
		{"a surrogate in a context", call("Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"eA==","EncryptionContext":{"\udfff":"a"}}`, key)), serialization, 400, ""},
		{"nested arrays", call("CreateKey", strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), append(serialization, "", "RequestEntityTooLargeException"), 0, ""},
		{"nested arrays in an unknown member", call("CreateKey", `{"Whatever":`+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+`}`), append(serialization, "", "RequestEntityTooLargeException"), 0, ""},
		{"nested objects", call("CreateKey", strings.Repeat(`{"a":`, 10_000)+"1"+strings.Repeat("}", 10_000)), append(serialization, "", "RequestEntityTooLargeException"), 0, ""},
		{"bad base64", call("Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"e?=="}`, key)), serialization, 400, ""},

		{"a NUL in a key id", encryptTo("alias/a\x00b"), append(validation, "NotFoundException"), 400, ""},
		{"a NUL in an alias", call("CreateAlias", fmt.Sprintf(`{"AliasName":"alias/a\u0000b","TargetKeyId":%q}`, key)), validation, 400, ""},
		{"a NUL in a policy", call("PutKeyPolicy", fmt.Sprintf(`{"KeyId":%q,"Policy":"\u0000"}`, key)), append(validation, "MalformedPolicyDocumentException"), 400, ""},
		{"a key id of 2,048 characters", encryptTo(long), []string{"NotFoundException"}, 400, "Invalid keyId '" + long + "'"},
		{"a key id of 2,049 characters", encryptTo(long + "a"), validation, 400, "Member must have length less than or equal to 2048"},
		{"an empty key id", encryptTo(""), validation, 400, "Member must have length greater than or equal to 1"},
		{"a key id of path steps", encryptTo("../../../etc/passwd"), []string{"NotFoundException"}, 400, ""},
		{"an ARN of another account", encryptTo("arn:aws:kms:us-east-1:999999999999:key/" + absentKey), []string{"AccessDeniedException"}, 400, "kms:Encrypt"},
		{"an alias ARN of another account", encryptTo("arn:aws:kms:us-east-1:999999999999:alias/must-stay"), []string{"AccessDeniedException", "NotFoundException"}, 400, ""},
		{"an ARN of another service", encryptTo("arn:aws:s3:us-east-1:000000000000:key/" + absentKey), []string{"NotFoundException", "InvalidArnException"}, 400, ""},
		{"an ARN of colons", encryptTo(strings.Repeat(":", 100)), []string{"NotFoundException", "InvalidArnException"}, 400, ""},
		{"an ARN of a bad id", encryptTo("arn:aws:kms:us-east-1:000000000000:key/foo"), []string{"NotFoundException"}, 400, "Invalid keyId foo"},
		{"description of 8,193 characters", call("UpdateKeyDescription", fmt.Sprintf(`{"KeyId":%q,"Description":%q}`, key, strings.Repeat("a", 8193))), validation, 400, "Member must have length less than or equal to 8192"},
		{"two bad members", call("ScheduleKeyDeletion", `{"KeyId":"","PendingWindowInDays":0}`), validation, 400, "validation errors detected: "},
		{"a required member is missing", call("DescribeKey", `{}`), validation, 400, "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
	}
}

// TestHostileHTTP sends what is not even HTTP as we speak it.
func TestHostileHTTP(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	good := signedRequest(t, s, signing{}, "CreateKey", []byte("{}"))
	head, body, _ := strings.Cut(good, "\r\n\r\n")
	before := snapshot(t, c)
	for name, request := range map[string]string{
		"Content-Length and Transfer-Encoding": strings.Replace(good, "Content-Length:", "Transfer-Encoding: chunked\r\nContent-Length:", 1),
		"two Content-Lengths":                  strings.Replace(good, "Content-Length:", "Content-Length: 0\r\nContent-Length:", 1),
		"negative Content-Length":              with(good, "Content-Length", "-1"),
		"Content-Length with a sign":           with(good, "Content-Length", "+2"),
		"a folded header":                      strings.Replace(good, "X-Amz-Target: ", "X-Amz-Target:\r\n ", 1),
		"an absolute request URI":              strings.Replace(good, "POST /", "POST http://"+s.Addr()+"/", 1),
		"a request URI of another host":        strings.Replace(good, "POST /", "POST http://kms.example/", 1),
		"white space before the colon":         strings.Replace(good, "X-Amz-Target:", "X-Amz-Target :", 1),
		"two hosts":                            strings.Replace(good, "Host:", "Host: kms.example\r\nHost:", 1),
		"two targets":                          strings.Replace(good, "X-Amz-Target:", "X-Amz-Target: TrentService.ListKeys\r\nX-Amz-Target:", 1),
		"two authorizations":                   strings.Replace(good, "Authorization:", "Authorization: AWS4-HMAC-SHA256 x\r\nAuthorization:", 1),
		"another path":                         strings.Replace(good, "POST /", "POST /other", 1),
		"a query that was not signed":          strings.Replace(good, "POST /", "POST /?X-Amz-Signature=00", 1),
		"HTTP/0.9":                             "GET /\r\n",
		"HTTP/2 preface":                       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"TLS":                                  "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
		"NULs":                                 strings.Repeat("\x00", 4096) + "\r\n\r\n",
		"a header line of 1 MB":                head + "\r\nX-Long: " + strings.Repeat("a", 1<<20) + "\r\n\r\n" + body,
		"a request line of 1 MB":               strings.Replace(good, "POST /", "POST /"+strings.Repeat("a", 1<<20), 1),
		"a method of 1 MB":                     strings.Repeat("P", 1<<20) + good,
	} {
		a, err := exchange(s.Addr(), strings.NewReader(request))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if a.status != 0 && (a.status < 400 || a.status > 505) {
			t.Errorf("%s: %d %.200s", name, a.status, a.body)
		}
	}
	if after := snapshot(t, c); after != before {
		t.Errorf("state changed from\n%s\nto\n%s", before, after)
	}
}

// TestHostileSizes sends much, and much at once, and looks at the server's memory.
func TestHostileSizes(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	key := createKey(t, c, nil)
	before := snapshot(t, c)

	// 10 MB, signed, as one plaintext.
	huge := signedRequest(t, s, signing{}, "Encrypt", fmt.Appendf(nil, `{"KeyId":%q,"Plaintext":%q}`, *key.KeyId, strings.Repeat("QUFB", 10<<20/4)))
	// 10 MB, announced and never sent; a million headers; a body without end.
	head, _, _ := strings.Cut(huge, "\r\n\r\n")
	unsigned := "POST / HTTP/1.1\r\nHost: " + s.Addr() + "\r\nX-Amz-Target: TrentService.CreateKey\r\n"
	requests := map[string]func() io.Reader{
		"10 MB":           func() io.Reader { return strings.NewReader(huge) },
		"10 MB announced": func() io.Reader { return strings.NewReader(head + "\r\n\r\n{") },
		"a million headers": func() io.Reader {
			return io.MultiReader(strings.NewReader(unsigned), repeat("X-A: b\r\n", 1_000_000), strings.NewReader("\r\n"))
		},
		"a million other headers": func() io.Reader {
			return io.MultiReader(strings.NewReader(unsigned), numbered(1_000_000), strings.NewReader("\r\n"))
		},
		"endless chunks": func() io.Reader {
			return io.MultiReader(strings.NewReader(unsigned+"Transfer-Encoding: chunked\r\n\r\n"), repeat("400\r\n"+strings.Repeat("a", 1024)+"\r\n", 10<<10))
		},
	}
	for name, request := range requests {
		a, err := exchange(s.Addr(), request())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if a.status != 0 && (a.status < 400 || a.status > 499) {
			t.Errorf("%s: %d %.200s", name, a.status, a.body)
		}
	}
	const clients = 32
	var sending sync.WaitGroup
	for range clients {
		for _, name := range []string{"10 MB", "a million headers", "endless chunks"} {
			sending.Go(func() {
				if _, err := exchange(s.Addr(), requests[name]()); err != nil {
					t.Errorf("%s, with %d at once: %v", name, clients, err)
				}
			})
		}
	}
	sending.Wait()
	if after := snapshot(t, c); after != before {
		t.Errorf("state changed from\n%s\nto\n%s", before, after)
	}
	memory, err := s.Memory()
	if err != nil {
		t.Skipf("the server's memory is not to be seen here: %v", err)
	}
	t.Logf("resident %d MB, at most %d MB", memory.Resident>>20, memory.Peak>>20)
	if memory.Peak > mostMemory {
		t.Errorf("the server took %d MB", memory.Peak>>20)
	}
}

// repeat returns a reader of text, n times.
func repeat(text string, n int) io.Reader {
	return generator(n, func(int) string { return text })
}

// numbered returns a reader of n header lines with names of their own.
func numbered(n int) io.Reader {
	return generator(n, func(i int) string { return fmt.Sprintf("X-%d: a\r\n", i) })
}

// generator returns a reader of n pieces of text, made when they are read.
func generator(n int, piece func(int) string) io.Reader {
	return &pieces{n: n, piece: piece}
}

// pieces is the reader of [generator].
type pieces struct {
	next, n int
	piece   func(int) string
	rest    string
}

// Read implements [io.Reader].
func (p *pieces) Read(b []byte) (int, error) {
	read := 0
	for read < len(b) {
		if p.rest == "" {
			if p.next == p.n {
				break
			}
			p.rest = p.piece(p.next)
			p.next++
		}
		n := copy(b[read:], p.rest)
		p.rest = p.rest[n:]
		read += n
	}
	if read == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return read, nil
}

// TestReplayAfterDeletion signs a request while its key exists and sends it when
// the key is gone. The signature still holds: only the key's absence refuses it.
func TestReplayAfterDeletion(t *testing.T) {
	s := start(t, "--dev")
	c := devClient(s, "test", defaultRegion)
	key := createKey(t, c, nil)
	request := signedRequest(t, s, signing{accessKeyID: "test"}, "Encrypt", fmt.Appendf(nil, `{"KeyId":%q,"Plaintext":"eA=="}`, *key.KeyId))
	if a := raw(t, s, request); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	scheduleDeletion(t, c, key)
	if a := raw(t, s, request); a.code() != "KMSInvalidStateException" {
		t.Errorf("%d %s", a.status, a.body)
	}
	advance(t, s, "721h")
	var last *answer
	err := binary.Until("the refusal of a replay after the deletion", untilDone, func() (bool, error) {
		last = raw(t, s, request)
		return last.code() == "NotFoundException", nil
	})
	if err != nil {
		t.Fatalf("%v: %d %s", err, last.status, last.body)
	}
	if want := "Key '" + *key.Arn + "' does not exist"; last.message() != want {
		t.Errorf("%q, want %q", last.message(), want)
	}
}

// TestDevEndpointsRefuseWebPages sends what a page in a browser could send.
func TestDevEndpointsRefuseWebPages(t *testing.T) {
	s := start(t, "--dev")
	c := devClient(s, "test", defaultRegion)
	key := createKey(t, c, nil)
	good := "POST /_strongroom/dev/reset HTTP/1.1\r\nHost: " + s.Addr() + "\r\nX-Strongroom-Dev: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	for name, request := range map[string]string{
		"without the header": without(good, "X-Strongroom-Dev"),
		"with an Origin":     strings.Replace(good, "X-Strongroom-Dev:", "Origin: http://localhost\r\nX-Strongroom-Dev:", 1),
		"for a foreign host": with(good, "Host", "attacker.example"),
		"by GET":             strings.Replace(good, "POST", "GET", 1),
	} {
		if a := raw(t, s, request); a.status/100 == 2 {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if _, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId}); err != nil {
		t.Error(err)
	}
}

// with replaces the value of a header in a request.
func with(request, name, value string) string {
	return edit(request, name, func(string) string { return name + ": " + value + "\r\n" })
}

// without takes a header out of a request.
func without(request, name string) string {
	return edit(request, name, func(string) string { return "" })
}

// edit changes the line of a header in a request.
func edit(request, name string, change func(line string) string) string {
	var out strings.Builder
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	for line := range strings.SplitAfterSeq(head+"\r\n", "\r\n") {
		if strings.HasPrefix(strings.ToLower(line), strings.ToLower(name)+":") {
			line = change(line)
		}
		out.WriteString(line)
	}
	return out.String() + "\r\n" + body
}
