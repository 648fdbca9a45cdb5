package iam_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/strongroomtest"
)

// certified is a certificate with its private key, in PEM.
type certified struct {
	certificate *x509.Certificate
	private     *ecdsa.PrivateKey
	body, key   string
}

// certify makes a certificate that issuer has signed; nil for one that signs itself.
func certify(t *testing.T, name string, issuer *certified) *certified {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	parent, signer := template, private
	if issuer != nil {
		parent, signer = issuer.certificate, issuer.private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return &certified{made, private,
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))}
}

func TestServerCertificates(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	authority := certify(t, "authority", nil)
	middle := certify(t, "middle", authority)
	leaf, other := certify(t, "leaf", middle), certify(t, "other", nil)
	upload := func(name, body, key, chain string) *answer {
		params := []string{"ServerCertificateName", name, "CertificateBody", body, "PrivateKey", key, "Path", "/web/"}
		if chain != "" {
			params = append(params, "CertificateChain", chain)
		}
		return admin.iam("UploadServerCertificate", params...)
	}
	upload("web", leaf.body, other.key, "").fails(400, "KeyPairMismatch", "")
	upload("web", leaf.body, "no key", "").fails(400, "KeyPairMismatch", "")
	upload("web", leaf.body, leaf.body, "").fails(400, "KeyPairMismatch", "")
	upload("web", leaf.key, leaf.key, "").fails(400, "MalformedCertificate", "body")
	upload("web", leaf.body+middle.body, leaf.key, "").fails(400, "MalformedCertificate", "body")
	upload("web", strings.Replace(leaf.body, "M", "A", 1), leaf.key, "").fails(400, "MalformedCertificate", "body")
	upload("web", leaf.body, leaf.key, authority.body+middle.body).fails(400, "MalformedCertificate", "in order")
	upload("web", leaf.body, leaf.key, "nothing").fails(400, "MalformedCertificate", "chain")
	upload("web", leaf.body, leaf.key, middle.body+strings.Repeat(authority.body, 12)).fails(400, "MalformedCertificate", "chain")

	made := upload("web", leaf.body, leaf.key, middle.body+authority.body).ok()
	arn := accountARN + "server-certificate/web/web"
	if made.value("Arn") != arn || made.value("Expiration") != "2040-01-02T03:04:05Z" || !strings.HasPrefix(made.value("ServerCertificateId"), "ASCA") || strings.Contains(made.body, "PRIVATE") {
		t.Errorf("%s", made.body)
	}
	upload("WEB", leaf.body, leaf.key, "").fails(409, "EntityAlreadyExists", "WEB")
	got := admin.iam("GetServerCertificate", "ServerCertificateName", "web").ok()
	if got.value("CertificateBody") != leaf.body || got.value("CertificateChain") != middle.body+authority.body || strings.Contains(got.body, "PRIVATE") {
		t.Errorf("%s", got.body)
	}
	admin.iam("GetServerCertificate", "ServerCertificateName", "Web").fails(404, "NoSuchEntity", "Web")
	admin.iam("TagServerCertificate", "ServerCertificateName", "web", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b").ok()
	if got := admin.iam("ListServerCertificateTags", "ServerCertificateName", "web").ok().value("Key"); got != "a" {
		t.Errorf("the tag is %q", got)
	}

	// Whoever may change what is below one path moves nothing out of it.
	keeper := admin.newUser("keeper", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:UpdateServerCertificate","Resource":"`+accountARN+`server-certificate/web/*"}]}`)
	keeper.iam("UpdateServerCertificate", "ServerCertificateName", "web", "NewPath", "/other/").fails(403, "AccessDenied", "server-certificate/other/web")
	keeper.iam("UpdateServerCertificate", "ServerCertificateName", "web", "NewServerCertificateName", "front").ok()
	admin.iam("UpdateServerCertificate", "ServerCertificateName", "front", "NewPath", "/other/").ok()
	admin.iam("GetServerCertificate", "ServerCertificateName", "web").fails(404, "NoSuchEntity", "web")
	if got := admin.iam("ListServerCertificates", "PathPrefix", "/other/").ok().value("Arn"); got != accountARN+"server-certificate/other/front" {
		t.Errorf("it is %s", got)
	}
	if got := admin.iam("ListServerCertificates", "PathPrefix", "/web/").ok().values("Arn"); len(got) != 0 {
		t.Errorf("there are %v", got)
	}
	upload("second", other.body, other.key, "").ok()
	admin.iam("UpdateServerCertificate", "ServerCertificateName", "second", "NewServerCertificateName", "Front").fails(409, "EntityAlreadyExists", "Front")
	if got := admin.iam("GetServerCertificate", "ServerCertificateName", "front").ok().value("Key"); got != "a" {
		t.Errorf("the tag of the renamed one is %q", got)
	}
	admin.iam("UntagServerCertificate", "ServerCertificateName", "front", "TagKeys.member.1", "a").ok()
	admin.iam("DeleteServerCertificate", "ServerCertificateName", "front").ok()
	admin.iam("DeleteServerCertificate", "ServerCertificateName", "front").fails(404, "NoSuchEntity", "front")
}
