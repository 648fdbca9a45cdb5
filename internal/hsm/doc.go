// Package hsm uses the AES keys that a hardware security module holds, over
// PKCS #11 (OASIS, versions 2.40 and 3.1), without loading its library here.
//
// A vendor's PKCS #11 library is native code that is loaded into the process that
// uses it: it can crash it, hang it and read its memory. So a helper process loads
// it, one for each slot, and [Client] speaks with it over a pair of pipes. What a
// helper does wrong ends that helper; the calls that were under way answer
// [ErrUnavailable], and another one is started. A token that was pulled, a network
// HSM that went away and a library that lost its state are all met in this one way.
//
// # Promises
//
// Keys are made in the token as sensitive, non-extractable token objects; no key's
// value is ever in this process or the helper's. What comes back from the helper
// is read as hostile: bounded, and an error if malformed. A PIN is on no command
// line, in no variable and in no error; one that the token has refused is not
// tried again, so that a restart loop does not lock the token.
//
// # What it leaves
//
// The helper sees what the HSM is asked: plaintexts and PIN. The same user's
// processes can be kept from looking into it only as far as the system does that
// (non-dumpable, as the server is). An HSM can be asked everything its user may:
// whoever has the PIN and reaches the HSM can use every key, and delete it.
package hsm
