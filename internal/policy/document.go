package policy

import "fmt"

// Kind is the kind of a policy: it fixes which elements a document may hold and
// what the document does in a decision.
type Kind uint8

const (
	// IdentityPolicy is attached to a user, group or role.
	IdentityPolicy Kind = iota + 1
	// ResourcePolicy is attached to an ordinary resource, such as a secret or a
	// bucket. In its account an Allow in identity or resource policy is enough.
	ResourcePolicy
	// KeyPolicy is the resource policy of a KMS key: identity policies count
	// only where it delegates to the account.
	KeyPolicy
	// TrustPolicy says who may assume a role. It delegates as a key policy does.
	TrustPolicy
	// BoundaryPolicy is a permissions boundary; its grammar is IdentityPolicy's.
	BoundaryPolicy
	// SessionPolicy limits one session; its grammar is IdentityPolicy's.
	SessionPolicy
	// ServiceControlPolicy limits an account; its grammar is IdentityPolicy's.
	ServiceControlPolicy
	// GrantPolicy is no document: it marks a grant in a [StatementRef].
	GrantPolicy
)

// Problem classifies why a document was refused, for callers whose API has a
// text or an error code of its own for it.
type Problem uint8

const (
	// Malformed is everything without a name of its own.
	Malformed Problem = iota
	// NoPrincipal: a statement of a resource, key or trust policy names none.
	NoPrincipal
	// InvalidPrincipal: a principal is of no form that the kind of policy takes.
	InvalidPrincipal
	// InvalidARN: a Resource or NotResource is neither "*" nor an ARN.
	InvalidARN
	// OverlyPermissiveCondition: ForAllValues on kms:EncryptionContext:x or
	// aws:RequestTag/x, which a request without the key would satisfy.
	OverlyPermissiveCondition
	// TooLarge: the document is longer than its limit.
	TooLarge
)

// SyntaxError says why and where a document is refused.
type SyntaxError struct {
	// Path is the place, such as "Statement[1].Condition.StringEquals"; empty
	// for the document as a whole.
	Path string
	// Reason is a sentence without a full stop.
	Reason  string
	Problem Problem
}

func (e *SyntaxError) Error() string {
	if e.Path == "" {
		return "policy: " + e.Reason
	}
	return fmt.Sprintf("policy: %s: %s", e.Path, e.Reason)
}

// Limits bound the size of a document; zero means the package's own bound.
type Limits struct {
	// Bytes is the longest text, as it stands.
	Bytes int
	// Characters is the longest text without white space outside strings, in
	// Unicode characters, which is how IAM counts its quotas.
	Characters int
}

// MaxBytes is the longest document that is looked at whatever the limits say:
// 131,072 characters, the longest that any API takes, of at most two bytes.
const MaxBytes = 2 * 131072

// Document is one parsed policy, compiled for evaluation. It is immutable and
// may be used from many goroutines.
type Document struct {
	kind Kind
	text string
	// variables says whether the document's version has policy variables.
	variables  bool
	statements []statement
	index      index
	principals []PrincipalRef
}

// Kind returns the kind that the document was parsed as.
func (d *Document) Kind() Kind { return d.kind }

// Text returns what the document was parsed from.
func (d *Document) Text() string { return d.text }

// Principals returns every principal that the document names in Principal and
// NotPrincipal, each once, in the order of the text, so that the caller can
// check that they exist. The caller does not change the slice.
func (d *Document) Principals() []PrincipalRef { return d.principals }
