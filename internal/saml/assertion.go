package saml

import (
	"time"

	"github.com/beevik/etree"
)

const (
	// skew is how far the clocks of providers may be off.
	skew = time.Minute
	// redeemable is how long a response is good for after it was issued (STS:
	// "Token must be redeemed within 5 minutes of issuance").
	redeemable = 5 * time.Minute
	// maxSubject is the longest NameID, in bytes (SAML Core §8.3.7 has 256 characters
	// for persistent ones).
	maxSubject = 256
	// maxName bounds other names that sessions or records carry on, in bytes (SAML Core
	// §8.3.6 has 1,024 for entity ids).
	maxName = 1_024
)

// Assertion is what a verified assertion says.
type Assertion struct {
	ID     string
	Issuer string
	// Subject is the NameID, SubjectFormat its Format, which may be empty.
	Subject, SubjectFormat string
	// Recipient is where it is to be delivered to.
	Recipient string
	// SessionLeft is how long a session that begins now may last by SessionNotOnOrAfter;
	// zero for no bound.
	SessionLeft time.Duration
	// Attributes are the values of attributes by their names. Values that are no text
	// are left out.
	Attributes map[string][]string
}

// read reads an assertion that the provider has signed, and checks that it is meant for
// us and now.
func (v *Verifier) read(p *Provider, el *etree.Element, now time.Time) (*Assertion, error) {
	if !is(el, assertionNS, "Assertion") || attribute(el, "Version") != "2.0" || attribute(el, "ID") == "" || len(attribute(el, "ID")) > maxName {
		return nil, malformed("it has no Assertion of SAML 2.0")
	}
	a := &Assertion{ID: attribute(el, "ID")}
	issuer, err := child(el, assertionNS, "Issuer")
	if err != nil {
		return nil, err
	}
	if issuer != nil {
		a.Issuer, _ = text(issuer)
	}
	if a.Issuer == "" || a.Issuer != p.EntityID {
		return nil, ErrIssuer
	}
	issued, err := instant(el, "IssueInstant")
	if err != nil {
		return nil, err
	}
	switch {
	case issued.IsZero():
		return nil, malformed("Assertion has no IssueInstant")
	case now.Add(skew).Before(issued):
		return nil, ErrEarly
	case now.Sub(issued) > redeemable:
		return nil, ErrOld
	}
	if err := v.conditions(p, el, now); err != nil {
		return nil, err
	}
	if err := a.subject(v, p, el, now); err != nil {
		return nil, err
	}
	if err := a.session(el, now); err != nil {
		return nil, err
	}
	return a, a.attributes(el)
}

// conditions checks the Conditions of an assertion (SAML Core §2.5): all that there are
// must be met, and one that is not known cannot be.
func (v *Verifier) conditions(p *Provider, assertion *etree.Element, now time.Time) error {
	el, err := child(assertion, assertionNS, "Conditions")
	if err != nil {
		return err
	}
	if el == nil {
		return ErrAudience
	}
	if err := within(el, now); err != nil {
		return err
	}
	restricted := false
	for _, c := range el.ChildElements() {
		switch {
		case is(c, assertionNS, "AudienceRestriction"):
			if !v.admits(p, c) {
				return ErrAudience
			}
			restricted = true
		case is(c, assertionNS, "OneTimeUse"), is(c, assertionNS, "ProxyRestriction"):
			// The first is about keeping the assertion, the second about making others
			// of it; neither happens.
		default:
			return malformed("an assertion has a condition that is not known")
		}
	}
	if !restricted {
		return ErrAudience
	}
	return nil
}

// admits reports whether an AudienceRestriction names us.
func (v *Verifier) admits(p *Provider, restriction *etree.Element) bool {
	for _, audience := range children(restriction, assertionNS, "Audience") {
		if name, ok := text(audience); ok && v.isAudience(p, name) {
			return true
		}
	}
	return false
}

// subject reads who the assertion is about, and checks that its bearer may bring it here
// (SAML Profiles §4.1.4.2).
func (a *Assertion) subject(v *Verifier, p *Provider, assertion *etree.Element, now time.Time) error {
	el, err := child(assertion, assertionNS, "Subject")
	if err != nil {
		return err
	}
	if el == nil {
		return ErrSubject
	}
	name, err := child(el, assertionNS, "NameID")
	if err != nil {
		return err
	}
	if name == nil {
		return ErrSubject
	}
	subject, ok := text(name)
	if !ok || len(subject) > maxSubject {
		return malformed("NameID is not a text of at most %d bytes", maxSubject)
	}
	if subject == "" {
		return ErrSubject
	}
	a.Subject, a.SubjectFormat = subject, attribute(name, "Format")
	if len(a.SubjectFormat) > maxName {
		return malformed("the Format of a NameID is longer than %d bytes", maxName)
	}
	confirmation, err := child(el, assertionNS, "SubjectConfirmation")
	if err != nil {
		return err
	}
	if confirmation == nil || attribute(confirmation, "Method") != "urn:oasis:names:tc:SAML:2.0:cm:bearer" {
		return malformed("Subject has no SubjectConfirmation of a bearer")
	}
	data, err := child(confirmation, assertionNS, "SubjectConfirmationData")
	if err != nil {
		return err
	}
	if data == nil || attribute(data, "NotOnOrAfter") == "" || attribute(data, "Recipient") == "" {
		return malformed("SubjectConfirmationData lacks NotOnOrAfter or Recipient")
	}
	if err := within(data, now); err != nil {
		return err
	}
	a.Recipient = attribute(data, "Recipient")
	if len(a.Recipient) > maxName || !v.isRecipient(p, a.Recipient) {
		return ErrRecipient
	}
	return nil
}

// session reads how long a session of the subject may last. An assertion that does not
// say that its subject signed in is none of those (SAML Profiles, section 4.1.4.2).
func (a *Assertion) session(assertion *etree.Element, now time.Time) error {
	statements := children(assertion, assertionNS, "AuthnStatement")
	if len(statements) == 0 {
		return malformed("the Assertion has no AuthnStatement")
	}
	for _, statement := range statements {
		end, err := instant(statement, "SessionNotOnOrAfter")
		if err != nil {
			return err
		}
		if end.IsZero() {
			continue
		}
		left := end.Sub(now)
		if left <= 0 {
			return ErrExpired
		}
		if a.SessionLeft == 0 || left < a.SessionLeft {
			a.SessionLeft = left
		}
	}
	return nil
}

// attributes reads the attribute statements.
func (a *Assertion) attributes(assertion *etree.Element) error {
	a.Attributes = map[string][]string{}
	for _, statement := range children(assertion, assertionNS, "AttributeStatement") {
		for _, el := range children(statement, assertionNS, "Attribute") {
			name := attribute(el, "Name")
			if name == "" {
				return malformed("an Attribute has no Name")
			}
			for _, value := range children(el, assertionNS, "AttributeValue") {
				if says, ok := text(value); ok {
					a.Attributes[name] = append(a.Attributes[name], says)
				}
			}
		}
	}
	return nil
}

// within checks NotBefore and NotOnOrAfter of an element.
func within(el *etree.Element, now time.Time) error {
	from, err := instant(el, "NotBefore")
	if err != nil {
		return err
	}
	if now.Add(skew).Before(from) {
		return ErrEarly
	}
	to, err := instant(el, "NotOnOrAfter")
	if err != nil {
		return err
	}
	if !to.IsZero() && !now.Add(-skew).Before(to) {
		return ErrExpired
	}
	return nil
}

// instant reads a time, which SAML has with a time zone (SAML Core §1.3.3); zero if
// there is none.
func instant(el *etree.Element, name string) (time.Time, error) {
	value := attribute(el, name)
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil || t.IsZero() {
		return time.Time{}, malformed("%s is no time", name)
	}
	return t, nil
}
