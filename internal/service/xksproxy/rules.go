package xksproxy

import (
	"slices"
	"unicode/utf8"

	"github.com/strongroom/strongroom/internal/xksapi"
)

// Rules say which requests a store answers, by what the other KMS states of them.
// Each list holds patterns, in which * stands for any characters and ? for one; an
// empty list lets everything through. A request has to pass all lists.
type Rules struct {
	Principals   []string `json:"principals,omitempty"`   // awsPrincipalArn
	KMSKeys      []string `json:"kmsKeys,omitempty"`      // kmsKeyArn
	Operations   []string `json:"operations,omitempty"`   // kmsOperation
	Services     []string `json:"services,omitempty"`     // kmsViaService; "-" for calls through none
	VPCs         []string `json:"vpcs,omitempty"`         // awsSourceVpc
	VPCEndpoints []string `json:"vpcEndpoints,omitempty"` // awsSourceVpce
	// TrustKMS says that the other KMS's own policies decide who may ask. Without
	// it, Principals or KMSKeys must name somebody.
	TrustKMS bool `json:"trustKms,omitempty"`
}

// refusedBy returns the member of the request's metadata that a rule refuses, or
// "". A request about no KMS key, as CreateKey makes, passes the rule on those: the
// key does not exist yet.
func (r *Rules) refusedBy(m *xksapi.Metadata) string {
	for _, rule := range []struct {
		member   string
		patterns []string
		value    string
		passes   bool
	}{
		{"awsPrincipalArn", r.Principals, m.PrincipalARN, false},
		{"kmsKeyArn", r.KMSKeys, m.KeyARN, m.KeyARN == ""},
		{"kmsOperation", r.Operations, m.Operation, false},
		{"kmsViaService", r.Services, orDash(m.ViaService), false},
		{"awsSourceVpc", r.VPCs, m.SourceVPC, false},
		{"awsSourceVpce", r.VPCEndpoints, m.SourceVPCE, false},
	} {
		if len(rule.patterns) == 0 || rule.passes {
			continue
		}
		if !slices.ContainsFunc(rule.patterns, func(p string) bool { return matches(p, rule.value) }) {
			return rule.member
		}
	}
	return ""
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// matches tells whether text matches pattern. After a mismatch only the last star
// takes one more character, so that the work is at most the product of the lengths.
func matches(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			_, size := utf8.DecodeRuneInString(text[t:])
			t += size
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
