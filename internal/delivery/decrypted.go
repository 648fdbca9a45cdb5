package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/strongroom/strongroom/internal/secret"
)

// Delivered is where trails were delivered to.
type Delivered interface {
	// Each calls fn for each file until it returns an error, which Each returns.
	Each(ctx context.Context, fn func(key string, body []byte, metadata map[string]string) error) error
}

// DeliveredFolder is a folder that trails were delivered to.
type DeliveredFolder struct{ FS fs.FS }

// Each implements [Delivered].
func (d DeliveredFolder) Each(ctx context.Context, fn func(string, []byte, map[string]string) error) error {
	return fs.WalkDir(d.FS, ".", func(key string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.HasSuffix(key, ".json.gz") {
			return err
		}
		body, err := fs.ReadFile(d.FS, key)
		if err != nil {
			return err
		}
		var metadata map[string]string
		text, err := fs.ReadFile(d.FS, key+metadataSuffix)
		if err == nil {
			err = json.Unmarshal(text, &metadata)
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return err
		}
		return errors.Join(fn(key, body, metadata), ctx.Err())
	})
}

// DeliveredBucket is a bucket that trails were delivered to.
type DeliveredBucket struct {
	Client       *s3.Client
	Name, Prefix string
}

// Each implements [Delivered].
func (d DeliveredBucket) Each(ctx context.Context, fn func(string, []byte, map[string]string) error) error {
	pages := s3.NewListObjectsV2Paginator(d.Client, &s3.ListObjectsV2Input{Bucket: &d.Name, Prefix: &d.Prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			if !strings.HasSuffix(aws.ToString(object.Key), ".json.gz") {
				continue
			}
			got, err := d.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &d.Name, Key: object.Key})
			if err != nil {
				return err
			}
			body, err := io.ReadAll(io.LimitReader(got.Body, maxContent))
			if err := errors.Join(err, got.Body.Close()); err != nil {
				return err
			}
			if err := fn(*object.Key, body, got.Metadata); err != nil {
				return err
			}
		}
	}
	return nil
}

// CopyDecrypted copies what trails have delivered into a folder, in the clear.
// unwrap has KMS decrypt a data key. Its error is a *[FaultError] when a file is not
// as it was encrypted.
func CopyDecrypted(ctx context.Context, from Delivered, to string, unwrap func(wrapped []byte, with map[string]string) (secret.Bytes, error)) (files, decrypted int, err error) {
	err = from.Each(ctx, func(key string, body []byte, metadata map[string]string) error {
		if Encrypted(metadata) {
			plain, err := Decrypt(body, metadata, unwrap)
			if errors.Is(err, ErrEnvelope) {
				return &FaultError{key, "cannot be opened: " + err.Error()}
			}
			if err != nil {
				return err
			}
			body, metadata = plain, withoutEnvelope(metadata)
			decrypted++
		}
		if len(metadata) == 0 {
			metadata = nil
		}
		files++
		return folder(to).put(ctx, key, body, metadata)
	})
	return files, decrypted, err
}
