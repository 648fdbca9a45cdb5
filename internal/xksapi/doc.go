// Package xksapi is the messages of the AWS KMS External Key Store Proxy API,
// version 1 (specification 1.0.3): what a KMS asks of the proxy of an external key
// store, what it answers, and how each refuses. Client (keyring/xks) and proxy
// (service/xksproxy) share it.
//
// Readers are strict in the terms of package wire: a member twice, base64 that is
// not canonical, anything after the value are refused. Members that are not known
// are skipped, as the specification wants, so that it can grow. Sizes are checked
// here on both sides, so that neither works on more than the specification lets the
// other send.
package xksapi
