package sigv4

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// Parse reads the signature that a request carries, from the Authorization header
// or from the query. Every error is an *[Error]: [ErrMissing] when there is
// nothing to read, an Incomplete one when what there is cannot be read, a
// Mismatch when the scope contradicts itself or the signature does not cover what
// it must.
func Parse(req *wire.Request) (*Signature, error) {
	s := new(Signature)
	if err := s.Parse(req); err != nil {
		return nil, err
	}
	return s, nil
}

// Parse is the function Parse into s, which is a zero value. After an error s is of no
// use.
func (s *Signature) Parse(req *wire.Request) error {
	authorization, count := req.Header("Authorization")
	q := queryOf(req.Target)
	presigned := hasAuthParameter(q)
	var err error
	switch {
	case count > 1:
		return incomplete("The request must contain one Authorization header.")
	case count == 1 && presigned:
		return incomplete("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, " +
			"Signature query string parameter or the Authorization header should be specified")
	case count == 1:
		err = s.parseHeaders(req, authorization)
	case presigned:
		err = s.parseQuery(req, q)
	default:
		return ErrMissing
	}
	if err != nil {
		return err
	}
	if err := s.checkScope(); err != nil {
		return err
	}
	return s.checkSignedHeaders(req)
}

// parseHeaders reads the header form: the algorithm, then key=value pairs between
// commas and white space.
func (s *Signature) parseHeaders(req *wire.Request, authorization string) error {
	algorithm, rest := cutSpace(authorization)
	var credential, signature, signedHeaders string
	for {
		pair, more := nextPair(rest)
		if pair == "" {
			break
		}
		rest = more
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return incomplete("Invalid key=value pair (missing equal-sign) in Authorization header " +
				"(hashed with SHA-256 and encoded with Base64): '" + hashed(authorization) + "'.")
		}
		var into *string
		switch key {
		case "Credential":
			into = &credential
		case "Signature":
			into = &signature
		case "SignedHeaders":
			into = &signedHeaders
		default:
			continue
		}
		if *into != "" {
			return incomplete("Authorization header must contain the '" + key + "' parameter once.")
		}
		*into = value
	}
	date, dates := req.Header("X-Amz-Date")
	if dates == 0 {
		date, dates = req.Header("Date")
	}
	var missing strings.Builder
	for _, p := range []struct{ name, value string }{
		{"Credential", credential}, {"Signature", signature}, {"SignedHeaders", signedHeaders},
	} {
		if p.value == "" {
			missing.WriteString("Authorization header requires '" + p.name + "' parameter. ")
		}
	}
	if dates == 0 {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if missing.Len() > 0 {
		// AWS repeats the header or, lately, its hash. Whoever sends a bearer
		// token or a password here shall not find it in a log.
		return incomplete(missing.String() + "(Hashed with SHA-256 and encoded with Base64) Authorization=" + hashed(authorization))
	}
	if algorithm != Algorithm {
		return incomplete("Authorization header requires the algorithm '" + Algorithm + "'.")
	}
	token, tokens := req.Header("X-Amz-Security-Token")
	if dates > 1 || tokens > 1 {
		return incomplete("The headers 'X-Amz-Date' and 'X-Amz-Security-Token' may be given only once.")
	}
	s.SessionToken, s.signature, s.SignedHeaders = token, signature, signedHeaders
	if err := s.parseDate(date); err != nil {
		return err
	}
	return s.parseCredential(credential)
}

// parseQuery reads the presigned form.
func (s *Signature) parseQuery(req *wire.Request, q string) error {
	s.Presigned = true
	var values [len(authParameters)]string
	var seen [len(authParameters)]bool
	for q != "" {
		var param string
		param, q, _ = strings.Cut(q, "&")
		rawName, rawValue, _ := strings.Cut(param, "=")
		i := authParameter(rawName)
		if i < 0 {
			continue
		}
		name, ok := unescape(rawName)
		if !ok || name != authParameters[i] {
			return incomplete("The query-string parameter '" + authParameters[i] + "' must be spelled exactly so.")
		}
		if seen[i] {
			return incomplete("AWS query-string parameters must include '" + name + "' only once. Re-examine the query-string parameters.")
		}
		seen[i] = true
		if values[i], ok = unescape(rawValue); !ok {
			return incomplete("The value of the query-string parameter '" + name + "' is not URI-encoded.")
		}
	}
	for i, name := range authParameters[:requiredParameters] {
		if values[i] == "" {
			return incomplete("AWS query-string parameters must include '" + name + "'. Re-examine the query-string parameters.")
		}
	}
	if values[paramAlgorithm] != Algorithm {
		return incomplete("The query-string parameter 'X-Amz-Algorithm' must be '" + Algorithm + "'.")
	}
	if _, tokens := req.Header("X-Amz-Security-Token"); tokens > 0 {
		return incomplete("A presigned request carries its session token in the query, not in a header.")
	}
	s.SessionToken = values[paramToken]
	s.signature, s.SignedHeaders = values[paramSignature], values[paramSignedHeaders]
	if seen[paramExpires] {
		if err := s.parseExpires(values[paramExpires]); err != nil {
			return err
		}
	}
	if err := s.parseDate(values[paramDate]); err != nil {
		return err
	}
	return s.parseCredential(values[paramCredential])
}

func (s *Signature) parseExpires(value string) error {
	seconds, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		return incomplete("X-Amz-Expires should be a number")
	case seconds < 0:
		return incomplete("X-Amz-Expires must be non-negative")
	case seconds > int64(MaxExpires/time.Second):
		return incomplete("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	s.Expires, s.HasExpires = time.Duration(seconds)*time.Second, true
	return nil
}

func (s *Signature) parseDate(value string) error {
	t, err := time.Parse(basicFormat, value)
	// time.Parse also takes fractions of a second that the layout does not have.
	if err != nil || len(value) != len(basicFormat) {
		return incomplete("Date must be in ISO-8601 'basic format'. Got '" + shown(value) + "'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	s.Time, s.date = t, value
	return nil
}

// parseCredential splits KEYID/YYYYMMDD/REGION/SERVICE/aws4_request.
func (s *Signature) parseCredential(value string) error {
	var parts [5]string
	rest, ok := value, true
	for i := range parts {
		if !ok {
			return errCredential
		}
		parts[i], rest, ok = strings.Cut(rest, "/")
		if parts[i] == "" {
			return errCredential
		}
	}
	if ok {
		return errCredential
	}
	if parts[4] != terminator {
		return &Error{Kind: Mismatch, Message: "Credential should be scoped with a valid terminator: '" + terminator + "'."}
	}
	s.AccessKeyID = parts[0]
	s.Scope = Scope{Date: parts[1], Region: parts[2], Service: parts[3]}
	return nil
}

// errCredential does not repeat the credential, as AWS does: the usual way to get
// here is an access key id and a secret that were confused.
var errCredential = &Error{Kind: Incomplete,
	Message: "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term"}

func (s *Signature) checkScope() error {
	if s.Scope.Date != s.date[:8] {
		return &Error{Kind: Mismatch, Message: "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			shown(s.Scope.Date) + "' != '" + s.date[:8] + "', from '" + s.date + "'."}
	}
	return nil
}

// checkSignedHeaders refuses lists that are not in canonical form and those that
// leave out a header which changes what the request means.
func (s *Signature) checkSignedHeaders(req *wire.Request) error {
	var host, target bool
	previous, rest, more := "", s.SignedHeaders, true
	for more {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		if name <= previous || !isLowerToken(name) {
			return errMismatch
		}
		host = host || name == "host"
		target = target || name == "x-amz-target"
		previous = name
	}
	if !host {
		return &Error{Kind: Mismatch, Message: "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	}
	if _, n := req.Header("Host"); n != 1 {
		return errMismatch
	}
	switch _, n := req.Header("X-Amz-Target"); {
	case n > 1:
		return errMismatch
	case n == 1 && !target:
		return &Error{Kind: Mismatch, Message: "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."}
	}
	return nil
}

func incomplete(message string) error { return &Error{Kind: Incomplete, Message: message} }

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// shown makes a piece of a request fit to be repeated in a message.
func shown(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// cutSpace splits at the first white space.
func cutSpace(s string) (before, after string) {
	for i := range len(s) {
		if s[i] == ' ' || s[i] == '\t' {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// nextPair returns what stands before the next comma or white space, and the rest;
// "" at the end.
func nextPair(s string) (pair, rest string) {
	for s != "" && isSeparator(s[0]) {
		s = s[1:]
	}
	for i := range len(s) {
		if isSeparator(s[i]) {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

func isSeparator(c byte) bool { return c == ',' || c == ' ' || c == '\t' }

// isLowerToken reports whether s can be a header's name (RFC 9110, section 5.6.2)
// in lower case.
func isLowerToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!#$%&'*+^`|~", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}
