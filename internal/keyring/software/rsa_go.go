//go:build !strongroom_openssl

package software

import "crypto/rsa"

// Ready finds and tests what the module needs of the machine: nothing, in this
// build. It says whose library has RSA's private operations if that is not Go's.
func Ready() (library string, err error) { return "", nil }

func rsaOperationsOf(key *rsa.PrivateKey) rsaOperations { return goRSA{key} }
