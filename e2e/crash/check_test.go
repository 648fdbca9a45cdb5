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

func TestRecordedCalls(t *testing.T) {
	const good = `{"requestID":"1","eventName":"Encrypt","eventType":"AwsApiCall"}
{"requestID":"2","eventName":"CreateKey","eventType":"AwsApiCall"}
{"eventName":"DeleteKey","eventType":"AwsServiceEvent"}
`
	calls, records, err := recordedCalls([]byte(good))
	if err != nil || records != 3 || len(calls) != 2 || calls["1"] != "Encrypt" || calls["2"] != "CreateKey" {
		t.Errorf("%v %d %v", calls, records, err)
	}
	for name, bad := range map[string]string{
		"twice":     good + `{"requestID":"1","eventName":"Encrypt","eventType":"AwsApiCall"}` + "\n",
		"broken":    good + `{"requestID":"3",`,
		"not alone": `{"requestID":"1"}{"requestID":"2"}` + "\n",
	} {
		if _, _, err := recordedCalls([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
