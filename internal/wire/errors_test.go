package wire

import (
	"encoding/xml"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/awserr"
)

func TestRenderError(t *testing.T) {
	const ns = "https://sts.amazonaws.com/doc/2011-06-15/"
	query := func(kind, code, message string) string {
		return `<ErrorResponse xmlns="` + ns + `"><Error><Type>` + kind + `</Type><Code>` + code + `</Code>` + message + `</Error><RequestId>r-1</RequestId></ErrorResponse>`
	}
	for _, c := range []struct {
		p      Protocol
		e      *awserr.Error
		status int
		body   string
	}{
		{AWSJSON11, awserr.New("NotFoundException", "Key 'x' \"does\" not exist"), 400, `{"__type":"NotFoundException","message":"Key 'x' \"does\" not exist"}`},
		{AWSJSON11, awserr.New("InvalidCiphertextException", ""), 400, `{"__type":"InvalidCiphertextException"}`},
		{AWSJSON11, awserr.NewServer("KMSInternalException", "x"), 500, `{"__type":"KMSInternalException","message":"x"}`},
		{AWSJSON11, awserr.New("AccessDeniedException", "no"), 400, `{"__type":"AccessDeniedException","message":"no"}`},
		{AWSQuery, awserr.Validation("a < b & c"), 400, query("Sender", "ValidationError", "<Message>a &lt; b &amp; c</Message>")},
		{AWSQuery, awserr.New("AccessDeniedException", "no"), 403, query("Sender", "AccessDenied", "<Message>no</Message>")},
		{AWSQuery, awserr.New("MissingAuthenticationTokenException", ""), 403, query("Sender", "MissingAuthenticationToken", "")},
		{AWSQuery, awserr.New("IncompleteSignatureException", ""), 400, query("Sender", "IncompleteSignature", "")},
		{AWSQuery, awserr.New("UnrecognizedClientException", ""), 403, query("Sender", "InvalidClientTokenId", "")},
		{AWSQuery, awserr.New("InvalidSignatureException", ""), 403, query("Sender", "SignatureDoesNotMatch", "")},
		{AWSQuery, awserr.New("ExpiredTokenException", ""), 403, query("Sender", "ExpiredToken", "")},
		{AWSQuery, awserr.New("SerializationException", ""), 400, query("Sender", "MalformedInput", "")},
		{AWSQuery, awserr.Internal(), 500, query("Receiver", "InternalFailure", "<Message>The request processing has failed because of an unknown error, exception or failure.</Message>")},
		{AWSQuery, awserr.New("Unheard", ""), 400, query("Sender", "Unheard", "")},
		// A model's own spelling and status win over the shared ones.
		{AWSQuery, &awserr.Error{Code: "ExpiredTokenException", QueryCode: "ExpiredTokenException", Status: 400}, 400, query("Sender", "ExpiredTokenException", "")},
	} {
		status, contentType, body := RenderError(c.p, ns, c.e, "r-1")
		if status != c.status || string(body) != c.body || contentType != c.p.ContentType() {
			t.Errorf("%v: %d %s %s\nwant %d %s", c.e, status, contentType, body, c.status, c.body)
		}
	}
}

func TestQueryAnswer(t *testing.T) {
	result := AppendStart(nil, "XResult")
	result = AppendElement(result, "Text", "<&>\"\r\n\x00\xff\u2028é")
	result = AppendIntElement(result, "Number", -7)
	result = AppendTimeElement(result, "Then", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	result = AppendTimeElement(result, "Later", time.Date(2026, 1, 2, 3, 4, 5, 60_000_000, time.UTC))
	result = AppendEnd(result, "XResult")
	answer := AppendQueryAnswer(nil, "X", "https://example.com/?a&b", "r-1", result)
	want := `<XResponse xmlns="https://example.com/?a&amp;b"><XResult><Text>&lt;&amp;&gt;&quot;&#xD;` + "\n\uFFFD\uFFFD\u2028é" +
		`</Text><Number>-7</Number><Then>2026-01-02T03:04:05Z</Then><Later>2026-01-02T03:04:05.060Z</Later></XResult>` +
		`<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></XResponse>`
	if string(answer) != want {
		t.Errorf("got  %s\nwant %s", answer, want)
	}
	var parsed struct {
		XMLName xml.Name
		Text    string `xml:"XResult>Text"`
	}
	if err := xml.Unmarshal(answer, &parsed); err != nil || parsed.Text != "<&>\"\r\n\uFFFD\uFFFD\u2028é" || parsed.XMLName.Space != "https://example.com/?a&b" {
		t.Errorf("%+v, %v", parsed, err)
	}
}

func TestAuditTime(t *testing.T) {
	at := time.Date(2025, 5, 21, 7, 47, 45, 0, time.FixedZone("", 2*3600))
	if got := string(AppendAuditTime(nil, at)); got != `"May 21, 2025, 5:47:45 AM"` {
		t.Error(got)
	}
}
