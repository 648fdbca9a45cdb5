package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const region = "us-east-1"

// patience is how long a client waits for an answer. The server gives up sooner.
const patience = 10 * time.Second

// client makes signed calls to any node, once each: a retry could do a thing twice
// that the ledger has once.
type client struct {
	http        *http.Client
	signer      *v4.Signer
	credentials aws.Credentials
	note        func(answer)
}

// answer is what came of a call.
type answer struct {
	operation string
	status    int    // 0 when there was no answer
	code      string // the error code; "" for a success
	requestID string
	body      []byte
	err       error // why there was no answer
}

// The outcomes of a call.
const (
	done    = "done"
	refused = "refused"
	unknown = "unknown" // no answer, or one that leaves open what was done
)

func (a answer) outcome() string {
	switch {
	case a.status/100 == 2:
		return done
	case a.status/100 == 4:
		return refused
	}
	return unknown
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("%s: no answer: %v", a.operation, a.err)
	}
	return fmt.Sprintf("%s: %d %s", a.operation, a.status, a.code)
}

// field returns a string of a JSON answer, by its path.
func (a answer) field(path ...string) string {
	var at any
	if json.Unmarshal(a.body, &at) != nil {
		return ""
	}
	for _, name := range path {
		object, _ := at.(map[string]any)
		at = object[name]
	}
	text, _ := at.(string)
	return text
}

func newClient(credentials aws.Credentials, note func(answer)) *client {
	dialer := net.Dialer{Timeout: 3 * time.Second}
	return &client{
		http: &http.Client{Timeout: patience, Transport: &http.Transport{
			DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
		}},
		signer: v4.NewSigner(), credentials: credentials, note: note,
	}
}

// hangUp ends the connections that are idle: after a partition they may be dead.
func (c *client) hangUp() { c.http.CloseIdleConnections() }

// kms calls an operation of KMS.
func (c *client) kms(ctx context.Context, node, operation string, in any) answer {
	body, err := json.Marshal(in)
	if err != nil {
		return answer{operation: operation, err: err}
	}
	signed, err := c.sign(ctx, node, "kms", "application/x-amz-json-1.1", "TrentService."+operation, body)
	if err != nil {
		return answer{operation: operation, err: err}
	}
	return c.send(ctx, signed, operation, body)
}

// iam calls an operation of IAM.
func (c *client) iam(ctx context.Context, node, operation string, in url.Values) answer {
	in.Set("Action", operation)
	in.Set("Version", "2010-05-08")
	body := []byte(in.Encode())
	signed, err := c.sign(ctx, node, "iam", "application/x-www-form-urlencoded", "", body)
	if err != nil {
		return answer{operation: operation, err: err}
	}
	return c.send(ctx, signed, operation, body)
}

func (c *client) sign(ctx context.Context, node, service, kind, target string, body []byte) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, node+"/", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	req.ContentLength = int64(len(body))
	hash := sha256.Sum256(body)
	return req, c.signer.SignHTTP(ctx, c.credentials, req, hex.EncodeToString(hash[:]), service, region, time.Now())
}

// send sends a signed request, which may be sent again: it is the same until its
// signature expires.
func (c *client) send(ctx context.Context, signed *http.Request, operation string, body []byte) answer {
	a := answer{operation: operation}
	req := signed.Clone(ctx)
	req.Body = io.NopCloser(bytes.NewReader(body)) // no GetBody: the transport must not send it twice
	resp, err := c.http.Do(req)
	if err != nil {
		a.err = err
		return a
	}
	a.requestID = resp.Header.Get("X-Amzn-Requestid")
	a.body, err = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		a.err = err
		return a
	}
	if a.status = resp.StatusCode; a.status/100 != 2 {
		kind := a.field("__type")
		a.code = kind[strings.LastIndexByte(kind, '#')+1:]
	}
	c.note(a)
	return a
}
