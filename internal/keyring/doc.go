// Package keyring is the boundary behind which keys are used: what a key module
// can do, the form in which its material is stored, and the symmetric ciphertext.
//
// A service holds [Material], which is wrapped, and hands it to a [Ring] with what
// is to be done. Only a Ring's implementation sees material in the clear; package
// software is the one that does so in this process. The modules over PKCS #11 and over
// an external key store's proxy add a layer to what it makes.
//
// # Threats
//
// Whoever reads or writes stored records but has no domain key learns nothing of
// the material in them and cannot move it to another key: wrapping binds key id,
// material id, spec and domain-key version. Whoever alters, cuts, extends or
// replays a ciphertext, or presents it with another context, gets
// [ErrInvalidCiphertext] and not a word more. Nobody, holders of several keys
// included, can make a blob that opens under two keys or two contexts: each blob
// carries a commitment to both. Not answered here: who may use a key (package
// authz), old records played back (package store), and an attacker who reads the
// process's memory.
//
// # Symmetric ciphertext
//
// A blob says which key and material it needs; clients take it as opaque. All
// numbers are big-endian. Each blob that KMS answers begins with the header:
//
//	offset  size
//	     0     1  suite
//	     1     1  form of the key id: 1 = UUID, 2 = mrk-
//	     2    16  the key id's 32 hex digits
//	    18    32  material id
//	    50    16  header tag: HMAC-SHA256 of the 50 bytes before it under the
//	              deployment's header key, its first 16 bytes
//
// The tag is checked before a key is looked up, so that nobody can make up a
// header and learn from the answer whether a key exists; and a blob of another
// deployment is refused like any other that does not open. It proves nothing of
// what follows the header.
//
// Neither Region nor account nor ARN is in it, so that multi-Region keys
// interoperate. What follows depends on the suite. None is 0x01, with which the
// blobs of AWS's own KMS begin.
//
// 0xA1, software: the key is in memory.
//
//	 66    32  salt, random
//	 98    32  commitment
//	130    12  nonce, random
//	142   1–4096  AES-256-GCM ciphertext
//	         16  tag
//
// With context the canonical encryption context (below) and ‖ concatenation:
//
//	prk        = HKDF-Extract(salt "strongroom/keyring/message/v1", material)
//	info       = header ‖ salt ‖ context
//	commitment = HKDF-Expand(prk, "strongroom/keyring/commitment/v1" ‖ 0 ‖ info, 32)
//	key        = HKDF-Expand(prk, "strongroom/keyring/key/v1" ‖ 0 ‖ info, 32)
//	ciphertext = AES-256-GCM(key, nonce, plaintext, aad header ‖ salt ‖ commitment)
//
// with HKDF-SHA256 (RFC 5869). The message salt is in the info and not in
// HKDF's own salt, so that prk is computed once for each material and not for each
// message; a fresh salt still gives a fresh key, as HMAC is a PRF and the info
// never repeats. A key encrypts one message, so no count of messages wears it
// out. The commitment is compared in constant time before anything is
// decrypted; finding two (material, context) pairs with one commitment means
// finding a collision of SHA-256.
//
// 0xA2, HSM: a body of suite 0xA1 without its header, made with material of our
// own, is encrypted once more inside the HSM, by a key that cannot leave it and
// whose id there is the material id. The header is followed by the nonce (12), the
// HSM's AES-256-GCM ciphertext and its tag (16), with SHA-256(header ‖ context) as
// aad. The longest blob has 4,282 bytes. Nothing can be derived from a key inside an
// HSM, so its random nonces are under one key for as long as the key lives, and are
// safe for 2³² messages (SP 800-38D §8.3). The inner layer makes up for that: should
// a nonce come twice, what is learnt is the sum of two ciphertexts under two keys,
// and what can be forged does not open. It is also what commits to key and context,
// which GCM does not. Whoever has the HSM alone opens nothing, nor does whoever has
// our material alone.
//
// 0xA3, client of an external key store: a body of suite 0xA1 without its header,
// made with material of our own, is encrypted once more by the external proxy.
// The header is followed by one byte that is the length of the proxy's IV (12 or
// 16), the IV, one byte that is the length of its ciphertext metadata (0–20), the
// metadata, the proxy's ciphertext and its tag (16). The proxy is sent at most
// 92+4096 of the 4,300 bytes that it takes, with SHA-256(header ‖ context) as its
// aad. The longest blob has 4,308 bytes. Whoever has the proxy's key alone opens
// nothing, nor does whoever has ours alone.
//
// 0xA4, proxy of an external key store: our key serves someone else's KMS, which
// stores a ciphertext as long as its plaintext, an IV of up to 16 bytes, a tag and
// up to 20 bytes of metadata; the key id is in the path of the request. So there is
// no blob and no header: metadata = suite (1) ‖ first bytes of the material id (3) ‖
// commitment (16), and IV = nonce (12) ‖ salt (4), derived as for 0xA1 with
// info = header without tag (50) ‖ salt ‖ aad, the requester's. GCM's own aad is
// header without tag ‖ salt ‖ length of aad (2) ‖ aad ‖ length of metadata (1) ‖
// metadata, as the specification wants metadata bound. Key and nonce together are
// 128 random bits; a commitment of 128 bits costs 2⁶⁴ to break, which is what fits.
//
// # Canonical encryption context
//
// The number of pairs (4 bytes), then for each pair, in the order of the names'
// bytes: length of the name (4), name, length of the value (4), value. Bytes are
// taken as they are: no case folding, no Unicode normalisation. No map and the
// empty map are one context. The form may have [MaxContext] bytes; AWS states no
// limit, and none would be unbounded work.
package keyring
