package delivery

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// putTimeout bounds one attempt to write a file.
const putTimeout = 30 * time.Second

// s3Bucket is a bucket of an S3-compatible server.
type s3Bucket struct {
	name   string
	client *s3.Client
}

func newS3(d *Destination, secretKey string) *s3Bucket {
	options := s3.Options{
		Region:       d.Region,
		BaseEndpoint: aws.String(d.Endpoint),
		UsePathStyle: d.PathStyle,
		Credentials:  credentials.NewStaticCredentialsProvider(d.AccessKeyID, secretKey, ""),
		// The worker tries again by itself, and remembers.
		Retryer: aws.NopRetryer{},
		// Servers that are not AWS's know the checksums of old.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		HTTPClient: &http.Client{
			Timeout: putTimeout,
			// A redirect would carry records to where the operator has not sent them.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	return &s3Bucket{name: d.Bucket, client: s3.New(options)}
}

func (b *s3Bucket) put(ctx context.Context, key string, body []byte, metadata map[string]string) error {
	in := &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(body), Metadata: metadata}
	if Encrypted(metadata) {
		in.ContentType = aws.String("application/octet-stream")
	} else {
		in.ContentType, in.ContentEncoding = aws.String("application/json"), aws.String("gzip")
	}
	_, err := b.client.PutObject(ctx, in)
	if err == nil {
		return nil
	}
	code := "EndpointUnreachable"
	var refused smithy.APIError
	if errors.As(err, &refused) {
		code = refused.ErrorCode()
	}
	return &failure{code, err}
}
