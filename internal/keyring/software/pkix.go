package software

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// The standard library encodes the keys of its own algorithms. This file does so
// for the others, and for elliptic-curve private keys, in which it leaves out the
// curve that KMS's data key pairs have in the inner structure too.

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}          // RFC 5480 §2.1.1
	oidP256        = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}       // RFC 5480 §2.1.1.1
	oidP384        = asn1.ObjectIdentifier{1, 3, 132, 0, 34}                // RFC 5480 §2.1.1.1
	oidP521        = asn1.ObjectIdentifier{1, 3, 132, 0, 35}                // RFC 5480 §2.1.1.1
	oidSecp256k1   = asn1.ObjectIdentifier{1, 3, 132, 0, 10}                // SEC 2 §A.2.1
	oidMLDSA44     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17} // RFC 9881 §2
	oidMLDSA65     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18} // RFC 9881 §2
	oidMLDSA87     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 19} // RFC 9881 §2
	oidMLKEM512    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 1}  // RFC 9935 §3
	oidMLKEM768    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 2}  // RFC 9935 §3
	oidMLKEM1024   = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 3}  // RFC 9935 §3
)

type subjectPublicKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	PublicKey asn1.BitString
}

type privateKeyInfo struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

// ecPrivateKey is RFC 5915's.
type ecPrivateKey struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.ObjectIdentifier `asn1:"explicit,tag:0"`
	PublicKey  asn1.BitString        `asn1:"explicit,tag:1"`
}

// algorithmOn identifies elliptic-curve keys on a curve.
func algorithmOn(curve asn1.ObjectIdentifier) (pkix.AlgorithmIdentifier, error) {
	parameters, err := asn1.Marshal(curve)
	return pkix.AlgorithmIdentifier{Algorithm: oidECPublicKey, Parameters: asn1.RawValue{FullBytes: parameters}}, err
}

// marshalSPKI returns a SubjectPublicKeyInfo (RFC 5280 §4.1).
func marshalSPKI(algorithm pkix.AlgorithmIdentifier, key []byte) ([]byte, error) {
	return asn1.Marshal(subjectPublicKeyInfo{algorithm, asn1.BitString{Bytes: key, BitLength: 8 * len(key)}})
}

var errSPKI = errors.New("software: not a SubjectPublicKeyInfo of that algorithm")

// parseSPKI returns the key's bits, which must be whole bytes and all there is.
// curve is nil for algorithms without parameters.
func parseSPKI(der []byte, algorithm, curve asn1.ObjectIdentifier) ([]byte, error) {
	var info subjectPublicKeyInfo
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || len(rest) != 0 || !info.Algorithm.Algorithm.Equal(algorithm) || info.PublicKey.BitLength%8 != 0 {
		return nil, errSPKI
	}
	if curve == nil {
		if len(info.Algorithm.Parameters.FullBytes) != 0 {
			return nil, errSPKI
		}
		return info.PublicKey.Bytes, nil
	}
	var named asn1.ObjectIdentifier
	rest, err = asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &named)
	if err != nil || len(rest) != 0 || !named.Equal(curve) {
		return nil, errSPKI
	}
	return info.PublicKey.Bytes, nil
}

// marshalECPrivateKey returns the PKCS #8 form of an elliptic-curve key, with the
// curve named inside and outside and the public key in it. scalar has the field's
// length, point is the uncompressed public key.
func marshalECPrivateKey(curve asn1.ObjectIdentifier, scalar secret.Bytes, point []byte) (secret.Bytes, error) {
	algorithm, err := algorithmOn(curve)
	if err != nil {
		return nil, err
	}
	inner, err := asn1.Marshal(ecPrivateKey{1, scalar, curve, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
	if err != nil {
		return nil, err
	}
	defer clear(inner)
	return asn1.Marshal(privateKeyInfo{0, algorithm, inner})
}

// unsupported is ErrUnsupported that says of what.
func unsupported(what, value string) error {
	return fmt.Errorf("%w: %s %q", keyring.ErrUnsupported, what, value)
}
