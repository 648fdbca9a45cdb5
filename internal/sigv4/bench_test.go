package sigv4_test

import (
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/wire"
)

// typical is an Encrypt call with the headers that SDKs send.
func typical(plaintext int) *wire.Request {
	req := newRequest()
	req.Body = []byte(`{"KeyId":"alias/a","Plaintext":"` + strings.Repeat("QUFB", (plaintext+2)/3) + `"}`)
	signer.Sign(req, now)
	add(req, "User-Agent", "aws-sdk-go-v2/1.47.7 os/linux lang/go#1.26.8 md/GOOS#linux md/GOARCH#amd64 api/kms#1.62.4")
	add(req, "Accept-Encoding", "gzip")
	add(req, "Amz-Sdk-Invocation-Id", "12345678-1234-4123-8123-123456789012")
	add(req, "Amz-Sdk-Request", "attempt=1; max=3")
	return req
}

func BenchmarkVerify(b *testing.B) {
	presigned := newRequest()
	signer.Presign(presigned, now, time.Hour)
	for _, bb := range []struct {
		name string
		req  *wire.Request
	}{{"32B", typical(32)}, {"4096B", typical(4096)}, {"presigned", presigned}} {
		b.Run(bb.name, func(b *testing.B) {
			s, err := sigv4.Parse(bb.req)
			if err != nil {
				b.Fatal(err)
			}
			key := sigv4.SigningKey(secret.String(signer.SecretKey), s.Scope)
			b.ReportAllocs()
			for b.Loop() {
				s, err := sigv4.Parse(bb.req)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Verify(bb.req, key, now, sigv4.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestVerifyAllocates keeps the hot path from growing: the signature itself, and
// what crypto/hmac makes.
func TestVerifyAllocates(t *testing.T) {
	req := typical(32)
	s, err := sigv4.Parse(req)
	if err != nil {
		t.Fatal(err)
	}
	key := sigv4.SigningKey(secret.String(signer.SecretKey), s.Scope)
	allocs := testing.AllocsPerRun(100, func() {
		s, _ := sigv4.Parse(req)
		if err := s.Verify(req, key, now, sigv4.Options{}); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > mostAllocs {
		t.Errorf("%v allocations; want at most %d", allocs, mostAllocs)
	}
}
