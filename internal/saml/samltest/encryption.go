package samltest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"strings"
	"testing"
)

// Ciphers that assertions are encrypted with.
const (
	AES256GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	AES128CBC = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	RSAOAEP   = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
)

// Encrypt returns an EncryptedAssertion, with RSA-OAEP and AES256GCM or AES128CBC.
func Encrypt(tb testing.TB, assertion string, key *rsa.PublicKey, content string) string {
	tb.Helper()
	size := 32
	if content == AES128CBC {
		size = 16
	}
	secret := make([]byte, size)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	if err != nil {
		tb.Fatal(err)
	}
	var sealed []byte
	if content == AES128CBC {
		padding := 16 - len(assertion)%16
		plain := append([]byte(assertion), strings.Repeat("\x00", padding-1)+string(rune(padding))...)
		sealed = make([]byte, 16+len(plain))
		rand.Read(sealed[:16])
		cipher.NewCBCEncrypter(block, sealed[:16]).CryptBlocks(sealed[16:], plain)
	} else {
		aead, err := cipher.NewGCM(block)
		if err != nil {
			tb.Fatal(err)
		}
		nonce := make([]byte, aead.NonceSize())
		rand.Read(nonce)
		sealed = aead.Seal(nonce, nonce, []byte(assertion), nil)
	}
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, secret, nil)
	if err != nil {
		tb.Fatal(err)
	}
	value := func(b []byte) string {
		return `<xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(b) + `</xenc:CipherValue></xenc:CipherData>`
	}
	return `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element">` +
		`<xenc:EncryptionMethod Algorithm="` + content + `"></xenc:EncryptionMethod><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>` +
		`<xenc:EncryptionMethod Algorithm="` + RSAOAEP + `"></xenc:EncryptionMethod>` + value(wrapped) + `</xenc:EncryptedKey></ds:KeyInfo>` + value(sealed) +
		`</xenc:EncryptedData></saml:EncryptedAssertion>`
}
