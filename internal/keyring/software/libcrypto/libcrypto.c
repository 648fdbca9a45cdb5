//go:build linux && cgo && strongroom_openssl

#include "libcrypto.h"

#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

// The functions are found when the server starts, not when the loader starts the
// program, so that a machine without the library can be told so, and can do what
// takes no RSA. The headers give the types.
#define FUNCTIONS(F) \
	F(OpenSSL_version) \
	F(OPENSSL_init_crypto) \
	F(ERR_clear_error) \
	F(OSSL_PARAM_construct_BN) \
	F(OSSL_PARAM_construct_end) \
	F(EVP_PKEY_CTX_new_from_name) \
	F(EVP_PKEY_CTX_new_from_pkey) \
	F(EVP_PKEY_CTX_free) \
	F(EVP_PKEY_fromdata_init) \
	F(EVP_PKEY_fromdata) \
	F(EVP_PKEY_free) \
	F(EVP_PKEY_sign_init) \
	F(EVP_PKEY_sign) \
	F(EVP_PKEY_decrypt_init) \
	F(EVP_PKEY_decrypt) \
	F(EVP_PKEY_CTX_set_rsa_padding) \
	F(EVP_PKEY_CTX_set_signature_md) \
	F(EVP_PKEY_CTX_set_rsa_pss_saltlen) \
	F(EVP_PKEY_CTX_set_rsa_oaep_md) \
	F(EVP_sha1) \
	F(EVP_sha256) \
	F(EVP_sha384) \
	F(EVP_sha512)

#define DECLARE(name) static __typeof__(name) *p_##name;
FUNCTIONS(DECLARE)

static const EVP_MD *digests[4];

const char *libcrypto_load(void) {
	void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		return dlerror();
	}
#define FIND(name) \
	if ((p_##name = (__typeof__(name) *)dlsym(library, #name)) == NULL) { \
		return dlerror(); \
	}
	FUNCTIONS(FIND)
	// Without this the library would read a configuration file, which can load
	// other code, and tear itself down at exit while threads still use it.
	if (p_OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1) {
		return "it does not start";
	}
	digests[LIBCRYPTO_SHA1] = p_EVP_sha1();
	digests[LIBCRYPTO_SHA256] = p_EVP_sha256();
	digests[LIBCRYPTO_SHA384] = p_EVP_sha384();
	digests[LIBCRYPTO_SHA512] = p_EVP_sha512();
	return NULL;
}

const char *libcrypto_version(void) {
	return p_OpenSSL_version(OPENSSL_VERSION);
}

EVP_PKEY *libcrypto_key(const struct libcrypto_number numbers[8]) {
	static const char *const names[8] = {
		OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D,
		OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
		OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
	};
	OSSL_PARAM params[9];
	for (int i = 0; i < 8; i++) {
		params[i] = p_OSSL_PARAM_construct_BN(names[i], numbers[i].bytes, numbers[i].length);
	}
	params[8] = p_OSSL_PARAM_construct_end();
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *context = p_EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	if (context == NULL || p_EVP_PKEY_fromdata_init(context) <= 0 || p_EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) <= 0) {
		p_ERR_clear_error();
		key = NULL;
	}
	p_EVP_PKEY_CTX_free(context);
	return key;
}

void libcrypto_free(EVP_PKEY *key) {
	p_EVP_PKEY_free(key);
}

int libcrypto_sign(EVP_PKEY *key, int hash, int pss, const unsigned char *digest, size_t digest_length, unsigned char *signature, size_t signature_length) {
	size_t length = signature_length;
	EVP_PKEY_CTX *context = p_EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	int done = context != NULL
		&& p_EVP_PKEY_sign_init(context) > 0
		&& p_EVP_PKEY_CTX_set_rsa_padding(context, pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) > 0
		&& p_EVP_PKEY_CTX_set_signature_md(context, digests[hash]) > 0
		&& (!pss || p_EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) > 0)
		&& p_EVP_PKEY_sign(context, signature, &length, digest, digest_length) > 0
		&& length == signature_length;
	if (!done) {
		p_ERR_clear_error();
	}
	p_EVP_PKEY_CTX_free(context);
	return done;
}

long libcrypto_decrypt(EVP_PKEY *key, int hash, const unsigned char *blob, size_t blob_length, unsigned char *plaintext, size_t plaintext_length) {
	size_t length = plaintext_length;
	EVP_PKEY_CTX *context = p_EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	int done = context != NULL
		&& p_EVP_PKEY_decrypt_init(context) > 0
		&& p_EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0
		&& p_EVP_PKEY_CTX_set_rsa_oaep_md(context, digests[hash]) > 0
		&& p_EVP_PKEY_decrypt(context, plaintext, &length, blob, blob_length) > 0
		&& length <= plaintext_length;
	// Cleared either way: OAEP that does not open leaves errors in constant time.
	p_ERR_clear_error();
	p_EVP_PKEY_CTX_free(context);
	return done ? (long)length : -1;
}
