package index

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/strongroom/strongroom/internal/journal"
)

// TestReadsWhatIsEscaped: names with quotes, backslashes and what the writer
// escapes are found as they are.
func TestReadsWhatIsEscaped(t *testing.T) {
	r := newRig(t, 100)
	odd := r.event("Encrypt", "a\"b\\c\u2028d\x00é", "k\"}]")
	odd.UserAgent, odd.ErrorMessage = `}]","eventID":"x"\`, "\"}{["
	odd.UserIdentity.SessionContext = &journal.SessionContext{CreationDate: time.Unix(0, 0)}
	odd.TLSDetails = &journal.TLSDetails{TLSVersion: "}"}
	odd.ResponseElements = []byte(`[1,{"a":[null,true,-1.5e3]}, "x"]`)
	odd.RequestParameters = []byte(`{"n":null,"l":[[],{}],"keyId":"a\"b","policy":"{\"x\":[1]}"}`)
	r.commit(r.event("Encrypt", "z", "z"), odd)
	for _, q := range []Query{
		inScope(Caller, "a\"b\\c\u2028d\x00é"), inScope(Name, `k"}]`), inScope(Sent, `a"b`), inScope(EventID, odd.EventID.String()),
	} {
		if got := r.find(q, true, all); len(got) != 1 || got[0] != 2 {
			t.Errorf("%q: found %v", q.Terms[0].Value, got)
		}
	}
	if got := r.find(inScope(ReadOnly, "true"), true, all); len(got) != 2 {
		t.Errorf("read-only records are %v", got)
	}
}

// FuzzRead hands the scanner anything. It must end, and of JSON read the same
// names as encoding/json does.
func FuzzRead(f *testing.F) {
	r := newRig(f, 100)
	record := r.event("Encrypt", "alice", "k1")
	f.Add(record.AppendJSON(nil))
	for _, seed := range []string{"", "{}", `{"userIdentity":null,"resources":null}`, `{"a":"\`, `{"resources":[{"ARN":1}]}`, `{"eventName":"\u00e9"}`, `{"eventName" : "a"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := newHasher(make([]byte, 32))
		h.read(b)
		var want struct {
			EventName *string `json:"eventName"`
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(b, &members) != nil || json.Unmarshal(b, &want) != nil || want.EventName == nil ||
			members["eventName"] == nil || len(members) != 1 || bytes.ContainsAny(b, "\t\r\n") || !utf8.Valid(b) {
			return
		}
		if h.facts.name != *want.EventName {
			t.Errorf("%s is read as %q", b, h.facts.name)
		}
	})
}
