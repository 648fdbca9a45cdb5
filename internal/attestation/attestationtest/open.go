package attestationtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"testing"
)

// Open decrypts what was sealed for a document with a key of 2048 bits. It finds the
// parts by the bytes before them; that they are a CMS structure is for OpenSSL to
// say.
func Open(t testing.TB, key *rsa.PrivateKey, sealed []byte) []byte {
	t.Helper()
	behind := func(marker ...byte) []byte {
		_, rest, found := bytes.Cut(sealed, marker)
		if !found {
			t.Fatalf("%x is not in %x", marker, sealed)
		}
		return rest
	}
	transported := behind(0x04, 0x82, 0x01, 0x00)[:256]
	iv := behind(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a, 0x04, 0x10)
	var content asn1.RawValue
	if _, err := asn1.Unmarshal(iv[aes.BlockSize+2:], &content); err != nil {
		t.Fatal(err)
	}
	contentKey, err := rsa.DecryptOAEP(sha256.New(), nil, key, transported, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(contentKey)
	if err != nil {
		t.Fatal(err)
	}
	plaintext := make([]byte, len(content.Bytes))
	cipher.NewCBCDecrypter(block, iv[:aes.BlockSize]).CryptBlocks(plaintext, content.Bytes)
	pad := plaintext[len(plaintext)-1]
	if !bytes.HasSuffix(plaintext, bytes.Repeat([]byte{pad}, int(pad))) {
		t.Fatalf("the padding of %x is wrong", plaintext)
	}
	return plaintext[:len(plaintext)-int(pad)]
}
