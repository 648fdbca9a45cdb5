// Package libcrypto has RSA's private operations in OpenSSL's libcrypto, which
// takes a third to three quarters of the processor time that Go's own library takes
// (docs/performance.md). It exists in builds for Linux with cgo and the tag
// strongroom_openssl, and is empty in all others. OpenSSL's headers are needed to
// build it, and libcrypto.so.3 (OpenSSL 3) is loaded when [Load] is called.
//
// # Memory
//
// A key's numbers are in OpenSSL's heap, in the server's process: not in memory
// that the Go runtime moves or copies, locked or not as the process's memory is.
// OpenSSL erases them when a key is freed, which is when the garbage collector
// finds that nothing refers to it, and it erases what operations on it leave in
// the heap; the stacks of its threads and the registers it does not erase.
//
// # Side channels and faults
//
// OpenSSL claims that private operations take constant time, and blinds their
// input. Like Go's library it checks the result of the Chinese remainder theorem
// with the public key; it is not looked at again here.
//
// # FIPS 140-3
//
// No module with a certificate is used, neither Go's nor OpenSSL's own: what is
// called is OpenSSL's default provider, without a configuration file. Package
// software does not use this one in FIPS mode.
package libcrypto
