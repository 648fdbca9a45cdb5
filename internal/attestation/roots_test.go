package attestation_test

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/attestation"
	"github.com/strongroom/strongroom/internal/attestation/attestationtest"
)

func TestRoots(t *testing.T) {
	one, two := attestationtest.NewAuthority(t, now), attestationtest.NewAuthority(t, now)
	block := func(typ string, c *x509.Certificate) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: c.Raw}))
	}
	root, child := block("CERTIFICATE", one.Chain[0]), block("CERTIFICATE", one.Chain[1])
	for _, test := range []struct {
		name, text string
		roots      int
		message    string // a part of it
	}{
		{"one", root, 1, ""},
		{"two, with room between", root + "\n\n" + block("CERTIFICATE", two.Chain[0]) + "\n", 2, ""},
		{"nothing", "", 0, "no certificate"},
		{"white space", " \n", 0, "no certificate"},
		{"no PEM", "root", 0, "not PEM"},
		{"a tail", root + "tail", 0, "not PEM"},
		{"a key", block("PRIVATE KEY", one.Chain[0]), 0, "no certificate"},
		{"an intermediate", root + child, 0, "certificate 2 (CN=region.nitro-enclaves"},
		{"no certificate in it", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), 0, "certificate 1"},
	} {
		roots, err := attestation.ParseRoots([]byte(test.text))
		if len(roots) != test.roots || (err == nil) != (test.message == "") || err != nil && !strings.Contains(err.Error(), test.message) {
			t.Errorf("%s: %d roots, %v", test.name, len(roots), err)
		}
	}
	if f := attestation.Fingerprint(one.Chain[0]); len(f) != 95 || f == attestation.Fingerprint(two.Chain[0]) {
		t.Errorf("the fingerprint is %q", f)
	}
}

func TestNitroRootsAreToldByTheirSubject(t *testing.T) {
	for _, test := range []struct {
		change func(c *x509.Certificate)
		want   bool
	}{
		{func(*x509.Certificate) {}, true},
		{func(c *x509.Certificate) { c.Subject.CommonName = "test root" }, false},
		{func(c *x509.Certificate) { c.Subject.CommonName = ".nitro-enclaves" }, false},
		{func(c *x509.Certificate) { c.Subject.Country = nil }, false},
		{func(c *x509.Certificate) { c.Subject.Organization = []string{"Example"} }, false},
		{func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"AWS", "more"} }, false},
	} {
		c := &x509.Certificate{Subject: attestationtest.Subject("aws.nitro-enclaves")}
		test.change(c)
		if attestation.IsNitroRoot(c) != test.want {
			t.Errorf("%s: %v", c.Subject, !test.want)
		}
	}
}
