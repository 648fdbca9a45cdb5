package kms

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
)

// Limits are the quotas of accounts: how many resources they may have and how many
// requests a second they may make, in each Region (kms.md §18). A nil *Limits is
// what holds without any setting: AWS's quotas per key, and no others.
type Limits struct {
	aws      bool
	everyone map[string]int64
	accounts map[string]map[string]int64 // by account
}

// unlimited is the limit that is none.
const unlimited int64 = -1

// largestLimit is the largest number that can be set: a request each nanosecond.
const largestLimit = 1_000_000_000

// Names of the resource quotas that can be set: those that AWS adjusts.
const (
	limitKeys    = "keys"
	limitAliases = "aliases-per-key"
	limitGrants  = "grants-per-key"
)

// limitStore is the rate of a custom key store: each has one of its own, whosever
// account uses its keys.
const limitStore = "custom-key-store"

// AWS's values of the resource quotas.
const (
	maxKeys = 100_000
	// maxAliases is the quota of aliases of one key.
	maxAliases = 50
	// maxGrants is the quota of grants on one key.
	maxGrants = 50_000
)

// ParseLimits reads a list of settings:
//
//	aws                 AWS's quotas for every account
//	NAME=N              at most N, for every account
//	ACCOUNT/NAME=N      at most N, for one account
//
// N may be "off". NAME is keys, aliases-per-key, grants-per-key, one of the shared
// rates (symmetric, rsa, …), custom-key-store for each such store or, for an operation that has a rate of its own, its
// name. What is set for one account wins over what is set for every one, and that
// over AWS's. Without entries the result is nil.
func ParseLimits(entries []string) (*Limits, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	l := &Limits{everyone: map[string]int64{}, accounts: map[string]map[string]int64{}}
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry == "aws" {
			l.aws = true
			continue
		}
		name, value, found := strings.Cut(entry, "=")
		if !found {
			return nil, fmt.Errorf("%q is neither \"aws\" nor NAME=NUMBER", entry)
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		into := l.everyone
		if account, rest, found := strings.Cut(name, "/"); found {
			if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
				return nil, fmt.Errorf("%q is not an account id: it has 12 digits", account)
			}
			if l.accounts[account] == nil {
				l.accounts[account] = map[string]int64{}
			}
			name, into = rest, l.accounts[account]
		}
		if !knownLimit(name) {
			return nil, fmt.Errorf("there is no limit %q; there are: %s, and the name of every other operation", name, strings.Join(limitNames(), ", "))
		}
		if _, twice := into[name]; twice {
			return nil, fmt.Errorf("%s is set twice", strings.TrimSpace(entry[:strings.IndexByte(entry, '=')]))
		}
		n, err := parseLimit(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		into[name] = n
	}
	return l, nil
}

func parseLimit(value string) (int64, error) {
	if value == "off" {
		return unlimited, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > largestLimit {
		return 0, fmt.Errorf("%q is neither \"off\" nor a number from 0 to %d", value, largestLimit)
	}
	return n, nil
}

func knownLimit(name string) bool {
	if _, operation := ownRates[name]; operation {
		return true
	}
	return slices.Contains(limitNames(), name)
}

// limitNames are the names that are no operation's.
func limitNames() []string {
	return append([]string{limitKeys, limitAliases, limitGrants, limitStore}, sharedNames[:]...)
}

// set returns what is set for an account, and whether anything is.
func (l *Limits) set(account, name string) (int64, bool) {
	if l == nil {
		return 0, false
	}
	if n, ok := l.accounts[account][name]; ok {
		return n, true
	}
	n, ok := l.everyone[name]
	return n, ok
}

// keys is how many keys an account may have in a Region.
func (l *Limits) keys(account string) int64 {
	if n, ok := l.set(account, limitKeys); ok {
		return n
	}
	if l != nil && l.aws {
		return maxKeys
	}
	return unlimited
}

// aliases is how many aliases a key of the account may have.
func (l *Limits) aliases(account string) int64 {
	if n, ok := l.set(account, limitAliases); ok {
		return n
	}
	return maxAliases
}

// grants is how many grants there may be on a key of the account.
func (l *Limits) grants(account string) int64 {
	if n, ok := l.set(account, limitGrants); ok {
		return n
	}
	return maxGrants
}

// rate is how many requests a second an account may make that count against name.
func (l *Limits) rate(account, region, name string) int64 {
	if n, ok := l.set(account, name); ok {
		return n
	}
	if l == nil || !l.aws {
		return unlimited
	}
	if n, own := ownRates[name]; own {
		return n
	}
	return awsRate(region, name)
}

// Throttle tells whether there is any limit on the rate of requests.
func (l *Limits) Throttle() bool {
	if l == nil {
		return false
	}
	isRate := func(name string) bool {
		return name != limitKeys && name != limitAliases && name != limitGrants
	}
	for _, set := range append(slices.Collect(maps.Values(l.accounts)), l.everyone) {
		for name, n := range set {
			if n != unlimited && isRate(name) {
				return true
			}
		}
	}
	return l.aws
}

// The rates that operations share. Which one a request counts against follows from
// what it asks for alone: the algorithm or the spec of the pair. A request that
// succeeds names those of its key, and one that does not tells nothing of a key.
const (
	rateSymmetric = iota
	rateRSA
	rateECC // SM2 too
	rateMLDSA
	rateMLKEM
	ratePairECC
	ratePairRSA2048
	ratePairRSA3072
	ratePairRSA4096
	ratePairSM2
	ratePairMLKEM
	sharedRates // how many there are
)

var sharedNames = [sharedRates]string{
	"symmetric", "rsa", "ecc", "ml-dsa", "ml-kem",
	"pair-ecc", "pair-rsa-2048", "pair-rsa-3072", "pair-rsa-4096", "pair-sm2", "pair-ml-kem",
}

// awsRate is AWS's quota for a shared rate, in requests a second. It has none on
// record for ML-KEM, which is taken to be as ML-DSA and, for pairs, as ECC.
func awsRate(region, name string) int64 {
	if name == limitStore {
		return 1800
	}
	switch slices.Index(sharedNames[:], name) {
	case rateSymmetric:
		switch region {
		case "us-east-1", "us-west-2", "eu-west-1":
			return 100_000
		case "us-east-2", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "eu-central-1", "eu-west-2":
			return 20_000
		}
		return 10_000
	case rateRSA, rateECC, rateMLDSA, rateMLKEM:
		return 1000
	case ratePairECC, ratePairMLKEM:
		return 100
	case ratePairRSA2048:
		return 20
	case ratePairRSA3072:
		return 4
	case ratePairRSA4096:
		return 1
	case ratePairSM2:
		return 25
	}
	return unlimited
}

// ownRates are AWS's quotas for the operations that have a rate of their own, in
// requests a second.
var ownRates = makeOwnRates()

func makeOwnRates() map[string]int64 {
	rates := map[string]int64{}
	for _, row := range api.Table(api.Unimplemented{}).Operations {
		rates[row.Name] = 5
	}
	for n, names := range map[int64][]string{
		2000: {"DescribeKey", "GetPublicKey", "ListResourceTags"},
		1000: {"GetKeyPolicy", "GetKeyRotationStatus"},
		500:  {"ListKeys", "ListAliases"},
		100:  {"ListGrants", "ListKeyPolicies", "ListKeyRotations", "ListRetirableGrants"},
		50:   {"CreateGrant", "RetireGrant", "RevokeGrant"},
		15:   {"DeleteAlias", "DeleteImportedKeyMaterial", "EnableKeyRotation", "ImportKeyMaterial", "PutKeyPolicy", "ScheduleKeyDeletion"},
		10:   {"TagResource"},
		1:    {"GetParametersForImport"},
	} {
		for _, name := range names {
			rates[name] = n
		}
	}
	for _, shared := range []string{
		"Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateRandom",
		"GenerateMac", "VerifyMac", "Sign", "Verify", "DeriveSharedSecret", "Encapsulate", "Decapsulate",
		"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
	} {
		delete(rates, shared)
	}
	return rates
}
