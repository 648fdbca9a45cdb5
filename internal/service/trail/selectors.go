package trail

import (
	"context"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/store"
)

// Limits of event selectors (API Reference, PutEventSelectors; User Guide,
// "Quotas").
const (
	maxSelectors     = 5
	maxDataResources = 250
	maxValues        = 500 // of all conditions of all advanced selectors
)

// PutEventSelectors says which events a trail is to deliver.
func (s *Service) PutEventSelectors(ctx context.Context, call *authz.Call, in *api.PutEventSelectorsInput) (*api.PutEventSelectorsOutput, error) {
	return change(ctx, s, call, in.TrailName, nil, func(_ *store.Tx, t *delivery.Trail) (*api.PutEventSelectorsOutput, error) {
		basic, err := newSelectors(in.EventSelectors)
		if err != nil {
			return nil, err
		}
		advanced, err := newAdvanced(in.AdvancedEventSelectors)
		if err != nil {
			return nil, err
		}
		switch {
		case len(basic) > 0 && len(advanced) > 0:
			return nil, invalidSelectors("EventSelectors and AdvancedEventSelectors cannot be given together.")
		case len(basic)+len(advanced) == 0:
			return nil, invalidSelectors("One of EventSelectors and AdvancedEventSelectors must be given.")
		}
		t.Selectors, t.Advanced = basic, advanced
		return &api.PutEventSelectorsOutput{
			TrailARN: arnOf(call, t), EventSelectors: showSelectors(basic), AdvancedEventSelectors: showAdvanced(advanced),
		}, nil
	})
}

// GetEventSelectors shows them; of a trail that was given none, those that it has
// by itself.
func (s *Service) GetEventSelectors(ctx context.Context, call *authz.Call, in *api.GetEventSelectorsInput) (*api.GetEventSelectorsOutput, error) {
	t, err := s.read(ctx, call, in.TrailName, nil)
	if err != nil {
		return nil, err
	}
	basic := t.Selectors
	if len(t.Selectors)+len(t.Advanced) == 0 {
		basic = []delivery.Selector{{ReadWrite: "All", Management: true}}
	}
	return &api.GetEventSelectorsOutput{
		TrailARN: arnOf(call, t), EventSelectors: showSelectors(basic), AdvancedEventSelectors: showAdvanced(t.Advanced),
	}, nil
}

func invalidSelectors(problem string) error { return api.InvalidEventSelectorsException(problem) }

var (
	// excludable are the event sources that a basic selector may leave out.
	excludable = []string{"kms.amazonaws.com", "rdsdata.amazonaws.com"}
	// dataTypes are the data resources that basic selectors know.
	dataTypes = []string{"AWS::S3::Object", "AWS::Lambda::Function", "AWS::DynamoDB::Table"}
)

func newSelectors(in []api.EventSelector) ([]delivery.Selector, error) {
	if len(in) > maxSelectors {
		return nil, invalidSelectors("A trail has at most 5 event selectors.")
	}
	var list []delivery.Selector
	values := 0
	for _, from := range in {
		s := delivery.Selector{ReadWrite: string(from.ReadWriteType), Management: value(from.IncludeManagementEvents, true), Exclude: from.ExcludeManagementEventSources}
		if s.ReadWrite == "" {
			s.ReadWrite = "All"
		}
		for _, source := range s.Exclude {
			if !slices.Contains(excludable, source) {
				return nil, invalidSelectors("ExcludeManagementEventSources takes kms.amazonaws.com and rdsdata.amazonaws.com, not " + clip(source) + ".")
			}
		}
		if len(s.Exclude) > 0 && !s.Management {
			return nil, invalidSelectors("ExcludeManagementEventSources needs IncludeManagementEvents.")
		}
		for _, resource := range from.DataResources {
			typ := value(resource.Type, "")
			if !slices.Contains(dataTypes, typ) {
				return nil, invalidSelectors("The data resource type " + clip(typ) + " is not valid in an event selector.")
			}
			for _, v := range resource.Values {
				if !strings.HasPrefix(v, "arn:") {
					return nil, invalidSelectors("The data resource " + clip(v) + " is not an ARN.")
				}
			}
			values += len(resource.Values)
			s.DataResources = append(s.DataResources, delivery.DataResource{Type: typ, Values: resource.Values})
		}
		list = append(list, s)
	}
	if values > maxDataResources {
		return nil, invalidSelectors("The event selectors of a trail name at most 250 data resources.")
	}
	return list, nil
}

// advancedFields are the fields of each category of events (API Reference,
// AdvancedFieldSelector).
var advancedFields = map[string][]string{
	"Management":      {"eventCategory", "eventSource", "readOnly"},
	"Data":            {"eventCategory", "resources.type", "eventName", "eventSource", "eventType", "readOnly", "resources.ARN", "sessionCredentialFromConsole", "userIdentity.arn"},
	"NetworkActivity": {"eventCategory", "eventSource", "eventName", "errorCode", "vpcEndpointId"},
}

// equalsOnly are the fields that take no other operator than Equals.
var equalsOnly = []string{"eventCategory", "readOnly", "resources.type"}

func newAdvanced(in []api.AdvancedEventSelector) ([]delivery.AdvancedSelector, error) {
	var list []delivery.AdvancedSelector
	values := 0
	for _, from := range in {
		s := delivery.AdvancedSelector{Name: value(from.Name, "")}
		for _, f := range from.FieldSelectors {
			field := delivery.Field{
				Field: f.Field, Equals: f.Equals, StartsWith: f.StartsWith, EndsWith: f.EndsWith,
				NotEquals: f.NotEquals, NotStartsWith: f.NotStartsWith, NotEndsWith: f.NotEndsWith,
			}
			n := len(f.Equals) + len(f.StartsWith) + len(f.EndsWith) + len(f.NotEquals) + len(f.NotStartsWith) + len(f.NotEndsWith)
			switch {
			case n == 0:
				return nil, invalidSelectors("The field " + clip(f.Field) + " has no operator.")
			case slices.ContainsFunc(s.Fields, func(other delivery.Field) bool { return other.Field == f.Field }):
				return nil, invalidSelectors("The field " + clip(f.Field) + " is given twice in one selector.")
			case slices.Contains(equalsOnly, f.Field) && n != len(f.Equals):
				return nil, invalidSelectors("The field " + f.Field + " takes Equals alone.")
			}
			values += n
			s.Fields = append(s.Fields, field)
		}
		if err := checkAdvanced(s.Fields); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	if values > maxValues {
		return nil, invalidSelectors("The advanced event selectors of a trail have at most 500 values.")
	}
	return list, nil
}

// checkAdvanced checks the fields of one advanced selector as a whole.
func checkAdvanced(fields []delivery.Field) error {
	find := func(name string) []string {
		if i := slices.IndexFunc(fields, func(f delivery.Field) bool { return f.Field == name }); i >= 0 {
			return fields[i].Equals
		}
		return nil
	}
	category := find("eventCategory")
	if len(category) != 1 || advancedFields[category[0]] == nil {
		return invalidSelectors("An advanced event selector needs eventCategory to equal one of Management, Data and NetworkActivity.")
	}
	known := advancedFields[category[0]]
	for _, f := range fields {
		if !slices.Contains(known, f.Field) {
			return invalidSelectors("The field " + clip(f.Field) + " is not valid for events of the category " + category[0] + ".")
		}
	}
	for _, v := range find("readOnly") {
		if v != "true" && v != "false" {
			return invalidSelectors("readOnly is true or false.")
		}
	}
	if category[0] == "Data" && len(find("resources.type")) != 1 {
		return invalidSelectors("A selector of data events needs resources.type to equal one type.")
	}
	if category[0] == "NetworkActivity" && len(find("eventSource")) != 1 {
		return invalidSelectors("A selector of network activity events needs eventSource to equal one source.")
	}
	return nil
}

func showSelectors(list []delivery.Selector) []api.EventSelector {
	var out []api.EventSelector
	for _, s := range list {
		e := api.EventSelector{
			ReadWriteType: api.ReadWriteType(s.ReadWrite), IncludeManagementEvents: &s.Management,
			DataResources: []api.DataResource{}, ExcludeManagementEventSources: s.Exclude,
		}
		if s.Exclude == nil {
			e.ExcludeManagementEventSources = []string{}
		}
		for _, r := range s.DataResources {
			e.DataResources = append(e.DataResources, api.DataResource{Type: &r.Type, Values: r.Values})
		}
		out = append(out, e)
	}
	return out
}

func showAdvanced(list []delivery.AdvancedSelector) []api.AdvancedEventSelector {
	var out []api.AdvancedEventSelector
	for _, s := range list {
		e := api.AdvancedEventSelector{Name: &s.Name}
		for _, f := range s.Fields {
			e.FieldSelectors = append(e.FieldSelectors, api.AdvancedFieldSelector{
				Field: f.Field, Equals: f.Equals, StartsWith: f.StartsWith, EndsWith: f.EndsWith,
				NotEquals: f.NotEquals, NotStartsWith: f.NotStartsWith, NotEndsWith: f.NotEndsWith,
			})
		}
		out = append(out, e)
	}
	return out
}
