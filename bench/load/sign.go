package load

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// region is a server's default.
const region = "us-east-1"

// Signer makes requests to KMS.
type Signer struct {
	// Addr is the server's; must be set.
	Addr string
	// TLS, if not nil, is how [Signer.Call] speaks TLS with it.
	TLS *tls.Config
	// AccessKeyID and SecretAccessKey must be set.
	AccessKeyID, SecretAccessKey string
}

// Request returns a request as bytes, signed now.
func (s *Signer) Request(operation, body string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+s.Addr+"/", bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "TrentService."+operation)
	hash := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, req, hex.EncodeToString(hash[:]), "kms", region, time.Now()); err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	err = req.Write(&raw)
	return raw.Bytes(), err
}

// Call makes one call. out, if not nil, takes what it answers.
func (s *Signer) Call(ctx context.Context, operation, body string, out any) error {
	text, err := s.Answer(ctx, operation, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// Answer makes one call and returns the answer's body.
func (s *Signer) Answer(ctx context.Context, operation, body string) (_ []byte, err error) {
	request, err := s.Request(operation, body)
	if err != nil {
		return nil, err
	}
	c, err := Dial(ctx, s.Addr, s.TLS)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	text, err := c.Call(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	return text[bytes.Index(text, endOfHeader)+len(endOfHeader):], nil
}
