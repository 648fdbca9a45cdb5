package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/strongroom/strongroom/e2e/binary"
)

// target is something to measure.
type target struct {
	name string
	addr func() string
	// cpu returns the processor time that its server has taken so far; if nil, it
	// is not measured.
	cpu func() (time.Duration, error)
	// requests returns n requests as bytes, signed now.
	requests func(n int) ([][]byte, error)
}

// baseline is the name of the target that the others are compared with.
const baseline = "empty net/http"

// region is the server's default.
const region = "us-east-1"

// fleet is the servers of a run.
type fleet struct {
	netHTTP, fastHTTP, strongroom *binary.Server
	key                           string // the key that is used
	credentials                   aws.Credentials
}

// newFleet starts the servers. What it has started when it fails is stopped.
func newFleet(ctx context.Context, executable, data string) (f *fleet, err error) {
	f = &fleet{}
	defer func() {
		if err != nil {
			f.stop()
			f = nil
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	if f.netHTTP, err = binary.Start(binary.Config{Path: self, Bare: true, Args: []string{"-serve", "nethttp"}}); err != nil {
		return f, err
	}
	if f.fastHTTP, err = binary.Start(binary.Config{Path: self, Bare: true, Args: []string{"-serve", "fasthttp"}}); err != nil {
		return f, err
	}
	if f.strongroom, err = binary.Start(binary.Config{Path: executable, Data: filepath.Join(data, "data")}); err != nil {
		return f, err
	}
	if f.credentials.AccessKeyID, f.credentials.SecretAccessKey, err = binary.Credentials(f.strongroom.Data); err != nil {
		return f, err
	}
	var created struct{ KeyMetadata struct{ KeyID string } }
	if err = f.call(ctx, "CreateKey", "{}", &created); err != nil {
		return f, err
	}
	f.key = created.KeyMetadata.KeyID
	return f, nil
}

// stop ends the servers.
func (f *fleet) stop() {
	for _, s := range []*binary.Server{f.netHTTP, f.fastHTTP, f.strongroom} {
		if s != nil {
			s.Kill()
		}
	}
}

// targets returns what there is to measure, in the order in which it is measured.
func (f *fleet) targets(ctx context.Context) []target {
	encrypt := func(size int) func(n int) ([][]byte, error) {
		return func(n int) ([][]byte, error) {
			return f.sign("Encrypt", n, func() (string, error) { return f.encryptBody(size), nil })
		}
	}
	return []target{
		{baseline, f.netHTTP.Addr, f.netHTTP.CPU, encrypt(32)},
		{"empty fasthttp", f.fastHTTP.Addr, f.fastHTTP.CPU, encrypt(32)},
		{"Encrypt 32 B", f.strongroom.Addr, f.strongroom.CPU, encrypt(32)},
		{"Encrypt 1 KB", f.strongroom.Addr, f.strongroom.CPU, encrypt(1024)},
		{"Encrypt 4,096 B", f.strongroom.Addr, f.strongroom.CPU, encrypt(4096)},
		{"Decrypt 32 B", f.strongroom.Addr, f.strongroom.CPU, func(n int) ([][]byte, error) {
			return f.sign("Decrypt", n, func() (string, error) {
				var made struct{ CiphertextBlob string }
				err := f.call(ctx, "Encrypt", f.encryptBody(32), &made)
				return fmt.Sprintf(`{"CiphertextBlob":%q}`, made.CiphertextBlob), err
			})
		}},
		{"GenerateDataKey", f.strongroom.Addr, f.strongroom.CPU, func(n int) ([][]byte, error) {
			return f.sign("GenerateDataKey", n, func() (string, error) {
				return fmt.Sprintf(`{"KeyId":%q,"KeySpec":"AES_256"}`, f.key), nil
			})
		}},
	}
}

// spent returns the processor time that the server takes between two moments that
// are still to come; 0 if that is not measured.
func (t target) spent(ctx context.Context, from, to time.Time) (time.Duration, error) {
	if t.cpu == nil {
		return 0, nil
	}
	if !waitUntil(ctx, from) {
		return 0, ctx.Err()
	}
	before, err := t.cpu()
	if err != nil {
		return 0, err
	}
	if !waitUntil(ctx, to) {
		return 0, ctx.Err()
	}
	after, err := t.cpu()
	return after - before, err
}

// waitUntil waits for a moment, and reports whether it came before ctx ended.
func waitUntil(ctx context.Context, moment time.Time) bool {
	select {
	case <-time.After(time.Until(moment)):
		return true
	case <-ctx.Done():
		return false
	}
}

// encryptBody returns the body of an Encrypt of random bytes.
func (f *fleet) encryptBody(size int) string {
	plaintext := make([]byte, size)
	rand.Read(plaintext) // never fails
	return fmt.Sprintf(`{"KeyId":%q,"Plaintext":%q}`, f.key, base64.StdEncoding.EncodeToString(plaintext))
}

// sign returns n signed requests with bodies of their own.
func (f *fleet) sign(operation string, n int, body func() (string, error)) ([][]byte, error) {
	requests := make([][]byte, n)
	for i := range requests {
		text, err := body()
		if err != nil {
			return nil, err
		}
		req, err := f.request(operation, text)
		if err != nil {
			return nil, err
		}
		var raw bytes.Buffer
		if err := req.Write(&raw); err != nil {
			return nil, err
		}
		requests[i] = raw.Bytes()
	}
	return requests, nil
}

// request returns a signed request to strongroom.
func (f *fleet) request(operation, body string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, f.strongroom.URL+"/", bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "TrentService."+operation)
	hash := sha256.Sum256([]byte(body))
	err = v4.NewSigner().SignHTTP(context.Background(), f.credentials, req, hex.EncodeToString(hash[:]), "kms", region, time.Now())
	return req, err
}

// call makes one call of strongroom outside the measurement.
func (f *fleet) call(ctx context.Context, operation, body string, out any) error {
	requests, err := f.sign(operation, 1, func() (string, error) { return body, nil })
	if err != nil {
		return err
	}
	c, err := dial(ctx, f.strongroom.Addr(), requests[0])
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.call(); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return json.Unmarshal(c.body, out)
}
