//go:build strongroom_openssl

package libcrypto

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
)

var (
	// ErrMissing is returned when the library is not there or lacks a function.
	ErrMissing = errors.New("libcrypto: OpenSSL 3 (libcrypto.so.3) cannot be loaded")
	// ErrSelfTest is returned when the library does not do what it is for.
	ErrSelfTest = errors.New("libcrypto: OpenSSL's RSA fails its test against Go's")
)

// Load finds the library, readies it and tests it against Go's own. It does so
// once, and returns the same error ever after: ErrMissing or ErrSelfTest.
var Load = sync.OnceValue(func() error {
	if err := load(); err != nil {
		return err
	}
	if err := selfTest(); err != nil {
		return fmt.Errorf("%w: %w", ErrSelfTest, err)
	}
	return nil
})

// selfTestKey is the public test key testRSA2048 of RFC 9500 §2.1.
//
//go:embed selftest.pem
var selfTestKey []byte

func selfTest() error {
	block, _ := pem.Decode(selfTestKey)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	k, err := NewRSA(key)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(selfTestKey)
	want, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		return err
	}
	got, err := k.Sign(false, crypto.SHA256, digest[:])
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("a signature with PKCS #1 v1.5 differs")
	}
	if got, err = k.Sign(true, crypto.SHA256, digest[:]); err != nil {
		return err
	}
	if err := rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, digest[:], got, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}); err != nil {
		return err
	}
	blob, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, digest[:], nil)
	if err != nil {
		return err
	}
	plaintext, err := k.DecryptOAEP(crypto.SHA256, blob)
	if err != nil {
		return err
	}
	if !plaintext.Equal(digest[:]) {
		return errors.New("what was encrypted with OAEP opens to something else")
	}
	return nil
}
