package sts

import (
	"encoding/xml"
	"net/http"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/wire"
)

// TestRecordedTexts holds forms against texts that AWS STS was seen to answer.
func TestRecordedTexts(t *testing.T) {
	for _, c := range []struct{ op, body, want string }{
		{"AssumeRole", "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::123456&RoleSessionName=me",
			"1 validation error detected: Value 'arn:aws:iam::123456' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20"},
		{"AssumeRole", "Action=AssumeRole&Version=2011-06-15",
			"2 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; Value null at 'roleSessionName' failed to satisfy constraint: Member must not be null"},
		{"AssumeRole", "RoleArn=arn:aws:iam::111122223333:role/x&RoleSessionName=me&Tags.member.1.Key=&Tags.member.1.Value=v",
			`2 validation errors detected: Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1; ` +
				`Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`},
		{"AssumeRoleWithWebIdentity", "RoleArn=arn:aws:iam::111122223333:role/x&RoleSessionName=me&WebIdentityToken=abc",
			"1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must have length greater than or equal to 4"},
	} {
		_, err := Table(Unimplemented{}).Lookup(c.op).Decode([]byte(c.body))
		if err == nil || err.Error() != "ValidationException: "+c.want {
			t.Errorf("%s\ngot  %v\nwant %s", c.body, err, c.want)
		}
	}
}

func TestTagsKeepTheirOrder(t *testing.T) {
	in, err := decodeAssumeRole([]byte("RoleArn=arn:aws:iam::111122223333:role/x&RoleSessionName=me&Tags.member.10.Key=c&Tags.member.10.Value=3" +
		"&Tags.member.2.Value=&Tags.member.2.Key=b&Tags.member.1.Key=a&Tags.member.1.Value=1&TransitiveTagKeys.member.1=a"))
	if err != nil {
		t.Fatal(err)
	}
	v := in.(*AssumeRoleInput)
	if len(v.Tags) != 3 || v.Tags[0].Key != "a" || v.Tags[1].Key != "b" || v.Tags[1].Value != "" || v.Tags[2].Value != "3" || v.TransitiveTagKeys[0] != "a" {
		t.Errorf("%+v", v)
	}
}

func TestAnswer(t *testing.T) {
	table := Table(Unimplemented{})
	result := table.Lookup("GetSessionToken").Encode(nil, &GetSessionTokenOutput{Credentials: &Credentials{
		AccessKeyId: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "s<e>cret", SessionToken: secret.String("token"), Expiration: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}})
	answer := wire.AppendQueryAnswer(nil, "GetSessionToken", table.XMLNamespace, "r-1", result)
	const want = `<GetSessionTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetSessionTokenResult><Credentials>` +
		`<AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>s&lt;e&gt;cret</SecretAccessKey><SessionToken>token</SessionToken>` +
		`<Expiration>2026-01-02T03:04:05Z</Expiration></Credentials></GetSessionTokenResult>` +
		`<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetSessionTokenResponse>`
	if string(answer) != want {
		t.Errorf("got  %s\nwant %s", answer, want)
	}
	if err := xml.Unmarshal(answer, new(struct{})); err != nil {
		t.Error(err)
	}
}

// TestModelledErrors: the model's code and status, not the shared ones.
func TestModelledErrors(t *testing.T) {
	for _, c := range []struct {
		err    *awserr.Error
		code   string
		status int
	}{
		{ExpiredTokenException("old"), "ExpiredTokenException", http.StatusBadRequest},
		{MalformedPolicyDocumentException("bad"), "MalformedPolicyDocument", http.StatusBadRequest},
		{RegionDisabledException("off"), "RegionDisabledException", http.StatusForbidden},
		{IDPRejectedClaimException("no"), "IDPRejectedClaim", http.StatusForbidden},
	} {
		status, _, body := wire.RenderError(wire.AWSQuery, "ns", c.err, "r")
		var got struct{ Error struct{ Code, Type string } }
		if err := xml.Unmarshal(body, &got); err != nil || got.Error.Code != c.code || got.Error.Type != "Sender" || status != c.status {
			t.Errorf("%v: %d %s", c.err, status, body)
		}
	}
}
