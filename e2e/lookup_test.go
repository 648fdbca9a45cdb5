package e2e

import (
	"strings"
	"testing"
)

// TestLookupEvents asks as people do: with the AWS command line, by attribute,
// page by page.
func TestLookupEvents(t *testing.T) {
	s := start(t)
	aws := newCLI(t, clientEnvironment(s))
	key := aws.query("KeyMetadata.Arn", "kms", "create-key")
	aws.run("kms", "describe-key", "--key-id", key)
	aws.fails("NotFoundException", "", "kms", "describe-key", "--key-id", "alias/none")
	by := func(attribute, value, path string) string {
		t.Helper()
		return aws.query(path, "cloudtrail", "lookup-events", "--lookup-attributes", "AttributeKey="+attribute+",AttributeValue="+value)
	}
	if got := by("EventName", "DescribeKey", "Events[].[EventName,Username,ReadOnly,EventSource]"); got != strings.TrimSpace(strings.Repeat("DescribeKey\troot\ttrue\tkms.amazonaws.com\n", 2)) {
		t.Errorf("DescribeKey:\n%s", got)
	}
	if got := by("ResourceName", key, "Events[].EventName"); got != "DescribeKey\tCreateKey" {
		t.Errorf("of the key: %s", got)
	}
	if got := by("EventName", "CreateKey", "Events[0].Resources[0].[ResourceType,ResourceName]"); got != "AWS::KMS::Key\t"+key {
		t.Errorf("resources: %s", got)
	}
	id := by("EventName", "CreateKey", "Events[0].EventId")
	if got := by("EventId", id, "Events[].CloudTrailEvent"); !strings.Contains(got, `"eventID":"`+id+`"`) || !strings.HasPrefix(got, `{"eventVersion":"1.1`) {
		t.Errorf("the record: %s", got)
	}
	// The command line pages by itself.
	all := strings.Fields(aws.query("Events[].EventName", "cloudtrail", "lookup-events", "--page-size", "2"))
	if n := len(all); n < 8 || all[n-1] != "CreateKey" && all[n-2] != "CreateKey" || all[0] != "LookupEvents" {
		t.Errorf("all events: %v", all)
	}
	if got := aws.query("length(Events)", "cloudtrail", "lookup-events", "--start-time", "2001-01-01", "--end-time", "2001-01-02"); got != "0" {
		t.Errorf("%s events of long ago", got)
	}
	aws.fails("InvalidTimeRangeException", "", "cloudtrail", "lookup-events", "--start-time", "2001-01-02", "--end-time", "2001-01-01")
	if got := aws.query("length(Events)", "cloudtrail", "lookup-events", "--event-category", "insight"); got != "0" {
		t.Errorf("%s Insights events", got)
	}
}
