package crash

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// mostExternal bounds how many keys with imported material the workers make in a
// data folder, the first ones one each: the wrapping key of each takes the server a
// long time to make.
const mostExternal = 3

// material is the AES key of a key with origin EXTERNAL, which the harness made.
type material struct {
	bytes []byte
	// public and token are what it is wrapped under and imported with; nil until
	// the server was asked. They hold for a day, over restarts too.
	public *rsa.PublicKey
	token  []byte
}

// newMaterial returns another AES key. It comes from the worker's choices.
func (w *worker) newMaterial() *material {
	m := &material{bytes: make([]byte, 32)}
	for i := range m.bytes {
		m.bytes[i] = byte(w.choices.Uint32())
	}
	return m
}

// changeMaterial imports the material of k, or deletes it.
func (w *worker) changeMaterial(ctx context.Context, c *client, k *key) error {
	if k.is(types.KeyStateEnabled) {
		return change(&k.state, string(types.KeyStatePendingImport), func() error {
			_, err := c.DeleteImportedKeyMaterial(ctx, &kms.DeleteImportedKeyMaterialInput{KeyId: &k.id})
			return answered("DeleteImportedKeyMaterial", err)
		})
	}
	// Now and then a new wrapping key for material that was imported before.
	if k.material.token == nil || w.choices.IntN(50) == 0 {
		if err := k.askForParameters(ctx, c); err != nil {
			return err
		}
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, k.material.public, k.material.bytes, nil)
	if err != nil {
		return err
	}
	return change(&k.state, string(types.KeyStateEnabled), func() error {
		_, err := c.ImportKeyMaterial(ctx, &kms.ImportKeyMaterialInput{
			KeyId: &k.id, ImportToken: k.material.token, EncryptedKeyMaterial: wrapped,
			ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
		})
		if err == nil {
			w.imports++
		}
		return answered("ImportKeyMaterial", err)
	})
}

func (k *key) askForParameters(ctx context.Context, c *client) error {
	out, err := c.GetParametersForImport(ctx, &kms.GetParametersForImportInput{
		KeyId: &k.id, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	})
	if err := answered("GetParametersForImport", err); err != nil {
		return err
	}
	parsed, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		return fmt.Errorf("the wrapping key: %w", err)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return errors.New("the wrapping key is not RSA")
	}
	k.material.public, k.material.token = public, out.ImportToken
	return nil
}
