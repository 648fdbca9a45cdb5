package oidc

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	// Unlike encoding/json it takes no member twice and tells Sub from sub.
	"github.com/go-jose/go-jose/v4/json"
)

// MaxToken is the longest token, in bytes (STS API Reference).
const MaxToken = 20_000

// algorithms are those that tokens may be signed with (STS API Reference,
// AssumeRoleWithWebIdentity).
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// Token is a token that has been read and not verified.
type Token struct {
	// Issuer is who issued it, as it says itself.
	Issuer    string
	jws       *jose.JSONWebSignature
	keyID     string
	algorithm jose.SignatureAlgorithm
}

// Parse reads a token without verifying it. The error wraps ErrMalformed or is a
// *MissingError.
func Parse(text string) (*Token, error) {
	if len(text) > MaxToken || !canonical(text) {
		return nil, ErrMalformed
	}
	jws, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, ErrMalformed
	}
	header := jws.Signatures[0].Protected
	for _, name := range []jose.HeaderKey{"crit", "b64"} { // extensions that change what is signed, or must be understood
		if _, extended := header.ExtraHeaders[name]; extended {
			return nil, ErrMalformed
		}
	}
	claims, err := readMembers(jws.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, err
	}
	t := &Token{jws: jws, keyID: header.KeyID, algorithm: jose.SignatureAlgorithm(header.Algorithm)}
	return t, claims.text("iss", &t.Issuer, true)
}

// canonical reports whether the parts of a token are base64 as RFC 7515 §2 writes
// it: a token has one spelling, so that none passes that differs from what was
// signed.
func canonical(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || base64.RawURLEncoding.EncodedLen(len(raw)) != len(part) {
			return false
		}
	}
	return true
}

// Claims are what a verified token says of its bearer.
type Claims struct {
	Subject string
	// Audience is the registered client that the token was issued for: the
	// authorised party if it names one. OtherAudience is then the audience that it
	// names beside.
	Audience, OtherAudience string
	// AuthenticationMethods are how the bearer was authenticated ("amr").
	AuthenticationMethods []string
	Email                 string
	// Tags are the session tags, by the keys as they are spelt; TransitiveTags the
	// keys of those that chained sessions inherit.
	Tags           map[string]string
	TransitiveTags []string
	SourceIdentity string
}

// Names of AWS's own claims (IAM User Guide, "Pass session tags in AWS STS").
const (
	tagsClaim           = "https://aws.amazon.com/tags"
	principalTags       = "principal_tags"
	transitiveTagKeys   = "transitive_tag_keys"
	sourceIdentityClaim = "https://aws.amazon.com/source_identity"
)

// readClaims reads the claims of a token whose signature holds, and checks them.
func readClaims(payload []byte, issuer *Issuer, now time.Time) (*Claims, error) {
	m, err := readMembers(payload)
	if err != nil {
		return nil, err
	}
	c := new(Claims)
	if err := m.text("sub", &c.Subject, true); err != nil {
		return nil, err
	}
	if err := m.times(now); err != nil {
		return nil, err
	}
	if err := c.audience(m, issuer); err != nil {
		return nil, err
	}
	if c.AuthenticationMethods, err = m.texts("amr"); err != nil {
		return nil, err
	}
	if err := m.text("email", &c.Email, false); err != nil {
		return nil, err
	}
	if err := m.text(sourceIdentityClaim, &c.SourceIdentity, false); err != nil {
		return nil, err
	}
	if err := c.sessionTags(m); err != nil {
		return nil, err
	}
	return c, c.bounded()
}

// Bounds on claims that sessions carry on, in bytes and entries.
const (
	maxSubject = 255 // OpenID Connect Core §2
	maxEmail   = 320
	maxMethods = 16
	maxMethod  = 64
)

// bounded refuses claims that no session token could hold.
func (c *Claims) bounded() error {
	switch {
	case len(c.Subject) > maxSubject:
		return malformed("sub")
	case len(c.OtherAudience) > maxSubject:
		return malformed("aud")
	case len(c.Email) > maxEmail:
		return malformed("email")
	case len(c.AuthenticationMethods) > maxMethods ||
		slices.ContainsFunc(c.AuthenticationMethods, func(m string) bool { return len(m) > maxMethod }):
		return malformed("amr")
	}
	return nil
}

// audience finds the registered client that the token is for.
func (c *Claims) audience(m members, issuer *Issuer) error {
	named, err := m.texts("aud")
	if err != nil {
		return err
	}
	if len(named) == 0 {
		return &MissingError{"aud"}
	}
	var party string
	if err := m.text("azp", &party, false); err != nil {
		return err
	}
	if party != "" {
		c.Audience, c.OtherAudience = party, named[0]
		if !slices.Contains(issuer.ClientIDs, party) {
			return ErrAudience
		}
		return nil
	}
	for _, name := range named {
		if slices.Contains(issuer.ClientIDs, name) {
			c.Audience = name
			return nil
		}
	}
	return ErrAudience
}

// sessionTags reads the tags, which are nested in one claim or spread over several.
func (c *Claims) sessionTags(m members) error {
	tags := map[string]json.RawMessage{}
	nested, err := m.object(tagsClaim)
	if err != nil {
		return err
	}
	of, err := nested.object(principalTags)
	if err != nil {
		return err
	}
	for key, value := range of {
		tags[key] = value
	}
	for name, value := range m {
		if key, ok := strings.CutPrefix(name, tagsClaim+"/"+principalTags+"/"); ok {
			if _, twice := tags[key]; twice {
				return malformed(name)
			}
			tags[key] = value
		}
	}
	for key := range tags {
		values, err := members(tags).texts(key)
		if err != nil || len(values) != 1 {
			return malformed(principalTags)
		}
		if c.Tags == nil {
			c.Tags = map[string]string{}
		}
		c.Tags[key] = values[0]
	}
	if c.TransitiveTags, err = nested.texts(transitiveTagKeys); err != nil {
		return err
	}
	spread, err := m.texts(tagsClaim + "/" + transitiveTagKeys)
	c.TransitiveTags = append(c.TransitiveTags, spread...)
	return err
}

// members are those of a JSON object, unread.
type members map[string]json.RawMessage

func readMembers(text []byte) (members, error) {
	var m members
	if err := json.Unmarshal(text, &m); err != nil || m == nil {
		return nil, ErrMalformed
	}
	return m, nil
}

func malformed(claim string) error { return fmt.Errorf("%w: the claim %s", ErrMalformed, claim) }

// text reads a claim that is a string.
func (m members) text(claim string, into *string, required bool) error {
	if raw, ok := m[claim]; ok {
		if err := json.Unmarshal(raw, into); err != nil {
			return malformed(claim)
		}
	}
	if required && *into == "" {
		return &MissingError{claim}
	}
	return nil
}

// texts reads a claim that is a string or a list of strings.
func (m members) texts(claim string) ([]string, error) {
	raw, ok := m[claim]
	if !ok {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		if one == "" {
			return nil, nil
		}
		return []string{one}, nil
	}
	var all []string
	if err := json.Unmarshal(raw, &all); err != nil || slices.Contains(all, "") && claim == "aud" {
		return nil, malformed(claim)
	}
	return all, nil
}

func (m members) object(claim string) (members, error) {
	raw, ok := m[claim]
	if !ok {
		return nil, nil
	}
	inner, err := readMembers(raw)
	if err != nil {
		return nil, malformed(claim)
	}
	return inner, nil
}

// wholeSeconds is a time as tokens must write it: an integer, of a size that a date
// can have.
var wholeSeconds = regexp.MustCompile(`^[0-9]{1,11}$`)

// times checks exp, iat and nbf.
func (m members) times(now time.Time) error {
	for _, claim := range []string{"exp", "iat", "nbf"} {
		raw, ok := m[claim]
		if !ok {
			if claim == "nbf" {
				continue
			}
			return &MissingError{claim}
		}
		if !wholeSeconds.Match(raw) {
			return malformed(claim)
		}
		seconds, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return malformed(claim)
		}
		at := time.Unix(seconds, 0)
		if claim == "exp" {
			if !now.Before(at.Add(leeway)) {
				return &ExpiredError{Now: now, Expired: at}
			}
		} else if at.After(now.Add(leeway)) {
			return ErrEarly
		}
	}
	return nil
}
