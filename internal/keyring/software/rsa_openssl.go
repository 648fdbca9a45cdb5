//go:build strongroom_openssl

package software

import (
	"crypto/fips140"
	"crypto/rsa"

	"github.com/strongroom/strongroom/internal/keyring/software/libcrypto"
)

// Ready finds and tests what the module needs of the machine: OpenSSL, except in
// FIPS mode. It says whose library has RSA's private operations if that is not
// Go's.
func Ready() (library string, err error) {
	if fips140.Enabled() {
		return "", nil
	}
	if err := libcrypto.Load(); err != nil {
		return "", unready{err}
	}
	return libcrypto.Version(), nil
}

// unready is an error of libcrypto's with a hint for people.
type unready struct{ error }

func (e unready) Unwrap() error { return e.error }

// Hint says what to do.
func (unready) Hint() string {
	return "this build does RSA with OpenSSL: install OpenSSL 3's libcrypto.so.3 (ldconfig -p shows whether it is there), or take a build without the tag strongroom_openssl"
}

// rsaOperationsOf returns OpenSSL's, or Go's in FIPS mode and for a key that
// OpenSSL does not take: what one build can use the other can, too.
func rsaOperationsOf(key *rsa.PrivateKey) rsaOperations {
	if fips140.Enabled() {
		return goRSA{key}
	}
	k, err := libcrypto.NewRSA(key)
	if err != nil {
		return goRSA{key}
	}
	return k
}
