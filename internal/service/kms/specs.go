package kms

import (
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
)

// family is what UpdateAlias and the grant rules tell apart.
type family uint8

const (
	symmetricKey family = iota
	asymmetricKey
	hmacKey
)

// keySpec is one row of the table of key specs (kms.md §5).
type keySpec struct {
	spec   api.KeySpec
	family family
	usages []usage
	// modulus is the length of an RSA key in bytes.
	modulus int
	// pair says that GenerateDataKeyPair makes pairs of this spec.
	pair bool
	// where says in which Regions there are keys of this spec.
	where regions
}

// usage is what a spec can be used for and with which algorithms, in the order
// that answers list them.
type usage struct {
	usage      api.KeyUsageType
	algorithms []string
}

// regions are those of one kind: KMS has other algorithms in China.
type regions uint8

const (
	everywhere regions = iota
	outsideChina
	inChina
)

var (
	rsaUsages = []usage{
		{api.KeyUsageTypeEncryptDecrypt, []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}},
		{api.KeyUsageTypeSignVerify, []string{
			"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
			"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
		}},
	}
	mldsaUsages = []usage{{api.KeyUsageTypeSignVerify, []string{"ML_DSA_SHAKE_256"}}}
	mlkemUsages = []usage{{api.KeyUsageTypeEncapsulateDecapsulate, []string{"ML_KEM"}}}
)

// nistUsages are those of a curve that signs with algorithm.
func nistUsages(algorithm string) []usage {
	return []usage{
		{api.KeyUsageTypeSignVerify, []string{algorithm}},
		{api.KeyUsageTypeKeyAgreement, []string{"ECDH"}},
	}
}

func hmacUsages(algorithm string) []usage {
	return []usage{{api.KeyUsageTypeGenerateVerifyMac, []string{algorithm}}}
}

var keySpecs = []keySpec{
	{spec: api.KeySpecSymmetricDefault, family: symmetricKey, usages: []usage{
		{api.KeyUsageTypeEncryptDecrypt, []string{symmetricDefault}},
	}},
	{spec: api.KeySpecRsa2048, family: asymmetricKey, usages: rsaUsages, modulus: 256, pair: true},
	{spec: api.KeySpecRsa3072, family: asymmetricKey, usages: rsaUsages, modulus: 384, pair: true},
	{spec: api.KeySpecRsa4096, family: asymmetricKey, usages: rsaUsages, modulus: 512, pair: true},
	{spec: api.KeySpecEccNistP256, family: asymmetricKey, usages: nistUsages("ECDSA_SHA_256"), pair: true},
	{spec: api.KeySpecEccNistP384, family: asymmetricKey, usages: nistUsages("ECDSA_SHA_384"), pair: true},
	{spec: api.KeySpecEccNistP521, family: asymmetricKey, usages: nistUsages("ECDSA_SHA_512"), pair: true},
	{spec: api.KeySpecEccSecgP256k1, family: asymmetricKey, usages: []usage{
		{api.KeyUsageTypeSignVerify, []string{"ECDSA_SHA_256"}},
	}, pair: true},
	{spec: api.KeySpecEccNistEdwards25519, family: asymmetricKey, usages: []usage{
		{api.KeyUsageTypeSignVerify, []string{ed25519PH, ed25519Pure}},
	}, pair: true},
	{spec: api.KeySpecMlDsa44, family: asymmetricKey, usages: mldsaUsages},
	{spec: api.KeySpecMlDsa65, family: asymmetricKey, usages: mldsaUsages},
	{spec: api.KeySpecMlDsa87, family: asymmetricKey, usages: mldsaUsages},
	{spec: api.KeySpecMlKem512, family: asymmetricKey, usages: mlkemUsages, pair: true, where: outsideChina},
	{spec: api.KeySpecMlKem768, family: asymmetricKey, usages: mlkemUsages, pair: true, where: outsideChina},
	{spec: api.KeySpecMlKem1024, family: asymmetricKey, usages: mlkemUsages, pair: true, where: outsideChina},
	{spec: api.KeySpecSm2, family: asymmetricKey, usages: []usage{
		{api.KeyUsageTypeEncryptDecrypt, []string{sm2PKE}},
		{api.KeyUsageTypeSignVerify, []string{sm2DSA}},
		{api.KeyUsageTypeKeyAgreement, []string{"ECDH"}},
	}, pair: true, where: inChina},
	{spec: api.KeySpecHmac224, family: hmacKey, usages: hmacUsages("HMAC_SHA_224")},
	{spec: api.KeySpecHmac256, family: hmacKey, usages: hmacUsages("HMAC_SHA_256")},
	{spec: api.KeySpecHmac384, family: hmacKey, usages: hmacUsages("HMAC_SHA_384")},
	{spec: api.KeySpecHmac512, family: hmacKey, usages: hmacUsages("HMAC_SHA_512")},
}

// Algorithms that rules are about.
const (
	symmetricDefault = "SYMMETRIC_DEFAULT"
	oaepSHA1         = "RSAES_OAEP_SHA_1"
	ed25519PH        = "ED25519_PH_SHA_512"
	ed25519Pure      = "ED25519_SHA_512"
	mldsaShake256    = "ML_DSA_SHAKE_256"
	sm2PKE           = "SM2PKE"
	sm2DSA           = "SM2DSA"
)

func specOf(spec api.KeySpec) *keySpec {
	for i := range keySpecs {
		if keySpecs[i].spec == spec {
			return &keySpecs[i]
		}
	}
	return nil
}

// algorithms returns what a key of that spec and usage can be asked for, nil if
// the two do not go together.
func (s *keySpec) algorithms(u api.KeyUsageType) []string {
	for i := range s.usages {
		if s.usages[i].usage == u {
			return s.usages[i].algorithms
		}
	}
	return nil
}

// in reports whether a Region has keys of this spec.
func (s *keySpec) in(region string) bool {
	china := strings.HasPrefix(region, "cn-")
	return s.where == everywhere || s.where == inChina == china
}

// longestPlaintext is how many bytes an asymmetric key encrypts: for RSA-OAEP what
// RFC 8017 §7.1.1 leaves, for SM2 what KMS says.
func (s *keySpec) longestPlaintext(algorithm string) int {
	if algorithm == sm2PKE {
		return 1024
	}
	hash := 32
	if algorithm == oaepSHA1 {
		hash = 20
	}
	return s.modulus - 2*hash - 2
}

// algorithmLists are the lists of KeyMetadata and GetPublicKey, of which a key has
// exactly one.
type algorithmLists struct {
	encryption    []api.EncryptionAlgorithmSpec
	signing       []api.SigningAlgorithmSpec
	agreement     []api.KeyAgreementAlgorithmSpec
	encapsulation []api.EncapsulationAlgorithmSpec
	mac           []api.MacAlgorithmSpec
}

func (k *key) algorithmLists() (lists algorithmLists) {
	names := k.spec.algorithms(k.Usage)
	switch k.Usage {
	case api.KeyUsageTypeEncryptDecrypt:
		lists.encryption = named[api.EncryptionAlgorithmSpec](names)
	case api.KeyUsageTypeSignVerify:
		lists.signing = named[api.SigningAlgorithmSpec](names)
	case api.KeyUsageTypeKeyAgreement:
		lists.agreement = named[api.KeyAgreementAlgorithmSpec](names)
	case api.KeyUsageTypeEncapsulateDecapsulate:
		lists.encapsulation = named[api.EncapsulationAlgorithmSpec](names)
	case api.KeyUsageTypeGenerateVerifyMac:
		lists.mac = named[api.MacAlgorithmSpec](names)
	}
	return lists
}

func named[T ~string](names []string) []T {
	list := make([]T, len(names))
	for i, name := range names {
		list[i] = T(name)
	}
	return list
}
