package software

import (
	"crypto"

	"github.com/strongroom/strongroom/internal/keyring"
)

// hashOf returns the hash that an algorithm signs or authenticates with, 0 for
// algorithms that have none to choose.
func hashOf(a keyring.Algorithm) crypto.Hash {
	switch a {
	case keyring.OAEPSHA1:
		return crypto.SHA1
	case keyring.HMACSHA224:
		return crypto.SHA224
	case keyring.PKCS1SHA256, keyring.PSSSHA256, keyring.ECDSASHA256, keyring.HMACSHA256, keyring.OAEPSHA256:
		return crypto.SHA256
	case keyring.PKCS1SHA384, keyring.PSSSHA384, keyring.ECDSASHA384, keyring.HMACSHA384:
		return crypto.SHA384
	case keyring.PKCS1SHA512, keyring.PSSSHA512, keyring.ECDSASHA512, keyring.HMACSHA512:
		return crypto.SHA512
	}
	return 0
}

// digestOf returns the digest to sign: the message's, or the message itself if it
// is one already.
func digestOf(h crypto.Hash, form keyring.Form, message []byte) ([]byte, error) {
	switch form {
	case keyring.Raw:
		d := h.New()
		d.Write(message)
		return d.Sum(nil), nil
	case keyring.Digest:
		if len(message) != h.Size() {
			return nil, keyring.ErrMessageSize
		}
		return message, nil
	}
	return nil, unsupported("form", string(form))
}
