package kms

import "github.com/strongroom/strongroom/internal/policy"

// documents are the compiled key policies that keys in memory have, by their text.
// Most keys have the policy that they were made with, and those of one account have
// one text: it is compiled once and kept once, as long as a key has it.
var documents interned[string, policy.Document]

// compilePolicy compiles the text of a key policy, or returns what was compiled of the same.
func compilePolicy(in *interned[string, policy.Document], text string) (*policy.Document, error) {
	if document := in.get(text); document != nil {
		return document, nil
	}
	document, err := policy.Parse([]byte(text), policy.KeyPolicy)
	if err != nil {
		return nil, err
	}
	return in.keep(document.Text(), document, 0), nil
}
