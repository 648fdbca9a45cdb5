package sigv4_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/wire"
)

// FuzzVerify gives the verifier any request at all, under a key that nothing was
// signed with: it must refuse, with an error of its own, whatever the options.
func FuzzVerify(f *testing.F) {
	header, query := newRequest(), newRequest()
	query.Target = "/a%20b//./c?x=1&y=%2B"
	signer.Sign(header, now)
	signer.Presign(query, now, time.Hour)
	for _, req := range []*wire.Request{header, query} {
		var lines []string
		for _, h := range req.Headers {
			lines = append(lines, h.Name+":"+h.Value)
		}
		f.Add(req.Method, req.Target, strings.Join(lines, "\n"), req.Body, byte(0))
	}
	f.Add("GET", "/?X-Amz-Algorithm=&x-amz-date&%58%2", "authorization:AWS4-HMAC-SHA256 =,=,Credential=////", []byte(nil), byte(7))
	key := sigv4.SigningKey("not the secret that the seeds are signed with", sigv4.Scope{})
	f.Fuzz(func(t *testing.T, method, target, headers string, body []byte, options byte) {
		req := &wire.Request{Method: method, Target: target, Body: body}
		for line := range strings.SplitSeq(headers, "\n") {
			name, value, _ := strings.Cut(line, ":")
			req.Headers = append(req.Headers, wire.Header{Name: name, Value: value})
		}
		s, err := sigv4.Parse(req)
		var refused *sigv4.Error
		if err != nil {
			if !errors.As(err, &refused) || refused.Kind == 0 || refused.Message == "" {
				t.Fatalf("Parse failed with %#v", err)
			}
			return
		}
		if s.AccessKeyID == "" || s.Scope.Region == "" || s.Scope.Service == "" || len(s.Scope.Date) != 8 || s.SignedHeaders == "" {
			t.Fatalf("parsed %+v", s)
		}
		err = s.Verify(req, key, s.Time, sigv4.Options{KeepPath: options&1 != 0, SingleEncode: options&2 != 0, UnsignedPayload: options&4 != 0})
		if !errors.As(err, &refused) || refused.Kind == 0 {
			t.Fatalf("Verify returned %v", err)
		}
	})
}
