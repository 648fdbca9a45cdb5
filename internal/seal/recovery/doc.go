// Package recovery is the root of trust of last resort: a key pair whose public
// half has a keyslot in every version of the domain key and whose private half
// exists only as shares, of which any k of n make it again.
//
// Because wrapping needs the public half alone, the domain key rotates unattended
// and the same shares open every version. Replacing the shares replaces the pair.
//
// # What this answers
//
// The root is gone: a file deleted, a passphrase forgotten, a KMS shut down. Any k
// holders of shares, together with the data folder, open it. Fewer than k learn
// nothing of the private half, however much they compute (Shamir, How to Share a
// Secret, 1979). A share that was mistyped, is of another set or of another
// deployment is named before it is used.
//
// # What it does not answer
//
// Any k holders can open a copy of the data folder, without anybody's noticing.
// Whoever reads a share has it: they are shown once and must be kept apart. Shares
// of a replaced set still open a copy of the folder from before.
//
// # Construction
//
// HPKE (RFC 9180) in base mode with MLKEM768-X25519, HKDF-SHA256 and AES-256-GCM,
// from Go's crypto/hpke; the info of each message binds it to deployment, version
// and set. The 32-byte private key is shared byte by byte over GF(2^8) with the
// polynomial of AES, the share of index x being the value at x.
package recovery
