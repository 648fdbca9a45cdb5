// Package delivery takes audit records from the journal to where trails want
// them: gzip files in a bucket or a folder, named as CloudTrail names them, with
// an hourly digest that proves which files there are.
//
// # What it promises
//
// Each record that a trail's selectors let through, and whose time lies within
// one of the trail's spans of logging, is delivered at least once and in the
// journal's order, whatever fails in between: a worker remembers in the store how
// far it has come, announces there what it is about to write, and after a crash
// writes the same files again under the same names. While a bucket cannot be
// written to, nothing is skipped and nothing else waits: records lie in the
// journal anyway, and are caught up with afterwards. Nothing here is in the way of
// a reply.
//
// A digest names the files of one hour with their SHA-256, names the digest before
// it with its hash and signature, and is signed with RSA (PKCS #1 v1.5, SHA-256)
// under a key of its Region. The form is that of the CloudTrail User Guide,
// "CloudTrail digest file structure" and "Custom implementations of CloudTrail log
// file integrity validation"; `aws cloudtrail validate-logs` reads it. Hours in
// which nothing could be delivered, because the server was off or the bucket was
// out of reach, share one digest.
//
// # The threat
//
// Someone who can write to the bucket and cannot sign: changing, removing or
// swapping a file shows, and so does removing a digest from the middle of the
// chain. Removing the newest digests does not show in the bucket alone. Whoever
// holds the deployment's keys can sign anything; the journal's own chain, with a
// checkpoint kept elsewhere, is what holds against that.
package delivery
