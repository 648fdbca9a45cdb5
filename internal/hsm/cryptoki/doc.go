// Package cryptoki loads a PKCS #11 library into this process and uses a token
// through it. It belongs into the helper process of package hsm, and nowhere else:
// such a library is native code that can crash and hang the process it is in.
//
// It follows OASIS PKCS #11 2.40, whose calls 3.x modules have too, and takes
// nothing of it for granted: before keys are used, a login tries AES-256-GCM with a
// key of its own, finds out whose nonces the module uses, and checks that what was
// altered does not open.
//
// Without cgo it is a stub that says so.
package cryptoki
