package authz

import (
	"time"

	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
)

// Session is what temporary credentials say of whoever uses them.
type Session struct {
	// Name is the session name of an assumed role and the name of a federated
	// user; empty for other sessions.
	Name            string
	Issued, Expires time.Time
	// Policy is the session's own policy; nil for none. PolicyARNs are managed
	// policies that limit it as well.
	Policy     *policy.Source
	PolicyARNs []string
	// TransitiveTags are the keys, in lower case, of the session tags that the
	// sessions assumed with this one inherit.
	TransitiveTags []string
	SourceIdentity string
	Issuer         Issuer
	// Provider is the ARN of the identity provider that the session came from; empty
	// for others. Claims answer the condition keys that its token did, by the keys in
	// lower case.
	Provider string
	Claims   map[string][]string
}

// Issuer is whose rights a session has.
type Issuer struct {
	// Type is "Role", "IAMUser" or "Root".
	Type                   string
	ID, ARN, Account, Name string
}

// Role is a role as those see it who may assume it.
type Role struct {
	Account, Name, ARN, ID string
	// MaxSession is the longest session that may be asked for.
	MaxSession time.Duration
	Trust      *policy.Source
	// Tags are the role's, by their keys in lower case.
	Tags map[string]string
}

// SessionSpec is a session that is to be made.
type SessionSpec struct {
	// Type is policy.AssumedRole, policy.FederatedUser, policy.User or policy.Root.
	Type    policy.PrincipalType
	Account string
	// ID is the unique id of the role, or of the user whose rights the session
	// has; empty for the root's.
	ID string
	// Name is the role session's, or the federated user's.
	Name            string
	Issued, Expires time.Time
	// Policy is the text of the session's own policy; empty for none.
	Policy         string
	PolicyARNs     []string
	Tags           map[string]string
	TransitiveTags []string
	SourceIdentity string
	// MFA is when the user gave a one-time code for the session; zero for never.
	MFA time.Time
	// Provider and Claims are as in Session.
	Provider string
	Claims   map[string][]string
}

// Credentials are temporary credentials, as they are answered once.
type Credentials struct {
	AccessKeyID   string
	Secret, Token secret.String
}
