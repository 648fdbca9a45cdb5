package admin

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Filter picks audit records. Empty fields let everything through; several
// fields must all match.
type Filter struct {
	// Key is a key's id, ARN or alias, as a record names it in its resources or
	// was sent it in keyId.
	Key string
	// Principal is an ARN, a principal id, an access key id, a user's name or an
	// account.
	Principal string
	// Operation is an event's name in any case, alone or with its service:
	// "Encrypt", "kms:Encrypt".
	Operation string
	// Since and Until bound the event's time: Since ≤ t < Until. The zero Time
	// does not bound. Records carry whole seconds.
	Since, Until time.Time
	// Error is an error code, "any" for every record with one, "none" for every
	// record without.
	Error string
}

// filterParams are the names of a filter's fields on the wire and in what is
// recorded of a request.
var filterParams = []string{"key", "principal", "operation", "since", "until", "error"}

// values writes the fields that are not empty.
func (f Filter) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("key", f.Key)
	set("principal", f.Principal)
	set("operation", f.Operation)
	set("error", f.Error)
	if !f.Since.IsZero() {
		set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		set("until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	return v
}

// parseFilter is the inverse of values.
func parseFilter(v url.Values) (Filter, error) {
	f := Filter{Key: v.Get("key"), Principal: v.Get("principal"), Operation: v.Get("operation"), Error: v.Get("error")}
	for name, t := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		parsed, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return Filter{}, fmt.Errorf("%s is not a time: %q", name, text)
		}
		*t = parsed.UTC()
	}
	return f, nil
}

// filtered are the members of a CloudTrail record that a Filter looks at.
type filtered struct {
	UserIdentity struct {
		ARN         string `json:"arn"`
		PrincipalID string `json:"principalId"`
		AccountID   string `json:"accountId"`
		AccessKeyID string `json:"accessKeyId"`
		UserName    string `json:"userName"`
	} `json:"userIdentity"`
	EventTime         time.Time       `json:"eventTime"`
	EventSource       string          `json:"eventSource"`
	EventName         string          `json:"eventName"`
	ErrorCode         string          `json:"errorCode"`
	RequestParameters json.RawMessage `json:"requestParameters"`
	Resources         []struct {
		ARN string `json:"ARN"`
	} `json:"resources"`
}

// Match says whether f lets an audit record through. record is one in
// CloudTrail's shape, as JSON; it is an error if it is not.
func (f Filter) Match(record []byte) (bool, error) {
	if f == (Filter{}) {
		return true, nil
	}
	var r filtered
	if err := json.Unmarshal(record, &r); err != nil {
		return false, fmt.Errorf("not an audit record: %w", err)
	}
	return f.matchTime(r.EventTime) && f.matchError(r.ErrorCode) && f.matchOperation(r) && f.matchPrincipal(r) && f.matchKey(r), nil
}

func (f Filter) matchTime(t time.Time) bool {
	return (f.Since.IsZero() || !t.Before(f.Since)) && (f.Until.IsZero() || t.Before(f.Until))
}

func (f Filter) matchError(code string) bool {
	switch f.Error {
	case "":
		return true
	case "any":
		return code != ""
	case "none":
		return code == ""
	}
	return strings.EqualFold(code, f.Error)
}

func (f Filter) matchOperation(r filtered) bool {
	if f.Operation == "" || strings.EqualFold(f.Operation, r.EventName) {
		return true
	}
	service, _, _ := strings.Cut(r.EventSource, ".")
	return strings.EqualFold(f.Operation, service+":"+r.EventName)
}

func (f Filter) matchPrincipal(r filtered) bool {
	who := r.UserIdentity
	switch f.Principal {
	case "", who.ARN, who.PrincipalID, who.AccountID, who.AccessKeyID, who.UserName:
		return true
	}
	return false
}

func (f Filter) matchKey(r filtered) bool {
	if f.Key == "" {
		return true
	}
	for _, resource := range r.Resources {
		if namesKey(resource.ARN, f.Key) {
			return true
		}
	}
	// Requests that were refused name no resource, only what they asked for.
	var sent map[string]json.RawMessage
	if json.Unmarshal(r.RequestParameters, &sent) != nil {
		return false // null, or absent
	}
	for _, name := range []string{"keyId", "targetKeyId", "aliasName", "sourceKeyId", "destinationKeyId"} {
		var value string
		if json.Unmarshal(sent[name], &value) == nil && value != "" && namesKey(value, f.Key) {
			return true
		}
	}
	return false
}

// namesKey says whether a name that stands in a record (an ARN, an id, an alias)
// is the wanted one, or an ARN of it.
func namesKey(name, wanted string) bool {
	if name == wanted {
		return true
	}
	if !strings.HasPrefix(name, "arn:") {
		return false
	}
	parts := strings.SplitN(name, ":", 6)
	if len(parts) < 6 {
		return false
	}
	resource := parts[5]
	return resource == wanted || resource == "key/"+wanted
}
