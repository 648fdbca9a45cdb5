package xks

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/strongroom/strongroom/internal/secret"
)

// Endpoint is a proxy as a key store names it.
type Endpoint struct {
	Host string // a name that [ParseURI] returned
	Path string // XksProxyUriPath, without a slash at its end
	// Service is the name of a VPC endpoint service; empty for a public endpoint.
	Service string
	// Region is that of the KMS, for the scope of signatures.
	Region     string
	Credential Credential
}

// Credential signs requests to a proxy.
type Credential struct {
	AccessKeyID string
	Secret      secret.String
}

// ErrEndpoint is returned for an endpoint or a path that no proxy can have.
var ErrEndpoint = errors.New("xks: not the endpoint of a proxy")

// ParseURI returns the host of an XksProxyUriEndpoint: https:// and a fully
// qualified name. An address, a name without a dot, one that ends in a dot or has
// an empty or overlong label is ErrEndpoint. Names are lower-cased.
func ParseURI(uri string) (host string, err error) {
	host, ok := strings.CutPrefix(uri, "https://")
	if !ok {
		return "", ErrEndpoint
	}
	host = strings.ToLower(host)
	labels := strings.Split(host, ".")
	if _, err := netip.ParseAddr(host); err == nil || len(labels) < 2 || len(host) > 253 {
		return "", ErrEndpoint
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return "", ErrEndpoint
		}
	}
	// What ends in a number is an address to some resolvers: 127.1, 0x7f.1.
	last := labels[len(labels)-1]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "", ErrEndpoint
	}
	return host, nil
}

// CheckPath refuses an XksProxyUriPath that has more than one spelling or is of
// another version of the API.
func CheckPath(path string) error {
	if strings.Contains(path, "//") || !strings.HasSuffix(path, "/kms/xks/v1") {
		return ErrEndpoint
	}
	return nil
}

// checkKeyID refuses ids that would change the path of a request.
func checkKeyID(id string) error {
	if id == "" || len(id) > 128 || id == "." || id == ".." {
		return ErrEndpoint
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' && c != '.' {
			return ErrEndpoint
		}
	}
	return nil
}

// reserved are ranges of addresses that are not of the public Internet, or that
// lead to others, beyond those that net/netip knows (IANA special-purpose
// registries).
var reserved = func() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}()

// public tells whether an address is one of the public Internet.
func public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
