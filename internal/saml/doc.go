// Package saml verifies the responses of SAML 2.0 identity providers that an account
// has registered: Response and Assertion (SAML Core), as the Web Browser SSO Profile
// has them (SAML Profiles §4.1.4), signed after XML Signature within the bounds that
// SAML Core §5.4 sets, by a key that stands in the provider's metadata (SAML
// Metadata). What AWS asks of them beyond that is from the IAM User Guide, "Configure
// SAML assertions for the authentication response".
//
// Whoever can reach the port can bring a response. The threat is that the bytes that a
// signature vouches for are not those that are read: signature wrapping, comments
// within names, documents that two parsers read in two ways. So nothing is looked up in
// the document that came. The signature's own SignedInfo is brought into canonical
// form, those bytes are verified, and what they say is read from these bytes; what they
// refer to, the parent of the signature and nothing else, is brought into canonical
// form, those bytes are compared with the signed digest, parsed anew, and everything
// that is believed is read from there. A mistake in the canonical form can then only
// refuse. Before that a document must be of one plain kind: no DTD, no comments, no
// processing instructions, bounded in size, depth and names, one assertion, signatures
// where SAML has them and nowhere else. SHA-1, MD5, MACs, other transforms and keys
// that a response brings along are not accepted.
//
// The library that is used, goxmldsig, makes the canonical form. Its own validation
// accepts what SAML does not need and reads ECDSA signatures in another form than XML
// Signature's, so verification is here.
//
// An assertion may be encrypted (XML Encryption) for a private key that was registered
// with the provider. What does not authenticate its ciphertext is opened only where the
// response around it is signed.
//
// It does not answer the threat of an administrator who registers a provider of their
// own, of a provider whose keys are stolen, or of somebody who replays an assertion
// within the five minutes that it is good for, as tools do that assume several roles.
package saml

import (
	"errors"
	"fmt"
)

// Reasons why a response is refused. Errors wrap one of them, and repeat nothing of the
// document.
var (
	// ErrEncoding: it is not base64, or longer than MaxResponse.
	ErrEncoding = errors.New("saml: not a response in base64")
	// ErrMalformed: it is no SAML response of the kind that is accepted.
	ErrMalformed = errors.New("saml: not a valid response")
	// ErrSignature: no signature of the provider's keys covers the assertion.
	ErrSignature = errors.New("saml: the signature is not the provider's")
	// ErrDecryption: none of the provider's private keys opens the assertion.
	ErrDecryption = errors.New("saml: the assertion cannot be decrypted")
	// ErrIssuer: it is not by the provider that it was brought for.
	ErrIssuer = errors.New("saml: the issuer is not the provider")
	// ErrProviderExpired: the provider's metadata is not valid any more.
	ErrProviderExpired = errors.New("saml: the provider's metadata has expired")
	// ErrStatus: the provider did not authenticate the user.
	ErrStatus = errors.New("saml: the provider reports no success")
	// ErrAudience: it is for somebody else.
	ErrAudience = errors.New("saml: the audience is another")
	// ErrRecipient: it is to be delivered somewhere else.
	ErrRecipient = errors.New("saml: the recipient is another")
	// ErrSubject: it names no subject.
	ErrSubject = errors.New("saml: there is no subject")
	// ErrEarly: it is not valid yet.
	ErrEarly = errors.New("saml: not valid yet")
	// ErrExpired: it is not valid any more.
	ErrExpired = errors.New("saml: not valid any more")
	// ErrOld: it was issued more than five minutes ago.
	ErrOld = errors.New("saml: issued too long ago")
)

// A MalformedError says what is wrong with a response, in words that may be shown. It
// wraps ErrMalformed.
type MalformedError struct{ Reason string }

func (e *MalformedError) Error() string { return ErrMalformed.Error() + ": " + e.Reason }

// Unwrap returns ErrMalformed.
func (e *MalformedError) Unwrap() error { return ErrMalformed }

func malformed(format string, args ...any) error {
	return &MalformedError{fmt.Sprintf(format, args...)}
}
