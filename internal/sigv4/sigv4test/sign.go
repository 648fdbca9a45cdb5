// Package sigv4test signs requests for tests and benchmarks. It is written for
// plainness, shares no code with the verifier, and knows only what the tests need:
// paths without "//" or dots.
package sigv4test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// Signer holds the credentials and the scope that requests are signed with.
type Signer struct {
	AccessKeyID, SecretKey string
	// SessionToken is left out when it is empty.
	SessionToken    string
	Region, Service string
}

// Sign adds X-Amz-Date, X-Amz-Security-Token and Authorization to a request that
// has everything else, Host included. It signs every header that is there.
func (s Signer) Sign(req *wire.Request, at time.Time) {
	date := at.UTC().Format("20060102T150405Z")
	req.Headers = append(req.Headers, wire.Header{Name: "X-Amz-Date", Value: date})
	if s.SessionToken != "" {
		req.Headers = append(req.Headers, wire.Header{Name: "X-Amz-Security-Token", Value: s.SessionToken})
	}
	names, signature := s.signature(req, date)
	req.Headers = append(req.Headers, wire.Header{Name: "Authorization", Value: fmt.Sprintf(
		"AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", s.AccessKeyID, s.scope(date), names, signature)})
}

// Presign puts a signature that is good for expires into the query.
func (s Signer) Presign(req *wire.Request, at time.Time, expires time.Duration) {
	date := at.UTC().Format("20060102T150405Z")
	names, _ := headers(req)
	q := url.Values{
		"X-Amz-Algorithm":     {"AWS4-HMAC-SHA256"},
		"X-Amz-Credential":    {s.AccessKeyID + "/" + s.scope(date)},
		"X-Amz-Date":          {date},
		"X-Amz-Expires":       {fmt.Sprint(int(expires / time.Second))},
		"X-Amz-SignedHeaders": {names},
	}
	if s.SessionToken != "" {
		q.Set("X-Amz-Security-Token", s.SessionToken)
	}
	joint := "?"
	if strings.Contains(req.Target, "?") {
		joint = "&"
	}
	req.Target += joint + strings.ReplaceAll(q.Encode(), "+", "%20")
	_, signature := s.signature(req, date)
	req.Target += "&X-Amz-Signature=" + signature
}

// SignHTTP signs a request that net/http's client will send, with its Host and its
// X-Amz-… and Content-Type headers. body is what its Body will give.
func (s Signer) SignHTTP(req *http.Request, body []byte, at time.Time) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	w := wire.Request{Method: req.Method, Target: req.URL.RequestURI(), Body: body,
		Headers: []wire.Header{{Name: "Host", Value: host}}}
	for name, values := range req.Header {
		if name == "Content-Type" || strings.HasPrefix(name, "X-Amz-") {
			w.Headers = append(w.Headers, wire.Header{Name: name, Value: values[0]})
		}
	}
	had := len(w.Headers)
	s.Sign(&w, at)
	for _, h := range w.Headers[had:] {
		req.Header.Set(h.Name, h.Value)
	}
}

func (s Signer) scope(date string) string {
	return date[:8] + "/" + s.Region + "/" + s.Service + "/aws4_request"
}

func (s Signer) signature(req *wire.Request, date string) (names, signature string) {
	path, query, _ := strings.Cut(req.Target, "?")
	values, _ := url.ParseQuery(query)
	names, lines := headers(req)
	canonical := strings.Join([]string{
		req.Method,
		strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(path), "%2F", "/"), "+", "%20"),
		strings.ReplaceAll(values.Encode(), "+", "%20"),
		lines,
		names,
		hex.EncodeToString(sum(req.Body)),
	}, "\n")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", date, s.scope(date), hex.EncodeToString(sum([]byte(canonical)))}, "\n")
	key := []byte("AWS4" + s.SecretKey)
	for _, part := range []string{date[:8], s.Region, s.Service, "aws4_request", toSign} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	return names, hex.EncodeToString(key)
}

// headers returns the signed headers' names and their canonical lines.
func headers(req *wire.Request) (names, lines string) {
	values := map[string][]string{}
	var sorted []string
	for _, h := range req.Headers {
		name := strings.ToLower(h.Name)
		if _, ok := values[name]; !ok {
			sorted = append(sorted, name)
		}
		values[name] = append(values[name], strings.Join(strings.Fields(h.Value), " "))
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		lines += name + ":" + strings.Join(values[name], ",") + "\n"
	}
	return strings.Join(sorted, ";"), lines
}

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
