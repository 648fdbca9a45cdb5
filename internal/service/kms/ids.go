package kms

import (
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
)

// reference is a key identifier taken apart: a key id or an alias name, with the
// account and region that it belongs to.
type reference struct {
	account, region string
	keyID           string // canonical: lower-case hex
	alias           string // with its "alias/" prefix; empty for a key id or key ARN
}

// naming says which forms of key identifier an operation takes (kms.md §2).
type naming uint8

const (
	keysOnly       naming = iota // key id, key ARN
	keysAndAliases               // those, alias name, alias ARN
)

const (
	aliasPrefix = "alias/"
	// maxAliasName is the longest name that CreateAlias takes, with its prefix: no
	// longer one leads to a key.
	maxAliasName = 256
)

// parseReference takes a KeyId apart. It looks nothing up.
func parseReference(call *authz.Call, id string, forms naming) (reference, *awserr.Error) {
	ref := reference{account: call.Principal.Account, region: call.Region}
	resource, isARN := id, false
	if strings.HasPrefix(id, "arn:") {
		isARN = true
		part := strings.SplitN(id, ":", 6)
		if len(part) != 6 || part[1] != call.Partition || part[2] != "kms" || part[3] == "" || !isAccount(part[4]) {
			return ref, api.NotFoundException("Invalid arn " + id)
		}
		ref.account, resource = part[4], part[5]
		if part[3] != call.Region {
			ref.region = part[3]
		}
		if !strings.HasPrefix(resource, aliasPrefix) {
			var ok bool
			if resource, ok = strings.CutPrefix(resource, "key/"); !ok {
				return ref, api.NotFoundException("Invalid arn " + id)
			}
		}
	}
	if strings.HasPrefix(resource, aliasPrefix) {
		if forms == keysOnly {
			return ref, api.InvalidArnException("Key Aliases are not supported for this operation.")
		}
		ref.alias = resource
		if len(resource) > maxAliasName {
			return ref, errNoAlias(aliasARN(call.Partition, ref.region, ref.account, resource))
		}
	} else {
		canonical, ok := canonicalKeyID(resource)
		switch {
		case !ok && isARN:
			return ref, api.NotFoundException("Invalid keyId " + resource)
		case !ok:
			return ref, api.NotFoundException("Invalid keyId '" + resource + "'")
		}
		ref.keyID = canonical
	}
	if ref.region != call.Region {
		return ref, api.NotFoundException("Invalid arn " + ref.region)
	}
	return ref, nil
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

const multiRegionPrefix = "mrk-"

// canonicalKeyID returns id in lower case if it is a UUID with dashes or "mrk-"
// and 32 hex digits. The digits match in either case, the prefix in lower case.
func canonicalKeyID(id string) (string, bool) {
	digits, multiRegion := strings.CutPrefix(id, multiRegionPrefix)
	switch {
	case multiRegion && len(digits) != 32, !multiRegion && len(digits) != 36:
		return "", false
	}
	lower := true
	for i := range len(digits) {
		switch c := digits[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			lower = false
		case c == '-' && !multiRegion:
		default:
			return "", false
		}
		if dash := i == 8 || i == 13 || i == 18 || i == 23; !multiRegion && dash != (digits[i] == '-') {
			return "", false
		}
	}
	if lower {
		return id, true
	}
	return strings.ToLower(id), true
}

func keyARN(partition, region, account, id string) string {
	return "arn:" + partition + ":kms:" + region + ":" + account + ":key/" + id
}

// aliasARN takes the alias name with its prefix.
func aliasARN(partition, region, account, name string) string {
	return "arn:" + partition + ":kms:" + region + ":" + account + ":" + name
}
