package authz

import (
	"strings"

	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/policy"
)

var identityTypes = map[policy.PrincipalType]string{
	policy.Root:          "Root",
	policy.User:          "IAMUser",
	policy.AssumedRole:   "AssumedRole",
	policy.FederatedUser: "FederatedUser",
	policy.Service:       "AWSService",
	policy.WebIdentity:   "WebIdentityUser",
}

// Identity is the call's principal as audit records show it.
func (c *Call) Identity() journal.UserIdentity {
	p := &c.Principal
	if p.Type == policy.Service {
		return journal.UserIdentity{Type: identityTypes[p.Type], InvokedBy: p.Service}
	}
	id := journal.UserIdentity{
		Type:        identityTypes[p.Type],
		PrincipalID: p.ID,
		ARN:         p.ARN,
		AccountID:   p.Account,
		AccessKeyID: p.AccessKeyID,
		UserName:    p.UserName,

		IdentityProvider: p.Provider,
	}
	if p.NameQualifier != "" {
		id.Type, id.IdentityProvider = "SAMLUser", p.NameQualifier
	}
	if s := p.Session; s != nil {
		id.SessionContext = &journal.SessionContext{
			CreationDate:   s.Issued,
			SourceIdentity: s.SourceIdentity,

			MFAAuthenticated: !p.MFA.IsZero(),
			Provider:         webProvider(s.Provider),
			SessionIssuer: &journal.SessionIssuer{
				Type: s.Issuer.Type, PrincipalID: s.Issuer.ID, ARN: s.Issuer.ARN, AccountID: s.Issuer.Account, UserName: s.Issuer.Name,
			},
		}
	}
	if n := len(c.Via); n > 0 {
		id.InvokedBy = c.Via[n-1]
	}
	return id
}

// webProvider is the provider of a session as its records show it: CloudTrail's
// webIdFederationData are those of web identities, not of SAML's.
func webProvider(arn string) string {
	if strings.Contains(arn, ":saml-provider/") {
		return ""
	}
	return arn
}
