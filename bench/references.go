package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/strongroom/strongroom/bench/load"
	"github.com/strongroom/strongroom/e2e/binary"
)

// emptyPoint measures an empty server that is sent Encrypts of so many bytes.
func (f *fleet) emptyPoint(name string, kind emptyKind, l shape, size int) *point {
	return f.known("", fmt.Sprintf("%s, %v", name, l), nil, func(ctx context.Context, duration time.Duration) (*sample, error) {
		server, err := f.empty(kind)
		if err != nil {
			return nil, err
		}
		signer := &load.Signer{Addr: server.Addr(), AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
		requests, err := several(l.connections, func() ([]byte, error) {
			return signer.Request("Encrypt", encryptBody("1234abcd-12ab-34cd-56ef-1234567890ab", size))
		})
		if err != nil {
			return nil, err
		}
		return l.put(ctx, server, load.Config{TLS: f.client(kind.secured), Requests: requests}, duration)
	})
}

// recordSize is how many bytes the frame of one Encrypt's audit record has.
const recordSize = 1213

// syncs is what it takes to write a record at the end of a file and to sync it, one
// after the other: the price of durability on this disk.
func (f *fleet) syncs() *point {
	return f.known("", fmt.Sprintf("fdatasync of %d B", recordSize), nil, func(ctx context.Context, duration time.Duration) (_ *sample, err error) {
		file, err := os.CreateTemp(f.work, "sync-")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
		record := make([]byte, recordSize)
		return alone(ctx, duration, func() error {
			if _, err := file.Write(record); err != nil {
				return err
			}
			return dataSync(file)
		})
	})
}

// rawECDSA is the standard library's signatures, on one core.
func (f *fleet) rawECDSA() *point {
	return f.known("", "crypto/ecdsa P-256, one core", nil, func(ctx context.Context, duration time.Duration) (*sample, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		digest := make([]byte, 32)
		return alone(ctx, duration, func() error {
			_, err := ecdsa.SignASN1(rand.Reader, key, digest)
			return err
		})
	})
}

// rawRSA is the standard library's signatures, on one core.
func (f *fleet) rawRSA() *point {
	return f.known("", "crypto/rsa 2048, one core", nil, func(ctx context.Context, duration time.Duration) (*sample, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		digest := make([]byte, 32)
		return alone(ctx, duration, func() error {
			_, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest)
			return err
		})
	})
}

// alone measures work that needs no server, one after the other: what fn does in a
// row, on one core.
func alone(ctx context.Context, duration time.Duration, fn func() error) (*sample, error) {
	var latency load.Histogram
	machine, own, began := binary.MachineTime(), load.ProcessorTime(), time.Now()
	for time.Since(began) < duration && ctx.Err() == nil {
		before := time.Now()
		if err := fn(); err != nil {
			return nil, err
		}
		latency.Record(time.Since(before))
	}
	took := time.Since(began)
	return &sample{
		Requests:   latency.Count(),
		Throughput: float64(latency.Count()) / took.Seconds(),
		P50:        micros(latency.Quantile(0.50)),
		P99:        micros(latency.Quantile(0.99)),
		Others:     max(0, (binary.MachineTime()-machine-(load.ProcessorTime()-own)).Seconds()/took.Seconds()),
	}, ctx.Err()
}
