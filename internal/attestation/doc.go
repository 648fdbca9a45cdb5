// Package attestation verifies the attestation documents of AWS Nitro Enclaves and
// NitroTPM, and encrypts for the party that a document speaks for.
//
// # Promises
//
// Verify returns a document only if every byte of it is accounted for: a COSE_Sign1
// (RFC 9052 §4.2) with ES384 and nothing else in its headers, over a payload with
// the members, types and bounds of AWS's specification (aws-nitro-enclaves-nsm-api,
// "Nitro Enclaves Attestation Process", §2.2 and §3.2; Amazon EC2 User Guide,
// "Validate a NitroTPM Attestation Document"), signed by a certificate that chains,
// in the order that the document gives, to a root that the operator trusts, with
// every certificate valid at the time that is handed in. Documents older than
// [MaxAge] are refused, so that one that leaks is of no use for long.
//
// The threat is whoever can call the service and would like to read what is meant
// for an attested environment alone: a forged, altered or replayed document, or one
// that two parsers read in two ways. A replay within MaxAge is not found; what it
// yields only the environment that the document is from can open. Certificates are
// not checked for revocation, as AWS's specification has it.
//
// # Bounded work
//
// What does not end at a trusted root costs no signature check beyond the root's own
// child, and lists are bounded before they are walked.
//
// # Encryption
//
// Seal makes a CMS EnvelopedData (RFC 5652 §6) in the form that AWS KMS answers:
// BER with indefinite lengths around it, which the AWS Nitro Enclaves SDK for C
// relies on.
package attestation
