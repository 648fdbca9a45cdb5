package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/strongroom/strongroom/internal/secret"
)

// Bucket is a bucket of that name as trails name it, and how it is reached: Folder
// is an absolute path, or Endpoint the URL of an S3-compatible server.
type Bucket struct {
	Name        string `json:"name"`
	Folder      string `json:"folder,omitempty"`
	Endpoint    string `json:"endpoint,omitempty"`
	Region      string `json:"region,omitempty"`
	PathStyle   bool   `json:"pathStyle,omitempty"`
	AccessKeyID string `json:"accessKeyId,omitempty"`
}

// Buckets is where the audit trail may be delivered to. A server implements it, and
// [Client] by asking one. What is at fault in a bucket is said in the error.
type Buckets interface {
	// PutBucket makes a bucket known or changes how it is reached. secretKey is the
	// secret access key; empty for a folder. It and RemoveBucket are recorded with
	// their effect, as [Operator] has it.
	PutBucket(ctx context.Context, by Peer, b Bucket, secretKey secret.Bytes) error
	// RemoveBucket forgets a bucket.
	RemoveBucket(ctx context.Context, by Peer, name string) error
	// ListBuckets emits each bucket that is known.
	ListBuckets(ctx context.Context, emit func(Bucket) error) error
}

// putBucket is the body of a request for PutBucket.
type putBucket struct {
	Bucket
	// Secret is the secret access key.
	Secret []byte `json:"secret,omitempty"`
}

// maxBucketBody bounds a request for PutBucket.
const maxBucketBody = 64 << 10

func (s *Server) parsePutBucket(r *http.Request) (request, error) {
	if _, err := parseQuery(r); err != nil {
		return request{}, err
	}
	var in putBucket
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBucketBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return request{}, fmt.Errorf("the bucket: %w", err)
	}
	return request{act: func(ctx context.Context, by Peer) (any, error) {
		defer clear(in.Secret)
		return none{}, s.cfg.Buckets.PutBucket(ctx, by, in.Bucket, in.Secret)
	}}, nil
}

// Params are what the record of a change of the bucket shows.
func (b *Bucket) Params() map[string]string {
	return map[string]string{
		"name": b.Name, "folder": b.Folder, "endpoint": b.Endpoint, "region": b.Region,
		"pathStyle": strconv.FormatBool(b.PathStyle), "accessKeyId": b.AccessKeyID,
	}
}

func (s *Server) parseRemoveBucket(r *http.Request) (request, error) {
	values, err := parseQuery(r, "name")
	if err != nil {
		return request{}, err
	}
	name := values.Get("name")
	if name == "" {
		return request{}, errors.New("no bucket is named")
	}
	return request{act: func(ctx context.Context, by Peer) (any, error) {
		return none{}, s.cfg.Buckets.RemoveBucket(ctx, by, name)
	}}, nil
}

func (s *Server) parseListBuckets(r *http.Request) (request, error) {
	_, err := parseQuery(r)
	return request{
		event: "ListTrailBuckets", params: map[string]string{},
		answer: func(ctx context.Context, emit emitter) error {
			return s.cfg.Buckets.ListBuckets(ctx, func(b Bucket) error { return emitJSON(emit, b) })
		},
	}, err
}

func nothing([]byte) error { return nil }

// PutBucket implements [Buckets]. The server sees itself who asks.
func (c *Client) PutBucket(ctx context.Context, _ Peer, b Bucket, secretKey secret.Bytes) error {
	body, err := json.Marshal(putBucket{Bucket: b, Secret: secretKey})
	if err != nil {
		return err
	}
	defer clear(body)
	return c.ask(ctx, http.MethodPut, "/v1/trail/buckets", nil, body, nothing)
}

// RemoveBucket implements [Buckets].
func (c *Client) RemoveBucket(ctx context.Context, _ Peer, name string) error {
	return c.ask(ctx, http.MethodDelete, "/v1/trail/buckets", url.Values{"name": {name}}, nil, nothing)
}

// ListBuckets implements [Buckets].
func (c *Client) ListBuckets(ctx context.Context, emit func(Bucket) error) error {
	return c.ask(ctx, http.MethodGet, "/v1/trail/buckets", nil, nil, func(line []byte) error {
		var b Bucket
		decoder := json.NewDecoder(bytes.NewReader(line))
		if err := decoder.Decode(&b); err != nil {
			return fmt.Errorf("the server's answer: %w", err)
		}
		return emit(b)
	})
}
