package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"

	"github.com/beevik/etree"
)

// Namespaces of XML Encryption 1.0 and 1.1.
const (
	xencNS   = "http://www.w3.org/2001/04/xmlenc#"
	xenc11NS = "http://www.w3.org/2009/xmlenc11#"
)

// contents are the ciphers that assertions may be encrypted with (XML Encryption 1.1
// §5.2), by the size of their keys in bytes. Those that do not authenticate are opened
// only inside of what the provider has signed: whoever may try others learns the
// plaintext from how they fail (Jager and Somorovsky, "How to Break XML Encryption",
// 2011).
var contents = map[string]struct {
	size          int
	authenticates bool
	open          func(block cipher.Block, ciphertext []byte) ([]byte, bool)
}{
	xenc11NS + "aes128-gcm": {16, true, openGCM},
	xenc11NS + "aes192-gcm": {24, true, openGCM},
	xenc11NS + "aes256-gcm": {32, true, openGCM},
	xencNS + "aes128-cbc":   {16, false, openCBC},
	xencNS + "aes192-cbc":   {24, false, openCBC},
	xencNS + "aes256-cbc":   {32, false, openCBC},
}

func openGCM(block cipher.Block, ciphertext []byte) ([]byte, bool) {
	aead, err := cipher.NewGCM(block)
	if err != nil || len(ciphertext) < aead.NonceSize() {
		return nil, false
	}
	plain, err := aead.Open(nil, ciphertext[:aead.NonceSize()], ciphertext[aead.NonceSize():], nil)
	return plain, err == nil
}

// openCBC: the last byte tells how many bytes of padding there are (XML Encryption 1.1
// §5.2.1).
func openCBC(block cipher.Block, ciphertext []byte) ([]byte, bool) {
	size := block.BlockSize()
	if len(ciphertext) < 2*size || len(ciphertext)%size != 0 {
		return nil, false
	}
	plain := make([]byte, len(ciphertext)-size)
	cipher.NewCBCDecrypter(block, ciphertext[:size]).CryptBlocks(plain, ciphertext[size:])
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > size {
		return nil, false
	}
	return plain[:len(plain)-padding], true
}

// oaepDigests and maskHashes are the hash functions of RSA-OAEP (XML Encryption 1.1
// §5.5.2), where SHA-1 does no harm and is usual.
var (
	oaepDigests = map[string]crypto.Hash{
		"":                crypto.SHA1,
		dsigNS + "sha1":   crypto.SHA1,
		xencNS + "sha256": crypto.SHA256,
		"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
		xencNS + "sha512": crypto.SHA512,
	}
	maskHashes = map[string]crypto.Hash{
		"":                      crypto.SHA1,
		xenc11NS + "mgf1sha1":   crypto.SHA1,
		xenc11NS + "mgf1sha256": crypto.SHA256,
		xenc11NS + "mgf1sha384": crypto.SHA384,
		xenc11NS + "mgf1sha512": crypto.SHA512,
	}
)

// opened decrypts an EncryptedAssertion (SAML Core §2.3.4) and returns the root of what is
// in it. vouched says that it stands in what the provider has signed.
func opened(el *etree.Element, keys []*rsa.PrivateKey, vouched bool) (*etree.Element, error) {
	data, err := child(el, xencNS, "EncryptedData")
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, malformed("EncryptedAssertion has other parts than it should have")
	}
	method, err := child(data, xencNS, "EncryptionMethod")
	if err != nil {
		return nil, err
	}
	if method == nil {
		return nil, malformed("EncryptedData has no EncryptionMethod")
	}
	content, ok := contents[attribute(method, "Algorithm")]
	switch {
	case !ok:
		return nil, malformed("an assertion is encrypted with an algorithm that is not accepted")
	case !content.authenticates && !vouched:
		return nil, malformed("an assertion is encrypted with AES-CBC in a response that is not signed itself: sign the response, or encrypt with AES-GCM")
	}
	ciphertext, err := cipherValue(data)
	if err != nil {
		return nil, err
	}
	wrapped, options, err := wrappedKey(el, data)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		secret, err := key.Decrypt(nil, wrapped, options)
		if err != nil || len(secret) != content.size {
			continue
		}
		block, err := aes.NewCipher(secret)
		clear(secret)
		if err != nil {
			continue
		}
		if plain, ok := content.open(block, ciphertext); ok {
			return readAssertion(plain)
		}
	}
	return nil, ErrDecryption
}

// readAssertion reads a decrypted assertion.
func readAssertion(plain []byte) (*etree.Element, error) {
	assertion, err := readTree(plain)
	if err != nil {
		return nil, err
	}
	if !is(assertion, assertionNS, "Assertion") {
		return nil, malformed("what is encrypted is no Assertion")
	}
	return assertion, misplaced(assertion, nil, assertion)
}

// wrappedKey returns the encrypted key of EncryptedData, which stands in its KeyInfo or
// behind it, and how it is encrypted.
func wrappedKey(el, data *etree.Element) ([]byte, *rsa.OAEPOptions, error) {
	found := children(el, xencNS, "EncryptedKey")
	info, err := child(data, dsigNS, "KeyInfo")
	if err != nil {
		return nil, nil, err
	}
	if info != nil {
		found = append(found, children(info, xencNS, "EncryptedKey")...)
	}
	if len(found) != 1 {
		return nil, nil, malformed("there is not exactly one EncryptedKey")
	}
	method, err := child(found[0], xencNS, "EncryptionMethod")
	if err != nil {
		return nil, nil, err
	}
	if method == nil {
		return nil, nil, malformed("EncryptedKey has no EncryptionMethod")
	}
	parameter := func(namespace, tag string) (string, error) {
		el, err := child(method, namespace, tag)
		if el == nil || err != nil {
			return "", err
		}
		return attribute(el, "Algorithm"), nil
	}
	digest, err := parameter(dsigNS, "DigestMethod")
	if err != nil {
		return nil, nil, err
	}
	mask, err := parameter(xenc11NS, "MGF")
	if err != nil {
		return nil, nil, err
	}
	algorithm := attribute(method, "Algorithm")
	hash, known := oaepDigests[digest]
	maskHash, maskKnown := maskHashes[mask]
	oaep := algorithm == xencNS+"rsa-oaep-mgf1p" && mask == "" || algorithm == xenc11NS+"rsa-oaep"
	if !oaep || !known || !maskKnown || len(children(method, xencNS, "OAEPparams")) > 0 {
		return nil, nil, malformed("a key is encrypted in a way that is not accepted: RSA-OAEP is")
	}
	value, err := cipherValue(found[0])
	return value, &rsa.OAEPOptions{Hash: hash, MGFHash: maskHash}, err
}

// cipherValue returns the ciphertext of EncryptedData or EncryptedKey.
func cipherValue(el *etree.Element) ([]byte, error) {
	data, err := child(el, xencNS, "CipherData")
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, malformed("%s has no CipherData", el.Tag)
	}
	value, err := sequence(data, xencNS, "CipherValue")
	if err != nil {
		return nil, err
	}
	return base64Of(value[0])
}
