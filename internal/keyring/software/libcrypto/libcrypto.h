// What rsa.go calls. All functions may be called by many threads at once, and
// leave nothing in the calling thread's queue of errors.

#include <stddef.h>
#include <openssl/types.h>

// libcrypto_load finds the library's functions and readies it. It must return
// before anything else is called. NULL says that it worked; otherwise what is
// returned says what is missing.
const char *libcrypto_load(void);

// libcrypto_version is the library's own name and version.
const char *libcrypto_version(void);

enum { LIBCRYPTO_SHA1, LIBCRYPTO_SHA256, LIBCRYPTO_SHA384, LIBCRYPTO_SHA512 };

// libcrypto_number is a number of up to 4,096 bits, in the machine's byte order.
struct libcrypto_number {
	unsigned char *bytes;
	size_t length;
};

// libcrypto_key makes an RSA key of two primes of n, e, d, p, q, dP, dQ and qInv,
// in this order. It copies them, and returns NULL if it cannot.
EVP_PKEY *libcrypto_key(const struct libcrypto_number numbers[8]);

// libcrypto_free erases and frees a key.
void libcrypto_free(EVP_PKEY *key);

// libcrypto_sign signs a digest, with PKCS #1 v1.5 or with PSS and a salt of the
// digest's length, into a signature of the modulus's length. It returns 0 if it
// cannot.
int libcrypto_sign(EVP_PKEY *key, int hash, int pss, const unsigned char *digest, size_t digest_length, unsigned char *signature, size_t signature_length);

// libcrypto_decrypt opens what was encrypted with OAEP into a buffer of the
// modulus's length, and returns the plaintext's, or -1 if it cannot.
long libcrypto_decrypt(EVP_PKEY *key, int hash, const unsigned char *blob, size_t blob_length, unsigned char *plaintext, size_t plaintext_length);
