package crash

import "testing"

func TestValueAllowsWhatWasAcknowledgedOrIsPending(t *testing.T) {
	next := "b"
	v := value{acknowledged: "a", pending: &next}
	for found, want := range map[string]bool{"a": true, "b": true, "c": false, "": false} {
		if v.allows(found) != want {
			t.Errorf("allows(%q) is %v", found, !want)
		}
	}
	v.settle("a")
	if v.allows("b") {
		t.Error("what a restarted server did not have may still appear")
	}
	gone := "" // an alias whose deletion was not answered
	v = value{acknowledged: "a", pending: &gone}
	if !v.allows("") || !v.allows("a") {
		t.Error("an unanswered deletion allows too little")
	}
}
