// Package policy is the IAM policy language: it parses a document, refuses what
// AWS refuses, and decides whether a set of documents lets a principal do an
// action on a resource.
//
// It is pure. It reads no file, clock or random source and keeps no state
// between calls: the same request and policies give the same decision, so a
// decision can be explained, simulated and replayed. What it needs to know of a
// request, the caller hands in: the principal, the policies that bear on it and
// a [Context] of condition keys.
//
// # The threat
//
// Whoever writes a policy or a request may be hostile. The package promises:
//
//   - Nothing is guessed. A document that only a lenient reader would accept
//     (duplicate or unknown members, a misspelt effect, a bad value type) is
//     refused by [Parse] with the place in it, and so is never stored.
//   - Deny wins. An explicit Deny in any policy ends a decision, whatever else
//     allows, and what no policy allows is denied.
//   - Work is bounded. Matching a pattern never backtracks exponentially, and
//     neither the depth nor the size of a document can exhaust the process.
//   - A value from the request never acts as a wildcard.
//
// It does not know whether a principal, an action or a resource exists, does not
// fetch anything, and trusts its caller to name the principal and to answer
// condition keys truthfully.
//
// # Specification
//
// The grammar and the evaluation logic are those of the AWS Identity and Access
// Management User Guide ("IAM JSON policy reference", "Policy evaluation
// logic"); key policies and grants follow the AWS Key Management Service
// Developer Guide ("Key policies in AWS KMS", "Grants in AWS KMS").
package policy
