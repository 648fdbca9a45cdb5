package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"time"

	"github.com/strongroom/strongroom/bench/load"
	"github.com/strongroom/strongroom/e2e/binary"
)

// point measures calls of an executable.
func (s *strongroom) point(name string, l shape, empty *point, secured bool, make func(ctx context.Context, secured bool, n int) ([][]byte, error)) *point {
	return s.fleet.known(s.name, fmt.Sprintf("%s, %v", name, l), empty, func(ctx context.Context, duration time.Duration) (*sample, error) {
		server, _, err := s.server(secured)
		if err != nil {
			return nil, err
		}
		requests, err := make(ctx, secured, l.connections)
		if err != nil {
			return nil, err
		}
		return l.put(ctx, server, load.Config{TLS: s.fleet.client(secured), Requests: requests}, duration)
	})
}

// idle is a server that has just been started for the first time.
func (s *strongroom) idle() *point {
	return s.fleet.known(s.name, "memory, empty", nil, func(context.Context, time.Duration) (*sample, error) {
		dir := filepath.Join(s.fleet.work, "empty"+s.name)
		server, err := binary.Start(binary.Config{Path: s.path, Data: dir})
		if err != nil {
			return nil, err
		}
		defer server.Kill()
		memory, err := server.Memory()
		return &sample{Memory: float64(memory.Resident) / 1e6}, err
	})
}

// several returns n requests.
func several(n int, request func() ([]byte, error)) (requests [][]byte, err error) {
	requests = make([][]byte, n)
	for i := range requests {
		if requests[i], err = request(); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// random returns random bytes in base64.
func random(size int) string {
	text := make([]byte, size)
	rand.Read(text) // never fails
	return base64.StdEncoding.EncodeToString(text)
}

// encryptBody returns the body of an Encrypt of random bytes.
func encryptBody(key string, size int) string {
	return fmt.Sprintf(`{"KeyId":%q,"Plaintext":%q}`, key, random(size))
}

// requests returns n requests of one operation, whose bodies are made from a key's id.
func (s *strongroom) requests(ctx context.Context, secured bool, n int, operation, params string, body func(signer *load.Signer, key string) (string, error)) ([][]byte, error) {
	_, signer, err := s.server(secured)
	if err != nil {
		return nil, err
	}
	key, err := s.key(ctx, secured, params)
	if err != nil {
		return nil, err
	}
	return several(n, func() ([]byte, error) {
		text, err := body(signer, key)
		if err != nil {
			return nil, err
		}
		return signer.Request(operation, text)
	})
}

// encrypt makes Encrypts of so many bytes.
func (s *strongroom) encrypt(size int) func(context.Context, bool, int) ([][]byte, error) {
	return func(ctx context.Context, secured bool, n int) ([][]byte, error) {
		return s.requests(ctx, secured, n, "Encrypt", "{}", func(_ *load.Signer, key string) (string, error) { return encryptBody(key, size), nil })
	}
}

// decrypt makes Decrypts of 32 bytes.
func (s *strongroom) decrypt(ctx context.Context, secured bool, n int) ([][]byte, error) {
	return s.requests(ctx, secured, n, "Decrypt", "{}", func(signer *load.Signer, key string) (string, error) {
		var made struct{ CiphertextBlob string }
		err := signer.Call(ctx, "Encrypt", encryptBody(key, 32), &made)
		return fmt.Sprintf(`{"CiphertextBlob":%q}`, made.CiphertextBlob), err
	})
}

// with makes calls upon a key that params make, with more members in their bodies.
func (s *strongroom) with(operation, params, members string) func(context.Context, bool, int) ([][]byte, error) {
	return func(ctx context.Context, secured bool, n int) ([][]byte, error) {
		return s.requests(ctx, secured, n, operation, params, func(_ *load.Signer, key string) (string, error) {
			return fmt.Sprintf(`{"KeyId":%q,%s}`, key, members), nil
		})
	}
}

// create makes CreateKeys.
func (s *strongroom) create(_ context.Context, secured bool, n int) ([][]byte, error) {
	_, signer, err := s.server(secured)
	if err != nil {
		return nil, err
	}
	return several(n, func() ([]byte, error) { return signer.Request("CreateKey", "{}") })
}
