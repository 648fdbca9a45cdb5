package journal

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// start is when the tests take place.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestRecordGolden(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 999, time.FixedZone("", 3600))
	const arn = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	for name, c := range map[string]struct {
		record Record
		want   string
	}{
		"a role's call over TLS, for a service": {
			Record{
				UserIdentity: UserIdentity{
					Type: "AssumedRole", PrincipalID: "AROAEXAMPLE:s", ARN: "arn:aws:sts::111122223333:assumed-role/r/s",
					AccountID: "111122223333", AccessKeyID: "ASIAEXAMPLE", InvokedBy: "secretsmanager.amazonaws.com",
					SessionContext: &SessionContext{
						SessionIssuer: &SessionIssuer{Type: "Role", PrincipalID: "AROAEXAMPLE", ARN: "arn:aws:iam::111122223333:role/r", AccountID: "111122223333", UserName: "r"},
						CreationDate:  at, MFAAuthenticated: true, SourceIdentity: "alice",
					},
				},
				EventTime: at, EventSource: "kms.amazonaws.com", EventName: "Decrypt", AWSRegion: "us-east-1",
				SourceIPAddress: "secretsmanager.amazonaws.com", UserAgent: "secretsmanager.amazonaws.com",
				RequestParameters:   []byte(`{"keyId":"` + arn + `","encryptionContext":{"a":"b"}}`),
				AdditionalEventData: []byte(`{"keyMaterialId":"00"}`),
				RequestID:           "r-1", ReadOnly: true,
				Resources: []Resource{{"111122223333", "AWS::KMS::Key", arn}}, EventType: AwsApiCall,
				RecipientAccountID: "111122223333", SharedEventID: "s-1",
				TLSDetails: &TLSDetails{"TLSv1.3", "TLS_AES_128_GCM_SHA256", "localhost:4566"},
			},
			`{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:s","arn":"arn:aws:sts::111122223333:assumed-role/r/s","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/r","accountId":"111122223333","userName":"r"},"attributes":{"creationDate":"2026-03-01T11:00:00Z","mfaAuthenticated":"true"},"sourceIdentity":"alice"},"invokedBy":"secretsmanager.amazonaws.com"},"eventTime":"2026-03-01T11:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-east-1","sourceIPAddress":"secretsmanager.amazonaws.com","userAgent":"secretsmanager.amazonaws.com","requestParameters":{"keyId":"` + arn + `","encryptionContext":{"a":"b"}},"responseElements":null,"additionalEventData":{"keyMaterialId":"00"},"requestID":"r-1","eventID":"00000000-0000-0000-0000-000000000000","readOnly":true,"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"` + arn + `"}],"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","sharedEventID":"s-1","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"localhost:4566"}}`,
		},
		"a refused call": {
			Record{
				UserIdentity: UserIdentity{Type: "Root", PrincipalID: "111122223333", ARN: "arn:aws:iam::111122223333:root", AccountID: "111122223333", AccessKeyID: "AKIAEXAMPLE"},
				EventTime:    at, EventSource: "kms.amazonaws.com", EventName: "PutKeyPolicy", AWSRegion: "us-east-1",
				SourceIP: netip.MustParseAddr("127.0.0.1"), ErrorCode: "AccessDenied", ErrorMessage: "not \"allowed\"",
				EventID: NewUUID([16]byte(bytes.Repeat([]byte{0xff}, 16))), EventType: AwsApiCall, RecipientAccountID: "111122223333",
			},
			`{"eventVersion":"1.11","userIdentity":{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE"},"eventTime":"2026-03-01T11:00:00Z","eventSource":"kms.amazonaws.com","eventName":"PutKeyPolicy","awsRegion":"us-east-1","sourceIPAddress":"127.0.0.1","errorCode":"AccessDenied","errorMessage":"not \"allowed\"","requestParameters":null,"responseElements":null,"eventID":"ffffffff-ffff-4fff-bfff-ffffffffffff","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}`,
		},
		"a service event": {
			Record{
				UserIdentity: UserIdentity{AccountID: "111122223333", InvokedBy: "AWS Internal"},
				EventTime:    at, EventSource: "kms.amazonaws.com", EventName: "RotateKey", AWSRegion: "us-east-1",
				SourceIPAddress: "AWS Internal", UserAgent: "AWS Internal", EventType: AwsServiceEvent,
				ServiceEventDetails: []byte(`{"rotationType":"AUTOMATIC"}`), RecipientAccountID: "111122223333",
			},
			`{"eventVersion":"1.11","userIdentity":{"accountId":"111122223333","invokedBy":"AWS Internal"},"eventTime":"2026-03-01T11:00:00Z","eventSource":"kms.amazonaws.com","eventName":"RotateKey","awsRegion":"us-east-1","sourceIPAddress":"AWS Internal","userAgent":"AWS Internal","requestParameters":null,"responseElements":null,"eventID":"00000000-0000-0000-0000-000000000000","readOnly":false,"eventType":"AwsServiceEvent","managementEvent":true,"recipientAccountId":"111122223333","serviceEventDetails":{"rotationType":"AUTOMATIC"},"eventCategory":"Management"}`,
		},
		"next to nothing": {
			Record{UserIdentity: UserIdentity{SessionContext: &SessionContext{CreationDate: at}}, EventTime: at, TLSDetails: &TLSDetails{}},
			`{"eventVersion":"1.11","userIdentity":{"sessionContext":{"attributes":{"creationDate":"2026-03-01T11:00:00Z","mfaAuthenticated":"false"}}},"eventTime":"2026-03-01T11:00:00Z","sourceIPAddress":"","requestParameters":null,"responseElements":null,"eventID":"00000000-0000-0000-0000-000000000000","readOnly":false,"managementEvent":true,"eventCategory":"Management","tlsDetails":{}}`,
		},
	} {
		got := string(c.record.AppendJSON([]byte("before")))
		if got != "before"+c.want {
			t.Errorf("%s:\n got %s\nwant before%s", name, got, c.want)
		}
		if !json.Valid([]byte(c.want)) {
			t.Errorf("%s: the expectation is not JSON", name)
		}
	}
}

// hostile draws text that encoders trip over.
var hostile = rapid.OneOf(
	rapid.String(),
	rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	rapid.StringOf(rapid.RuneFrom([]rune{'"', '\\', '/', '<', '&', 0, '\b', '\n', '\r', '\t', 0x1b, 0x7f, 0x85, 0x9b, 0xa0, 0x2028, 0x2029, 0xfeff, 0xfffd, 0x1f600})),
	rapid.SampledFrom([]string{"\xed\xa0\x80", "\xff", "a\xc3", "\xf0\x9f\x98", strings.Repeat("\x00", 3000), strings.Repeat("ä", 3000)}),
)

func TestTextIsWhatEncodingJSONReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkText(t, hostile.Draw(t, "text"), rapid.IntRange(0, 4000).Draw(t, "limit"))
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", `a"b\c`, "\x00\x1f\x7f\x9b", "\u2028\u2029", "\xff\xed\xa0\x80", "😀"} {
		f.Add(s, 20)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 0 || limit > 1<<20 {
			t.Skip()
		}
		checkText(t, s, limit)
	})
}

func checkText(t interface{ Fatalf(string, ...any) }, s string, limit int) {
	got := appendText(nil, s, limit)
	if len(got) > limit+2 || !oneLine(got) || !utf8.Valid(got) || bytes.ContainsAny(got, "\u2028\u2029\u007f\u009b") {
		t.Fatalf("appendText(%q, %d) = %q", s, limit, got)
	}
	var read string
	if err := json.Unmarshal(got, &read); err != nil {
		t.Fatalf("appendText(%q, %d) = %q: %v", s, limit, got, err)
	}
	want := ""
	for _, r := range s { // ranging turns each bad byte into one U+FFFD
		want += string(r)
	}
	if 6*len(s) <= limit && read != want || !strings.HasPrefix(want, read) {
		t.Fatalf("appendText(%q, %d) reads as %q", s, limit, read)
	}
}

func TestRecordIsWhatEncodingJSONReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		short := rapid.Map(hostile, func(s string) string { return s[:min(len(s), 100)] })
		var r Record
		fill(reflect.ValueOf(&r).Elem(), func() string { return short.Draw(t, "text") })
		r.RequestParameters = []byte(`{"a":[1,"b"]}`)
		r.ResponseElements, r.AdditionalEventData, r.ServiceEventDetails = nil, nil, nil
		r.EventTime = start
		line := r.AppendJSON(nil)
		if err := checkRecord(line); err != nil {
			t.Fatal(err)
		}
		var got struct {
			UserIdentity, TLSDetails map[string]any
			UserAgent                string
			ErrorMessage             string
			RequestParameters        map[string]any
			Resources                []map[string]string
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if want := string([]rune(r.UserAgent)); got.UserAgent != want {
			t.Fatalf("userAgent %q, want %q", got.UserAgent, want)
		}
		if want := string([]rune(r.ErrorMessage)); got.ErrorMessage != want {
			t.Fatalf("errorMessage %q, want %q", got.ErrorMessage, want)
		}
		if len(got.RequestParameters) != 1 || len(got.Resources) != len(r.Resources) {
			t.Fatalf("members are missing: %s", line)
		}
	})
}

// fill sets every text of a record.
func fill(v reflect.Value, text func() string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text())
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0), text)
			fill(v.Index(1), text)
		}
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[time.Time]() && v.Type() != reflect.TypeFor[netip.Addr]() {
			for i := range v.NumField() {
				fill(v.Field(i), text)
			}
		}
	}
}

func TestRecordIsBounded(t *testing.T) {
	// NUL takes six bytes for one.
	huge := strings.Repeat("\x00", 10<<10)
	var r Record
	fill(reflect.ValueOf(&r).Elem(), func() string { return huge })
	for range 6 {
		r.Resources = append(r.Resources, r.Resources...)
	}
	value := func(size int) []byte { return []byte(`"` + strings.Repeat("x", size-2) + `"`) }
	r.RequestParameters, r.ResponseElements = value(MaxRequestParameters), value(MaxResponseElements)
	r.AdditionalEventData, r.ServiceEventDetails = value(MaxAdditionalEventData), value(MaxServiceEventDetails)
	line := r.AppendJSON(nil)
	if err := checkRecord(line); err != nil || !json.Valid(line) {
		t.Fatalf("the largest record, of %d bytes: %v", len(line), err)
	}
	if n := strings.Count(string(line), `"ARN"`); n != MaxResources {
		t.Fatalf("%d resources", n)
	}
}

func TestOneLine(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for c := range 256 {
				b := bytes.Repeat([]byte{0x20}, size)
				if at > 0 {
					b[at-1] = 0xff
				}
				if b[at] = byte(c); oneLine(b) != (c >= 0x20) {
					t.Fatalf("oneLine(%x)", b)
				}
			}
		}
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"absent":         {"", `null`},
		"too large":      {`"` + strings.Repeat("x", MaxRequestParameters) + `"`, `{"omitted":true,"originalSize":102402,"reason":"requestParameters too large"}`},
		"indented":       {"{\n\t\"a\": 1\n}", `{"a":1}`},
		"broken, lines":  {"{\n\"a\"", `{"omitted":true,"originalSize":5,"reason":"requestParameters is not JSON"}`},
		"a raw newline":  {"\"a\nb\"", `{"omitted":true,"originalSize":5,"reason":"requestParameters is not JSON"}`},
		"an escaped one": {`"a\nb"`, `"a\nb"`},
	} {
		r := Record{RequestParameters: []byte(c.in)}
		if got := string(r.AppendJSON(nil)); !strings.Contains(got, `"requestParameters":`+c.want+`,"responseElements"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
