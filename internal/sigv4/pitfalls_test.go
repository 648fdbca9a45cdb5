package sigv4_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/wire"
)

var (
	now    = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	signer = sigv4test.Signer{AccessKeyID: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		Region: "eu-central-1", Service: "kms"}
)

// newRequest returns an Encrypt call that is not signed yet.
func newRequest() *wire.Request {
	return &wire.Request{Method: "POST", Target: "/", Body: []byte(`{"KeyId":"alias/a","Plaintext":"aGVsbG8="}`),
		Headers: []wire.Header{
			{Name: "Host", Value: "kms.eu-central-1.amazonaws.com"},
			{Name: "Content-Type", Value: "application/x-amz-json-1.1"},
			{Name: "X-Amz-Target", Value: "TrentService.Encrypt"},
		}}
}

var errUnknown = errors.New("an access key id that nobody has")

// verify looks the key up and verifies, as the gateway does.
func verify(req *wire.Request, o sigv4.Options) error {
	s, err := sigv4.Parse(req)
	if err != nil {
		return err
	}
	if s.AccessKeyID != signer.AccessKeyID {
		return errUnknown
	}
	return s.Verify(req, sigv4.SigningKey(secret.String(signer.SecretKey), s.Scope), now, o)
}

func kindOf(err error) sigv4.Kind {
	var e *sigv4.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

func set(req *wire.Request, name, value string) {
	for i := range req.Headers {
		if strings.EqualFold(req.Headers[i].Name, name) {
			req.Headers[i].Value = value
			return
		}
	}
	add(req, name, value)
}

func add(req *wire.Request, name, value string) {
	req.Headers = append(req.Headers, wire.Header{Name: name, Value: value})
}

func drop(req *wire.Request, name string) {
	req.Headers = slices.DeleteFunc(req.Headers, func(h wire.Header) bool { return strings.EqualFold(h.Name, name) })
}

// edit replaces text in the Authorization header, which must hold it.
func edit(t *testing.T, req *wire.Request, from, to string) {
	t.Helper()
	value, _ := req.Header("Authorization")
	if !strings.Contains(value, from) {
		t.Fatalf("%q is not in %q", from, value)
	}
	set(req, "Authorization", strings.Replace(value, from, to, 1))
}

// signOnly signs a request over some of its headers, correctly: only the rule about
// what must be signed can refuse it.
func signOnly(req *wire.Request, names ...string) {
	all := req.Headers
	req.Headers = slices.DeleteFunc(slices.Clone(all), func(h wire.Header) bool {
		return !slices.Contains(names, strings.ToLower(h.Name))
	})
	kept := len(req.Headers)
	signer.Sign(req, now)
	req.Headers = append(all, req.Headers[kept:]...)
}

// TestPitfalls has a case for each way in which verifiers of this kind have
// failed. Every case begins with a request that verifies.
func TestPitfalls(t *testing.T) {
	const mismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	empty := sha256.Sum256(nil)
	tests := []struct {
		name    string
		spoil   func(t *testing.T, req *wire.Request)
		kind    sigv4.Kind
		message string
	}{
		{"no authentication", func(t *testing.T, r *wire.Request) { drop(r, "Authorization") },
			sigv4.Missing, "Missing Authentication Token"},
		{"duplicate Authorization", func(t *testing.T, r *wire.Request) {
			value, _ := r.Header("Authorization")
			add(r, "authorization", value)
		}, sigv4.Incomplete, "The request must contain one Authorization header."},
		{"duplicate X-Amz-Date", func(t *testing.T, r *wire.Request) { add(r, "x-amz-date", "20260314T150926Z") },
			sigv4.Incomplete, "The headers 'X-Amz-Date' and 'X-Amz-Security-Token' may be given only once."},
		{"duplicate X-Amz-Security-Token", func(t *testing.T, r *wire.Request) {
			add(r, "X-Amz-Security-Token", "a")
			add(r, "X-Amz-Security-Token", "b")
		}, sigv4.Incomplete, "The headers 'X-Amz-Date' and 'X-Amz-Security-Token' may be given only once."},
		{"duplicate X-Amz-Target", func(t *testing.T, r *wire.Request) { add(r, "X-Amz-Target", "TrentService.Decrypt") },
			sigv4.Mismatch, mismatch},
		{"duplicate Host", func(t *testing.T, r *wire.Request) { add(r, "Host", "kms.eu-central-1.amazonaws.com") },
			sigv4.Mismatch, mismatch},
		{"duplicate signed header", func(t *testing.T, r *wire.Request) { add(r, "content-type", "text/plain") },
			sigv4.Mismatch, mismatch},
		{"folded header", func(t *testing.T, r *wire.Request) { set(r, "Content-Type", "application/x-amz-json-1.1\r\n x") },
			sigv4.Mismatch, mismatch},
		{"header and query together", func(t *testing.T, r *wire.Request) { signer.Presign(r, now, time.Minute) },
			sigv4.Incomplete, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, " +
				"Signature query string parameter or the Authorization header should be specified"},
		{"header and an escaped query parameter together", func(t *testing.T, r *wire.Request) { r.Target = "/?x%2Damz-credential=a" },
			sigv4.Incomplete, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, " +
				"Signature query string parameter or the Authorization header should be specified"},
		{"unsigned Host", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			signOnly(r, "x-amz-target", "content-type")
		}, sigv4.Mismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"unsigned X-Amz-Target", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			signOnly(r, "host", "content-type")
		}, sigv4.Mismatch, "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
		{"no Host", func(t *testing.T, r *wire.Request) { drop(r, "Host") }, sigv4.Mismatch, mismatch},
		{"unsorted SignedHeaders", func(t *testing.T, r *wire.Request) { edit(t, r, "content-type;host", "host;content-type") },
			sigv4.Mismatch, mismatch},
		{"upper-case SignedHeaders", func(t *testing.T, r *wire.Request) { edit(t, r, "content-type", "Content-Type") },
			sigv4.Mismatch, mismatch},
		{"repeated SignedHeaders", func(t *testing.T, r *wire.Request) { edit(t, r, "host", "host;host") },
			sigv4.Mismatch, mismatch},
		{"empty name in SignedHeaders", func(t *testing.T, r *wire.Request) { edit(t, r, "host", "host;") },
			sigv4.Mismatch, mismatch},
		{"SignedHeaders names an absent header", func(t *testing.T, r *wire.Request) { edit(t, r, "host", "host;x-absent") },
			sigv4.Mismatch, mismatch},
		{"date and scope disagree", func(t *testing.T, r *wire.Request) { edit(t, r, "/20260314/", "/20260313/") },
			sigv4.Mismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: " +
				"'20260313' != '20260314', from '20260314T150926Z'."},
		{"foreign region", func(t *testing.T, r *wire.Request) { edit(t, r, "eu-central-1", "us-east-1") },
			sigv4.Mismatch, mismatch},
		{"foreign terminator", func(t *testing.T, r *wire.Request) { edit(t, r, "aws4_request", "aws5_request") },
			sigv4.Mismatch, "Credential should be scoped with a valid terminator: 'aws4_request'."},
		{"duplicate query parameters", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			r.Target = "/?a=1&a=2"
			signer.Sign(r, now)
		}, sigv4.Mismatch, mismatch},
		{"duplicate query parameters, one escaped", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			r.Target = "/?a=1&%61=2"
			signer.Sign(r, now)
		}, sigv4.Mismatch, mismatch},
		{"a plus that was signed as a space", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			r.Target = "/?a=1%202"
			signer.Sign(r, now)
			r.Target = "/?a=1+2"
		}, sigv4.Mismatch, mismatch},
		{"a plus that was signed as a plus", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			r.Target = "/?a=1%2B2"
			signer.Sign(r, now)
			r.Target = "/?a=1+2"
		}, sigv4.Mismatch, mismatch},
		{"an escape that is none", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			r.Target = "/?a=%25zz"
			signer.Sign(r, now)
			r.Target = "/?a=%zz"
		}, sigv4.Mismatch, mismatch},
		{"path decoded once too often", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			r.Target = "/a%2Fb"
			signer.Sign(r, now)
			r.Target = "/a/b"
		}, sigv4.Mismatch, mismatch},
		{"path encoded once too often", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			r.Target = "/a%20b"
			signer.Sign(r, now)
			r.Target = "/a%2520b"
		}, sigv4.Mismatch, mismatch},
		{"dots that reach another path", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			r.Target = "/public"
			signer.Sign(r, now)
			r.Target = "/public/../secret"
		}, sigv4.Mismatch, mismatch},
		{"body changed", func(t *testing.T, r *wire.Request) { r.Body = []byte(`{}`) }, sigv4.Mismatch, mismatch},
		{"x-amz-content-sha256 of another body", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			add(r, "x-amz-content-sha256", hex.EncodeToString(empty[:]))
			signer.Sign(r, now)
		}, sigv4.Mismatch, mismatch},
		{"unsigned x-amz-content-sha256 of another body", func(t *testing.T, r *wire.Request) {
			add(r, "x-amz-content-sha256", hex.EncodeToString(empty[:]))
		}, sigv4.Mismatch, mismatch},
		{"unsigned payload", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			add(r, "x-amz-content-sha256", "UNSIGNED-PAYLOAD")
			signer.Sign(r, now)
		}, sigv4.Mismatch, mismatch},
		{"chunk signatures", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			add(r, "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
			signer.Sign(r, now)
		}, sigv4.Mismatch, mismatch},
		{"unsigned payload with a trailer", func(t *testing.T, r *wire.Request) {
			*r = *newRequest()
			add(r, "x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
			add(r, "x-amz-trailer", "x-amz-checksum-crc32")
			signer.Sign(r, now)
		}, sigv4.Mismatch, mismatch},
		{"upper-case signature", func(t *testing.T, r *wire.Request) {
			value, _ := r.Header("Authorization")
			i := strings.Index(value, "Signature=") + len("Signature=")
			set(r, "Authorization", value[:i]+strings.ToUpper(value[i:]))
		}, sigv4.Mismatch, mismatch},
		{"signature cut short", func(t *testing.T, r *wire.Request) {
			value, _ := r.Header("Authorization")
			set(r, "Authorization", value[:len(value)-2])
		}, sigv4.Mismatch, mismatch},
		{"another algorithm", func(t *testing.T, r *wire.Request) { edit(t, r, "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256") },
			sigv4.Incomplete, "Authorization header requires the algorithm 'AWS4-HMAC-SHA256'."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest()
			signer.Sign(req, now)
			if err := verify(req, sigv4.Options{}); err != nil {
				t.Fatalf("before it was spoilt: %v", err)
			}
			tt.spoil(t, req)
			err := verify(req, sigv4.Options{})
			if kindOf(err) != tt.kind || err.(*sigv4.Error).Message != tt.message {
				t.Errorf("got kind %d, %v\nwant kind %d, %s", kindOf(err), err, tt.kind, tt.message)
			}
		})
	}
}

// TestAcceptedSpellings are requests that look odd and are signed nevertheless.
func TestAcceptedSpellings(t *testing.T) {
	tests := []struct {
		name   string
		sign   string // target that is signed
		sent   string
		o      sigv4.Options
		change func(req *wire.Request)
	}{
		{name: "no query", sign: "/", sent: "/"},
		{name: "an empty query", sign: "/", sent: "/?"},
		{name: "unescaped and escaped in a query are one", sign: "/?a=~b", sent: "/?%61=%7Eb"},
		{name: "parameters in any order", sign: "/?a=1&b=2", sent: "/?b=2&a=1"},
		{name: "a name that is a prefix of another sorts first", sign: "/?a-b=1&a=2", sent: "/?a-b=1&a=2"},
		{name: "//", sign: "/a/b", sent: "//a///b"},
		{name: "/./", sign: "/a/b", sent: "/./a/./b"},
		{name: "/../", sign: "/b", sent: "/a/../../b"},
		{name: "a slash at the end", sign: "/a/", sent: "/a//"},
		{name: "kept slashes", sign: "//a//b/./c", sent: "//a//b/./c", o: sigv4.Options{KeepPath: true}},
		{name: "spaces in a header", sign: "/", sent: "/", change: func(r *wire.Request) { set(r, "X-Amz-Target", "  TrentService.Encrypt ") }},
		{name: "an upper-case header name", sign: "/", sent: "/", change: func(r *wire.Request) { r.Headers[0].Name = "HOST" }},
		{name: "an unsigned header", sign: "/", sent: "/", change: func(r *wire.Request) { add(r, "Connection", "keep-alive") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest()
			req.Target = tt.sign
			signer.Sign(req, now)
			req.Target = tt.sent
			if tt.change != nil {
				tt.change(req)
			}
			if err := verify(req, tt.o); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestS3Options checks what S3 allows and nobody else.
func TestS3Options(t *testing.T) {
	req := newRequest()
	add(req, "x-amz-content-sha256", "UNSIGNED-PAYLOAD")
	signer.Sign(req, now)
	if err := verify(req, sigv4.Options{UnsignedPayload: true}); kindOf(err) != sigv4.Mismatch {
		t.Errorf("a hash of the body where UNSIGNED-PAYLOAD was stated: %v", err)
	}
	req = newRequest()
	signer.Sign(req, now)
	add(req, "x-amz-content-sha256", "UNSIGNED-PAYLOAD")
	if err := verify(req, sigv4.Options{UnsignedPayload: true}); kindOf(err) != sigv4.Mismatch {
		t.Errorf("UNSIGNED-PAYLOAD in a header that is not signed: %v", err)
	}
	req = newRequest()
	signer.Sign(req, now.Add(-14*time.Minute))
	if err := verify(req, sigv4.Options{MaxSkew: sigv4.S3Skew}); err != nil {
		t.Errorf("14 minutes of skew: %v", err)
	}
}

func TestTime(t *testing.T) {
	const late, early = sigv4.Expired, sigv4.NotYetCurrent
	tests := []struct {
		name    string
		expires time.Duration // 0: header form
		off     time.Duration
		kind    sigv4.Kind
		message string
	}{
		{"now", 0, 0, 0, ""},
		{"at the limit", 0, -5 * time.Minute, 0, ""},
		{"at the other limit", 0, 5 * time.Minute, 0, ""},
		{"late", 0, -5*time.Minute - time.Second, late,
			"Signature expired: 20260314T150425Z is now earlier than 20260314T150426Z (20260314T150926Z - 5 min.)"},
		{"early", 0, 5*time.Minute + time.Second, early,
			"Signature not yet current: 20260314T151427Z is still later than 20260314T151426Z (20260314T150926Z + 5 min.)"},
		{"presigned for a week", 7 * 24 * time.Hour, -6 * 24 * time.Hour, 0, ""},
		{"presigned and over", time.Hour, -time.Hour - time.Second, late,
			"Signature expired: 20260314T140925Z is now earlier than 20260314T140926Z (20260314T150926Z - 60 min.)"},
		{"presigned for seconds", 30 * time.Second, -time.Minute, late,
			"Signature expired: 20260314T150826Z is now earlier than 20260314T150856Z (20260314T150926Z - 30 sec.)"},
		{"presigned early", time.Hour, 6 * time.Minute, early,
			"Signature not yet current: 20260314T151526Z is still later than 20260314T151426Z (20260314T150926Z + 5 min.)"},
		{"presigned too long", 7*24*time.Hour + time.Second, 0, sigv4.Incomplete,
			"X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"},
		{"presigned backwards", -time.Second, 0, sigv4.Incomplete, "X-Amz-Expires must be non-negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest()
			if tt.expires == 0 {
				signer.Sign(req, now.Add(tt.off))
			} else {
				signer.Presign(req, now.Add(tt.off), tt.expires)
			}
			err := verify(req, sigv4.Options{})
			if kindOf(err) != tt.kind || err != nil && err.(*sigv4.Error).Message != tt.message {
				t.Errorf("got kind %d, %v\nwant kind %d, %s", kindOf(err), err, tt.kind, tt.message)
			}
		})
	}
}
