// Package api holds the wire of every service that Strongroom serves, one
// generated package each: the types of requests and answers, their codecs, the
// validation of requests with AWS's texts, what audit records show, the errors,
// the Handler that a service implements and the Table that the gateway serves.
//
// The packages are made from models/. After a change there, or in the generator,
// run
//
//	go generate ./...
//
// and commit what it changes; a run without a change of either changes nothing.
//
// # Types
//
// Members have AWS's names. A required member has a plain value. An optional
// string is plain where the model does not allow "", which then stands for
// absent, and a pointer where "" is a value of its own. Optional numbers,
// booleans and timestamps are pointers, but for the few booleans that AWS takes
// as false when they are absent. Structures are pointers; nil blobs, lists and
// maps are absent ones. Sensitive members have the types of package secret.
//
// A request that was decoded remembers in an unexported member what such values
// cannot tell, so that a missing KeyId and an empty one are refused with
// different texts. A request that is made in Go is validated by its values alone.
package api

//go:generate go run ../internal/apigen -models ../models -out . cloudhsm cloudtrail iam kms sts
