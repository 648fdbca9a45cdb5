package software

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
)

var benchContext = map[string]string{"tenant": "acme", "purpose": "backup"}

func BenchmarkEncrypt(b *testing.B) {
	r := newRing(b, Config{})
	key := mustGenerate(b, r, uuidA)
	for _, size := range []int{32, 1024, 4096} {
		plaintext := make([]byte, size)
		run(b, fmt.Sprint(size), func() error {
			_, err := r.Encrypt(context.Background(), key, plaintext, benchContext)
			return err
		})
	}
}

func BenchmarkDecrypt(b *testing.B) {
	r := newRing(b, Config{})
	key := mustGenerate(b, r, uuidA)
	for _, size := range []int{32, 1024, 4096} {
		blob, err := r.Encrypt(context.Background(), key, make([]byte, size), benchContext)
		if err != nil {
			b.Fatal(err)
		}
		run(b, fmt.Sprint(size), func() error {
			_, err := r.Decrypt(context.Background(), key, blob, benchContext)
			return err
		})
	}
}

// BenchmarkDecryptUncached loads the material from its wrapped form each time.
func BenchmarkDecryptUncached(b *testing.B) {
	r := newRing(b, Config{})
	key := mustGenerate(b, r, uuidA)
	blob, err := r.Encrypt(context.Background(), key, make([]byte, 32), benchContext)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Forget(uuidA)
		if _, err := r.Decrypt(context.Background(), key, blob, benchContext); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDerive compares the keyed states with crypto/hkdf used whole.
func BenchmarkDerive(b *testing.B) {
	material := make([]byte, materialSize)
	headerAndSalt := make([]byte, commitmentAt)
	b.Run("keyed state", func(b *testing.B) {
		e, err := newEntry(uuidA, "m", material)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			d := e.take()
			if err := d.derive(headerAndSalt, benchContext); err != nil {
				b.Fatal(err)
			}
			e.release(d)
		}
	})
	b.Run("crypto hkdf", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, _ := keyring.AppendContext(nil, benchContext)
			info := string(headerAndSalt) + string(c)
			for _, label := range [][]byte{commitmentLabel, keyLabel} {
				if _, err := hkdf.Key(sha256.New, material, []byte(messageSalt), string(label)+info, 32); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func run(b *testing.B, name string, op func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := op(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name+"/parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := op(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkSign has the ring beside the library alone.
func BenchmarkSign(b *testing.B) {
	r, keys := asymmetric()
	digest := make([]byte, 32)
	for _, c := range []struct {
		spec      keyring.Spec
		algorithm keyring.Algorithm
	}{
		{keyring.P256, keyring.ECDSASHA256},
		{keyring.RSA2048, keyring.PKCS1SHA256},
		{keyring.RSA2048, keyring.PSSSHA256},
		{keyring.Ed25519, keyring.Ed25519SHA512},
		{keyring.Secp256k1, keyring.ECDSASHA256},
		{keyring.MLDSA65, keyring.MLDSAShake256},
	} {
		key := keys[c.spec]
		parsed, err := r.private(&key, kindOf(c.spec))
		if err != nil {
			b.Fatal(err)
		}
		form := keyring.Digest
		if hashOf(c.algorithm) == 0 {
			form = keyring.Raw
		}
		run(b, fmt.Sprintf("%s/%s/ring", c.spec, c.algorithm), func() error {
			_, err := r.Sign(context.Background(), key, c.algorithm, form, digest)
			return err
		})
		run(b, fmt.Sprintf("%s/%s/library", c.spec, c.algorithm), func() error {
			_, err := parsed.(signer).sign(c.algorithm, form, digest)
			return err
		})
	}
}

// BenchmarkVerifyMu has our verification of a µ beside the library's of a message.
func BenchmarkVerifyMu(b *testing.B) {
	r, keys := asymmetric()
	message := make([]byte, muSize)
	for _, form := range []keyring.Form{keyring.ExternalMu, keyring.Raw} {
		signature, err := r.Sign(context.Background(), keys[keyring.MLDSA65], keyring.MLDSAShake256, form, message)
		if err != nil {
			b.Fatal(err)
		}
		run(b, string(form), func() error {
			return r.Verify(context.Background(), keys[keyring.MLDSA65], keyring.MLDSAShake256, form, message, signature)
		})
	}
}

// BenchmarkGenerateMAC has the ring beside crypto/hmac alone.
func BenchmarkGenerateMAC(b *testing.B) {
	r, keys := asymmetric()
	message := make([]byte, 256)
	run(b, "ring", func() error {
		_, err := r.GenerateMAC(context.Background(), keys[keyring.HMAC256], keyring.HMACSHA256, message)
		return err
	})
	material := make([]byte, 32)
	run(b, "library", func() error {
		h := hmac.New(sha256.New, material)
		h.Write(message)
		h.Sum(nil)
		return nil
	})
}
