// Package model reads the facts of AWS's services in models/: the extract of each
// and the overlay of what is newer, or known beyond it. The generator is made from
// it, and the tests of the generated packages walk it.
package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

// A Model is one service's facts: the extract <service>.json with the overlay
// <service>.overlay.json laid over it.
type Model struct {
	Service    ServiceFacts          `json:"service"`
	Operations map[string]*Operation `json:"operations"`
	Shapes     map[string]*Shape     `json:"shapes"`

	EventSource string `json:"-"`
}

// ServiceFacts are what the service's requests have in common.
type ServiceFacts struct {
	SigningName  string `json:"signingName"`
	APIVersion   string `json:"apiVersion"`
	Protocol     string `json:"protocol"` // "json" or "query"
	JSONVersion  string `json:"jsonVersion"`
	TargetPrefix string `json:"targetPrefix"`
	XMLNamespace string `json:"xmlNamespace"`
}

// Operation is one operation. Everything from ReadOnly on comes from the overlay.
type Operation struct {
	Input         string   `json:"input"`
	Output        string   `json:"output"`
	ResultWrapper string   `json:"resultWrapper"`
	Errors        []string `json:"errors"`
	Unsigned      bool     `json:"unsigned"`

	ReadOnly *bool  `json:"readOnly"`
	Action   string `json:"action"` // if not <service>:<Operation>
	Audit    *Audit `json:"audit"`
	// Unserved marks an operation that stays out of this project: it has a row,
	// so that it is refused and recorded by its name, but no members.
	Unserved bool `json:"unserved"`
}

// Audit lists the members that audit records show.
type Audit struct {
	Request  []string `json:"request"`
	Response []string `json:"response"`
}

// Shape is one type of the model.
type Shape struct {
	Type      string     `json:"type"`
	Members   []*Member  `json:"members"`
	Member    string     `json:"member"` // of a list
	Key       string     `json:"key"`    // of a map
	Value     string     `json:"value"`
	Min       *int64     `json:"min"`
	Max       *int64     `json:"max"`
	Pattern   string     `json:"pattern"`
	Enum      []string   `json:"enum"`
	Sensitive bool       `json:"sensitive"`
	Flattened bool       `json:"flattened"`
	Error     *ErrorFact `json:"error"`

	// EnumText is the order in which validation texts list Enum.
	EnumText []string `json:"-"`
	// ZeroIsAbsent marks a boolean that AWS treats as a primitive: absent in a
	// request is false, and an answer always carries it.
	ZeroIsAbsent bool `json:"-"`
}

// Member is one member of a structure.
type Member struct {
	Name            string `json:"name"`
	Shape           string `json:"shape"`
	Required        bool   `json:"required"`
	LocationName    string `json:"locationName"`
	TimestampFormat string `json:"timestampFormat"`
	After           string `json:"after"` // in an overlay: where it goes

	// EmptyValid marks an optional string that is answered as "" as well as
	// left out, although the model's minimum length says otherwise.
	EmptyValid bool `json:"-"`
}

// ErrorFact says how an exception is answered.
type ErrorFact struct {
	Fault  string `json:"fault"` // "client" or "server"
	Code   string `json:"code"`  // on the wire, if not the shape's name
	Status int    `json:"status"`
}

// overlay is the shape of <service>.overlay.json.
type overlay struct {
	EventSource string `json:"eventSource"`
	// Sources says where the facts were read, for people.
	Sources []string `json:"sources"`
	// ZeroIsAbsent and Sensitive name shapes.
	ZeroIsAbsent []string `json:"zeroIsAbsent"`
	Sensitive    []string `json:"sensitive"`
	// Operations must name every operation of the model, so that nothing is
	// logged, or called read-only, by default; an operation that the extract
	// does not know is new.
	Operations map[string]*Operation `json:"operations"`
	// Shapes are new ones, Members new members of old structures.
	Shapes  map[string]*Shape    `json:"shapes"`
	Members map[string][]*Member `json:"members"`
	// Optional names members that AWS checks later than the rest, with texts of
	// its own, although the extract says required.
	Optional   map[string][]string `json:"optional"`
	EmptyValid map[string][]string `json:"emptyValid"`
	// Unchecked names shapes whose bounds AWS checks in the operation, with an
	// error of its own instead of a validation error.
	Unchecked []string `json:"unchecked"`
	// Enums are new values, appended; EnumTexts is the recorded order of all.
	Enums     map[string][]string `json:"enums"`
	EnumTexts map[string][]string `json:"enumTexts"`
}

// Load reads a service's extract and overlay from dir.
func Load(dir, service string) (*Model, error) {
	m := new(Model)
	if err := readStrict(filepath.Join(dir, service+".json"), m); err != nil {
		return nil, err
	}
	var o overlay
	path := filepath.Join(dir, service+".overlay.json")
	if err := readStrict(path, &o); err != nil {
		return nil, err
	}
	if err := m.apply(&o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func readStrict(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (m *Model) apply(o *overlay) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	m.EventSource = o.EventSource
	if m.EventSource == "" {
		fail("eventSource is missing")
	}
	for name, s := range o.Shapes {
		if m.Shapes[name] != nil {
			fail("shape %s is in the extract already", name)
		}
		m.Shapes[name] = s
	}
	for name, added := range o.Operations {
		op := m.Operations[name]
		if op == nil {
			m.Operations[name] = added
			op = added
		} else if added.Input != "" || added.Output != "" || added.Errors != nil {
			fail("operation %s is in the extract already: its shapes cannot be changed here", name)
		}
		op.ReadOnly, op.Audit, op.Action = added.ReadOnly, added.Audit, added.Action
		op.Unsigned = op.Unsigned || added.Unsigned
		if op.Unserved = added.Unserved; op.Unserved {
			if added.Audit != nil {
				fail("operation %s is not served: it has no members to show", name)
			}
			op.Input, op.Output, op.Errors, op.Audit = "", "", nil, &Audit{}
		}
		if op.ReadOnly == nil || op.Audit == nil {
			fail("operation %s lacks readOnly or audit", name)
		}
	}
	for _, name := range SortedKeys(m.Operations) {
		if o.Operations[name] == nil {
			fail("operation %s is not listed: say what its audit records show", name)
		}
	}
	for name, members := range o.Members {
		s := m.Shapes[name]
		if s == nil {
			fail("members: no structure %s", name)
			continue
		}
		for _, added := range members {
			if s.Find(added.Name) != nil {
				fail("members: %s.%s is in the extract already", name, added.Name)
			}
			at := len(s.Members)
			if added.After != "" {
				at = slices.IndexFunc(s.Members, func(m *Member) bool { return m.Name == added.After }) + 1
			}
			s.Members = slices.Insert(s.Members, at, added)
		}
	}
	mark := func(what string, lists map[string][]string, set func(*Member)) {
		for name, members := range lists {
			for _, member := range members {
				if s := m.Shapes[name]; s == nil || s.Find(member) == nil {
					fail("%s: no member %s.%s", what, name, member)
				} else {
					set(s.Find(member))
				}
			}
		}
	}
	mark("optional", o.Optional, func(m *Member) { m.Required = false })
	mark("emptyValid", o.EmptyValid, func(m *Member) { m.EmptyValid = true })
	for name, values := range o.Enums {
		if s := m.Shapes[name]; s == nil || s.Enum == nil {
			fail("enums: no enum %s", name)
		} else {
			s.Enum = append(s.Enum, values...)
		}
	}
	for _, s := range m.Shapes {
		s.EnumText = s.Enum
	}
	for name, values := range o.EnumTexts {
		if s := m.Shapes[name]; s == nil || !sameSet(s.Enum, values) {
			fail("enumTexts: %s does not list the values of the enum", name)
		} else {
			s.EnumText = values
		}
	}
	for _, name := range o.ZeroIsAbsent {
		if s := m.Shapes[name]; s == nil || s.Type != "boolean" {
			fail("zeroIsAbsent: no boolean %s", name)
		} else {
			s.ZeroIsAbsent = true
		}
	}
	for _, name := range o.Unchecked {
		if s := m.Shapes[name]; s == nil || s.Min == nil && s.Max == nil && s.Pattern == "" {
			fail("unchecked: no shape %s with bounds", name)
		} else {
			s.Min, s.Max, s.Pattern = nil, nil, ""
		}
	}
	for _, name := range o.Sensitive {
		if s := m.Shapes[name]; s == nil {
			fail("sensitive: no shape %s", name)
		} else {
			s.Sensitive = true
		}
	}
	return errors.Join(errs...)
}

// Find returns the member with that name, or nil.
func (s *Shape) Find(name string) *Member {
	for _, m := range s.Members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// SortedKeys returns the keys of m in order.
func SortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
