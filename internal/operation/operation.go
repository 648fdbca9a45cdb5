// Package operation is the table in which a service states its operations: one
// row each, known at compile time, generated from the service's model into
// api/<service>. The gateway serves whatever tables it is given and knows no
// operation by name.
package operation

import (
	"context"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/wire"
)

// Protocol is how a service's requests and answers are written.
type Protocol = wire.Protocol

// The protocols that tables name.
const (
	AWSJSON11 = wire.AWSJSON11
	AWSQuery  = wire.AWSQuery
)

// Service is one service's table.
type Service struct {
	// Name is the signing name, "kms": the service part of a credential scope.
	Name string
	// EventSource names the service in audit records: "kms.amazonaws.com".
	EventSource string
	Protocol    Protocol
	// TargetPrefix precedes the operation in X-Amz-Target (AWSJSON11).
	TargetPrefix string
	// Version and XMLNamespace belong to AWSQuery.
	Version, XMLNamespace string
	// Operations are sorted by Name.
	Operations []Row
}

// Row is one operation. Inputs and outputs are pointers to the generated types,
// carried as any so that one pipeline serves them all.
type Row struct {
	// Name is the operation's: "Encrypt".
	Name string
	// Action is the IAM action that the call is authorised for unless the
	// handler asks for others: "kms:Encrypt".
	Action string
	// ReadOnly is the readOnly member of audit records. Cryptographic
	// operations are read-only in CloudTrail's sense.
	ReadOnly bool
	// Unsigned marks the few operations that are called without a signature.
	Unsigned bool
	// BodyLimit is the longest body, in bytes, that a valid request can have.
	BodyLimit int

	// Decode parses and validates a body: JSON for AWSJSON11, a form for
	// AWSQuery. It returns a pointer to the input or an *awserr.Error, and keeps
	// no reference to body.
	Decode func(body []byte) (any, error)
	// Invoke runs the handler.
	Invoke func(ctx context.Context, call *authz.Call, in any) (any, error)
	// Encode appends the body of a successful answer to dst. out is nil for
	// operations without output.
	Encode func(dst []byte, out any) []byte

	// AuditRequest appends requestParameters as a JSON value with CloudTrail's
	// lowerCamelCase names, from the members that the model's overlay lists for
	// the operation and no others; "null" where it lists none. in is nil when
	// the request could not be decoded.
	AuditRequest func(dst []byte, in any) []byte
	// AuditResponse is the same for responseElements.
	AuditResponse func(dst []byte, out any) []byte
}

// Lookup returns the row with that name, or nil.
func (s *Service) Lookup(name string) *Row {
	lo, hi := 0, len(s.Operations)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s.Operations[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(s.Operations) && s.Operations[lo].Name == name {
		return &s.Operations[lo]
	}
	return nil
}
