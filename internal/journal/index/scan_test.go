package index

import (
	"bytes"
	"encoding/json"
	"slices"
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

// TestRecordsOfOneShape: what a hasher remembers of one record serves those that
// differ in nothing that is indexed, and no others.
func TestRecordsOfOneShape(t *testing.T) {
	r := newRig(t, 100)
	kept := newHasher(r.config.TermKey)
	kept.remember()
	same := func(record []byte) *shape {
		t.Helper()
		got, want := kept.read(record), newHasher(r.config.TermKey).read(record)
		if got.time != want.time || got.id != want.id || got.shape.scope != want.shape.scope ||
			!slices.Equal(got.shape.fingerprints, want.shape.fingerprints) {
			t.Errorf("%s is read as another record", record)
		}
		return got.shape
	}
	plain := r.event("Encrypt", "alice", "k1")
	first := same(plain.AppendJSON(nil))
	again := r.event("Encrypt", "alice", "k1")
	again.UserAgent, again.EventTime = "another", plain.EventTime.Add(time.Hour)
	if same(again.AppendJSON(nil)) != first {
		t.Error("a record that differs in its id, time and agent has a shape of its own")
	}
	for name, change := range map[string]func(*journal.Record){
		"caller":    func(r *journal.Record) { r.UserIdentity.PrincipalID += "x" },
		"source":    func(r *journal.Record) { r.EventSource = "sts.amazonaws.com" },
		"name":      func(r *journal.Record) { r.EventName = "Decrypt" },
		"region":    func(r *journal.Record) { r.AWSRegion += "x" },
		"error":     func(r *journal.Record) { r.ErrorCode = "AccessDenied" },
		"readOnly":  func(r *journal.Record) { r.ReadOnly = !r.ReadOnly },
		"resource":  func(r *journal.Record) { r.Resources[0].ARN += "x" },
		"parameter": func(r *journal.Record) { r.RequestParameters = []byte(`{"keyId":"x"}`) },
		"type":      func(r *journal.Record) { r.EventType = "AwsServiceEvent" },
		"account":   func(r *journal.Record) { r.RecipientAccountID += "1" },
	} {
		other := r.event("Encrypt", "alice", "k1")
		change(&other)
		if same(other.AppendJSON(nil)) == first {
			t.Errorf("a record of another %s has the same shape", name)
		}
	}
}

// FuzzRead hands the scanner anything. It must end, and of JSON read the same
// names as encoding/json does; and the same when it has read that before.
func FuzzRead(f *testing.F) {
	r := newRig(f, 100)
	record := r.event("Encrypt", "alice", "k1")
	f.Add(record.AppendJSON(nil))
	for _, seed := range []string{"", "{}", `{"userIdentity":null,"resources":null}`, `{"a":"\`, `{"resources":[{"ARN":1}]}`, `{"eventName":"\u00e9"}`, `{"eventName" : "a"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := newHasher(make([]byte, 32))
		fresh := h.read(b)
		kept := newHasher(make([]byte, 32))
		kept.remember()
		kept.read(b)
		if again := kept.read(b); again.time != fresh.time || again.id != fresh.id || again.shape.scope != fresh.shape.scope ||
			!slices.Equal(again.shape.fingerprints, fresh.shape.fingerprints) {
			t.Errorf("%s is read in two ways", b)
		}
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
