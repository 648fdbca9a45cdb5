package saml

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/strongroom/strongroom/internal/clock"
)

// MaxResponse is the longest response, in characters of base64 (STS API Reference,
// AssumeRoleWithSAML).
const MaxResponse = 100_000

// Config is what a Verifier needs.
type Config struct {
	// Clock must be set. It judges the times in responses, which providers take from
	// their own clocks: the machine's, also where the deployment's was moved.
	Clock clock.Clock
	// Partition is whose sign-in endpoints of AWS responses may be made for: "aws",
	// "aws-cn" or "aws-us-gov".
	Partition string
	// Audiences are what responses name as their audience and recipient instead of
	// AWS's endpoints; if empty, those are.
	Audiences []string
}

// Verifier verifies responses. It is safe for concurrent use.
type Verifier struct{ cfg Config }

// New returns a Verifier.
func New(cfg Config) *Verifier { return &Verifier{cfg: cfg} }

// Verify returns the assertion of a response that the provider has signed for us. The
// error wraps one of the reasons of this package.
func (v *Verifier) Verify(p *Provider, encoded string) (*Assertion, error) {
	if len(encoded) > MaxResponse {
		return nil, ErrEncoding
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(encoded))
	if err != nil {
		return nil, ErrEncoding
	}
	response, err := readTree(raw)
	if err != nil {
		return nil, err
	}
	now := v.cfg.Clock.Now()
	if !now.Before(p.ValidUntil) {
		return nil, ErrProviderExpired
	}
	assertion, err := v.vouched(p, response, now)
	if err != nil {
		return nil, err
	}
	return v.read(p, assertion, now)
}

// vouched returns the assertion of a response, read from what the provider has signed:
// the assertion itself, or the response that it is in. Where both are signed, both
// signatures must hold.
func (v *Verifier) vouched(p *Provider, response *etree.Element, now time.Time) (*etree.Element, error) {
	assertion, err := outline(response)
	if err != nil {
		return nil, err
	}
	if p.Encrypted && assertion.Tag != encryptedTag {
		return nil, malformed("its assertion is not encrypted, as this provider's must be")
	}
	outer, err := child(response, dsigNS, "Signature")
	if err != nil {
		return nil, err
	}
	keys := p.keys(now)
	var vouched *etree.Element
	if outer != nil {
		if response, err = signed(response, outer, keys); err != nil {
			return nil, err
		}
		if vouched, err = outline(response); err != nil {
			return nil, err
		}
	}
	if assertion.Tag == encryptedTag {
		private, err := p.privateKeys()
		if err != nil {
			return nil, err
		}
		sealed := assertion
		if vouched != nil {
			sealed = vouched
		}
		if assertion, err = opened(sealed, private, vouched != nil); err != nil {
			return nil, err
		}
		if vouched != nil {
			vouched = assertion
		}
	}
	inner, err := child(assertion, dsigNS, "Signature")
	if err != nil {
		return nil, err
	}
	if inner != nil {
		if vouched, err = signed(assertion, inner, keys); err != nil {
			return nil, err
		}
	}
	if vouched == nil {
		return nil, ErrSignature
	}
	return vouched, v.envelope(p, response)
}

// encryptedTag is the name of an assertion that is encrypted.
const encryptedTag = "EncryptedAssertion"

// outline checks that a document is a response with one assertion, which may be encrypted,
// and that neither
// assertions nor responses nor signatures stand anywhere else than they should.
func outline(root *etree.Element) (*etree.Element, error) {
	if !is(root, protocolNS, "Response") || attribute(root, "Version") != "2.0" {
		return nil, malformed("it is no Response of SAML 2.0")
	}
	status, err := child(root, protocolNS, "Status")
	if err != nil {
		return nil, err
	}
	if status == nil {
		return nil, malformed("it has no Status")
	}
	code, err := child(status, protocolNS, "StatusCode")
	if err != nil {
		return nil, err
	}
	if code == nil || attribute(code, "Value") != "urn:oasis:names:tc:SAML:2.0:status:Success" {
		return nil, ErrStatus
	}
	assertion, err := child(root, assertionNS, "Assertion")
	if err != nil {
		return nil, err
	}
	encrypted, err := child(root, assertionNS, encryptedTag)
	if err != nil {
		return nil, err
	}
	if assertion == nil {
		assertion = encrypted
	}
	if assertion == nil {
		return nil, malformed("it has no Assertion")
	}
	return assertion, misplaced(root, root, assertion)
}

// misplaced refuses a response, an assertion or a signature in a place where another
// reader might find it and take it for the right one.
func misplaced(el, root, assertion *etree.Element) error {
	for _, c := range el.ChildElements() {
		wrong := false
		switch c.Tag {
		case "Response":
			wrong = c.NamespaceURI() == protocolNS
		case "Assertion", encryptedTag:
			wrong = c.NamespaceURI() == assertionNS && c != assertion
		case "Signature":
			wrong = c.NamespaceURI() == dsigNS && el != root && el != assertion
		}
		if wrong {
			return malformed("%s stands where it should not", c.Tag)
		}
		if err := misplaced(c, root, assertion); err != nil {
			return err
		}
	}
	return nil
}

// envelope checks what a response says besides its assertion. Of one that is not signed
// itself that proves nothing; it must not contradict.
func (v *Verifier) envelope(p *Provider, response *etree.Element) error {
	issuer, err := child(response, assertionNS, "Issuer")
	if err != nil {
		return err
	}
	if issuer != nil {
		if name, ok := text(issuer); !ok || name != p.EntityID {
			return ErrIssuer
		}
	}
	if to := attribute(response, "Destination"); to != "" && !v.isRecipient(p, to) {
		return ErrRecipient
	}
	return nil
}

// isRecipient reports whether a URL is one that responses for us are delivered to.
func (v *Verifier) isRecipient(p *Provider, to string) bool {
	if len(v.cfg.Audiences) > 0 {
		return slices.Contains(v.cfg.Audiences, to)
	}
	return isSignIn(v.cfg.Partition, p.ID, to)
}

// isAudience reports whether a response for that audience is for us.
func (v *Verifier) isAudience(p *Provider, audience string) bool {
	if len(v.cfg.Audiences) > 0 {
		return slices.Contains(v.cfg.Audiences, audience)
	}
	return audience == partitions[v.cfg.Partition].audience || isSignIn(v.cfg.Partition, p.ID, audience)
}

// partitions are the domains of AWS's sign-in endpoints, and the names that AWS has as an
// audience (IAM User Guide, "Configure SAML assertions for the authentication
// response"; AWS GovCloud and China documentation).
var partitions = map[string]struct{ domain, audience string }{
	"aws":        {"aws.amazon.com", "urn:amazon:webservices"},
	"aws-cn":     {"amazonaws.cn", "urn:amazon:webservices:cn-north-1"},
	"aws-us-gov": {"amazonaws-us-gov.com", "urn:amazon:webservices:govcloud"},
}

// isSignIn reports whether a URL is a sign-in endpoint of AWS: the partition's or a
// Region's, for all providers or for the one with that id.
func isSignIn(partition, provider, to string) bool {
	host, path, ok := strings.Cut(strings.TrimPrefix(to, "https://"), "/")
	if !ok || !strings.HasPrefix(to, "https://") {
		return false
	}
	region, ok := strings.CutSuffix(host, "signin."+partitions[partition].domain)
	if !ok || region != "" && !isRegionLabel(region) {
		return false
	}
	return path == "saml" || path == "static/saml" || path == "saml/acs/"+provider
}

// isRegionLabel reports whether a text is a Region with a dot behind it.
func isRegionLabel(s string) bool {
	name, ok := strings.CutSuffix(s, ".")
	if !ok || strings.Count(name, "-") < 2 {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	})
}
