package trail

import (
	"fmt"
	"strings"
	"testing"
)

func TestEventSelectors(t *testing.T) {
	h := newHarness(t)
	h.ok(root, "CreateTrail", m{"Name": "main", "S3BucketName": bucket})
	usual := []any{m{"ReadWriteType": "All", "IncludeManagementEvents": true, "DataResources": []any{}, "ExcludeManagementEventSources": []any{}}}
	equal(t, "by itself", h.ok(root, "GetEventSelectors", m{"TrailName": "main"}), m{"TrailARN": arn(home, "main"), "EventSelectors": usual})
	equal(t, "Put", h.ok(root, "PutEventSelectors", m{"TrailName": "main", "EventSelectors": []m{
		{"ReadWriteType": "WriteOnly", "ExcludeManagementEventSources": []any{"kms.amazonaws.com"}},
		{"IncludeManagementEvents": false, "DataResources": []m{{"Type": "AWS::S3::Object", "Values": []any{"arn:aws:s3"}}}},
	}}), m{"TrailARN": arn(home, "main"), "EventSelectors": []any{
		m{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": true, "DataResources": []any{}, "ExcludeManagementEventSources": []any{"kms.amazonaws.com"}},
		m{"ReadWriteType": "All", "IncludeManagementEvents": false, "DataResources": []any{m{"Type": "AWS::S3::Object", "Values": []any{"arn:aws:s3"}}}, "ExcludeManagementEventSources": []any{}},
	}})
	custom := h.ok(root, "GetTrail", m{"Name": "main"})["Trail"].(m)["HasCustomEventSelectors"]
	equal(t, "custom", custom, true)
	advanced := []m{{"Name": "writes", "FieldSelectors": []m{{"Field": "eventCategory", "Equals": []any{"Management"}}, {"Field": "readOnly", "Equals": []any{"false"}}}}}
	h.ok(root, "PutEventSelectors", m{"TrailName": arn(home, "main"), "AdvancedEventSelectors": advanced})
	equal(t, "advanced", h.ok(root, "GetEventSelectors", m{"TrailName": "main"}), m{"TrailARN": arn(home, "main"), "AdvancedEventSelectors": []any{
		m{"Name": "writes", "FieldSelectors": []any{m{"Field": "eventCategory", "Equals": []any{"Management"}}, m{"Field": "readOnly", "Equals": []any{"false"}}}},
	}})
	h.fails(root, "GetInsightSelectors", m{"TrailName": "main"}, "InsightNotEnabledException: ")
	h.fails(root, "GetInsightSelectors", m{}, "InvalidParameterCombinationException: ")
}

func TestEventSelectorsRefused(t *testing.T) {
	h := newHarness(t)
	h.ok(root, "CreateTrail", m{"Name": "main", "S3BucketName": bucket})
	field := func(name string, values ...any) m { return m{"Field": name, "Equals": values} }
	advanced := func(fields ...m) m { return m{"AdvancedEventSelectors": []m{{"FieldSelectors": fields}}} }
	management := field("eventCategory", "Management")
	var many []any
	for i := range maxValues {
		many = append(many, fmt.Sprint("source", i))
	}
	for name, in := range map[string]m{
		"none":                {},
		"both":                {"EventSelectors": []m{{}}, "AdvancedEventSelectors": []m{{"FieldSelectors": []m{management}}}},
		"six":                 {"EventSelectors": []m{{}, {}, {}, {}, {}, {}}},
		"exclude":             {"EventSelectors": []m{{"ExcludeManagementEventSources": []any{"iam.amazonaws.com"}}}},
		"exclude from none":   {"EventSelectors": []m{{"IncludeManagementEvents": false, "ExcludeManagementEventSources": []any{"kms.amazonaws.com"}}}},
		"data type":           {"EventSelectors": []m{{"DataResources": []m{{"Type": "AWS::KMS::Key"}}}}},
		"data value":          {"EventSelectors": []m{{"DataResources": []m{{"Type": "AWS::S3::Object", "Values": []any{"x"}}}}}},
		"no category":         advanced(field("readOnly", "true")),
		"two categories":      advanced(field("eventCategory", "Management", "Data")),
		"category":            advanced(field("eventCategory", "Insight")),
		"no operator":         advanced(management, m{"Field": "readOnly"}),
		"field":               advanced(management, field("eventName", "Encrypt")),
		"field twice":         advanced(management, field("readOnly", "true"), field("readOnly", "false")),
		"readOnly":            advanced(management, field("readOnly", "yes")),
		"operator":            advanced(management, m{"Field": "readOnly", "NotEquals": []any{"true"}}),
		"data without a type": advanced(field("eventCategory", "Data")),
		"network":             advanced(field("eventCategory", "NetworkActivity")),
		"too many values":     advanced(management, field("eventSource", many...)),
	} {
		in["TrailName"] = "main"
		if _, failure, _ := h.send(root, home, "PutEventSelectors", in); !strings.HasPrefix(failure, "InvalidEventSelectorsException: ") {
			t.Errorf("%s: %s", name, failure)
		}
	}
	h.fails(root, "PutEventSelectors", m{"TrailName": "none", "EventSelectors": []m{{}}}, "TrailNotFoundException: ")
}
