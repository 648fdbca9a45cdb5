//go:build linux && cgo && strongroom_openssl

package libcrypto

// #cgo LDFLAGS: -ldl
// #cgo noescape libcrypto_sign
// #cgo nocallback libcrypto_sign
// #cgo noescape libcrypto_decrypt
// #cgo nocallback libcrypto_decrypt
// #include "libcrypto.h"
import "C"

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"unsafe"

	"github.com/strongroom/strongroom/internal/secret"
)

// ErrKey is returned by NewRSA for what OpenSSL cannot use as a key.
var ErrKey = errors.New("libcrypto: OpenSSL does not take this RSA key")

// ErrSign is returned when OpenSSL makes no signature.
var ErrSign = errors.New("libcrypto: OpenSSL made no RSA signature")

// ErrDecrypt is returned for what does not open, whatever the reason.
var ErrDecrypt = errors.New("libcrypto: RSA decryption failed")

// places bounds the calls that run at once. One takes a thread of the system's
// while it runs; without a bound as many threads as requests would share the
// processors, and stay.
var places = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))

func enter() { places <- struct{}{} }
func leave() { <-places }

// RSA is a private key in OpenSSL's memory. It is safe for concurrent use. Once
// nothing refers to it any more, OpenSSL erases it.
type RSA struct {
	key  *C.EVP_PKEY
	size int // of the modulus, in bytes
}

// NewRSA copies a key of two primes into OpenSSL's memory. [Load] must have
// returned nil. It returns ErrKey for what OpenSSL does not take.
func NewRSA(key *rsa.PrivateKey) (*RSA, error) {
	if len(key.Primes) != 2 {
		return nil, ErrKey
	}
	key.Precompute()
	values := [8]*big.Int{
		key.N, big.NewInt(int64(key.E)), key.D, key.Primes[0], key.Primes[1],
		key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv,
	}
	if slices.Contains(values[:], nil) {
		return nil, ErrKey
	}
	var numbers [8]C.struct_libcrypto_number
	var pinner runtime.Pinner
	defer pinner.Unpin()
	for i, v := range values {
		b := make([]byte, (v.BitLen()+7)/8)
		defer clear(b)
		v.FillBytes(b)
		if !bigEndian {
			slices.Reverse(b)
		}
		p := unsafe.SliceData(b)
		pinner.Pin(p)
		numbers[i] = C.struct_libcrypto_number{bytes: (*C.uchar)(p), length: C.size_t(len(b))}
	}
	k := &RSA{key: C.libcrypto_key(&numbers[0]), size: key.Size()}
	if k.key == nil {
		return nil, ErrKey
	}
	runtime.AddCleanup(k, func(key *C.EVP_PKEY) { C.libcrypto_free(key) }, k.key)
	return k, nil
}

var bigEndian = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 0
}()

// Sign signs a digest of h: with PSS, and a salt of the digest's length, or with
// PKCS #1 v1.5 (RFC 8017 §8). It returns ErrSign if that cannot be done.
func (k *RSA) Sign(pss bool, h crypto.Hash, digest []byte) ([]byte, error) {
	name, ok := hashName(h)
	if !ok || len(digest) != h.Size() {
		return nil, ErrSign
	}
	form := C.int(0)
	if pss {
		form = 1
	}
	signature := make([]byte, k.size)
	enter()
	done := C.libcrypto_sign(k.key, name, form, (*C.uchar)(unsafe.SliceData(digest)), C.size_t(len(digest)), (*C.uchar)(unsafe.SliceData(signature)), C.size_t(len(signature)))
	leave()
	runtime.KeepAlive(k)
	if done == 0 {
		return nil, ErrSign
	}
	return signature, nil
}

// DecryptOAEP opens a blob that was encrypted with h, as OAEP's and MGF1's hash,
// and an empty label (RFC 8017 §7.1.2). It returns ErrDecrypt if that cannot be
// done.
func (k *RSA) DecryptOAEP(h crypto.Hash, blob []byte) (secret.Bytes, error) {
	name, ok := hashName(h)
	if !ok || len(blob) != k.size {
		return nil, ErrDecrypt
	}
	plaintext := make(secret.Bytes, k.size)
	enter()
	n := C.libcrypto_decrypt(k.key, name, (*C.uchar)(unsafe.SliceData(blob)), C.size_t(len(blob)), (*C.uchar)(unsafe.SliceData(plaintext)), C.size_t(len(plaintext)))
	leave()
	runtime.KeepAlive(k)
	if n < 0 {
		return nil, ErrDecrypt
	}
	return plaintext[:n:n], nil
}

func hashName(h crypto.Hash) (C.int, bool) {
	switch h {
	case crypto.SHA1:
		return C.LIBCRYPTO_SHA1, true
	case crypto.SHA256:
		return C.LIBCRYPTO_SHA256, true
	case crypto.SHA384:
		return C.LIBCRYPTO_SHA384, true
	case crypto.SHA512:
		return C.LIBCRYPTO_SHA512, true
	}
	return 0, false
}

// load finds the library.
func load() error {
	if missing := C.libcrypto_load(); missing != nil {
		return fmt.Errorf("%w: %s", ErrMissing, C.GoString(missing))
	}
	return nil
}

// Version is the library's own name and version, for people. [Load] must have
// returned nil.
func Version() string { return C.GoString(C.libcrypto_version()) }
