package authz

import (
	"fmt"
	"testing"
	"time"
)

// TestSessionKeys: the condition keys that a principal's tags and session answer;
// a key that is not there has no values.
func TestSessionKeys(t *testing.T) {
	session := &Call{Principal: Principal{
		Tags:    map[string]string{"team": "blue", "empty": ""},
		Session: &Session{Issued: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), SourceIdentity: "alice"},
	}}
	longTerm := &Call{}
	for _, c := range []struct {
		call *Call
		key  string
		want string
	}{
		{session, "aws:principaltag/team", "[blue] true"},
		{session, "aws:principaltag/empty", "[] true"},
		{session, "aws:principaltag/desk", "[] false"},
		{session, "aws:tokenissuetime", "[2026-01-02T03:04:05Z] true"},
		{session, "aws:multifactorauthpresent", "[false] true"},
		{session, "aws:sourceidentity", "[alice] true"},
		{longTerm, "aws:principaltag/team", "[] false"},
		{longTerm, "aws:tokenissuetime", "[] false"},
		{longTerm, "aws:multifactorauthpresent", "[] false"},
		{longTerm, "aws:sourceidentity", "[] false"},
	} {
		values, ok := (&callContext{call: c.call}).Values(c.key)
		if got := fmt.Sprint(values, ok); got != c.want {
			t.Errorf("%s is %s; want %s", c.key, got, c.want)
		}
	}
	// An empty tag is one value, a missing one is none: policies tell them apart.
	if values, _ := (&callContext{call: session}).Values("aws:principaltag/empty"); len(values) != 1 {
		t.Errorf("the empty tag has %d values", len(values))
	}
	if values, _ := (&callContext{call: session}).Values("aws:principaltag/desk"); values != nil {
		t.Errorf("a missing tag has the values %q", values)
	}
}
