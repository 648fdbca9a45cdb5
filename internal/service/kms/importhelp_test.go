package kms

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"testing"
	"time"
)

// external makes a key that waits for material.
func (h *harness) external(in m) (id, arn string) {
	h.t.Helper()
	in["Origin"] = "EXTERNAL"
	k := h.key(in)
	return k["KeyId"].(string), k["Arn"].(string)
}

// wrapping is a wrapping key and its token.
type wrapping struct {
	public *rsa.PublicKey
	token  string
}

func (h *harness) wrapping(id string) wrapping {
	h.t.Helper()
	out := h.ok(root, "GetParametersForImport", m{"KeyId": id, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"})
	der, err := base64.StdEncoding.DecodeString(out["PublicKey"].(string))
	if err != nil {
		h.t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		h.t.Fatal(err)
	}
	return wrapping{public.(*rsa.PublicKey), out["ImportToken"].(string)}
}

// wrap returns ImportKeyMaterial's input for material that never expires.
func (w wrapping) wrap(id string, material []byte, more m) m {
	blob, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, w.public, material, nil)
	if err != nil {
		panic(err)
	}
	in := m{"KeyId": id, "ImportToken": w.token, "EncryptedKeyMaterial": base64.StdEncoding.EncodeToString(blob),
		"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
	for k, v := range more {
		if in[k] = v; v == nil {
			delete(in, k)
		}
	}
	return in
}

// expiring are the parameters of material that expires.
func expiring(at time.Time) m { return m{"ExpirationModel": nil, "ValidTo": seconds(at)} }

func filled(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

// imported returns a key with material of that fill, and its wrapping key.
func imported32(t *testing.T, fill byte) (h *harness, id, arn string, w wrapping) {
	t.Helper()
	h = newHarness(t)
	id, arn = h.external(m{})
	w = h.wrapping(id)
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(fill), nil))
	return h, id, arn, w
}
