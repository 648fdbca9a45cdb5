// Package tpm is a root of trust in a TPM 2.0.
//
// The root is a 32-byte key that the TPM keeps as a sealed data object under its
// storage key: in the owner hierarchy, from the TCG's template for ECC P-256, made
// again each time it is needed, so that nothing is left in the TPM. The object itself
// lies in the keyslots, where only that TPM can open it. Optionally it opens only
// with an auth value, and only while platform configuration registers (PCRs) have
// the values that they had when it was made.
//
// A sealed object was preferred to a key that works inside the TPM because of what
// TPMs have: every TPM 2.0 can unseal, some have neither symmetric encryption nor
// HMACs, and what is encrypted to a public key could be put in place by anybody who
// can write the data folder. So the key is in memory while the keyslots are opened or
// made, a moment at each start and rotation, and is wiped then.
//
// # What this answers
//
// A data folder that is taken away, a disk, a backup: without this TPM they do not
// open. With an auth value, nor does the folder for another user of the TPM; the TPM
// itself slows down guesses (dictionary-attack protection). With PCRs, nor on the
// same machine after other firmware or another boot loader was started. Who listens on
// the bus between processor and TPM learns nothing: key and auth value cross it
// encrypted, in sessions salted with the storage key, whose name is kept and checked.
//
// # What it does not answer
//
// Whoever may use the TPM, has the folder and, where there is one, the auth value:
// root of the machine for one. Who can put chips on the bus while the root is made,
// or reset the TPM alone and replay measurements into its PCRs. A TPM that is cleared
// or breaks takes the root with it: there must be a recovery key.
//
// # Specifications
//
// TCG Trusted Platform Module Library, parts 1 to 3, revision 1.59: sealed objects and
// CreatePrimary, Create, Load, Unseal (part 3, sections 12 and 24), session-based
// encryption (part 1, section 21), PolicyPCR and PolicyAuthValue (part 3, section 23).
// TCG TPM v2.0 Provisioning Guidance, section 7.5.1, for the storage key.
package tpm
