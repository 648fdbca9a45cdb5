package delivery

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Selector is a basic event selector. Events match it when they are management
// events that it includes; there are no others here.
type Selector struct {
	ReadWrite     string         `json:"readWrite"` // ReadOnly, WriteOnly or All
	Management    bool           `json:"management"`
	DataResources []DataResource `json:"dataResources,omitempty"`
	// Exclude are event sources.
	Exclude []string `json:"exclude,omitempty"`
}

// DataResource is kept and shown; events of data do not arise here.
type DataResource struct {
	Type   string   `json:"type"`
	Values []string `json:"values,omitempty"`
}

// AdvancedSelector lets an event through that every field lets through.
type AdvancedSelector struct {
	Name   string  `json:"name,omitempty"`
	Fields []Field `json:"fields"`
}

// Field is a condition on one field of an event. Of several operators each must
// hold: an Equals, StartsWith or EndsWith when one of its values does, a Not…
// when none does.
type Field struct {
	Field         string   `json:"field"`
	Equals        []string `json:"equals,omitempty"`
	StartsWith    []string `json:"startsWith,omitempty"`
	EndsWith      []string `json:"endsWith,omitempty"`
	NotEquals     []string `json:"notEquals,omitempty"`
	NotStartsWith []string `json:"notStartsWith,omitempty"`
	NotEndsWith   []string `json:"notEndsWith,omitempty"`
}

// event is what a trail looks at in a record.
type event struct {
	Time     time.Time `json:"eventTime"`
	Region   string    `json:"awsRegion"`
	Account  string    `json:"recipientAccountId"`
	Source   string    `json:"eventSource"`
	ReadOnly bool      `json:"readOnly"`
	Category string    `json:"eventCategory"`
	Identity struct {
		InvokedBy string `json:"invokedBy"`
	} `json:"userIdentity"`
}

// own reports whether an event is of what deliveries ask of KMS.
func (e *event) own() bool {
	return e.Source == "kms.amazonaws.com" && e.Identity.InvokedBy == "cloudtrail.amazonaws.com"
}

func parseEvent(record []byte) (*event, error) {
	e := new(event)
	return e, json.Unmarshal(record, e)
}

// field returns what an advanced selector compares. The fields that events have
// beyond these arise with data events alone.
func (e *event) field(name string) (string, bool) {
	switch name {
	case "eventCategory":
		return e.Category, true
	case "eventSource":
		return e.Source, true
	case "readOnly":
		return strconv.FormatBool(e.ReadOnly), true
	}
	return "", false
}

// selects reports whether the trail's selectors let an event through.
func (t *Trail) selects(e *event) bool {
	switch {
	case len(t.Advanced) > 0:
		return slices.ContainsFunc(t.Advanced, func(s AdvancedSelector) bool { return s.matches(e) })
	case len(t.Selectors) > 0:
		return slices.ContainsFunc(t.Selectors, func(s Selector) bool { return s.matches(e) })
	}
	return true
}

func (s *Selector) matches(e *event) bool {
	return s.Management && !slices.Contains(s.Exclude, e.Source) &&
		(s.ReadWrite == "All" || (s.ReadWrite == "ReadOnly") == e.ReadOnly)
}

func (s *AdvancedSelector) matches(e *event) bool {
	for i := range s.Fields {
		value, ok := e.field(s.Fields[i].Field)
		if !ok || !s.Fields[i].matches(value) {
			return false
		}
	}
	return true
}

func (f *Field) matches(value string) bool {
	anyOf := func(list []string, holds func(value, pattern string) bool) bool {
		return slices.ContainsFunc(list, func(pattern string) bool { return holds(value, pattern) })
	}
	equal := func(a, b string) bool { return a == b }
	for _, want := range []struct {
		list  []string
		holds func(value, pattern string) bool
	}{{f.Equals, equal}, {f.StartsWith, strings.HasPrefix}, {f.EndsWith, strings.HasSuffix}} {
		if len(want.list) > 0 && !anyOf(want.list, want.holds) {
			return false
		}
	}
	return !anyOf(f.NotEquals, equal) && !anyOf(f.NotStartsWith, strings.HasPrefix) && !anyOf(f.NotEndsWith, strings.HasSuffix)
}
