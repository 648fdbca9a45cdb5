package sts

import (
	"slices"
	"testing"

	api "github.com/strongroom/strongroom/api/sts"
)

func TestRolesOfAResponse(t *testing.T) {
	const provider, role, commas = "arn:aws:iam::111122223333:saml-provider/p", "arn:aws:iam::111122223333:role/r", "arn:aws:iam::111122223333:role/a,b,"
	for _, tt := range []struct {
		pair, role string
		admitted   bool
	}{
		{role + "," + provider, role, true},
		{provider + "," + role, role, true},
		{" " + role + " ,\n" + provider + " ", role, true},
		{commas + "," + provider, commas, true},
		{provider + "," + commas, commas, true},
		{role + provider, role, false},
		{role + ",," + provider, role, false},
		{role + "," + provider + "x", role, false},
		{"x" + role + "," + provider, role, false},
		{role + "," + role + "," + provider, role, false},
		{provider, role, false},
		{role, role, false},
		{"", role, false},
	} {
		if got := (&samlClaims{roles: []string{"other", tt.pair}}).admits(tt.role, provider); got != tt.admitted {
			t.Errorf("%q admits to %s: %v", tt.pair, tt.role, got)
		}
	}
}

// TestTransitiveKeysAreKeptOnce: a session hands each key on once, else its own next
// session would be refused as one that sets it again.
func TestTransitiveKeysAreKeptOnce(t *testing.T) {
	set, refused := newTagSet([]api.Tag{{Key: "Team", Value: "a"}, {Key: "Desk", Value: "b"}}, []string{"Team", "team", "Desk", "TEAM"})
	if refused != nil || !slices.Equal(set.transitive, []string{"team", "desk"}) {
		t.Errorf("%+v, %v", set, refused)
	}
}

func TestTagsThatAProviderCannotSet(t *testing.T) {
	for _, key := range []string{"aws:a", "AWS:a", ""} {
		if _, err := broughtTags("response", map[string]string{key: "v"}, nil); err == nil {
			t.Errorf("the tag %q is taken", key)
		}
	}
}
