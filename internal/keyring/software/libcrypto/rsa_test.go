//go:build strongroom_openssl

package libcrypto

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// keyOf reads a test key of package software's.
func keyOf(tb testing.TB, bits int) *rsa.PrivateKey {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("../testdata/rsa/%d.pem", bits))
	if err != nil {
		tb.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

func mustNew(tb testing.TB, key *rsa.PrivateKey) *RSA {
	tb.Helper()
	if err := Load(); err != nil {
		tb.Fatal(err)
	}
	k, err := NewRSA(key)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

var hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

var equalsHash = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

// TestAgainstGo: signatures with PKCS #1 v1.5 are the same bytes, those with PSS
// verify with the salt that they are to have, and blobs open to what Go put in.
func TestAgainstGo(t *testing.T) {
	for _, bits := range []int{2048, 3072, 4096} {
		key := keyOf(t, bits)
		k := mustNew(t, key)
		for _, h := range hashes {
			digest := make([]byte, h.Size())
			_, _ = rand.Read(digest)
			want, err := rsa.SignPKCS1v15(nil, key, h, digest)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := k.Sign(false, h, digest); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bits, PKCS #1 v1.5 with %v: %x, %v; want %x", bits, h, got, err, want)
			}
			got, err := k.Sign(true, h, digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := rsa.VerifyPSS(&key.PublicKey, h, digest, got, equalsHash); err != nil {
				t.Errorf("%d bits, PSS with %v: %v", bits, h, err)
			}
		}
		for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
			for _, size := range []int{0, 1, 190} {
				plaintext := make([]byte, size)
				_, _ = rand.Read(plaintext)
				blob, err := rsa.EncryptOAEP(h.New(), rand.Reader, &key.PublicKey, plaintext, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := k.DecryptOAEP(h, blob); err != nil || !got.Equal(plaintext) {
					t.Errorf("%d bits, OAEP with %v, %d bytes: %d bytes, %v", bits, h, size, len(got), err)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	key := keyOf(t, 2048)
	k := mustNew(t, key)
	digest := make([]byte, 32)
	for _, c := range []struct {
		h      crypto.Hash
		digest []byte
	}{{crypto.SHA256, nil}, {crypto.SHA256, digest[:31]}, {crypto.SHA384, digest}, {crypto.MD5, digest[:16]}, {0, digest}} {
		for _, pss := range []bool{false, true} {
			if _, err := k.Sign(pss, c.h, c.digest); !errors.Is(err, ErrSign) {
				t.Errorf("%d bytes as a digest of hash %d: %v", len(c.digest), c.h, err)
			}
		}
	}
	blob, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(blob)
	flipped[100] ^= 1
	large := bytes.Repeat([]byte{0xff}, len(blob)) // more than the modulus
	for name, b := range map[string][]byte{"nothing": nil, "short": blob[1:], "long": append(bytes.Clone(blob), 0), "flipped": flipped, "large": large} {
		if got, err := k.DecryptOAEP(crypto.SHA256, b); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%s opens to %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := k.DecryptOAEP(crypto.SHA1, blob); !errors.Is(err, ErrDecrypt) {
		t.Errorf("opens with another hash: %v", err)
	}
	multi := *key
	multi.Primes = append(multi.Primes[:2:2], multi.Primes[0])
	if _, err := NewRSA(&multi); !errors.Is(err, ErrKey) {
		t.Errorf("a key of three primes: %v", err)
	}
}

// TestManyCallers signs with one key and with keys that come and go.
func TestManyCallers(t *testing.T) {
	key := keyOf(t, 2048)
	shared := mustNew(t, key)
	digest := sha256.Sum256(nil)
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			k := shared
			if i%2 == 0 {
				k = mustNew(t, key)
			}
			for range 8 {
				got, err := k.Sign(true, crypto.SHA256, digest[:])
				if err == nil {
					err = rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, digest[:], got, equalsHash)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

// TestAFaultIsNotShown: a wrong result of one half of the Chinese remainder theorem
// would give the other prime away. OpenSSL must see it and compute without halves,
// or fail.
func TestAFaultIsNotShown(t *testing.T) {
	key := keyOf(t, 2048)
	digest := sha256.Sum256(nil)
	want, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*rsa.PrecomputedValues){
		"dP":   func(v *rsa.PrecomputedValues) { v.Dp = new(big.Int).Add(v.Dp, big.NewInt(2)) },
		"dQ":   func(v *rsa.PrecomputedValues) { v.Dq = new(big.Int).Add(v.Dq, big.NewInt(2)) },
		"qInv": func(v *rsa.PrecomputedValues) { v.Qinv = new(big.Int).Add(v.Qinv, big.NewInt(2)) },
	} {
		faulty := *key
		change(&faulty.Precomputed)
		got, err := mustNew(t, &faulty).Sign(false, crypto.SHA256, digest[:])
		if err == nil && !bytes.Equal(got, want) {
			t.Errorf("with a wrong %s a wrong signature comes out", name)
		}
		t.Logf("with a wrong %s: %v", name, err)
	}
}

// TestKeysAreFreed: keys that nothing refers to leave OpenSSL's memory.
func TestKeysAreFreed(t *testing.T) {
	key := keyOf(t, 4096)
	mustNew(t, key)
	makeSome := func() {
		var gone atomic.Int32
		for range 2000 {
			runtime.AddCleanup(mustNew(t, key), func(struct{}) { gone.Add(1) }, struct{}{})
		}
		for gone.Load() < 2000 {
			runtime.GC()
		}
	}
	makeSome() // what the Go runtime and the heap settle at
	before := resident(t)
	makeSome()
	if grown := resident(t) - before; grown > 3<<20 {
		t.Errorf("2,000 keys have left %d KB behind", grown>>10)
	}
}

// resident is how much memory this process has, in bytes.
func resident(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestVersionIsOpenSSL3(t *testing.T) {
	mustNew(t, keyOf(t, 2048))
	if v := Version(); !strings.HasPrefix(v, "OpenSSL 3.") {
		t.Errorf("the version is %q", v)
	}
}

// BenchmarkSign compares OpenSSL with Go's own library. On a machine that others
// keep busy, cpu-µs/op says more than ns/op. Run it with -cpu 1.
func BenchmarkSign(b *testing.B) {
	for _, bits := range []int{2048, 3072, 4096} {
		key := keyOf(b, bits)
		k := mustNew(b, key)
		digest := sha256.Sum256(nil)
		for _, library := range []struct {
			name string
			sign func() ([]byte, error)
		}{
			{"go", func() ([]byte, error) { return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]) }},
			{"openssl", func() ([]byte, error) { return k.Sign(false, crypto.SHA256, digest[:]) }},
		} {
			b.Run(fmt.Sprintf("%d/%s", bits, library.name), func(b *testing.B) {
				before := processorTime(b)
				for b.Loop() {
					if _, err := library.sign(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(processorTime(b)-before)/1e3/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// processorTime is what this process has used, in nanoseconds.
func processorTime(tb testing.TB) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
