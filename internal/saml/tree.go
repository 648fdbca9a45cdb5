package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// Bounds on a document. A response of AWS's longest size fits with all values that it can
// have; the canonical form takes time that grows with elements times prefixes.
const (
	maxDepth      = 32
	maxElements   = 2_000
	maxAttributes = 32 // of one element
	maxPrefixes   = 32 // different ones in a document
)

// Namespaces (SAML Core, XML Signature, Exclusive XML Canonicalization).
const (
	protocolNS  = "urn:oasis:names:tc:SAML:2.0:protocol"
	assertionNS = "urn:oasis:names:tc:SAML:2.0:assertion"
	dsigNS      = "http://www.w3.org/2000/09/xmldsig#"
	excC14N     = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// readTree reads a document of the plain kind that is accepted, and returns its root.
func readTree(text []byte) (*etree.Element, error) {
	if !utf8.Valid(text) {
		return nil, malformed("it is not UTF-8")
	}
	if err := screen(text); err != nil {
		return nil, err
	}
	document := etree.NewDocument()
	document.ReadSettings.MaxDepth = maxDepth + 1
	if err := document.ReadFromBytes(text); err != nil || document.Root() == nil {
		return nil, malformed("it is not well-formed XML")
	}
	return document.Root(), nil
}

// screen goes through a document, by the tokens that its tree will be made of, and
// refuses what is not of the plain kind.
func screen(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("not UTF-8") }
	s := screening{prefixes: map[string]bool{}, ids: map[string]bool{}}
	for {
		at := d.InputOffset()
		token, err := d.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return malformed("it is not well-formed XML")
		}
		switch t := token.(type) {
		case xml.Comment:
			return malformed("it has a comment")
		case xml.Directive:
			return malformed("it has a DTD or another declaration")
		case xml.ProcInst:
			if at != 0 || t.Target != "xml" {
				return malformed("it has a processing instruction")
			}
		case xml.CharData:
			if s.depth == 0 && len(bytes.TrimSpace(t)) != 0 {
				return malformed("it has text outside of its root element")
			}
		case xml.StartElement:
			if err := s.start(t); err != nil {
				return err
			}
		case xml.EndElement:
			s.depth--
		}
	}
	if s.roots != 1 || s.depth != 0 {
		return malformed("it is not well-formed XML")
	}
	return nil
}

// screening is how far screen got.
type screening struct {
	depth, elements, roots int
	prefixes               map[string]bool
	ids                    map[string]bool
}

func (s *screening) start(t xml.StartElement) error {
	if s.depth == 0 {
		s.roots++
	}
	s.depth++
	s.elements++
	switch {
	case s.depth > maxDepth:
		return malformed("it is nested more than %d deep", maxDepth)
	case s.elements > maxElements:
		return malformed("it has more than %d elements", maxElements)
	case len(t.Attr) > maxAttributes:
		return malformed("an element has more than %d attributes", maxAttributes)
	case !plainName(t.Name):
		return malformed("an element's name is not one of XML namespaces")
	}
	s.prefixes[t.Name.Space] = true
	for i, a := range t.Attr {
		if !plainName(a.Name) {
			return malformed("an attribute's name is not one of XML namespaces")
		}
		for _, other := range t.Attr[:i] {
			if other.Name == a.Name {
				return malformed("an element has an attribute twice")
			}
		}
		s.prefixes[a.Name.Space] = true
		if a.Name.Space == "xmlns" {
			s.prefixes[a.Name.Local] = true
			if a.Name.Local == "xmlns" || a.Name.Local == "xml" || a.Value == "" {
				return malformed("a namespace is declared that cannot be")
			}
		}
		// Ids are ID in SAML, Id in XML Signature and xml:id; whatever looks like one
		// must be the only one of its value.
		if strings.EqualFold(a.Name.Local, "id") && a.Name.Space != "xmlns" {
			if s.ids[a.Value] {
				return malformed("two elements have the same ID")
			}
			s.ids[a.Value] = true
		}
	}
	if len(s.prefixes) > maxPrefixes {
		return malformed("it has more than %d namespace prefixes", maxPrefixes)
	}
	return nil
}

// plainName reports whether a name has at most one colon, with something on both sides.
// encoding/xml is more lenient.
func plainName(n xml.Name) bool {
	return n.Local != "" && !strings.Contains(n.Local, ":") && !strings.Contains(n.Space, ":")
}

// is reports whether an element has that name.
func is(el *etree.Element, namespace, tag string) bool {
	return el.Tag == tag && el.NamespaceURI() == namespace
}

// children returns the child elements of that name.
func children(el *etree.Element, namespace, tag string) []*etree.Element {
	var found []*etree.Element
	for _, child := range el.ChildElements() {
		if is(child, namespace, tag) {
			found = append(found, child)
		}
	}
	return found
}

// child returns the one child element of that name, or nil if there is none.
func child(el *etree.Element, namespace, tag string) (*etree.Element, error) {
	found := children(el, namespace, tag)
	if len(found) > 1 {
		return nil, malformed("more than one %s", tag)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found[0], nil
}

// sequence returns the child elements of el, which must be exactly these of one
// namespace, in that order.
func sequence(el *etree.Element, namespace string, tags ...string) ([]*etree.Element, error) {
	all := el.ChildElements()
	if len(all) != len(tags) {
		return nil, malformed("%s has other parts than it should have", el.Tag)
	}
	for i, tag := range tags {
		if !is(all[i], namespace, tag) {
			return nil, malformed("%s has other parts than it should have", el.Tag)
		}
	}
	return all, nil
}

// attribute returns an attribute without a prefix; empty if there is none.
func attribute(el *etree.Element, name string) string {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value
		}
	}
	return ""
}

// text returns what an element says, without white space around it. ok is false if it
// has other elements within.
func text(el *etree.Element) (value string, ok bool) {
	var b strings.Builder
	for _, token := range el.Child {
		data, is := token.(*etree.CharData)
		if !is {
			return "", false
		}
		b.WriteString(data.Data)
	}
	return strings.Trim(b.String(), xmlSpace), true
}

// xmlSpace is what XML takes for white space.
const xmlSpace = " \t\r\n"
