package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func valid() Config {
	return Config{DataDir: "d", Listen: "127.0.0.1:4566", Account: "000000000000", Regions: []string{"us-east-1"}, Seal: "file", Store: "pebble"}
}

func TestValidate(t *testing.T) {
	cert, key := pair(t)
	_, otherKey := pair(t)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	tests := []struct {
		name    string
		change  func(*Config)
		setting string // "" when it is to be accepted
		says    string
	}{
		{"defaults", func(c *Config) {}, "", ""},
		{"no data folder", func(c *Config) { c.DataDir = "" }, "data", "folder"},
		{"NUL in the data folder", func(c *Config) { c.DataDir = "a\x00b" }, "data", "folder"},
		{"11 digits", func(c *Config) { c.Account = "00000000000" }, "account", "12 digits"},
		{"13 digits", func(c *Config) { c.Account = "0000000000000" }, "account", "12 digits"},
		{"letters", func(c *Config) { c.Account = "00000000000a" }, "account", "12 digits"},
		{"digits of another script", func(c *Config) { c.Account = "٠٠٠٠٠٠" }, "account", "12 digits"},
		{"no region", func(c *Config) { c.Regions = nil }, "regions", "no region"},
		{"regions of every partition", func(c *Config) {
			c.Regions = []string{"us-east-1", "ap-southeast-2", "us-gov-west-1", "cn-northwest-1", "us-isob-east-1", "eusc-de-east-1", "mx-central-1"}
		}, "", ""},
		{"empty region", func(c *Config) { c.Regions = []string{"us-east-1", ""} }, "regions", `""`},
		{"zone", func(c *Config) { c.Regions = []string{"us-east-1a"} }, "regions", "us-east-1a"},
		{"upper case", func(c *Config) { c.Regions = []string{"US-EAST-1"} }, "regions", "US-EAST-1"},
		{"newline after", func(c *Config) { c.Regions = []string{"us-east-1\n"} }, "regions", `\n`},
		{"twice", func(c *Config) { c.Regions = []string{"us-east-1", "eu-west-1", "us-east-1"} }, "regions", "twice"},
		{"unknown seal", func(c *Config) { c.Seal = "cloud" }, "seal", "there is: file, passphrase, aws-kms"},
		{"a KMS without a key", func(c *Config) { c.Seal = "aws-kms" }, "seal-kms-key", "not named"},
		{"a KMS in the clear", func(c *Config) { c.Seal, c.Root.KMSKey, c.Root.KMSEndpoint = "aws-kms", "k", "http://10.0.0.1" }, "seal-kms-endpoint", "plain HTTP"},
		{"an HSM without a library", func(c *Config) { c.Seal = "pkcs11" }, "seal-pkcs11-module", "not named"},
		{"an HSM without a token", func(c *Config) { c.Seal, c.Root.PKCS11.Module = "pkcs11", "/m.so" }, "seal-pkcs11-token", "not named"},
		{"an HSM without a PIN", func(c *Config) {
			c.Seal, c.Root.PKCS11 = "pkcs11", PKCS11Settings{Module: "/m.so", Serial: "1"}
		}, "seal-pkcs11-pin-file", "not named"},
		{"an HSM without a helper", func(c *Config) {
			c.Seal, c.Root.PKCS11 = "pkcs11", PKCS11Settings{Module: "/m.so", Token: "t", PINFile: "p"}
		}, "seal", "cannot load"},
		{"unknown store", func(c *Config) { c.Store = "postgres" }, "store", "there is: pebble"},

		{"attestation roots", func(c *Config) { c.AttestationRoots = roots(t, "aws.nitro-enclaves") }, "", ""},
		{"attestation roots of one's own", func(c *Config) { c.AttestationRoots = roots(t, "a test") }, "attestation-roots", "not of AWS's"},
		{"attestation roots of one's own in a dev server", func(c *Config) { c.AttestationRoots, c.Dev = roots(t, "a test"), true }, "", ""},
		{"attestation roots that are missing", func(c *Config) { c.AttestationRoots = missing }, "attestation-roots", "no such file"},
		{"attestation roots that are none", func(c *Config) { c.AttestationRoots = cert }, "attestation-roots", "not a root"},
		{"attestation roots that are a key", func(c *Config) { c.AttestationRoots = key }, "attestation-roots", "PEM block"},

		{"audiences of SAML", func(c *Config) { c.SAMLAudiences = []string{"urn:example:kms", "https://kms.example.com/saml"} }, "", ""},
		{"no recipient for SAML", func(c *Config) { c.SAMLAudiences = []string{"urn:example:kms"} }, "saml-audience", "none of them is an https:// URL"},
		{"no URI for SAML", func(c *Config) { c.SAMLAudiences = []string{"https://kms.example.com/saml", "kms"} }, "saml-audience", "no URI"},
		{"an empty one for SAML", func(c *Config) { c.SAMLAudiences = []string{""} }, "saml-audience", "no URI"},

		{"shippers", func(c *Config) {
			c.AuditShip = []string{"stdout", " file:audit.jsonl", "syslog:unix:/dev/log", "syslog:tcp:[::1]:601"}
		}, "", ""},
		{"unknown shipper", func(c *Config) { c.AuditShip = []string{"kafka:x"} }, "audit-ship", "there are: stdout"},
		{"the same file twice", func(c *Config) { c.AuditShip = []string{"file:a", "file:./a"} }, "audit-ship", "twice"},

		{"few cached keys", func(c *Config) { c.CachedKeys = 100 }, "", ""},
		{"too few cached keys", func(c *Config) { c.CachedKeys = 99 }, "cached-keys", "100 to 10000000"},
		{"negative cached keys", func(c *Config) { c.CachedKeys = -1 }, "cached-keys", "100 to"},
		{"too many cached keys", func(c *Config) { c.CachedKeys = 10_000_001 }, "cached-keys", "to 10000000"},
		{"retention", func(c *Config) { c.AuditRetention = 90 }, "", ""},
		{"retention too short", func(c *Config) { c.AuditRetention = 89 }, "audit-retention", "LookupEvents"},
		{"negative retention", func(c *Config) { c.AuditRetention = -1 }, "audit-retention", "90 to"},

		{"no port", func(c *Config) { c.Listen = "127.0.0.1" }, "listen", "address and a port"},
		{"port by name", func(c *Config) { c.Listen = "127.0.0.1:http" }, "listen", "65535"},
		{"port too high", func(c *Config) { c.Listen = "127.0.0.1:65536" }, "listen", "65535"},
		{"host by name", func(c *Config) { c.Listen = "kms.example.com:1" }, "listen", "neither"},
		{"port 0", func(c *Config) { c.Listen = "127.0.0.1:0" }, "", ""},
		{"IPv6 loopback", func(c *Config) { c.Listen = "[::1]:4566" }, "", ""},
		{"mapped loopback", func(c *Config) { c.Listen = "[::ffff:127.0.0.1]:4566" }, "", ""},
		{"localhost", func(c *Config) { c.Listen = "localhost:4566" }, "", ""},
		{"plain HTTP everywhere", func(c *Config) { c.Listen = "0.0.0.0:4566" }, "listen", "plain HTTP"},
		{"plain HTTP everywhere, no host", func(c *Config) { c.Listen = ":4566" }, "listen", "plain HTTP"},
		{"plain HTTP everywhere, IPv6", func(c *Config) { c.Listen = "[::]:4566" }, "listen", "plain HTTP"},
		{"plain HTTP, allowed", func(c *Config) { c.Listen, c.InsecureHTTP = "0.0.0.0:4566", true }, "", ""},
		{"TLS everywhere", func(c *Config) { c.Listen, c.TLSCert, c.TLSKey = "0.0.0.0:4566", cert, key }, "", ""},
		{"dev on loopback", func(c *Config) { c.Dev = true }, "", ""},
		{"dev everywhere", func(c *Config) { c.Dev, c.Listen = true, "0.0.0.0:4566" }, "listen", "dev server"},
		{"dev everywhere, HTTP allowed", func(c *Config) { c.Dev, c.Listen, c.InsecureHTTP = true, "0.0.0.0:4566", true }, "listen", "dev server"},
		{"dev everywhere with TLS", func(c *Config) { c.Dev, c.Listen, c.TLSCert, c.TLSKey = true, ":1", cert, key }, "listen", "dev server"},
		{"dev everywhere, allowed", func(c *Config) { c.Dev, c.Listen, c.DevListenAny = true, "0.0.0.0:4566", true }, "", ""},
		{"allowance without dev", func(c *Config) { c.Listen, c.DevListenAny = "0.0.0.0:4566", true }, "listen", "plain HTTP"},

		{"certificate alone", func(c *Config) { c.TLSCert = cert }, "tls-key", "go together"},
		{"key alone", func(c *Config) { c.TLSKey = key }, "tls-cert", "go together"},
		{"pair", func(c *Config) { c.TLSCert, c.TLSKey = cert, key }, "", ""},
		{"no certificate there", func(c *Config) { c.TLSCert, c.TLSKey = missing, key }, "tls-cert", "no such file"},
		{"no key there", func(c *Config) { c.TLSCert, c.TLSKey = cert, missing }, "tls-key", "no such file"},
		{"folder as key", func(c *Config) { c.TLSCert, c.TLSKey = cert, filepath.Dir(key) }, "tls-key", "is a directory"},
		{"someone else's key", func(c *Config) { c.TLSCert, c.TLSKey = cert, otherKey }, "tls-cert", "not a certificate and its key"},
		{"the wrong way round", func(c *Config) { c.TLSCert, c.TLSKey = key, cert }, "tls-cert", "not a certificate and its key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := valid()
			test.change(&c)
			err := c.Validate()
			if test.setting == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			var setting *SettingError
			if !errors.As(err, &setting) {
				t.Fatalf("got %v, want a SettingError for %s", err, test.setting)
			}
			if setting.Setting != test.setting || !strings.Contains(setting.Problem, test.says) {
				t.Errorf("got %v; want %s, saying %q", err, test.setting, test.says)
			}
			if strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("the error shows the key file: %v", err)
			}
		})
	}
}

func TestUnreadableSaysWhoMustRead(t *testing.T) {
	err := unreadable("tls-key", "key.pem", &fs.PathError{Op: "open", Path: "key.pem", Err: syscall.EACCES})
	var setting *SettingError
	if !errors.As(err, &setting) || setting.Setting != "tls-key" ||
		setting.Problem != "cannot read key.pem: permission denied" || !strings.Contains(setting.Hint(), "uid") {
		t.Errorf("got %v, hint %q", err, setting.Hint())
	}
}

// roots writes a new root certificate with a subject like that of AWS's.
func roots(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		Subject:               pkix.Name{CommonName: name, Country: []string{"US"}, Organization: []string{"Amazon"}, OrganizationalUnit: []string{"AWS"}},
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// pair writes a new certificate and its key.
func pair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert},
		keyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
