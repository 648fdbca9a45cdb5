// Command xks measures how long Encrypt takes through the proxy that Strongroom is for
// another KMS: over TLS on loopback, signed, recorded and on disk before the answer. It
// sends requests at a fixed rate, whether or not those before are answered, and counts
// each from when it was due, so that a stall shows in full.
//
//	go run ./bench/xks -rate 500 -duration 20s
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/software"
	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/server"
	"github.com/strongroom/strongroom/internal/xksapi"
)

const (
	region = "us-east-1"
	host   = "proxy.example.com"
	innerK = "1234abcd-12ab-34cd-56ef-1234567890ab"
)

func main() {
	rate := flag.Int("rate", 500, "requests a second")
	duration := flag.Duration("duration", 20*time.Second, "how long, after a warm-up of a fifth of it")
	data := flag.String("data", "", "where the data folder is made; if empty, the system's temporary folder")
	flag.Parse()
	if *rate < 1 || *duration < time.Second {
		log.Fatal("the rate is at least 1, and the duration a second")
	}
	dir, err := os.MkdirTemp(*data, "strongroom-xks-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := run(context.Background(), dir, *rate, *duration); err != nil {
		log.Print(err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
}

// run starts a server that offers a key, and measures.
func run(ctx context.Context, dir string, rate int, duration time.Duration) error {
	roots, cert, key, err := certificate(dir)
	if err != nil {
		return err
	}
	s, err := server.Start(ctx, server.Config{
		DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Account: "000000000000", Regions: []string{region},
		Seal: "file", Store: "pebble", Dev: true, Log: slog.New(slog.DiscardHandler),
		XKSListen: "127.0.0.1:0", XKSTLSCert: cert, XKSTLSKey: key,
	})
	if err != nil {
		return err
	}
	err = measure(ctx, s, filepath.Join(dir, "data"), roots, rate, duration)
	return errors.Join(err, s.Shutdown(ctx))
}

func measure(ctx context.Context, s *server.Server, data string, roots *x509.CertPool, rate int, duration time.Duration) error {
	target, err := offer(ctx, s, data)
	if err != nil {
		return err
	}
	inner, ref, err := innerLayer(ctx, data)
	if err != nil {
		return err
	}
	client, err := xks.New(xks.Config{Inner: inner, Clock: clock.System(), Roots: roots, Routes: map[string]string{host: s.XKSAddr().String()}})
	if err != nil {
		return err
	}
	defer client.Close()
	plaintext := make(secret.Bytes, 32)
	var mu sync.Mutex
	var took []time.Duration
	failed := map[string]int{}
	var calls sync.WaitGroup
	// The first request finds that all is as it should be, and leaves a connection.
	if _, err := client.Encrypt(ctx, target, ref, plaintext, nil); err != nil {
		return err
	}
	began := time.Now()
	warm := began.Add(duration / 5)
	end := warm.Add(duration)
	for n := 0; ; n++ {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
		if due.After(end) {
			break
		}
		time.Sleep(time.Until(due))
		calls.Go(func() {
			_, err := client.Encrypt(ctx, target, ref, plaintext, nil)
			spent := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				kind, _, _ := strings.Cut(err.Error(), "\n") // behind it are addresses
				failed[kind]++
			} else if due.After(warm) {
				took = append(took, spent)
			}
		})
	}
	calls.Wait()
	for text, n := range failed {
		fmt.Printf("%d requests failed: %s\n", n, text)
	}
	if len(took) == 0 {
		return errors.New("nothing was answered")
	}
	slices.Sort(took)
	at := func(percent float64) time.Duration {
		return took[min(len(took)-1, int(float64(len(took))*percent/100))].Round(10 * time.Microsecond)
	}
	fmt.Printf("Encrypt of an external key store's proxy, 32 bytes, %d a second for %v: %d answered\n", rate, duration, len(took))
	fmt.Printf("p50 %v  p90 %v  p99 %v  p99.9 %v  longest %v\n", at(50), at(90), at(99), at(99.9), at(100))
	if len(failed) > 0 {
		return errors.New("not all requests were answered")
	}
	return nil
}

// offer makes a key and a store that offers it, as an operator does.
func offer(ctx context.Context, s *server.Server, data string) (*xks.Target, error) {
	api := kms.New(kms.Options{Region: region, BaseEndpoint: aws.String(s.URL()), Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	key, err := api.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		return nil, err
	}
	operator, err := admin.Connect(data)
	if err != nil {
		return nil, err
	}
	reply, err := operator.XKS(ctx, admin.XKSRequest{Verb: "create", Store: "bench", Keys: []string{*key.KeyMetadata.KeyId}, Rules: &admin.XKSRules{TrustKMS: true}})
	if err != nil {
		return nil, err
	}
	return &xks.Target{
		Endpoint: xks.Endpoint{Host: host, Path: reply.Stores[0].Path, Region: region, Credential: xks.Credential{
			AccessKeyID: reply.Credential.AccessKeyID, Secret: secret.String(reply.Credential.SecretAccessKey),
		}},
		KeyID: *key.KeyMetadata.KeyId,
		Metadata: xksapi.Metadata{
			PrincipalARN: "arn:aws:iam::111122223333:user/alice", KeyARN: "arn:aws:kms:us-east-1:111122223333:key/" + innerK,
			Operation: "Encrypt", RequestID: "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
		},
	}, nil
}

// innerLayer is the other KMS's own half of a key.
func innerLayer(ctx context.Context, dir string) (keyring.Layered, keyring.KeyRef, error) {
	root, err := seal.CreateFileRoot(filepath.Join(dir, "other-root.key"), rand.Reader)
	if err != nil {
		return nil, keyring.KeyRef{}, err
	}
	domain, _, err := seal.Create(ctx, root, "other", rand.Reader)
	if err != nil {
		return nil, keyring.KeyRef{}, err
	}
	ring, err := software.New(software.Config{Domain: domain, Rand: rand.Reader})
	if err != nil {
		return nil, keyring.KeyRef{}, err
	}
	material, err := ring.Generate(ctx, innerK, keyring.SymmetricDefault)
	return ring, keyring.KeyRef{KeyID: innerK, Current: material}, err
}

// certificate makes the proxy's certificate, which is its own authority.
func certificate(dir string) (roots *x509.CertPool, certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(certFile, text, 0o600), os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return roots, certFile, keyFile, err
}
