package sigv4

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/wire"
)

const suite = "testdata/aws-signing-test-suite"

type vectorContext struct {
	Credentials struct {
		AccessKeyID string `json:"access_key_id"`
		Secret      string `json:"secret_access_key"`
		Token       string `json:"token"`
	} `json:"credentials"`
	Expiration int       `json:"expiration_in_seconds"`
	Normalize  bool      `json:"normalize"`
	Region     string    `json:"region"`
	Service    string    `json:"service"`
	Timestamp  time.Time `json:"timestamp"`
}

// TestSuite verifies AWS's own vectors, in both forms, down to the canonical
// request and the string to sign.
func TestSuite(t *testing.T) {
	cases, err := filepath.Glob(suite + "/*/context.json")
	if err != nil || len(cases) < 36 {
		t.Fatalf("%d vectors, %v; want at least 36", len(cases), err)
	}
	for _, file := range cases {
		dir := filepath.Dir(file)
		var c vectorContext
		if err := json.Unmarshal(mustRead(t, file), &c); err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{"header", "query"} {
			t.Run(filepath.Base(dir)+"/"+form, func(t *testing.T) {
				raw := string(mustRead(t, filepath.Join(dir, form+"-signed-request.txt")))
				req := readRequest(t, raw)
				if why := refused[filepath.Base(dir)+"/"+form]; why != "" {
					wantRefused(t, req, c, why)
					return
				}
				s, err := Parse(req)
				if err != nil {
					t.Fatal(err)
				}
				checkParsed(t, s, c, form == "query")
				o := Options{KeepPath: !c.Normalize}
				canonical, ok := s.appendCanonicalRequest(nil, req, o)
				want := string(mustRead(t, filepath.Join(dir, form+"-canonical-request.txt")))
				if !ok || string(canonical) != want {
					t.Errorf("canonical request\n%s\nwant\n%s", canonical, want)
				}
				want = string(mustRead(t, filepath.Join(dir, form+"-string-to-sign.txt")))
				if got := s.appendStringToSign(nil, canonical); string(got) != want {
					t.Errorf("string to sign\n%s\nwant\n%s", got, want)
				}
				key := SigningKey(secret.String(c.Credentials.Secret), s.Scope)
				if err := s.Verify(req, key, c.Timestamp, o); err != nil {
					t.Error(err)
				}
				if err := s.Verify(req, SigningKey("another", s.Scope), c.Timestamp, o); err != errMismatch {
					t.Errorf("with another key: %v", err)
				}
			})
		}
	}
}

func checkParsed(t *testing.T, s *Signature, c vectorContext, presigned bool) {
	t.Helper()
	want := Scope{Date: c.Timestamp.Format("20060102"), Region: c.Region, Service: c.Service}
	if s.AccessKeyID != c.Credentials.AccessKeyID || s.Scope != want || !s.Time.Equal(c.Timestamp) ||
		s.SessionToken != c.Credentials.Token || s.Presigned != presigned {
		t.Errorf("parsed %+v", s)
	}
	if presigned && s.Expires != time.Duration(c.Expiration)*time.Second {
		t.Errorf("expires after %s", s.Expires)
	}
}

// refused are the vectors that are not accepted, and why.
var refused = map[string]string{
	"get-header-value-multiline/header": "a folded header",
	"get-header-value-multiline/query":  "a folded header",
	"post-sts-header-after/query":       "a session token that was put into the query after signing",
}

func wantRefused(t *testing.T, req *wire.Request, c vectorContext, why string) {
	t.Helper()
	s, err := Parse(req)
	if err == nil {
		err = s.Verify(req, SigningKey(secret.String(c.Credentials.Secret), s.Scope), c.Timestamp, Options{})
	}
	if err == nil {
		t.Errorf("%s was accepted", why)
	}
}

// readRequest reads a request as the suite writes them, with line feeds alone and
// spaces in targets. A folded value keeps its line breaks.
func readRequest(t *testing.T, raw string) *wire.Request {
	t.Helper()
	head, body, _ := strings.Cut(raw, "\n\n")
	lines := strings.Split(head, "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	target, ok := strings.CutSuffix(rest, " HTTP/1.1")
	if !ok {
		t.Fatalf("request line %q", lines[0])
	}
	req := &wire.Request{Method: method, Target: target, Body: []byte(strings.TrimSuffix(body, "\n"))}
	for _, line := range lines[1:] {
		if line[0] == ' ' {
			req.Headers[len(req.Headers)-1].Value += "\n" + line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		req.Headers = append(req.Headers, wire.Header{Name: name, Value: value})
	}
	return req
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
