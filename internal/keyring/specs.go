package keyring

// Specs of keys that are not SymmetricDefault, by their KMS KeySpec (KMS API,
// CreateKey). A module knows some or all of them and answers ErrUnsupported to the
// others.
const (
	RSA2048 Spec = "RSA_2048"
	RSA3072 Spec = "RSA_3072"
	RSA4096 Spec = "RSA_4096"

	P256      Spec = "ECC_NIST_P256"
	P384      Spec = "ECC_NIST_P384"
	P521      Spec = "ECC_NIST_P521"
	Secp256k1 Spec = "ECC_SECG_P256K1"
	Ed25519   Spec = "ECC_NIST_EDWARDS25519"

	HMAC224 Spec = "HMAC_224"
	HMAC256 Spec = "HMAC_256"
	HMAC384 Spec = "HMAC_384"
	HMAC512 Spec = "HMAC_512"

	MLDSA44 Spec = "ML_DSA_44"
	MLDSA65 Spec = "ML_DSA_65"
	MLDSA87 Spec = "ML_DSA_87"

	MLKEM512  Spec = "ML_KEM_512"
	MLKEM768  Spec = "ML_KEM_768"
	MLKEM1024 Spec = "ML_KEM_1024"

	SM2 Spec = "SM2"
)

// Algorithm is what a key is asked to do, by the name that the KMS API has for it.
type Algorithm string

// The algorithms. RSA-OAEP takes one hash for the label and for MGF1 (RFC 8017
// §7.1). RSA-PSS has MGF1 with the same hash and a salt as long as the hash
// (RFC 8017 §8.1). ECDSA signatures are DER (RFC 3279 §2.2.3). Ed25519 and
// Ed25519ph are those of RFC 8032 without context. ML-DSA is FIPS 204 without
// context, randomised; ML-KEM is FIPS 203. SM2 is GB/T 32918 with the default
// distinguishing id.
const (
	OAEPSHA1   Algorithm = "RSAES_OAEP_SHA_1"
	OAEPSHA256 Algorithm = "RSAES_OAEP_SHA_256"

	PKCS1SHA256 Algorithm = "RSASSA_PKCS1_V1_5_SHA_256"
	PKCS1SHA384 Algorithm = "RSASSA_PKCS1_V1_5_SHA_384"
	PKCS1SHA512 Algorithm = "RSASSA_PKCS1_V1_5_SHA_512"
	PSSSHA256   Algorithm = "RSASSA_PSS_SHA_256"
	PSSSHA384   Algorithm = "RSASSA_PSS_SHA_384"
	PSSSHA512   Algorithm = "RSASSA_PSS_SHA_512"

	ECDSASHA256 Algorithm = "ECDSA_SHA_256"
	ECDSASHA384 Algorithm = "ECDSA_SHA_384"
	ECDSASHA512 Algorithm = "ECDSA_SHA_512"

	Ed25519SHA512   Algorithm = "ED25519_SHA_512"
	Ed25519PHSHA512 Algorithm = "ED25519_PH_SHA_512"

	MLDSAShake256 Algorithm = "ML_DSA_SHAKE_256"

	HMACSHA224 Algorithm = "HMAC_SHA_224"
	HMACSHA256 Algorithm = "HMAC_SHA_256"
	HMACSHA384 Algorithm = "HMAC_SHA_384"
	HMACSHA512 Algorithm = "HMAC_SHA_512"

	ECDH  Algorithm = "ECDH"
	MLKEM Algorithm = "ML_KEM"

	SM2PKE Algorithm = "SM2PKE"
	SM2DSA Algorithm = "SM2DSA"
)

// Form says what the message of a signature is (KMS API, Sign, MessageType).
type Form string

const (
	// Raw is the message itself; the module hashes it if the algorithm does.
	Raw Form = "RAW"
	// Digest is the message's hash, as long as the algorithm's hash is. Ed25519ph
	// hashes it once more, as KMS does.
	Digest Form = "DIGEST"
	// ExternalMu is the 64-byte message representative µ of ML-DSA (FIPS 204
	// §6.2), which the caller computed.
	ExternalMu Form = "EXTERNAL_MU"
)
