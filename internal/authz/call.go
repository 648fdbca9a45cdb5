// Package authz carries a request's identity through the pipeline and decides
// what it may do.
package authz

import (
	"net/netip"
	"time"
)

// Call is one request on its way: who asks for what, from where. It is handed to
// every handler as an explicit parameter. A Call belongs to one goroutine.
type Call struct {
	// RequestID is the x-amzn-RequestId of the answer.
	RequestID string
	// Service and Operation are the signing name and the operation: "kms",
	// "Encrypt". Action is what the operation is authorised as by default.
	Service, Operation, Action string
	Principal                  Principal
	Partition, Region          string
	// Time is when the request arrived, by the injected clock.
	Time      time.Time
	SourceIP  netip.Addr
	UserAgent string
	Secure    bool // came over TLS
}

// PrincipalType says what kind of principal signed a call.
type PrincipalType uint8

const (
	Anonymous PrincipalType = iota
	Root
	User
	AssumedRole
	FederatedUser
	ServicePrincipal
)

// Principal is whoever signed a call.
type Principal struct {
	Type PrincipalType
	// Account is the 12-digit account that the principal belongs to.
	Account string
	// ARN is the caller's own: of the root, the user, or the role session.
	ARN string
	// ID is the unique id: the account id for the root, AIDA… for a user,
	// AROA…:session for a role session.
	ID          string
	AccessKeyID string
	UserName    string
}
