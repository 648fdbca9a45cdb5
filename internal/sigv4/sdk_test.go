package sigv4_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/wire"
)

var sdkCredentials = aws.Credentials{AccessKeyID: signer.AccessKeyID, SecretAccessKey: signer.SecretKey}

// onTheWire is what net/http's client sends of a request.
func onTheWire(req *http.Request, body []byte) *wire.Request {
	w := &wire.Request{Method: req.Method, Target: req.URL.RequestURI(), Body: body,
		Headers: []wire.Header{{Name: "Host", Value: req.URL.Host}}}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		for _, value := range req.Header[name] {
			w.Headers = append(w.Headers, wire.Header{Name: name, Value: strings.Trim(value, " \t")})
		}
	}
	if len(body) > 0 {
		w.Headers = append(w.Headers, wire.Header{Name: "Content-Length", Value: strconv.Itoa(len(body))})
	}
	return w
}

// drawHTTP draws a request with a path, a query, headers and a body.
func drawHTTP(t *rapid.T) (*http.Request, []byte) {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09-._~ !*'();:@&=+$,/?#[]%ü\u1234")), 0, 12, -1)
	segment := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09-_~ !*'();:@&=+$,?#[]%ü\u1234")), 1, 12, -1)
	path := "/"
	for i, s := range rapid.SliceOfN(segment, 0, 4).Draw(t, "path") {
		if i > 0 {
			path += "/"
		}
		path += s
	}
	q := url.Values{}
	for k, v := range rapid.MapOfN(segment, text, 0, 20).Draw(t, "query") {
		q.Set(k, v)
	}
	u := url.URL{Scheme: "https", Host: "kms.eu-central-1.amazonaws.com", Path: path,
		RawQuery: strings.ReplaceAll(q.Encode(), "+", "%20")}
	body := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "body")
	req, err := http.NewRequest(rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE"}).Draw(t, "method"),
		u.String(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	value := rapid.StringMatching(`[ -~]{0,20}`)
	for i, v := range rapid.SliceOfN(value, 0, 4).Draw(t, "headers") {
		req.Header.Add("X-Amz-Meta-"+string(rune('A'+i%2)), v)
	}
	return req, body
}

// TestSDKSigns checks that whatever the AWS SDK for Go signs verifies, and that it
// no longer does when one byte of it is another.
func TestSDKSigns(t *testing.T) {
	sdk := v4.NewSigner()
	rapid.Check(t, func(t *rapid.T) {
		hr, body := drawHTTP(t)
		hash := sha256.Sum256(body)
		if err := sdk.SignHTTP(context.Background(), sdkCredentials, hr, hex.EncodeToString(hash[:]), signer.Service, signer.Region, now); err != nil {
			t.Fatal(err)
		}
		checkBoundToEveryByte(t, onTheWire(hr, body))
	})
}

// TestSDKPresigns is the same for presigned requests.
func TestSDKPresigns(t *testing.T) {
	sdk := v4.NewSigner()
	rapid.Check(t, func(t *rapid.T) {
		hr, body := drawHTTP(t)
		hr.Header.Del("X-Amz-Meta-A") // would be hoisted into the query, twice
		hr.Header.Del("X-Amz-Meta-B")
		q := hr.URL.Query()
		q.Set("X-Amz-Expires", "600")
		hr.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
		hash := sha256.Sum256(body)
		signed, headers, err := sdk.PresignHTTP(context.Background(), sdkCredentials, hr, hex.EncodeToString(hash[:]), signer.Service, signer.Region, now.Add(-9*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		req := &wire.Request{Method: hr.Method, Target: u.RequestURI(), Body: body}
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			for _, value := range headers[name] {
				req.Headers = append(req.Headers, wire.Header{Name: name, Value: strings.Trim(value, " \t")})
			}
		}
		checkBoundToEveryByte(t, req)
	})
}

// TestSDKSignsS3 checks the options of S3: the path encoded once and kept as it is,
// and a body that is not signed.
func TestSDKSignsS3(t *testing.T) {
	sdk := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	const unsigned = "UNSIGNED-PAYLOAD"
	rapid.Check(t, func(t *rapid.T) {
		hr, body := drawHTTP(t)
		// The S3 client escapes more than net/url does, and the signer leaves it so.
		hr.URL.RawPath = strings.NewReplacer("+", "%20", "%2F", "/", "%7E", "~").Replace(url.QueryEscape(hr.URL.Path))
		presigned := rapid.Bool().Draw(t, "presigned")
		if presigned {
			hr.Header = http.Header{}
			hr.ContentLength = 0 // the body comes later, from someone else
			signed, _, err := sdk.PresignHTTP(context.Background(), sdkCredentials, hr, unsigned, "s3", signer.Region, now)
			if err != nil {
				t.Fatal(err)
			}
			if hr.URL, err = url.Parse(signed); err != nil {
				t.Fatal(err)
			}
		} else {
			hr.Header.Set("X-Amz-Content-Sha256", unsigned)
			if err := sdk.SignHTTP(context.Background(), sdkCredentials, hr, unsigned, "s3", signer.Region, now); err != nil {
				t.Fatal(err)
			}
		}
		req := onTheWire(hr, body)
		if err := verify(req, sigv4.S3); err != nil {
			t.Fatalf("%v\n%+v", err, req)
		}
		if err := verify(req, sigv4.Options{KeepPath: true, SingleEncode: true}); err == nil {
			t.Fatal("an unsigned body is accepted where none may be")
		}
		req.Method += "X"
		if err := verify(req, sigv4.S3); err == nil {
			t.Fatal("another method still verifies")
		}
	})
}

// checkBoundToEveryByte verifies a request, and refuses it after any one of its
// bytes was changed into another.
func checkBoundToEveryByte(t *rapid.T, req *wire.Request) {
	options := sigv4.Options{KeepPath: true} // the SDK does not normalise paths
	if err := verify(req, options); err != nil {
		t.Fatalf("%v\n%+v", err, req)
	}
	s, err := sigv4.Parse(req)
	if err != nil {
		t.Fatal(err)
	}
	flip := byte(rapid.IntRange(1, 127).Draw(t, "flip"))
	changed := *req
	changed.Headers = append([]wire.Header(nil), req.Headers...)
	switch where := rapid.SampledFrom([]string{"method", "target", "header", "body"}).Draw(t, "where"); where {
	case "method":
		changed.Method = flipAt(t, req.Method, flip)
	case "target":
		changed.Target = flipAt(t, req.Target, flip)
	case "header":
		i := rapid.IntRange(0, len(req.Headers)-1).Draw(t, "header")
		name := strings.ToLower(req.Headers[i].Name)
		if req.Headers[i].Value == "" || name != "authorization" && !strings.Contains(";"+s.SignedHeaders+";", ";"+name+";") {
			return
		}
		changed.Headers[i].Value = flipAt(t, req.Headers[i].Value, flip)
	case "body":
		if len(req.Body) == 0 {
			changed.Body = []byte{flip}
		} else {
			changed.Body = []byte(flipAt(t, string(req.Body), flip))
		}
	}
	if sameMeaning(req, &changed) {
		return
	}
	if err := verify(&changed, options); err == nil {
		t.Fatalf("still verifies\n%+v\n%+v", req, &changed)
	}
}

// sameMeaning reports whether two requests differ in spelling alone: in the hex
// digits of an escape, in a path that is empty or "/", in what separates the parts
// of an Authorization header or a query, in spaces around a header's value or
// doubled within it.
func sameMeaning(a, b *wire.Request) bool {
	pathA, queryA, _ := strings.Cut(a.Target, "?")
	pathB, queryB, _ := strings.Cut(b.Target, "?")
	pathA, pathB = cmp.Or(pathA, "/"), cmp.Or(pathB, "/") // RFC 3986, section 6.2.3
	va, errA := url.ParseQuery(queryA)
	vb, errB := url.ParseQuery(queryB)
	if a.Method != b.Method || pathA != pathB || errA != nil || errB != nil || va.Encode() != vb.Encode() || string(a.Body) != string(b.Body) {
		return false
	}
	fields := func(s string) string {
		return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
	}
	for i := range a.Headers {
		x, y := a.Headers[i].Value, b.Headers[i].Value
		if a.Headers[i].Name == "Authorization" {
			x, y = strings.ReplaceAll(x, ",", " "), strings.ReplaceAll(strings.ReplaceAll(y, ",", " "), "\t", " ")
		}
		if fields(x) != fields(y) && strings.Trim(x, " \t") != strings.Trim(y, " \t") {
			return false
		}
	}
	return true
}

func flipAt(t *rapid.T, s string, flip byte) string {
	i := rapid.IntRange(0, len(s)-1).Draw(t, "at")
	return s[:i] + string([]byte{s[i] ^ flip}) + s[i+1:]
}
