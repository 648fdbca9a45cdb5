package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/secret"
)

type trailDecryptCmd struct {
	From string `arg:"" help:"The folder that trails were delivered to, or s3://BUCKET/PREFIX."`
	To   string `arg:"" placeholder:"DIR" help:"A folder that does not exist yet."`

	Endpoint    string `placeholder:"URL" help:"The S3-compatible server of the bucket. Default: AWS_ENDPOINT_URL_S3."`
	PathStyle   bool   `help:"Name the bucket in the path, not in the host."`
	Credentials string `placeholder:"FILE" help:"The access key for the bucket, in the form of AWS's credentials file. Default: the one for the key."`
}

func (trailDecryptCmd) Help() string {
	return `Copies the files of trails that name a KMS key, in the clear. The key is used as any client uses it: with the credentials, the endpoint and the Region of the environment and of AWS's files, so that the key's policy decides who reads, and each file is recorded as a Decrypt with the trail's encryption context. "strongroom trail verify" checks the copy.

Example:

    strongroom trail decrypt /srv/audit /srv/audit-clear
    strongroom trail decrypt s3://audit/AWSLogs audit-clear --endpoint https://minio.example.com --path-style`
}

// Run implements the command.
func (c *trailDecryptCmd) Run(a *app) error {
	if _, err := os.Lstat(c.To); !errors.Is(err, os.ErrNotExist) {
		return &problem{what: c.To + " exists already", hint: "name a folder that does not"}
	}
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("the AWS settings of this process: %w", err)
	}
	var from delivery.Delivered
	if bucket, named := strings.CutPrefix(c.From, "s3://"); named {
		name, prefix, _ := strings.Cut(bucket, "/")
		own := cfg.Credentials
		if c.Credentials != "" {
			id, secretKey, err := readCredentials(c.Credentials)
			if err != nil {
				return err
			}
			own = credentials.NewStaticCredentialsProvider(id, string(secretKey), "")
			secretKey.Wipe()
		}
		client := s3.NewFromConfig(cfg, func(o *s3.Options) {
			o.UsePathStyle, o.Credentials = c.PathStyle, own
			if c.Endpoint != "" {
				o.BaseEndpoint = &c.Endpoint
			}
		})
		from = delivery.DeliveredBucket{Client: client, Name: name, Prefix: prefix}
	} else {
		info, err := os.Stat(c.From)
		if err != nil || !info.IsDir() {
			return &problem{what: "there is no folder " + c.From}
		}
		from = delivery.DeliveredFolder{FS: os.DirFS(c.From)}
	}
	keys := kms.NewFromConfig(cfg)
	files, decrypted, err := delivery.CopyDecrypted(ctx, from, c.To, func(wrapped []byte, with map[string]string) (secret.Bytes, error) {
		out, err := keys.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: wrapped, EncryptionContext: with}, func(o *kms.Options) {
			// The key is in the trail's home Region.
			if parts := strings.Split(with["aws:cloudtrail:arn"], ":"); len(parts) > 3 && parts[3] != "" {
				o.Region = parts[3]
			}
		})
		if err != nil {
			return nil, err
		}
		return out.Plaintext, nil
	})
	var fault *delivery.FaultError
	if errors.As(err, &fault) {
		return &problem{what: fault.Error(), hint: "what was copied before it is in " + c.To}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s copied, %d of them decrypted\n", count(uint64(files), "file"), decrypted)
	return err
}
