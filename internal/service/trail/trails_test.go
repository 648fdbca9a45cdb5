package trail

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/delivery"
)

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

func TestATrailsLife(t *testing.T) {
	h := newHarness(t)
	made := h.ok(root, "CreateTrail", m{"Name": "main", "S3BucketName": bucket, "S3KeyPrefix": "bank", "EnableLogFileValidation": true})
	want := m{"Name": "main", "S3BucketName": bucket, "S3KeyPrefix": "bank", "IncludeGlobalServiceEvents": true, "IsMultiRegionTrail": false,
		"TrailARN": arn(home, "main"), "LogFileValidationEnabled": true, "IsOrganizationTrail": false}
	equal(t, "CreateTrail", made, want)
	record := h.last()
	equal(t, "the record's request", record["requestParameters"], m{"name": "main", "s3BucketName": bucket, "s3KeyPrefix": "bank", "enableLogFileValidation": true})
	equal(t, "the record's response", record["responseElements"].(m)["trailARN"], arn(home, "main"))
	equal(t, "the record's event", []any{record["eventSource"], record["eventName"], record["readOnly"]}, []any{"cloudtrail.amazonaws.com", "CreateTrail", false})
	equal(t, "the record's resources", record["resources"], []any{m{"accountId": account, "type": resourceType, "ARN": arn(home, "main")}})

	equal(t, "GetTrailStatus", h.ok(root, "GetTrailStatus", m{"Name": "main"}), m{"IsLogging": false})
	equal(t, "StartLogging", h.ok(root, "StartLogging", m{"Name": arn(home, "main")}), m{})
	h.clock.Advance(time.Hour)
	equal(t, "StopLogging", h.ok(root, "StopLogging", m{"Name": "main"}), m{})
	equal(t, "GetTrailStatus", h.ok(root, "GetTrailStatus", m{"Name": "main"}), m{
		"IsLogging": false, "StartLoggingTime": float64(now.Unix()), "StopLoggingTime": float64(now.Unix() + 3600),
		"TimeLoggingStarted": "2026-01-02T03:04:05Z", "TimeLoggingStopped": "2026-01-02T04:04:05Z",
	})

	h.ok(root, "UpdateTrail", m{"Name": "main", "IsMultiRegionTrail": true, "S3KeyPrefix": ""})
	want = m{"Name": "main", "S3BucketName": bucket, "IncludeGlobalServiceEvents": true, "IsMultiRegionTrail": true, "HomeRegion": home,
		"TrailARN": arn(home, "main"), "LogFileValidationEnabled": true, "HasCustomEventSelectors": false, "HasInsightSelectors": false, "IsOrganizationTrail": false}
	equal(t, "GetTrail", h.ok(root, "GetTrail", m{"Name": "main"}), m{"Trail": want})
	equal(t, "its shadow", h.okIn(root, second, "GetTrail", m{"Name": arn(home, "main")}), m{"Trail": want})
	equal(t, "DescribeTrails elsewhere", h.okIn(root, second, "DescribeTrails", nil), m{"trailList": []any{want}})
	equal(t, "DescribeTrails elsewhere, by name", h.okIn(root, second, "DescribeTrails", m{"trailNameList": []any{"main"}}), m{"trailList": []any{}})
	equal(t, "DescribeTrails elsewhere, without shadows", h.okIn(root, second, "DescribeTrails", m{"includeShadowTrails": false}), m{"trailList": []any{}})
	equal(t, "DescribeTrails of the unknown", h.ok(root, "DescribeTrails", m{"trailNameList": []any{"none", "arn:aws:cloudtrail:us-east-1:" + other + ":trail/main"}}), m{"trailList": []any{}})
	equal(t, "another account's", h.ok(foreignRoot, "DescribeTrails", nil), m{"trailList": []any{}})
	for _, name := range []string{"UpdateTrail", "DeleteTrail", "StartLogging", "StopLogging"} {
		h.failsIn(root, second, name, m{"Name": arn(home, "main")}, "InvalidHomeRegionException: ")
	}
	h.failsIn(root, second, "GetTrail", m{"Name": "main"}, "TrailNotFoundException: Unknown trail: main for the user: "+account)
	h.fails(foreignRoot, "GetTrail", m{"Name": arn(home, "main")}, "TrailNotFoundException: Unknown trail: "+arn(home, "main")+" for the user: "+other)

	h.ok(root, "DeleteTrail", m{"Name": "main"})
	for _, name := range []string{"GetTrail", "GetTrailStatus", "DeleteTrail", "StartLogging", "UpdateTrail"} {
		h.fails(root, name, m{"Name": "main"}, "TrailNotFoundException: Unknown trail: main for the user: "+account)
	}
}

func TestListTrailsAndQuota(t *testing.T) {
	h := newHarness(t)
	for _, region := range []string{home, second} {
		for i := range maxTrails {
			h.okIn(root, region, "CreateTrail", m{"Name": fmt.Sprint("trail", i), "S3BucketName": bucket})
		}
	}
	h.fails(root, "CreateTrail", m{"Name": "one-more", "S3BucketName": bucket}, "MaximumNumberOfTrailsExceededException: User: "+account+" already has 5 trails in us-east-1.")
	h.fails(root, "CreateTrail", m{"Name": "trail3", "S3BucketName": bucket}, "TrailAlreadyExistsException: Trail trail3 already exists for customer: "+account)
	list := h.ok(root, "ListTrails", nil)["Trails"].([]any)
	if len(list) != 2*maxTrails {
		t.Fatalf("%v", list)
	}
	equal(t, "the first", list[0], m{"TrailARN": arn(second, "trail0"), "Name": "trail0", "HomeRegion": second})
	h.fails(root, "ListTrails", m{"NextToken": "made-up"}, "InvalidTokenException: ")
}

func TestCreateTrailRefuses(t *testing.T) {
	h := newHarness(t)
	for _, test := range []struct {
		in   m
		want string
	}{
		{m{}, "ValidationException: "},
		{m{"Name": "main"}, "ValidationException: "},
		{m{"Name": "", "S3BucketName": bucket}, "InvalidTrailNameException: Trail name cannot be blank!"},
		{m{"Name": "ab"}, "InvalidTrailNameException: Trail name too short"},
		{m{"Name": strings.Repeat("a", 129)}, "InvalidTrailNameException: Trail name too long"},
		{m{"Name": "with space"}, "InvalidTrailNameException: Trail name or ARN can only contain"},
		{m{"Name": "-abc"}, "InvalidTrailNameException: Trail name must start"},
		{m{"Name": "abc."}, "InvalidTrailNameException: Trail name must end"},
		{m{"Name": "a-_b"}, "InvalidTrailNameException: Trail name must not have adjacent"},
		{m{"Name": "192.168.5.4"}, "InvalidTrailNameException: Trail name must not be in IP"},
		{m{"S3BucketName": "Bad_Bucket"}, "InvalidS3BucketNameException: "},
		{m{"S3BucketName": "unknown"}, "S3BucketDoesNotExistException: S3 bucket unknown does not exist!"},
		{m{"S3KeyPrefix": strings.Repeat("p", 201)}, "InvalidS3PrefixException: "},
		{m{"S3KeyPrefix": "a/../b"}, "InvalidS3PrefixException: "},
		{m{"S3KeyPrefix": "/a"}, "InvalidS3PrefixException: "},
		{m{"S3KeyPrefix": "a\nb"}, "InvalidS3PrefixException: "},
		{m{"IsMultiRegionTrail": true, "IncludeGlobalServiceEvents": false}, "InvalidParameterCombinationException: Multi-Region trail must include global service events."},
		{m{"IsOrganizationTrail": true}, "OrganizationsNotInUseException: "},
		{m{"SnsTopicName": "topic"}, "UnsupportedOperationException: "},
		{m{"CloudWatchLogsRoleArn": "arn"}, "UnsupportedOperationException: "},
		{m{"KmsKeyId": "missing"}, "KmsKeyNotFoundException: "},
		{m{"KmsKeyId": "disabled"}, "KmsKeyDisabledException: "},
		{m{"KmsKeyId": "denied"}, "InsufficientEncryptionPolicyException: "},
		{m{"KmsKeyId": "malformed"}, "InvalidKmsKeyIdException: "},
		{m{"KmsKeyId": "rsa"}, "KmsException: InvalidKeyUsageException: not for that"},
		{m{"TagsList": []m{{"Key": "aws:a", "Value": "b"}}}, "InvalidTagParameterException: "},
		{m{"TagsList": []m{{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}}}, "InvalidTagParameterException: "},
	} {
		in := m{"Name": "main", "S3BucketName": bucket}
		if strings.HasPrefix(test.want, "ValidationException") {
			in = m{}
		}
		for k, v := range test.in {
			in[k] = v
		}
		h.fails(root, "CreateTrail", in, test.want)
	}
	equal(t, "what was made", h.ok(root, "ListTrails", nil), m{"Trails": []any{}})
}

func TestPermission(t *testing.T) {
	h := newHarness(t)
	h.ok(root, "CreateTrail", m{"Name": "main", "S3BucketName": bucket, "TagsList": []m{{"Key": "Team", "Value": "audit"}}})
	byName := m{"Name": "main"}
	calls := map[string]m{
		"CreateTrail": {"Name": "new", "S3BucketName": bucket}, "UpdateTrail": byName, "DeleteTrail": byName, "GetTrail": byName,
		"GetTrailStatus": byName, "StartLogging": byName, "StopLogging": byName,
		"DescribeTrails": {}, "ListTrails": {}, "ListPublicKeys": {},
		"PutEventSelectors": {"TrailName": "main", "EventSelectors": []m{{}}}, "GetEventSelectors": {"TrailName": "main"}, "GetInsightSelectors": {"TrailName": "main"},
		"AddTags":    {"ResourceId": arn(home, "main"), "TagsList": []m{{"Key": "a"}}},
		"RemoveTags": {"ResourceId": arn(home, "main"), "TagsList": []m{{"Key": "a"}}}, "ListTags": {"ResourceIdList": []any{arn(home, "main")}},
	}
	for name, in := range calls {
		h.fails(user, name, in, "AccessDeniedException: User: arn:aws:iam::"+account+":user/alice is not authorized to perform: cloudtrail:"+name+" on resource: ")
	}
	// What does not exist is denied like what does.
	h.fails(user, "GetTrail", m{"Name": "none"}, "AccessDeniedException: ")
	h.allowed = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"cloudtrail:*","Resource":"` + arn(home, "main") + `","Condition":{"StringEquals":{"aws:ResourceTag/team":"audit"}}},
		{"Effect":"Allow","Action":"cloudtrail:CreateTrail","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"audit"}}}]}`
	h.ok(user, "StartLogging", byName)
	h.fails(user, "GetTrail", m{"Name": "none"}, "AccessDeniedException: ")
	h.fails(user, "CreateTrail", m{"Name": "new", "S3BucketName": bucket}, "AccessDeniedException: ")
	h.ok(user, "CreateTrail", m{"Name": "new", "S3BucketName": bucket, "TagsList": []m{{"Key": "team", "Value": "audit"}}})
}

func TestTags(t *testing.T) {
	h := newHarness(t)
	h.ok(root, "CreateTrail", m{"Name": "main", "S3BucketName": bucket})
	id := arn(home, "main")
	h.ok(root, "AddTags", m{"ResourceId": id, "TagsList": []m{{"Key": "a", "Value": "1"}, {"Key": "b"}}})
	h.ok(root, "AddTags", m{"ResourceId": id, "TagsList": []m{{"Key": "a", "Value": "2"}}})
	h.ok(root, "RemoveTags", m{"ResourceId": id, "TagsList": []m{{"Key": "b"}, {"Key": "none"}}})
	equal(t, "ListTags", h.ok(root, "ListTags", m{"ResourceIdList": []any{id}}),
		m{"ResourceTagList": []any{m{"ResourceId": id, "TagsList": []any{m{"Key": "a", "Value": "2"}}}}})
	var many []m
	for i := range maxTags {
		many = append(many, m{"Key": fmt.Sprint("k", i), "Value": "v"})
	}
	h.fails(root, "AddTags", m{"ResourceId": id, "TagsList": many}, "TagsLimitExceededException: ")
	h.fails(root, "AddTags", m{"ResourceId": "main", "TagsList": []m{}}, "CloudTrailARNInvalidException: ")
	h.fails(root, "AddTags", m{"ResourceId": "arn:aws:cloudtrail:us-east-1:" + account + ":channel/x", "TagsList": []m{}}, "ResourceTypeNotSupportedException: ")
	h.fails(root, "ListTags", m{"ResourceIdList": []any{arn(home, "none")}}, "ResourceNotFoundException: ")
	h.fails(root, "GetTrail", m{"Name": "arn:aws:s3:::x"}, "CloudTrailARNInvalidException: ")
}

func TestStatusAndPublicKeys(t *testing.T) {
	h := newHarness(t)
	h.ok(root, "CreateTrail", m{"Name": "main", "S3BucketName": bucket})
	delivered, attempted := now.Add(time.Minute), now.Add(2*time.Minute)
	h.buckets.status = delivery.Status{Delivered: &delivered, Attempted: &attempted, Error: "AccessDenied", DigestError: "SlowDown"}
	equal(t, "GetTrailStatus", h.ok(root, "GetTrailStatus", m{"Name": "main"}), m{
		"IsLogging": false, "LatestDeliveryTime": float64(delivered.Unix()), "LatestDeliveryError": "AccessDenied", "LatestDigestDeliveryError": "SlowDown",
		"LatestDeliveryAttemptTime": "2026-01-02T03:06:05Z", "LatestDeliveryAttemptSucceeded": "2026-01-02T03:05:05Z",
	})

	h.buckets.keys = []delivery.PublicKey{
		{Value: []byte("old"), Fingerprint: "01", From: now.Add(-2000 * time.Hour), To: now.Add(-1000 * time.Hour)},
		{Value: []byte("new"), Fingerprint: "02", From: now.Add(-1000 * time.Hour), To: now.Add(1000 * time.Hour)},
	}
	fingerprints := func(in m) (got []string) {
		for _, k := range h.ok(root, "ListPublicKeys", in)["PublicKeyList"].([]any) {
			got = append(got, k.(m)["Fingerprint"].(string))
		}
		return got
	}
	equal(t, "now", fingerprints(nil), []string{"02"})
	equal(t, "long ago", fingerprints(m{"StartTime": now.Unix() - 3600*1500, "EndTime": now.Unix() - 3600*1400}), []string{"01"})
	equal(t, "always", fingerprints(m{"StartTime": now.Unix() - 3600*1500}), []string{"01", "02"})
	equal(t, "before all", fingerprints(m{"StartTime": now.Unix() - 3600*3000, "EndTime": now.Unix() - 3600*2500}), []string(nil))
	h.fails(root, "ListPublicKeys", m{"StartTime": now.Unix() + 1, "EndTime": now.Unix()}, "InvalidTimeRangeException: ")
	equal(t, "another region", h.okIn(root, second, "ListPublicKeys", nil), m{"PublicKeyList": []any{}})
}

// TestEncryption: a trail names the key that was tried, until it names another or none.
func TestEncryption(t *testing.T) {
	h := newHarness(t)
	arn := func(key string) string { return "arn:aws:kms:" + home + ":" + account + ":key/of-" + key }
	shown := func() any {
		t.Helper()
		listed := h.ok(root, "DescribeTrails", nil)["trailList"].([]any)[0].(m)["KmsKeyId"]
		equal(t, "GetTrail", h.ok(root, "GetTrail", m{"Name": "main"})["Trail"].(m)["KmsKeyId"], listed)
		return listed
	}
	equal(t, "CreateTrail", h.ok(root, "CreateTrail", m{"Name": "main", "S3BucketName": bucket, "KmsKeyId": "good"})["KmsKeyId"], any(arn("good")))
	equal(t, "made", shown(), any(arn("good")))
	h.ok(root, "UpdateTrail", m{"Name": "main", "S3KeyPrefix": "p"})
	equal(t, "something else changed", shown(), any(arn("good")))
	h.fails(root, "UpdateTrail", m{"Name": "main", "KmsKeyId": "denied"}, "InsufficientEncryptionPolicyException: ")
	equal(t, "refused", shown(), any(arn("good")))
	equal(t, "UpdateTrail", h.ok(root, "UpdateTrail", m{"Name": "main", "KmsKeyId": "other"})["KmsKeyId"], any(arn("other")))
	h.ok(root, "UpdateTrail", m{"Name": "main", "KmsKeyId": ""})
	equal(t, "taken away", shown(), nil)
}
