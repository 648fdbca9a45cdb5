package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"math/big"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// maxSignedInfo is more elements than a SignedInfo has.
const maxSignedInfo = 16

const enveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"

// digest is a hash function.
type digest struct {
	id  crypto.Hash
	new func() hash.Hash
}

var (
	digestSHA256 = digest{crypto.SHA256, sha256.New}
	digestSHA384 = digest{crypto.SHA384, sha512.New384}
	digestSHA512 = digest{crypto.SHA512, sha512.New}
)

func (d digest) of(data []byte) []byte {
	h := d.new()
	h.Write(data)
	return h.Sum(nil)
}

// digests and methods are the algorithms that are accepted (XML Signature 1.1 §6,
// RFC 6931), without those on SHA-1 and MD5.
var (
	digests = map[string]digest{
		"http://www.w3.org/2001/04/xmlenc#sha256":       digestSHA256,
		"http://www.w3.org/2001/04/xmldsig-more#sha384": digestSHA384,
		"http://www.w3.org/2001/04/xmlenc#sha512":       digestSHA512,
	}
	methods = map[string]struct {
		digest   digest
		verifies func(key crypto.PublicKey, d digest, sum, signature []byte) bool
	}{
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256":   {digestSHA256, verifiesRSA},
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384":   {digestSHA384, verifiesRSA},
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512":   {digestSHA512, verifiesRSA},
		"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256": {digestSHA256, verifiesECDSA},
		"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384": {digestSHA384, verifiesECDSA},
		"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512": {digestSHA512, verifiesECDSA},
	}
)

func verifiesRSA(key crypto.PublicKey, d digest, sum, signature []byte) bool {
	public, ok := key.(*rsa.PublicKey)
	return ok && rsa.VerifyPKCS1v15(public, d.id, sum, signature) == nil
}

// verifiesECDSA: a signature is r and s, each as long as the curve's order (XML
// Signature 1.1 §6.4.3).
func verifiesECDSA(key crypto.PublicKey, _ digest, sum, signature []byte) bool {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	size := (public.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return false
	}
	return ecdsa.Verify(public, sum, new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
}

// signed verifies the signature that stands in el, and returns the root of what it
// vouches for: el without the signature, read from the bytes that were verified. The
// keys are those that may have signed; what the signature says of its key is not looked
// at.
func signed(el, signature *etree.Element, keys []crypto.PublicKey) (*etree.Element, error) {
	parts := signature.ChildElements()
	if len(parts) == 3 && is(parts[2], dsigNS, "KeyInfo") {
		parts = parts[:2]
	}
	if len(parts) != 2 || !is(parts[0], dsigNS, "SignedInfo") || !is(parts[1], dsigNS, "SignatureValue") {
		return nil, malformed("a signature has other parts than it should have")
	}
	value, err := base64Of(parts[1])
	if err != nil {
		return nil, err
	}
	reference, err := verifiedReference(parts[0], value, keys)
	if err != nil {
		return nil, err
	}
	id := attribute(el, "ID")
	if id == "" || attribute(reference, "URI") != "#"+id {
		return nil, malformed("a signature refers to something else than the element that it stands in")
	}
	referred, err := sequence(reference, dsigNS, "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return nil, err
	}
	prefixes, err := transforms(referred[0])
	if err != nil {
		return nil, err
	}
	hash, ok := digests[attribute(referred[1], "Algorithm")]
	if !ok {
		return nil, malformed("a digest is of an algorithm that is not accepted")
	}
	want, err := base64Of(referred[2])
	if err != nil {
		return nil, err
	}
	alone := detached(el)
	alone.RemoveChildAt(signature.Index())
	content, err := canonical(alone, prefixes)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(hash.of(content), want) != 1 {
		return nil, ErrSignature
	}
	return readTree(content)
}

// verifiedReference verifies a SignedInfo and returns its one reference, as the verified
// bytes have it.
func verifiedReference(info *etree.Element, value []byte, keys []crypto.PublicKey) (*etree.Element, error) {
	// What anybody may send is brought into canonical form before it is verified, so it
	// must be small.
	if len(info.FindElements(".//*")) > maxSignedInfo {
		return nil, malformed("SignedInfo has other parts than it should have")
	}
	parts := info.ChildElements()
	if len(parts) == 0 || !is(parts[0], dsigNS, "CanonicalizationMethod") || attribute(parts[0], "Algorithm") != excC14N {
		return nil, malformed("a signature is not over the exclusive canonical form")
	}
	prefixes, err := inclusivePrefixes(parts[0])
	if err != nil {
		return nil, err
	}
	content, err := canonical(detached(info), prefixes)
	if err != nil {
		return nil, err
	}
	read, err := readTree(content)
	if err != nil {
		return nil, err
	}
	parts, err = sequence(read, dsigNS, "CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return nil, err
	}
	method, ok := methods[attribute(parts[1], "Algorithm")]
	if !ok || len(parts[1].ChildElements()) != 0 {
		return nil, malformed("a signature is of an algorithm that is not accepted")
	}
	sum := method.digest.of(content)
	for _, key := range keys {
		if method.verifies(key, method.digest, sum, value) {
			return parts[2], nil
		}
	}
	return nil, ErrSignature
}

// transforms checks that there are the two that SAML has (SAML Core §5.4.4), and
// returns the prefixes that the canonical form treats inclusively.
func transforms(el *etree.Element) (prefixes string, err error) {
	both, err := sequence(el, dsigNS, "Transform", "Transform")
	if err != nil {
		return "", err
	}
	if attribute(both[0], "Algorithm") != enveloped || len(both[0].ChildElements()) != 0 || attribute(both[1], "Algorithm") != excC14N {
		return "", malformed("a signature has other transforms than SAML's")
	}
	return inclusivePrefixes(both[1])
}

// inclusivePrefixes returns the PrefixList of an exclusive canonical form.
func inclusivePrefixes(el *etree.Element) (string, error) {
	all := el.ChildElements()
	if len(all) == 0 {
		return "", nil
	}
	if len(all) != 1 || !is(all[0], excC14N, "InclusiveNamespaces") || len(all[0].ChildElements()) != 0 {
		return "", malformed("a canonical form has other parameters than it should have")
	}
	return attribute(all[0], "PrefixList"), nil
}

// canonical returns the exclusive canonical form of an element that detached returned,
// which it changes.
func canonical(el *etree.Element, prefixes string) ([]byte, error) {
	content, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(el)
	if err != nil {
		return nil, malformed("it has no canonical form")
	}
	return content, nil
}

// detached returns a copy of an element alone, with the namespaces declared that hold
// where it stands.
func detached(el *etree.Element) *etree.Element {
	alone := el.Copy()
	declared := map[string]bool{}
	note := func(e *etree.Element, add bool) {
		for _, a := range e.Attr {
			if a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns" {
				if name := a.FullKey(); !declared[name] {
					declared[name] = true
					if add {
						alone.CreateAttr(name, a.Value)
					}
				}
			}
		}
	}
	note(el, false)
	for above := el.Parent(); above != nil; above = above.Parent() {
		note(above, true)
	}
	return alone
}

// base64Of returns the bytes that an element holds in base64, which may be broken into
// lines.
func base64Of(el *etree.Element) ([]byte, error) {
	value, ok := text(el)
	if !ok {
		return nil, malformed("%s has other parts than it should have", el.Tag)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.Map(func(r rune) rune {
		if strings.ContainsRune(xmlSpace, r) {
			return -1
		}
		return r
	}, value))
	if err != nil || len(raw) == 0 {
		return nil, malformed("%s is not base64", el.Tag)
	}
	return raw, nil
}
