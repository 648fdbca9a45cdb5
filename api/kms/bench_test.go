package kms

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
)

func encryptBody(size int) []byte {
	return fmt.Appendf(nil, `{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Plaintext":%q,"EncryptionContext":{"tenant":"blue"},"EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`,
		base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, size)))
}

func BenchmarkDecodeEncrypt(b *testing.B) {
	for _, size := range []int{32, 1024, 4096} {
		body := encryptBody(size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeEncrypt(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeDecrypt(b *testing.B) {
	body := fmt.Appendf(nil, `{"CiphertextBlob":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 180)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeDecrypt(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEncrypt(b *testing.B) {
	out := &EncryptOutput{
		CiphertextBlob:      make([]byte, 180),
		KeyId:               "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		EncryptionAlgorithm: EncryptionAlgorithmSpecSymmetricDefault,
	}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = encodeEncrypt(dst[:0], out)
	}
}

func BenchmarkAuditEncrypt(b *testing.B) {
	in, err := decodeEncrypt(encryptBody(32))
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = auditEncryptInput(dst[:0], in)
	}
}
