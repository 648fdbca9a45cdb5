//go:build cgo

package cryptoki

import (
	"fmt"

	"github.com/miekg/pkcs11"
)

// mechanismNames are those of the mechanisms that an operator is likely to ask for.
var mechanismNames = map[uint]string{
	pkcs11.CKM_AES_KEY_GEN: "CKM_AES_KEY_GEN", pkcs11.CKM_AES_ECB: "CKM_AES_ECB", pkcs11.CKM_AES_CBC: "CKM_AES_CBC",
	pkcs11.CKM_AES_CBC_PAD: "CKM_AES_CBC_PAD", pkcs11.CKM_AES_CTR: "CKM_AES_CTR", pkcs11.CKM_AES_GCM: "CKM_AES_GCM",
	pkcs11.CKM_AES_CCM: "CKM_AES_CCM", pkcs11.CKM_AES_CMAC: "CKM_AES_CMAC", pkcs11.CKM_AES_GMAC: "CKM_AES_GMAC",
	pkcs11.CKM_AES_KEY_WRAP: "CKM_AES_KEY_WRAP", pkcs11.CKM_AES_KEY_WRAP_PAD: "CKM_AES_KEY_WRAP_PAD",
	pkcs11.CKM_GENERIC_SECRET_KEY_GEN: "CKM_GENERIC_SECRET_KEY_GEN",
	pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN:  "CKM_RSA_PKCS_KEY_PAIR_GEN", pkcs11.CKM_RSA_PKCS: "CKM_RSA_PKCS",
	pkcs11.CKM_RSA_PKCS_OAEP: "CKM_RSA_PKCS_OAEP", pkcs11.CKM_RSA_PKCS_PSS: "CKM_RSA_PKCS_PSS",
	pkcs11.CKM_SHA256_RSA_PKCS: "CKM_SHA256_RSA_PKCS", pkcs11.CKM_SHA384_RSA_PKCS: "CKM_SHA384_RSA_PKCS",
	pkcs11.CKM_SHA512_RSA_PKCS: "CKM_SHA512_RSA_PKCS", pkcs11.CKM_SHA256_RSA_PKCS_PSS: "CKM_SHA256_RSA_PKCS_PSS",
	pkcs11.CKM_SHA384_RSA_PKCS_PSS: "CKM_SHA384_RSA_PKCS_PSS", pkcs11.CKM_SHA512_RSA_PKCS_PSS: "CKM_SHA512_RSA_PKCS_PSS",
	pkcs11.CKM_EC_KEY_PAIR_GEN: "CKM_EC_KEY_PAIR_GEN", pkcs11.CKM_ECDSA: "CKM_ECDSA", pkcs11.CKM_ECDH1_DERIVE: "CKM_ECDH1_DERIVE",
	pkcs11.CKM_SHA_1: "CKM_SHA_1", pkcs11.CKM_SHA256: "CKM_SHA256", pkcs11.CKM_SHA384: "CKM_SHA384", pkcs11.CKM_SHA512: "CKM_SHA512",
	pkcs11.CKM_SHA_1_HMAC: "CKM_SHA_1_HMAC", pkcs11.CKM_SHA256_HMAC: "CKM_SHA256_HMAC", pkcs11.CKM_SHA384_HMAC: "CKM_SHA384_HMAC",
	pkcs11.CKM_SHA512_HMAC: "CKM_SHA512_HMAC",
}

// mechanismName is the mechanism's name, or its number.
func mechanismName(m uint) string {
	if n, ok := mechanismNames[m]; ok {
		return n
	}
	return fmt.Sprintf("%#08x", m)
}
