package server

import (
	"fmt"
	"strings"

	"github.com/strongroom/strongroom/internal/policy"
)

// PolicyFinding is something in a policy that is probably not meant.
type PolicyFinding struct {
	// Path is the place, "Statement[0].Action"; empty for the whole document.
	Path string `json:"path"`
	// Text is a sentence without a full stop.
	Text string `json:"text"`
}

// policyKinds are the kinds of policy that LintPolicy takes.
var policyKinds = map[string]policy.Kind{
	"key": policy.KeyPolicy, "identity": policy.IdentityPolicy, "trust": policy.TrustPolicy, "resource": policy.ResourcePolicy,
}

// LintPolicy looks at a policy of a kind: "key", "identity", "trust", "resource" or,
// to go by the policy's elements, "auto". The error says why the policy would be
// refused.
func LintPolicy(text []byte, kind string) ([]PolicyFinding, error) {
	k, ok := policyKinds[kind]
	if kind == "auto" {
		k, ok = seenKind(string(text)), true
	}
	if !ok {
		return nil, fmt.Errorf("there is no kind of policy %q", kind)
	}
	document, err := policy.Parse(text, k)
	if err != nil {
		return nil, err
	}
	findings := []PolicyFinding{}
	for _, f := range document.Lint(actions) {
		findings = append(findings, PolicyFinding(f))
	}
	return findings, nil
}

// seenKind tells by a policy's text what it is for: who names principals is a key's
// policy, or a role's if it is about sts.
func seenKind(text string) policy.Kind {
	switch {
	case !strings.Contains(text, `"Principal"`) && !strings.Contains(text, `"NotPrincipal"`):
		return policy.IdentityPolicy
	case strings.Contains(strings.ToLower(text), `"sts:`):
		return policy.TrustPolicy
	}
	return policy.KeyPolicy
}
