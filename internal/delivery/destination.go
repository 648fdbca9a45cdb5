package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Destination is a bucket that the operator has made known: where trails whose
// S3BucketName is Bucket are delivered to. Folder or Endpoint is set.
type Destination struct {
	Bucket string `json:"bucket"`
	// Folder is an absolute path; files lie below it under their keys.
	Folder string `json:"folder,omitempty"`
	// Endpoint is the URL of an S3-compatible server.
	Endpoint string `json:"endpoint,omitempty"`
	// Region is what requests are signed for.
	Region string `json:"region,omitempty"`
	// PathStyle puts the bucket into the path instead of the host name.
	PathStyle   bool   `json:"pathStyle,omitempty"`
	AccessKeyID string `json:"accessKeyId,omitempty"`
	// Secret is the secret access key, sealed.
	Secret []byte `json:"secret,omitempty"`
}

// destinations are under the names of their buckets.
var destinations = store.NewCollection[Destination]("cloudtrail.destination", 1)

// Box seals the secrets that deliveries need.
type Box interface {
	Seal(rand io.Reader, plaintext secret.Bytes, binding []byte) ([]byte, error)
	Open(sealed, binding []byte) (secret.Bytes, error)
}

// binding ties a sealed secret to what it is for: with another endpoint it does
// not open.
func (d *Destination) binding() []byte {
	return []byte("destination\x00" + d.Bucket + "\x00" + d.Endpoint + "\x00" + d.AccessKeyID)
}

// ErrDestination is wrapped by what refuses a destination.
var ErrDestination = errors.New("the destination cannot be used")

var bucketName = regexp.MustCompile(`\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z`)

func (d *Destination) check(withSecret bool) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrDestination, fmt.Sprintf(format, args...))
	}
	if !bucketName.MatchString(d.Bucket) {
		return refuse("%q is not a bucket's name: 3 to 63 lower-case letters, digits, '.' and '-'", d.Bucket)
	}
	if d.Folder != "" {
		if d.Endpoint != "" || d.Region != "" || d.AccessKeyID != "" || withSecret || d.PathStyle {
			return refuse("it is either a folder or an endpoint with credentials")
		}
		if !filepath.IsAbs(d.Folder) {
			return refuse("the folder %q is not an absolute path", d.Folder)
		}
		return nil
	}
	u, err := url.Parse(d.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return refuse("the endpoint must be a URL such as https://s3.example.com, without user, query or fragment")
	}
	if d.Region == "" || d.AccessKeyID == "" || !withSecret {
		return refuse("an endpoint needs a region and credentials")
	}
	return nil
}

// PutDestination makes a bucket known, or changes how it is reached. secretKey is
// empty for a folder. record is its audit record; nil for none. Its error wraps ErrDestination when d is at fault.
func (s *Service) PutDestination(ctx context.Context, d Destination, secretKey secret.Bytes, record []byte) error {
	if err := d.check(len(secretKey) > 0); err != nil {
		return err
	}
	if len(secretKey) > 0 {
		var err error
		if d.Secret, err = s.Secrets.Seal(s.Rand, secretKey, d.binding()); err != nil {
			return err
		}
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := destinations.Put(tx, store.Deployment, d.Bucket, d); err != nil {
			return err
		}
		return appendRecord(tx, record)
	})
}

func appendRecord(tx *store.Tx, record []byte) error {
	if record == nil {
		return nil
	}
	return tx.Append(record)
}

// DeleteDestination forgets a bucket; store.ErrNotFound if it is not known. Trails
// that deliver to it go on trying. record is as for PutDestination.
func (s *Service) DeleteDestination(ctx context.Context, bucket string, record []byte) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := destinations.Delete(tx, store.Deployment, bucket); err != nil {
			return err
		}
		return appendRecord(tx, record)
	})
}

// Destinations returns what is known, without secrets, sorted by bucket.
func (s *Service) Destinations(ctx context.Context) (list []Destination, err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		for after, more := "", true; more; {
			var items []store.Item[Destination]
			var err error
			if items, more, err = destinations.Scan(r, store.Deployment, after, 100); err != nil {
				return err
			}
			for _, item := range items {
				item.Value.Secret = nil
				list, after = append(list, item.Value), item.ID
			}
		}
		return nil
	})
	return list, err
}

// HasBucket reports whether a bucket of that name can be delivered to.
func (s *Service) HasBucket(ctx context.Context, name string) (bool, error) {
	_, err := s.destination(ctx, name)
	if errors.Is(err, errNoBucket) {
		return false, nil
	}
	return err == nil, err
}

// errNoBucket is the failure of a delivery to a bucket that is not known any more.
var errNoBucket = &failure{code: "NoSuchBucket", err: errors.New("the bucket is not one that the operator has made known")}

func (s *Service) destination(ctx context.Context, name string) (d Destination, err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		d, err = destinations.Get(r, store.Deployment, name)
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		return d, err
	}
	if s.Folder == "" || !bucketName.MatchString(name) {
		return d, errNoBucket
	}
	return Destination{Bucket: name, Folder: filepath.Join(s.Folder, name)}, nil
}

// bucket is where files go.
type bucket interface {
	// put writes a file, or writes it anew, and returns when it is durable as far as
	// the bucket promises. metadata are the object's, without "x-amz-meta-".
	put(ctx context.Context, key string, body []byte, metadata map[string]string) error
}

func (s *Service) open(ctx context.Context, name string) (bucket, error) {
	d, err := s.destination(ctx, name)
	if err != nil {
		return nil, err
	}
	if d.Folder != "" {
		return folder(d.Folder), nil
	}
	secretKey, err := s.Secrets.Open(d.Secret, d.binding())
	if err != nil {
		return nil, err
	}
	defer secretKey.Wipe()
	return newS3(&d, string(secretKey)), nil
}

// failure is a delivery that did not succeed. Its code is shown to those who may
// read the trail; err, which may name the operator's endpoint, to the log alone.
type failure struct {
	code string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// codeOf is the public name of what went wrong.
func codeOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return "InternalFailure"
}
