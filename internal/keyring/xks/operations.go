package xks

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// Target is an external key and the call to KMS that it is used for.
type Target struct {
	Endpoint Endpoint
	// KeyID is the external key's id, XksKeyId.
	KeyID    string
	Metadata xksapi.Metadata
}

// All methods return, beyond what each names, ErrUnreachable, ErrTLS, ErrTimeout,
// ErrNoService, xksapi.ErrMalformed and *xksapi.Error; and the error of a context
// that ended. Nothing durable changes here, and each may be retried.

// Health asks whether the proxy and its key managers serve.
func (c *Client) Health(ctx context.Context, at *Endpoint, m xksapi.Metadata) (*xksapi.Health, error) {
	answer, err := c.post(ctx, at, "/health", xksapi.AppendMetadataRequest(nil, &m))
	if err != nil {
		return nil, err
	}
	return xksapi.ParseHealth(answer)
}

// KeyMetadata asks what the external key is. A key id that cannot be asked for is
// ErrEndpoint.
func (c *Client) KeyMetadata(ctx context.Context, t *Target) (*xksapi.KeyMetadata, error) {
	answer, err := c.ask(ctx, t, "metadata", xksapi.AppendMetadataRequest(nil, &t.Metadata))
	if err != nil {
		return nil, err
	}
	return xksapi.ParseKeyMetadata(answer)
}

// Encrypt returns a ciphertext of keyring.SuiteExternal. Further errors: those of
// keyring.Cipher's Encrypt.
func (c *Client) Encrypt(ctx context.Context, t *Target, key keyring.KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error) {
	header, body, err := c.cfg.Inner.EncryptInner(ctx, keyring.SuiteExternal, key, plaintext, encryptionContext)
	if err != nil {
		return nil, err
	}
	aad, err := keyring.ExternalAAD(header, encryptionContext)
	if err != nil {
		return nil, err
	}
	request := xksapi.Request{Metadata: t.Metadata, Plaintext: body, AAD: aad}
	answer, err := c.ask(ctx, t, "encrypt", request.AppendEncrypt(nil))
	if err != nil {
		return nil, err
	}
	e, err := xksapi.ParseEncrypted(answer, aad, len(body))
	if err != nil {
		return nil, err
	}
	return keyring.AppendExternal(header, keyring.Detached{IV: e.IV, Metadata: e.CiphertextMetadata, Ciphertext: e.Ciphertext, Tag: e.Tag})
}

// Decrypt opens what Encrypt returned. Further errors: those of keyring.Cipher's
// Decrypt, of which ErrInvalidCiphertext says that blob is none of ours and nobody
// was asked; ErrInner.
func (c *Client) Decrypt(ctx context.Context, t *Target, key keyring.KeyRef, blob []byte, encryptionContext map[string]string) (secret.Bytes, error) {
	header, d, err := keyring.SplitExternal(blob)
	if err != nil {
		return nil, err
	}
	aad, err := keyring.ExternalAAD(header, encryptionContext)
	if err != nil {
		return nil, err
	}
	request := xksapi.Request{Metadata: t.Metadata, AAD: aad, Ciphertext: d.Ciphertext, CiphertextMetadata: d.Metadata, IV: d.IV, Tag: d.Tag}
	answer, err := c.ask(ctx, t, "decrypt", request.AppendDecrypt(nil))
	if err != nil {
		return nil, err
	}
	body, err := xksapi.ParseDecrypted(answer, len(d.Ciphertext))
	if err != nil {
		return nil, err
	}
	plaintext, err := c.cfg.Inner.DecryptInner(ctx, key, header, body, encryptionContext)
	if errors.Is(err, keyring.ErrInvalidCiphertext) {
		return nil, ErrInner
	}
	return plaintext, err
}

func (c *Client) ask(ctx context.Context, t *Target, operation string, body []byte) ([]byte, error) {
	if err := checkKeyID(t.KeyID); err != nil {
		return nil, err
	}
	return c.post(ctx, &t.Endpoint, "/keys/"+t.KeyID+"/"+operation, body)
}
