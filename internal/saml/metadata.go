package saml

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds on metadata. The number of keys is a quota of AWS's ("Keys per SAML
// provider"); it has 1,024 bits for the least RSA key.
const (
	MaxMetadata     = 512 << 10 // bytes
	MaxCertificates = 10
	minRSA, maxRSA  = 2_048, 8_192 // bits
	metadataNS      = "urn:oasis:names:tc:SAML:2.0:metadata"
)

// Metadata is what responses are verified with: an identity provider as its metadata
// describes it.
type Metadata struct {
	EntityID string
	// ValidUntil is when the metadata end; zero in what ParseMetadata returns if they do
	// not say.
	ValidUntil time.Time
	// Certificates have the keys that the provider signs with.
	Certificates []*x509.Certificate
}

// entityDescriptor is the part of metadata that matters here (SAML Metadata §2.3, §2.4).
type entityDescriptor struct {
	XMLName    xml.Name
	EntityID   string `xml:"entityID,attr"`
	ValidUntil string `xml:"validUntil,attr"`
	Roles      []struct {
		Protocols  string `xml:"protocolSupportEnumeration,attr"`
		ValidUntil string `xml:"validUntil,attr"`
		Keys       []struct {
			Use  string `xml:"use,attr"`
			X509 []struct {
				Certificates []string `xml:"http://www.w3.org/2000/09/xmldsig# X509Certificate"`
			} `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
}

// ParseMetadata reads the metadata of one identity provider. Who brings them is trusted
// with what they say; their signature, if there is one, is not verified. The error says
// in words that may be shown what is wrong.
func ParseMetadata(document []byte) (*Metadata, error) {
	if len(document) > MaxMetadata {
		return nil, malformed("it is longer than %d bytes", MaxMetadata)
	}
	if !utf8.Valid(document) {
		return nil, malformed("it is not UTF-8")
	}
	e, err := readDescriptor(document)
	if err != nil {
		return nil, err
	}
	if e.EntityID == "" || len(e.EntityID) > maxName {
		return nil, malformed("entityID is missing or longer than %d bytes", maxName)
	}
	m := &Metadata{EntityID: e.EntityID}
	if err := m.bound(e.ValidUntil); err != nil {
		return nil, err
	}
	for _, role := range e.Roles {
		if !slices.Contains(strings.Fields(role.Protocols), protocolNS) {
			continue
		}
		if err := m.bound(role.ValidUntil); err != nil {
			return nil, err
		}
		for _, key := range role.Keys {
			if key.Use != "" && key.Use != "signing" {
				continue
			}
			for _, data := range key.X509 {
				if err := m.add(data.Certificates); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(m.Certificates) == 0 {
		return nil, malformed("it has no IDPSSODescriptor of SAML 2.0 with an X509Certificate for signing")
	}
	return m, nil
}

// readDescriptor decodes a document that is of one root and has no DTD.
func readDescriptor(document []byte) (*entityDescriptor, error) {
	d := xml.NewDecoder(strings.NewReader(string(document)))
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("not UTF-8") }
	var e *entityDescriptor
	for {
		token, err := d.Token()
		if err == io.EOF && e != nil {
			return e, nil
		}
		if err != nil {
			return nil, malformed("it is not well-formed XML")
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, malformed("it has a DTD")
		case xml.CharData:
			if strings.Trim(string(t), xmlSpace) != "" {
				return nil, malformed("it is not well-formed XML in UTF-8 without a byte order mark")
			}
		case xml.StartElement:
			if e != nil {
				return nil, malformed("it is not well-formed XML")
			}
			if t.Name != (xml.Name{Space: metadataNS, Local: "EntityDescriptor"}) {
				return nil, malformed("it is no EntityDescriptor of SAML 2.0")
			}
			e = new(entityDescriptor)
			if err := d.DecodeElement(e, &t); err != nil {
				return nil, malformed("it is not well-formed XML")
			}
		}
	}
}

// bound notes an end of the metadata: the earliest one holds.
func (m *Metadata) bound(text string) error {
	if text == "" {
		return nil
	}
	end, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return malformed("validUntil is no time")
	}
	if m.ValidUntil.IsZero() || end.Before(m.ValidUntil) {
		m.ValidUntil = end.UTC()
	}
	return nil
}

// add adds the certificate of a key that the provider signs with: the one of an
// X509Data, which may have those of its issuers beside it (XML Signature, section
// 4.5.4). They sign certificates, and no responses.
func (m *Metadata) add(chain []string) error {
	if len(chain) > MaxCertificates {
		return malformed("an X509Data has more than %d certificates", MaxCertificates)
	}
	var certificates []*x509.Certificate
	for _, text := range chain {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return malformed("an X509Certificate is not base64")
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return malformed("an X509Certificate is no X.509 certificate")
		}
		if !slices.ContainsFunc(certificates, certificate.Equal) {
			certificates = append(certificates, certificate)
		}
	}
	var own []*x509.Certificate
	for _, c := range certificates {
		issues := func(other *x509.Certificate) bool {
			return other != c && bytes.Equal(other.RawIssuer, c.RawSubject)
		}
		if !slices.ContainsFunc(certificates, issues) {
			own = append(own, c)
		}
	}
	switch {
	case len(certificates) == 0:
		return nil
	case len(own) != 1:
		return malformed("an X509Data has several certificates that are not the chain of one")
	}
	return m.addOwn(own[0])
}

func (m *Metadata) addOwn(certificate *x509.Certificate) error {
	if slices.ContainsFunc(m.Certificates, certificate.Equal) {
		return nil
	}
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return malformed("an X509Certificate has an RSA key of %d bits: %d to %d are accepted", bits, minRSA, maxRSA)
		}
	case *ecdsa.PublicKey:
		if c := key.Curve; c != elliptic.P256() && c != elliptic.P384() && c != elliptic.P521() {
			return malformed("an X509Certificate has a key on a curve that is not accepted: P-256, P-384 and P-521 are")
		}
	default:
		return malformed("an X509Certificate has a key that is neither RSA nor ECDSA")
	}
	if len(m.Certificates) == MaxCertificates {
		return malformed("it has more than %d certificates for signing", MaxCertificates)
	}
	m.Certificates = append(m.Certificates, certificate)
	return nil
}
