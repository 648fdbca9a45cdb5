package sigv4_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/wire"
)

// TestParseHeader has the texts that AWS answers a malformed header with.
func TestParseHeader(t *testing.T) {
	const (
		credential = "Credential=AKIDEXAMPLE/20260314/us-east-1/kms/aws4_request"
		rest       = "SignedHeaders=host, Signature=00"
		date       = "20260314T150926Z"
		noEqual    = "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '{hash}'."
	)
	tests := []struct {
		name, authorization, date string
		message                   string
	}{
		{"nothing in it", "AWS4-HMAC-SHA256", "",
			"Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. " +
				"Authorization header requires 'SignedHeaders' parameter. " +
				"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. " +
				"(Hashed with SHA-256 and encoded with Base64) Authorization={hash}"},
		{"no date", "AWS4-HMAC-SHA256 " + credential + ", " + rest, "",
			"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. " +
				"(Hashed with SHA-256 and encoded with Base64) Authorization={hash}"},
		{"bearer token", "Bearer SomeKey", date, noEqual},
		{"a space in the credential", "AWS4-HMAC-SHA256 Credential= AKIDEXAMPLE/20260314/us-east-1/kms/aws4_request, " + rest, date,
			noEqual},
		{"slash in the key id", "AWS4-HMAC-SHA256 Credential=AKID/EXAMPLE/20260314/us-east-1/kms/aws4_request, " + rest, date,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term"},
		{"too few elements", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260314/us-east-1/aws4_request, " + rest, date,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term"},
		{"an empty element", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260314//kms/aws4_request, " + rest, date,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term"},
		{"two credentials", "AWS4-HMAC-SHA256 " + credential + ", " + credential + ", " + rest, date,
			"Authorization header must contain the 'Credential' parameter once."},
		{"HTTP date", "AWS4-HMAC-SHA256 " + credential + ", " + rest, "Sun, 23 Nov 2014 04:07:43 GMT",
			"Date must be in ISO-8601 'basic format'. Got 'Sun, 23 Nov 2014 04:07:43 GMT'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"a fraction of a second", "AWS4-HMAC-SHA256 " + credential + ", " + rest, "20260314T150926.1Z",
			"Date must be in ISO-8601 'basic format'. Got '20260314T150926.1Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"a date that is none", "AWS4-HMAC-SHA256 " + credential + ", " + rest, "20260231T150926Z",
			"Date must be in ISO-8601 'basic format'. Got '20260231T150926Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"a date of raw bytes", "AWS4-HMAC-SHA256 " + credential + ", " + rest, "\x00\xff" + strings.Repeat("9", 1000),
			"Date must be in ISO-8601 'basic format'. Got '??" + strings.Repeat("9", 62) + "'. See http://en.wikipedia.org/wiki/ISO_8601"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := &wire.Request{Method: "POST", Target: "/", Headers: []wire.Header{
				{Name: "Host", Value: "a"}, {Name: "Authorization", Value: tt.authorization}}}
			if tt.date != "" {
				add(req, "X-Amz-Date", tt.date)
			}
			_, err := sigv4.Parse(req)
			hash := sha256.Sum256([]byte(tt.authorization))
			want := strings.ReplaceAll(tt.message, "{hash}", base64.StdEncoding.EncodeToString(hash[:]))
			if kindOf(err) != sigv4.Incomplete || err.(*sigv4.Error).Message != want {
				t.Errorf("got kind %d, %v\nwant %s", kindOf(err), err, want)
			}
		})
	}
}

func TestParseQuery(t *testing.T) {
	good := newRequest()
	signer.Presign(good, now, time.Hour)
	tests := []struct {
		name, from, to string
		kind           sigv4.Kind
		message        string
	}{
		{"as it is", "", "", 0, ""},
		{"no algorithm", "X-Amz-Algorithm=AWS4-HMAC-SHA256", "", sigv4.Incomplete,
			"AWS query-string parameters must include 'X-Amz-Algorithm'. Re-examine the query-string parameters."},
		{"no date", "X-Amz-Date=", "Date=", sigv4.Incomplete,
			"AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."},
		{"no signature", "X-Amz-Signature=", "Signature=", sigv4.Incomplete,
			"AWS query-string parameters must include 'X-Amz-Signature'. Re-examine the query-string parameters."},
		{"another algorithm", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", sigv4.Incomplete,
			"The query-string parameter 'X-Amz-Algorithm' must be 'AWS4-HMAC-SHA256'."},
		{"two signatures", "X-Amz-Signature=", "X-Amz-Signature=00&X-Amz-Signature=", sigv4.Incomplete,
			"AWS query-string parameters must include 'X-Amz-Signature' only once. Re-examine the query-string parameters."},
		{"two dates, one escaped", "X-Amz-Date=", "%58-Amz-Date=20260101T000000Z&X-Amz-Date=", sigv4.Incomplete,
			"AWS query-string parameters must include 'X-Amz-Date' only once. Re-examine the query-string parameters."},
		{"another case", "X-Amz-Expires", "x-amz-expires", sigv4.Incomplete,
			"The query-string parameter 'X-Amz-Expires' must be spelled exactly so."},
		{"expiry that is no number", "X-Amz-Expires=3600", "X-Amz-Expires=1h", sigv4.Incomplete, "X-Amz-Expires should be a number"},
		{"bad escape", "X-Amz-Date=", "X-Amz-Date=%zz", sigv4.Incomplete,
			"The value of the query-string parameter 'X-Amz-Date' is not URI-encoded."},
		{"another expiry", "X-Amz-Expires=3600", "X-Amz-Expires=3601", sigv4.Mismatch,
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
		{"no expiry", "X-Amz-Expires=3600&", "", sigv4.Mismatch,
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := *good
			if req.Target = strings.Replace(good.Target, tt.from, tt.to, 1); tt.from != "" && req.Target == good.Target {
				t.Fatalf("%q is not in %q", tt.from, good.Target)
			}
			err := verify(&req, sigv4.Options{})
			if kindOf(err) != tt.kind || err != nil && err.(*sigv4.Error).Message != tt.message {
				t.Errorf("got kind %d, %v\nwant kind %d, %s", kindOf(err), err, tt.kind, tt.message)
			}
		})
	}
	t.Run("session token in a header", func(t *testing.T) {
		req := *good
		req.Headers = append(req.Headers[:len(req.Headers):len(req.Headers)], wire.Header{Name: "X-Amz-Security-Token", Value: "t"})
		if err := verify(&req, sigv4.Options{}); kindOf(err) != sigv4.Incomplete {
			t.Error(err)
		}
	})
}

// TestErrorsKeepCredentials checks that what people put into the wrong place is
// not repeated.
func TestErrorsKeepCredentials(t *testing.T) {
	const canary = "wJalrXUtnFEMI/K7MDENG"
	for _, authorization := range []string{
		"Bearer " + canary, "Basic " + canary + "==", canary,
		"AWS4-HMAC-SHA256 Credential=" + canary + "/20260314/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=" + canary,
	} {
		req := &wire.Request{Method: "POST", Target: "/", Headers: []wire.Header{
			{Name: "Host", Value: "a"}, {Name: "Authorization", Value: authorization}, {Name: "X-Amz-Date", Value: "20260314T150926Z"}}}
		if _, err := sigv4.Parse(req); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", authorization, err)
		}
	}
}

func TestErrorCodes(t *testing.T) {
	for kind, code := range map[sigv4.Kind]string{
		sigv4.Missing:       "MissingAuthenticationTokenException",
		sigv4.Incomplete:    "IncompleteSignatureException",
		sigv4.Mismatch:      "InvalidSignatureException",
		sigv4.Expired:       "InvalidSignatureException",
		sigv4.NotYetCurrent: "InvalidSignatureException",
	} {
		e := (&sigv4.Error{Kind: kind, Message: "m"}).AWS()
		if e.Code != code || e.Message != "m" || e.HTTPStatus() != 400 {
			t.Errorf("kind %d is %v", kind, e)
		}
	}
}
