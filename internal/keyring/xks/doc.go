// Package xks is the client of external key stores: it uses keys that someone
// else's proxy holds, over the AWS KMS External Key Store Proxy API, version 1
// (specification 1.0.3).
//
// # Promises
//
// What is encrypted is encrypted twice: by material of this deployment, and the
// result by the external key (package keyring, suite 0xA3). The proxy learns
// neither plaintext nor encryption context; without the proxy nobody opens
// anything. What it answers is checked before it is believed: sizes, the integrity
// value, and the inner layer's tag on the way back. Each request is signed, is over
// within 250 ms or fails, follows no redirect and reads a bounded answer.
//
// # Where it connects to
//
// Whoever may create a key store chooses the host that we connect to. So a host is
// a name with a dot, never an address, on port 443, verified by its certificate;
// and the address that it resolves to, looked at when the connection is made, must
// be a public one. What is in the operator's own network is reached only through a
// route that the operator has configured, for a host or for the name of a VPC
// endpoint service. A connection is used again only for the same host and route.
//
// # What it leaves
//
// The proxy sees who asks for what and when. One that answers to encryption and
// then loses its key has lost the data.
package xks
