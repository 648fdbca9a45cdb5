package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/secret"
)

type trailCmd struct {
	Bucket  bucketCmd  `cmd:"" help:"Make a bucket known, or change how it is reached."`
	Buckets bucketsCmd `cmd:"" help:"List the buckets that are known."`
	Forget  forgetCmd  `cmd:"" help:"Forget a bucket."`

	Verify  trailVerifyCmd  `cmd:"" help:"Check the files in a folder that trails were delivered to."`
	Decrypt trailDecryptCmd `cmd:"" help:"Copy the files of encrypted trails, in the clear."`
}

type bucketCmd struct {
	folder `embed:""`

	Name        string `arg:"" help:"The bucket's name, as a trail's S3BucketName names it."`
	Folder      string `placeholder:"DIR" help:"Deliver into this folder instead of a server."`
	Endpoint    string `placeholder:"URL" help:"The S3-compatible server."`
	Region      string `default:"us-east-1" placeholder:"REGION" help:"The region that the server wants requests signed for. Default: ${default}."`
	PathStyle   bool   `help:"Name the bucket in the path, not in the host: most servers but AWS's want that."`
	Credentials string `placeholder:"FILE" help:"The access key for the server, in the form of AWS's credentials file."`
}

func (bucketCmd) Help() string {
	return `A trail that names this bucket is then delivered there. The server that runs on the data folder keeps the credentials sealed; the file is not needed again.

Examples:

    strongroom trail bucket audit --endpoint https://minio.example.com --path-style --credentials audit.credentials
    strongroom trail bucket audit --folder /srv/audit
    aws cloudtrail create-trail --name main --s3-bucket-name audit --is-multi-region-trail --enable-log-file-validation
    aws cloudtrail start-logging --name main`
}

// Run implements the command.
func (c *bucketCmd) Run(*app) error {
	b := admin.Bucket{Name: c.Name}
	var secretKey secret.Bytes
	switch {
	case (c.Folder == "") == (c.Endpoint == ""):
		return &problem{what: "a bucket is either a folder or on a server", hint: "give one of --folder DIR and --endpoint URL"}
	case c.Folder != "" && (c.Credentials != "" || c.PathStyle):
		return &problem{what: "--credentials and --path-style go with --endpoint, not with --folder"}
	case c.Folder != "":
		dir, err := filepath.Abs(c.Folder)
		if err != nil {
			return err
		}
		b.Folder = dir
	case c.Credentials == "":
		return &problem{what: "the server's access key is missing", hint: "give --credentials FILE; the file has lines aws_access_key_id = … and aws_secret_access_key = …"}
	default:
		b.Endpoint, b.Region, b.PathStyle = c.Endpoint, c.Region, c.PathStyle
		var err error
		if b.AccessKeyID, secretKey, err = readCredentials(c.Credentials); err != nil {
			return err
		}
		defer secretKey.Wipe()
	}
	return c.withBuckets(func(ctx context.Context, client *admin.Client) error {
		return client.PutBucket(ctx, admin.Peer{}, b, secretKey)
	})
}

type bucketsCmd struct {
	folder `embed:""`
}

func (bucketsCmd) Help() string {
	return `One a line: the name, and where it is.

Example:

    strongroom trail buckets --data /srv/strongroom`
}

// Run implements the command.
func (c *bucketsCmd) Run(a *app) error {
	return c.withBuckets(func(ctx context.Context, client *admin.Client) error {
		return client.ListBuckets(ctx, func(b admin.Bucket) error {
			where := b.Folder
			if where == "" {
				where = fmt.Sprintf("%s  region %s  access key %s", b.Endpoint, b.Region, b.AccessKeyID)
			}
			_, err := fmt.Fprintf(a.stdout, "%s  %s\n", printable(b.Name), printable(where))
			return err
		})
	})
}

type forgetCmd struct {
	folder `embed:""`

	Name string `arg:"" help:"The bucket's name."`
}

func (forgetCmd) Help() string {
	return `Trails that name the bucket cannot be delivered until it is made known again; nothing is lost meanwhile. What lies in the bucket stays.

Example:

    strongroom trail forget audit`
}

// Run implements the command.
func (c *forgetCmd) Run(*app) error {
	return c.withBuckets(func(ctx context.Context, client *admin.Client) error {
		return client.RemoveBucket(ctx, admin.Peer{}, c.Name)
	})
}

// withBuckets asks the server that runs on the folder.
func (f folder) withBuckets(use func(context.Context, *admin.Client) error) error {
	client, err := admin.Connect(f.Data)
	if errors.Is(err, admin.ErrNotRunning) {
		return &problem{what: "no server is running on " + f.Data, hint: "start it: strongroom serve --data " + f.Data}
	}
	if err != nil {
		return err
	}
	return use(context.Background(), client)
}

// readCredentials reads the access key of the first profile of a credentials file.
func readCredentials(path string) (id string, key secret.Bytes, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", nil, &problem{what: fmt.Sprintf("the credentials file: %v", err)}
	}
	defer file.Close()
	profiles := 0
	lines := bufio.NewScanner(file)
	for profiles < 2 && lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			profiles++
		}
		if profiles > 1 {
			continue // the second profile's name: it ends here
		}
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			id = strings.TrimSpace(value)
		case "aws_secret_access_key":
			key = secret.Bytes(strings.TrimSpace(value))
		}
	}
	if err := lines.Err(); err != nil {
		return "", nil, &problem{what: fmt.Sprintf("the credentials file %s: %v", path, err)}
	}
	if id == "" || len(key) == 0 {
		return "", nil, &problem{what: "the credentials file " + path + " holds no access key", hint: "its first profile needs lines aws_access_key_id = … and aws_secret_access_key = …"}
	}
	return id, key, nil
}
