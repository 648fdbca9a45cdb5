package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/strongroom/strongroom/e2e/binary"
)

// rawWithin bounds one exchange over a raw connection.
const rawWithin = 30 * time.Second

// answer is what came back for bytes that were sent. A connection that the
// server closed without an answer has status 0.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// code returns the error code of a JSON error, without a namespace.
func (a *answer) code() string {
	var body struct {
		Type string `json:"__type"`
	}
	_ = json.Unmarshal(a.body, &body) // a body that is not JSON has no code
	return body.Type[strings.LastIndex(body.Type, "#")+1:]
}

// message returns the message of a JSON error.
func (a *answer) message() string {
	var body struct{ Message string }
	_ = json.Unmarshal(a.body, &body) // a body that is not JSON has no message
	return body.Message
}

// member returns a member of a JSON answer that is a string.
func (a *answer) member(t testing.TB, name string) string {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	value, ok := body[name].(string)
	if !ok {
		t.Fatalf("%d %s: no string %s", a.status, a.body, name)
	}
	return value
}

// list returns a member of a JSON answer that is a list of objects.
func (a *answer) list(t testing.TB, name string) []map[string]any {
	t.Helper()
	var body map[string]json.RawMessage
	var list []map[string]any
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	if err := json.Unmarshal(body[name], &list); err != nil || len(list) == 0 {
		t.Fatalf("%d %s: no entries in %s: %v", a.status, a.body, name, err)
	}
	return list
}

// raw sends bytes on a connection of their own and returns the first answer. A
// server may answer and close before it has read everything: that is no failure.
func raw(t testing.TB, s *binary.Server, request string) *answer {
	t.Helper()
	a, err := exchange(s.Addr(), strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// exchange sends what request yields and returns the first answer.
func exchange(addr string, request io.Reader) (*answer, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the server is not there: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(rawWithin)); err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(conn, request) // refused halfway: the answer says why
		// A server that still waits for more learns that nothing comes.
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			return nil, fmt.Errorf("no answer within %s", rawWithin)
		}
		return &answer{}, nil // closed or reset without an answer
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("an answer that breaks off: %w", err)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// signing says how a request is signed; the zero value is how a client of a
// production server does it.
type signing struct {
	service, region, target, method string
	accessKeyID, secretAccessKey    string
	at                              time.Time
}

// signedRequest returns a signed KMS request as bytes.
func signedRequest(t testing.TB, s *binary.Server, with signing, operation string, body []byte) string {
	t.Helper()
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	if with.accessKeyID == "" {
		id, secret, err := binary.Credentials(s.Data)
		if err != nil {
			t.Fatal(err)
		}
		with.accessKeyID = id
		fill(&with.secretAccessKey, secret)
	}
	fill(&with.secretAccessKey, "test")
	fill(&with.service, "kms")
	fill(&with.region, defaultRegion)
	fill(&with.target, "TrentService."+operation)
	fill(&with.method, http.MethodPost)
	if with.at.IsZero() {
		with.at = time.Now()
	}
	req, err := http.NewRequest(with.method, s.URL+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", with.target)
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: with.accessKeyID, SecretAccessKey: with.secretAccessKey}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, req, hex.EncodeToString(hash[:]), with.service, with.region, with.at); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := req.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// signedCall sends a signed KMS request with a body as written.
func signedCall(t testing.TB, s *binary.Server, operation, body string) *answer {
	t.Helper()
	return raw(t, s, signedRequest(t, s, signing{}, operation, []byte(body)))
}
