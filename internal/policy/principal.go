package policy

import "strings"

// PrincipalType says what kind of principal makes a request.
type PrincipalType uint8

const (
	// Anonymous is an unsigned request.
	Anonymous PrincipalType = iota
	// Root is an account's root user.
	Root
	// User is an IAM user.
	User
	// AssumedRole is a session of an IAM role.
	AssumedRole
	// FederatedUser is a session of GetFederationToken.
	FederatedUser
	// Service is an AWS service that calls in its own name.
	Service
	// WebIdentity is someone whom an identity provider (OIDC or SAML) vouches
	// for and who has no AWS identity yet.
	WebIdentity
)

// Principal is whoever makes a request.
type Principal struct {
	Type PrincipalType
	// Account is the 12-digit account that the principal belongs to; empty for
	// Anonymous, Service and WebIdentity.
	Account string
	// ARN is the principal's own: of the root, the user, the role session
	// (arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION) or the federated user.
	ARN string
	// RoleARN is the role of an AssumedRole, with its path
	// (arn:aws:iam::ACCOUNT:role/PATH/ROLE).
	RoleARN string
	// ID is the unique id: AIDA… of a user, AROA…:session of a role session.
	ID string
	// Service is the name of a Service principal: "logs.us-east-1.amazonaws.com".
	Service string
	// Provider is a WebIdentity's provider: its ARN or its domain.
	Provider string
}

// PrincipalForm is the form in which a policy names a principal.
type PrincipalForm uint8

const (
	EveryoneForm      PrincipalForm = iota + 1 // "*"
	AccountForm                                // 12 digits or the root's ARN
	UserForm                                   // arn:aws:iam::A:user/…
	RoleForm                                   // arn:aws:iam::A:role/…
	SessionForm                                // arn:aws:sts::A:assumed-role/R/S
	FederatedUserForm                          // arn:aws:sts::A:federated-user/N
	UniqueIDForm                               // AIDA… or AROA… of a user or role, AROA…:NAME of a role session
	ServiceForm                                // {"Service": "…"}
	FederatedForm                              // {"Federated": "…"}
	CanonicalUserForm                          // {"CanonicalUser": "…"}
)

// PrincipalRef is one principal that a document names.
type PrincipalRef struct {
	Form PrincipalForm
	// Name is the text in the document.
	Name string
	// Account is the 12-digit account of an ARN or account principal.
	Account string
	// Statement is the index of the first statement that names it.
	Statement int
}

// ParsePrincipal tells the form of an AWS principal as policies and grants name
// it; ok is false when it has none of the forms. Wildcards other than "*" alone
// are no form.
func ParsePrincipal(name string) (ref PrincipalRef, ok bool) {
	ref = PrincipalRef{Name: name}
	switch {
	case name == "*":
		ref.Form = EveryoneForm
		return ref, true
	case isAccount(name):
		ref.Form, ref.Account = AccountForm, name
		return ref, true
	case isUniqueID(name):
		ref.Form = UniqueIDForm
		return ref, true
	}
	parts, ok := splitARN(name)
	if !ok || parts[0] != "arn" || !isPartition(parts[1]) || parts[3] != "" || !isAccount(parts[4]) {
		return ref, false
	}
	ref.Account = parts[4]
	kind, rest, _ := strings.Cut(parts[5], "/")
	switch parts[2] + ":" + kind {
	case "iam:root":
		ref.Form = AccountForm
		return ref, parts[5] == "root"
	case "iam:user":
		ref.Form = UserForm
		return ref, isPathAndName(rest)
	case "iam:role":
		ref.Form = RoleForm
		return ref, isPathAndName(rest)
	case "sts:federated-user":
		ref.Form = FederatedUserForm
		return ref, isName(rest)
	case "sts:assumed-role":
		ref.Form = SessionForm
		role, session, _ := strings.Cut(rest, "/")
		return ref, isName(role) && isName(session)
	}
	return ref, false
}

// isAccount reports whether s is an account's 12 digits.
func isAccount(s string) bool { return len(s) == 12 && digits(s) }

// isPartition reports whether s is "aws" or one of its sisters, "aws-cn".
func isPartition(s string) bool {
	rest, ok := strings.CutPrefix(s, "aws")
	return ok && (rest == "" || rest[0] == '-' && validService(rest))
}

// isUniqueID reports whether s is the id of a user (AIDA…), a role (AROA…) or a
// role session (AROA…:NAME).
func isUniqueID(s string) bool {
	s, session, ofSession := strings.Cut(s, ":")
	if ofSession && (!strings.HasPrefix(s, "AROA") || !isName(session)) {
		return false
	}
	if len(s) < 16 || len(s) > 128 || !strings.HasPrefix(s, "AIDA") && !strings.HasPrefix(s, "AROA") {
		return false
	}
	for i := range len(s) {
		if !(s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9') {
			return false
		}
	}
	return true
}

// isName reports whether s has the characters of a user, role or session name.
func isName(s string) bool {
	for i := range len(s) {
		c := lower(s[i])
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("_+=,.@-", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// isPathAndName reports whether s is a name behind an optional IAM path, which
// has any printable ASCII characters but wildcards.
func isPathAndName(s string) bool {
	slash := strings.LastIndexByte(s, '/')
	for i := range slash {
		if c := s[i]; c <= ' ' || c > '~' || c == '*' || c == '?' {
			return false
		}
	}
	return isName(s[slash+1:])
}

// isServicePrincipal reports whether s has the form of a service's name.
func isServicePrincipal(s string) bool {
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if !isName(l) {
			return false
		}
	}
	return len(labels) >= 3
}

// isFederated reports whether s is a web identity provider's domain or the ARN
// of a SAML or OIDC provider.
func isFederated(s string) bool {
	parts, ok := splitARN(s)
	if !ok {
		return strings.Contains(s, ".") && isName(s)
	}
	kind, name, _ := strings.Cut(parts[5], "/")
	return parts[0] == "arn" && isPartition(parts[1]) && parts[2] == "iam" && parts[3] == "" && isAccount(parts[4]) &&
		(kind == "saml-provider" && isName(name) || kind == "oidc-provider" && name != "" && !strings.ContainsAny(name, "*? "))
}

// admission is how strongly a statement or a grant names a principal.
type admission uint8

const (
	// admitsAccount: by its account, which leaves it to IAM in that account.
	admitsAccount admission = 1 << iota
	// admitsRole: by its role, which boundary and session policies limit.
	admitsRole
	// admitsDirectly: by itself, or as everyone.
	admitsDirectly
)

// principalSet is a compiled Principal or NotPrincipal element.
type principalSet struct {
	not      bool
	everyone bool
	accounts stringSet
	// arns are users, roles, sessions and federated users.
	arns      stringSet
	ids       stringSet
	services  stringSet
	federated stringSet
}

func (s *principalSet) add(ref PrincipalRef) {
	switch ref.Form {
	case EveryoneForm:
		s.everyone = true
	case AccountForm:
		s.accounts.add(ref.Account)
	case UniqueIDForm:
		s.ids.add(ref.Name)
	case ServiceForm:
		s.services.add(ref.Name)
	case FederatedForm:
		s.federated.add(ref.Name)
	case CanonicalUserForm:
		// An account's other name, known to S3 alone: it names no principal here.
	default:
		s.arns.add(ref.Name)
	}
}

// admits returns how the set names p, without regard to not; 0 if it does not.
func (s *principalSet) admits(p *Principal) admission {
	var a admission
	if s.everyone {
		a |= admitsDirectly
	}
	switch p.Type {
	case Service:
		if s.services.contains(p.Service) {
			a |= admitsDirectly
		}
		return a
	case WebIdentity:
		if s.federated.contains(p.Provider) {
			a |= admitsDirectly
		}
		return a
	case Anonymous:
		return a
	}
	if s.accounts.contains(p.Account) {
		a |= admitsAccount
	}
	if p.Type == Root {
		return a
	}
	if s.arns.contains(p.ARN) || (p.Type == User || p.Type == AssumedRole) && s.ids.contains(p.ID) {
		a |= admitsDirectly
	}
	if p.Type == AssumedRole {
		id, _, _ := strings.Cut(p.ID, ":")
		if s.arns.contains(p.RoleARN) || s.ids.contains(id) {
			a |= admitsRole
		}
	}
	return a
}

// exempts reports whether a NotPrincipal lists p. AWS judges a principal's
// account, its role and itself one after the other, so each must be listed
// (IAM User Guide, "NotPrincipal with Deny").
func (s *principalSet) exempts(p *Principal) bool {
	a := s.admits(p)
	switch {
	case s.everyone:
		return true
	case p.Type == Service || p.Type == WebIdentity:
		return a&admitsDirectly != 0
	case p.Type == Root:
		return a&admitsAccount != 0
	case p.Type == AssumedRole:
		return a == admitsAccount|admitsRole|admitsDirectly
	}
	return a == admitsAccount|admitsDirectly
}

// admits returns how a grant names p; 0 if it does not.
func (g *Grant) admits(p *Principal) admission {
	switch {
	case g.Grantee == "" || p.Type == Anonymous || p.Type == WebIdentity:
		return 0
	case p.Type == Service:
		if g.Grantee == p.Service {
			return admitsDirectly
		}
		return 0
	}
	if p.Type != Root && g.Grantee == p.ARN {
		return admitsDirectly
	}
	if p.Type == AssumedRole && g.Grantee == p.RoleARN {
		return admitsRole
	}
	if ref, ok := ParsePrincipal(g.Grantee); ok && ref.Form == AccountForm && ref.Account == p.Account {
		return admitsAccount
	}
	return 0
}
