package admin

// Question is what someone would do, for [Operator.Explain] and, without Principal,
// for [Operator.WhoCan].
type Question struct {
	// Principal is the ARN of a user, a role, a role's session, a federated user or a
	// root, or an account's 12 digits.
	Principal string `json:"principal,omitempty"`
	// SessionPolicy and SessionPolicyARNs limit the session in which a role or a
	// federated user asks: the text of a policy, and managed ones.
	SessionPolicy     string   `json:"sessionPolicy,omitempty"`
	SessionPolicyARNs []string `json:"sessionPolicyArns,omitempty"`
	// Issuer is the ARN of the user that a federated user has its rights from; empty
	// for the account's root.
	Issuer string `json:"issuer,omitempty"`
	// Action is "kms:Decrypt".
	Action string `json:"action"`
	// Resource is a key's id, ARN, alias or alias's ARN, another resource's ARN, or
	// "*" for actions that have none.
	Resource string `json:"resource"`
	// Region is where a key without an ARN is; if empty, the deployment's first.
	Region string `json:"region,omitempty"`
	// Context are condition keys of the request, EncryptionContext its encryption
	// context.
	Context           map[string][]string `json:"context,omitempty"`
	EncryptionContext map[string]string   `json:"encryptionContext,omitempty"`
}

// params are what the record of a question shows.
func (q Question) params() map[string]string {
	params := map[string]string{"action": q.Action, "resource": q.Resource}
	if q.Principal != "" {
		params["principal"] = q.Principal
	}
	if q.Issuer != "" {
		params["issuer"] = q.Issuer
	}
	if q.Region != "" {
		params["region"] = q.Region
	}
	return params
}

// Explanation is a decision and what it rests on.
type Explanation struct {
	Principal string `json:"principal"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	// Decision is "allowed", "explicitDeny" or "implicitDeny".
	Decision string `json:"decision"`
	// Because says why, in a sentence without a full stop.
	Because string `json:"because"`
	// Statements are those whose action matches.
	Statements []ExplainedStatement `json:"statements"`
	// Missing are condition keys that statements ask for and that neither the
	// question nor the principal answers.
	Missing []string `json:"missingContext,omitempty"`
	// Change says what would have to change for the other answer.
	Change []string `json:"change"`
	// Notes say what beside the policies may stand in the way.
	Notes []string `json:"notes,omitempty"`
}

// ExplainedStatement is a statement, or a grant, and what it says.
type ExplainedStatement struct {
	// Policy names the document, or the grant.
	Policy string `json:"policy"`
	// Kind is "identity-based policy", "resource-based policy", "grant".
	Kind   string `json:"kind"`
	Effect string `json:"effect"`
	// Index counts from 0.
	Index int    `json:"index"`
	Sid   string `json:"sid,omitempty"`
	// Applies says that it matches wholly; Failed says what does not.
	Applies bool     `json:"applies"`
	Failed  []string `json:"failed,omitempty"`
	// Text is the statement; empty for a grant.
	Text string `json:"text,omitempty"`
}

// Holders are those who can do something.
type Holders struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
	// Principals are sorted by account and ARN.
	Principals []Holder `json:"principals"`
	// More says that there are grants beyond those that were looked at.
	More  bool     `json:"more,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

// Holder is a principal that can do something, or could.
type Holder struct {
	Principal string `json:"principal"`
	// Certain says that it can whatever else the request is; otherwise it depends on
	// condition keys that the question does not answer.
	Certain bool `json:"certain"`
	// By names the statements and grants that let it, or could.
	By []string `json:"by"`
}
