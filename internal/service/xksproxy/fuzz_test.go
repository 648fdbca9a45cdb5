package xksproxy

import (
	"context"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/wire"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// FuzzServe sends what it likes, properly signed: each answer is one that the
// specification has.
func FuzzServe(f *testing.F) {
	f.Add("/health", `{"requestMetadata":{"kmsOperation":"KmsHealthCheck","kmsRequestId":"r"}}`)
	f.Add(keyPath+"/metadata", `{"requestMetadata":{"awsPrincipalArn":"`+alice+`","kmsOperation":"CreateKey","kmsRequestId":"r"}}`)
	f.Add(keyPath+"/encrypt", `{"requestMetadata":{"awsPrincipalArn":"`+alice+`","kmsKeyArn":"k","kmsOperation":"Encrypt","kmsRequestId":"r"},"plaintext":"eA==","encryptionAlgorithm":"AES_GCM"}`)
	f.Add(keyPath+"/decrypt", `{"requestMetadata":{"awsPrincipalArn":"`+alice+`","kmsKeyArn":"k","kmsOperation":"Decrypt","kmsRequestId":"r"},"ciphertext":"eA==","encryptionAlgorithm":"AES_GCM","initializationVector":"AAAAAAAAAAAAAAAAAAAAAA==","authenticationTag":"AAAAAAAAAAAAAAAAAAAAAA=="}`)
	h := withStore(f)
	f.Fuzz(func(t *testing.T, path, body string) {
		// What the front would not hand on.
		if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return
		}
		req := h.request(path, body)
		h.signer().Sign(req, h.clock.Now())
		var resp wire.Response
		h.service.Serve(context.Background(), req, &resp)
		if resp.Status == 200 {
			return
		}
		if refused, ok := xksapi.ParseError(resp.Status, resp.Body); !ok || refused.Name == xksapi.Internal {
			t.Fatalf("%q, %q: %d %s", path, body, resp.Status, resp.Body)
		}
	})
}
