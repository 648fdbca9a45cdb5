package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// identities is a client of IAM and STS.
type identities struct {
	url         string
	credentials aws.Credentials
	count       counter
	patient     bool // asks again after a 503
}

// refusedSignature is the error code for access keys that are not active.
const refusedSignature = "InvalidClientTokenId"

// queryError is how IAM or STS refused.
type queryError struct {
	operation, code, message string
	status                   int
}

func (e *queryError) Error() string {
	return fmt.Sprintf("%s was refused: %d %s: %s", e.operation, e.status, e.code, e.message)
}

// answer holds what is read of answers.
type answer struct {
	Code    string `xml:"Error>Code"`
	Message string `xml:"Error>Message"`

	PolicyDocument string `xml:"GetUserPolicyResult>PolicyDocument"`
	Made           struct {
		ID     string `xml:"AccessKeyId"`
		Secret string `xml:"SecretAccessKey"`
	} `xml:"CreateAccessKeyResult>AccessKey"`
	Keys []struct {
		ID     string `xml:"AccessKeyId"`
		Status string
	} `xml:"ListAccessKeysResult>AccessKeyMetadata>member"`
	ARN string `xml:"GetCallerIdentityResult>Arn"`
}

// iam makes a call of IAM for a user; pairs are further parameters and their values.
func (c *identities) iam(ctx context.Context, operation, user string, pairs ...string) (*answer, error) {
	form := url.Values{"Action": {operation}, "Version": {"2010-05-08"}, "UserName": {user}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return c.call(ctx, "iam", operation, form)
}

// caller asks STS who the client is.
func (c *identities) caller(ctx context.Context) (*answer, error) {
	return c.call(ctx, "sts", "GetCallerIdentity", url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}})
}

// as returns the client with other credentials.
func (c *identities) as(id, secret string) *identities {
	other := *c
	other.credentials = aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	return &other
}

// call makes one call. The error is a [queryError], or errGone.
func (c *identities) call(ctx context.Context, service, operation string, form url.Values) (*answer, error) {
	body := []byte(form.Encode())
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		digest := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(ctx, c.credentials, request, hex.EncodeToString(digest[:]), service, regions[0], time.Now()); err != nil {
			return nil, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", operation, errGone, err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // read to its end, or failed
		if response.StatusCode == http.StatusServiceUnavailable {
			if c.patient && attempt < 10 {
				continue
			}
			return nil, fmt.Errorf("%s: %w: %w", operation, errGone, errUnavailable)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", operation, errGone, err)
		}
		var a answer
		if err := xml.Unmarshal(text, &a); err != nil {
			return nil, fmt.Errorf("%s: %w in %s", operation, err, text)
		}
		if a.Code != refusedSignature { // requests of nobody are counted, not recorded
			c.count(operation, response.Header.Get("x-amzn-requestid"))
		}
		if response.StatusCode != http.StatusOK {
			return nil, &queryError{operation: operation, code: a.Code, message: a.Message, status: response.StatusCode}
		}
		return &a, nil
	}
}
