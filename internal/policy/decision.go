package policy

// Reason says what a decision rests on.
type Reason uint8

const (
	// Allowed: the policies allow.
	Allowed Reason = iota + 1
	// ExplicitDeny: a statement denies.
	ExplicitDeny
	// ImplicitDeny: no statement of a kind of policy that had to allow does.
	ImplicitDeny
)

// StatementRef names a statement, or a grant, that bore on a decision.
type StatementRef struct {
	Kind Kind
	// Source is the Source's Name, or the Grant's ID.
	Source string
	// Index counts statements from 0; 0 for a grant.
	Index int
	// Sid may be empty.
	Sid string
	// Deny is the statement's effect.
	Deny bool
}

// maxMatched is one statement for each kind of policy; a grant stands for the
// resource's.
const maxMatched = 5

// Decision is what Evaluate found. The zero Decision denies.
type Decision struct {
	Allowed bool
	Reason  Reason
	// Kind is the kind of policy that denied, or that did not allow; 0 when
	// Allowed.
	Kind Kind

	matched [maxMatched]StatementRef
	count   int
}

// Matched returns the statements that decided: the Deny, or one Allow for each
// kind of policy that allowed.
func (d *Decision) Matched() []StatementRef { return d.matched[:d.count] }

// Because returns the tail of AWS's AccessDenied message for a denied action,
// such as "because no identity-based policy allows the kms:Encrypt action" or
// "with an explicit deny in a resource-based policy"; "" when Allowed.
func (d *Decision) Because(action string) string {
	text, ok := kindTexts[d.Kind]
	switch {
	case !ok:
		return ""
	case d.Reason == ExplicitDeny:
		return "with an explicit deny in " + text.article + " " + text.name
	}
	return "because no " + text.name + " allows the " + action + " action"
}

// kindTexts are the names that AWS's messages give the kinds of policy (IAM User
// Guide, "Access denied error message examples").
var kindTexts = map[Kind]struct{ article, name string }{
	IdentityPolicy:       {"an", "identity-based policy"},
	ResourcePolicy:       {"a", "resource-based policy"},
	KeyPolicy:            {"a", "resource-based policy"},
	TrustPolicy:          {"the", "role trust policy"},
	BoundaryPolicy:       {"a", "permissions boundary"},
	SessionPolicy:        {"a", "session policy"},
	ServiceControlPolicy: {"a", "service control policy"},
}

// ref returns the hit as callers see it.
func (h *hit) ref() StatementRef {
	if h.grant != nil {
		return StatementRef{Kind: GrantPolicy, Source: h.grant.ID}
	}
	d := h.source.Document
	s := &d.statements[h.index]
	return StatementRef{Kind: d.kind, Source: h.source.Name, Index: h.index, Sid: s.sid, Deny: s.deny}
}

// add appends a statement to those that decided.
func (d *Decision) add(h hit) {
	d.matched[d.count] = h.ref()
	d.count++
}

// addBest appends the Allow that counts for most, if there is one.
func (d *Decision) addBest(f *findings) {
	switch {
	case f.admitted&admitsDirectly != 0:
		d.add(f.direct)
	case f.admitted&admitsRole != 0:
		d.add(f.role)
	case f.admitted&admitsAccount != 0:
		d.add(f.account)
	}
}

// String returns the name that AWS's messages give the kind of policy.
func (k Kind) String() string {
	if k == GrantPolicy {
		return "grant"
	}
	return kindTexts[k].name
}
