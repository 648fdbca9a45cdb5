package policy

// Context answers condition keys. It is asked only for what the policies of a
// decision mention, so its answers may be computed lazily.
type Context interface {
	// Values returns the values of a key, always asked in lower case (by
	// strings.ToLower), such as "aws:sourceip" or
	// "kms:encryptioncontext:project"; ok is false when the request has no such
	// key. Values are strings in the language's own notation: "true", "42",
	// "2026-01-02T15:04:05Z", "192.0.2.1", base64. The caller of Values does not
	// change or keep the slice.
	Values(key string) (values []string, ok bool)
}

// Request is the question: may Principal do Action on Resource?
type Request struct {
	Principal Principal
	// Action is "service:Operation", such as "kms:Encrypt".
	Action string
	// Resource is an ARN, or "*" for an action that has no resource.
	Resource string
	// ResourceAccount is the 12-digit account that owns the resource; empty
	// means the principal's own.
	ResourceAccount string
	// Context may be nil: no key is present.
	Context Context
}

// Source is a document with the name that explanations give it, such as a
// policy's ARN or "key policy".
type Source struct {
	Name     string
	Document *Document
}

// Grant is a live KMS grant on the resource whose operations include the action
// and whose constraints the request meets.
type Grant struct {
	// ID names it in explanations.
	ID string
	// Grantee is its GranteePrincipal: an ARN, or a service's name. A grant
	// whose grantee is not the request's principal has no effect. That the
	// principal behind the ARN is still the same one is for the caller to check.
	Grantee string
}

// Policies are those that bear on a request.
type Policies struct {
	// ServiceControl are those of the principal's account; nil means that none
	// limits it.
	ServiceControl []Source
	// Identity are the principal's own: its user's and groups', or its role's; of
	// a federated user, those of the user that it was federated by.
	Identity []Source
	// Boundary is the permissions boundary of the user or role; nil means none.
	Boundary *Source
	// Session are the session's policies; nil means that none limits it, and an
	// empty slice that they allow nothing.
	Session []Source
	// Resource is the resource's policy: a ResourcePolicy, KeyPolicy or
	// TrustPolicy; nil means that the resource has none.
	Resource *Source
	// Grants are the grants on the resource.
	Grants []Grant
}
