package xks

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseURI(t *testing.T) {
	for uri, host := range map[string]string{
		"https://proxy.example.com":      "proxy.example.com",
		"https://Proxy.Example.COM":      "proxy.example.com",
		"https://a-b.xn--bcher-kva.test": "a-b.xn--bcher-kva.test",
	} {
		if got, err := ParseURI(uri); err != nil || got != host {
			t.Errorf("%s: %q, %v", uri, got, err)
		}
	}
	for _, uri := range []string{
		"", "http://proxy.example.com", "https://", "https://localhost", "https://127.0.0.1", "https://127.1", "https://0x7f.0x1",
		"https://2130706433", "https://[::1]", "https://proxy.example.com.", "https://.example.com", "https://a..b", "https://-a.example.com",
		"https://proxy.example.com:8443", "https://u@proxy.example.com", "https://proxy.example.com/x", "https://" + strings.Repeat("a", 64) + ".com",
	} {
		if got, err := ParseURI(uri); err != ErrEndpoint {
			t.Errorf("%s: %q, %v", uri, got, err)
		}
	}
}

func TestCheckPathAndKeyID(t *testing.T) {
	for _, path := range []string{"/kms/xks/v1", "/a/b_c-d/kms/xks/v1"} {
		if err := CheckPath(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"", "/kms/xks/v2", "/kms/xks/v12", "/a//b/kms/xks/v1", "/kms/xks/v1/"} {
		if err := CheckPath(path); err == nil {
			t.Errorf("%s was taken", path)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "a%2f", "ä", strings.Repeat("a", 129)} {
		if err := checkKeyID(id); err == nil {
			t.Errorf("%s was taken", id)
		}
	}
	if err := checkKeyID("A-z_0.9..."); err != nil {
		t.Error(err)
	}
}

func TestPublic(t *testing.T) {
	for _, addr := range []string{"8.8.8.8", "93.184.216.34", "2606:4700::1111"} {
		if !public(netip.MustParseAddr(addr)) {
			t.Errorf("%s is public", addr)
		}
	}
	for _, addr := range []string{
		"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1",
		"::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "::127.0.0.1",
	} {
		if public(netip.MustParseAddr(addr)) {
			t.Errorf("%s is not public", addr)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add("https://proxy.example.com")
	f.Fuzz(func(t *testing.T, uri string) {
		host, err := ParseURI(uri)
		if err != nil {
			return
		}
		if again, err := ParseURI("https://" + host); err != nil || again != host {
			t.Fatalf("%q gives %q, which gives %q, %v", uri, host, again, err)
		}
		if strings.ContainsAny(host, ":/@[]%?# ") {
			t.Fatalf("%q gives %q", uri, host)
		}
	})
}
