package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/service/iam"
	"github.com/strongroom/strongroom/internal/service/kms"
	"github.com/strongroom/strongroom/internal/wire"
)

// inquirer is the pipeline of calls that are only asked about: they have policies,
// and leave no record.
type inquirer struct{ authz.Directory }

func (inquirer) Record(*authz.Call, any) []byte            { return nil }
func (inquirer) RecordFor(*authz.Call, any, string) []byte { return nil }

// inquiry is a question with everything but its principal settled.
type inquiry struct {
	*operator
	admin.Question
	given policy.MapContext
	// key is set for questions about a key.
	key *kms.Subject
	// account owns the resource; empty for the principal's own.
	account string
}

func (o *operator) inquire(ctx context.Context, q admin.Question, account string) (*inquiry, error) {
	action, ok := actionNamed(q.Action)
	if !ok {
		return nil, problem(fmt.Sprintf("there is no action %q", q.Action), "Actions look like kms:Decrypt; ReEncrypt asks for kms:ReEncryptFrom and kms:ReEncryptTo.", nil)
	}
	q.Action = action
	if q.Region == "" {
		q.Region = o.cfg.Regions[0]
	}
	i := &inquiry{operator: o, Question: q, given: policy.NewMapContext(q.Context)}
	for name, value := range q.EncryptionContext {
		i.given["kms:encryptioncontext:"+strings.ToLower(name)] = []string{value}
	}
	parts := strings.SplitN(q.Resource, ":", 6)
	isARN := len(parts) == 6 && parts[0] == "arn"
	if isARN && parts[3] != "" {
		i.Region = parts[3]
	}
	if isARN {
		i.account = parts[4]
	}
	service, _, _ := strings.Cut(action, ":")
	if service != "kms" || q.Resource == "*" || isARN && parts[2] != "kms" {
		return i, nil
	}
	call := i.call(iam.Root(authz.PartitionOf(i.Region), account, ""))
	key, err := o.kms.Subject(ctx, call, q.Resource)
	if errors.Is(err, kms.ErrNoKey) {
		return nil, problem(fmt.Sprintf("there is no key %q in %s", q.Resource, i.Region),
			"Name it by its id, its ARN or an alias; --region says where, unless an ARN does.", nil)
	}
	if err != nil {
		return nil, err
	}
	i.key, i.account, i.Resource = &key, key.Account, key.ARN
	return i, nil
}

// call is the call that the question is about: now, over TLS and not through a
// service.
func (i *inquiry) call(p authz.Principal) *authz.Call {
	service, name, _ := strings.Cut(i.Action, ":")
	call := &authz.Call{
		Service: service, Operation: name, Action: i.Action, Principal: p,
		Partition: authz.PartitionOf(i.Region), Region: i.Region, Time: i.clock.Now(), TLS: &wire.TLS{},
	}
	call.Attach(inquirer{i.iam})
	return call
}

// ask returns the question as the engine takes it.
func (i *inquiry) ask(ctx context.Context, p authz.Principal) (*policy.Request, *policy.Policies, error) {
	call := i.call(p)
	access := authz.Access{Resource: i.Resource, ResourceAccount: i.account}
	var err error
	switch {
	case i.key != nil:
		access, err = i.kms.Inquire(ctx, call, *i.key, i.EncryptionContext)
	case strings.HasPrefix(i.Action, "sts:"):
		var role *authz.Role
		if role, err = i.iam.Role(ctx, i.Resource); role != nil {
			access.Policy, access.ResourceAccount = role.Trust, role.Account
		}
	}
	if err != nil {
		return nil, nil, err
	}
	r, set, err := call.Question(ctx, access)
	r.Context = overlay{i.given, r.Context}
	return r, set, err
}

// crosses tells whether the principal's account may do the action at all on what
// another account owns.
func (i *inquiry) crosses(p *authz.Principal) bool {
	return i.key == nil || i.account == p.Account || kms.Crosses(i.Action)
}

// overlay answers what was given, and then what the call answers.
type overlay struct {
	given policy.MapContext
	call  policy.Context
}

func (o overlay) Values(key string) ([]string, bool) {
	if values, ok := o.given.Values(key); ok {
		return values, true
	}
	return o.call.Values(key)
}

// asker is the principal that a question is about.
func (o *operator) asker(ctx context.Context, q *admin.Question) (p authz.Principal, err error) {
	limits := iam.Limits{Policy: q.SessionPolicy, PolicyARNs: q.SessionPolicyARNs, Issuer: q.Issuer}
	ref, _ := policy.ParsePrincipal(q.Principal)
	if ref.Form == policy.FederatedUserForm || limits.Policy != "" || len(limits.PolicyARNs) > 0 || limits.Issuer != "" {
		p, err = o.iam.SessionNamed(ctx, q.Principal, limits)
	} else {
		p, err = o.iam.PrincipalNamed(ctx, q.Principal)
	}
	var syntax *policy.SyntaxError
	var refused *awserr.Error
	switch {
	case errors.Is(err, iam.ErrNoPrincipal) && limits.Issuer != "":
		return p, problem(fmt.Sprintf("there is no %q, or no user %q in its account", q.Principal, limits.Issuer), "Name both by their ARNs.", nil)
	case errors.Is(err, iam.ErrNoPrincipal):
		return p, problem(fmt.Sprintf("there is no user, role or account %q", q.Principal),
			"Name it by its ARN (arn:aws:iam::000000000000:user/alice), an account's root by its 12 digits.", nil)
	case errors.Is(err, iam.ErrNoSession):
		return p, problem(fmt.Sprintf("%q has no session with policies or an issuer", q.Principal),
			"Session policies are of roles and federated users, an issuer of federated users (arn:aws:sts::000000000000:federated-user/bob).", nil)
	case errors.Is(err, gateway.ErrUnknownKey):
		return p, problem("the root of account "+ref.Account+" is disabled, and with it whoever has its rights", "Name the user that it has its rights from: --issuer ARN.", nil)
	case errors.As(err, &syntax):
		return p, problem("the session's policy: "+syntax.Error(), "AWS refuses such a policy, and so does Strongroom.", nil)
	case errors.As(err, &refused):
		return p, problem(refused.Message, "Name managed policies by their ARNs.", nil)
	}
	return p, err
}

// Explain implements [admin.Operator].
func (o *operator) Explain(ctx context.Context, q admin.Question) (admin.Explanation, error) {
	p, err := o.asker(ctx, &q)
	if err != nil {
		return admin.Explanation{}, err
	}
	i, err := o.inquire(ctx, q, p.Account)
	if err != nil {
		return admin.Explanation{}, err
	}
	r, set, err := i.ask(ctx, p)
	if err != nil {
		return admin.Explanation{}, err
	}
	return i.explain(&p, r, set), nil
}

func (i *inquiry) explain(p *authz.Principal, r *policy.Request, set *policy.Policies) admin.Explanation {
	decision := policy.Evaluate(r, set)
	e := admin.Explanation{Principal: r.Principal.ARN, Action: r.Action, Resource: r.Resource, Statements: []admin.ExplainedStatement{}, Change: []string{}}
	outlines := outlinesOf(set)
	if i.key != nil && set.Resource != nil {
		outlines[outlineKey(set.Resource.Name, policy.KeyPolicy)] = i.key.Policy.Outline()
	}
	trials := policy.Trials(r, set)
	for _, t := range trials {
		e.Statements = append(e.Statements, outlines.explained(t))
	}
	keep := func(d *policy.Document) []policy.StatementOutline { return d.Outline() }
	for _, key := range policy.Mentions(r, set, keep) {
		if _, ok := r.Context.Values(strings.ToLower(key)); !ok {
			e.Missing = append(e.Missing, key)
		}
	}
	e.Decision, e.Because = verdict(&decision, r)
	if !i.crosses(p) {
		e.Decision, e.Because = "implicitDeny", "AWS KMS lets no other account do "+i.Action+", whatever the key's policy says"
		e.Change = append(e.Change, "ask as a principal of account "+i.account)
	} else {
		e.Change = changes(&decision, r, trials, i.key != nil, p)
	}
	if i.key != nil && i.key.State != "Enabled" {
		e.Notes = append(e.Notes, "the key is "+i.key.State+", which refuses much that the policies allow")
	}
	return e
}

// verdict words a decision.
func verdict(d *policy.Decision, r *policy.Request) (decision, because string) {
	switch d.Reason {
	case policy.Allowed:
		var by []string
		for _, ref := range d.Matched() {
			by = append(by, named(ref))
		}
		if len(by) == 0 {
			return "allowed", "the root of an account needs no policy for what its account owns"
		}
		return "allowed", "allowed by " + strings.Join(by, " and ")
	case policy.ExplicitDeny:
		return "explicitDeny", "denied by " + named(d.Matched()[0])
	}
	return "implicitDeny", strings.TrimPrefix(d.Because(r.Action), "because ")
}

// named is a statement or a grant in a sentence.
func named(ref policy.StatementRef) string {
	switch {
	case ref.Kind == policy.GrantPolicy:
		return "grant " + ref.Source
	case ref.Sid != "":
		return fmt.Sprintf("statement %q of %s", ref.Sid, ref.Source)
	}
	return fmt.Sprintf("statement %d of %s", ref.Index, ref.Source)
}

// changes says what would have to change for the other answer.
func changes(d *policy.Decision, r *policy.Request, trials []policy.Trial, key bool, p *authz.Principal) []string {
	var all []string
	switch d.Reason {
	case policy.Allowed:
		for _, ref := range d.Matched() {
			if ref.Kind == policy.GrantPolicy {
				all = append(all, "revoke "+named(ref))
			} else {
				all = append(all, "take the action, the principal or the resource out of "+named(ref)+"; others may allow it still")
			}
		}
		return append(all, "or deny it: a Deny anywhere wins")
	case policy.ExplicitDeny:
		for _, t := range trials {
			if t.Applies && t.Deny {
				all = append(all, "take it out of "+named(t.StatementRef)+", or add a condition that this request does not meet")
			}
		}
		return all
	}
	for _, t := range trials {
		if t.Kind == d.Kind && !t.Deny && t.Conditional {
			all = append(all, "meet the conditions of "+named(t.StatementRef)+": "+strings.Join(t.Failed, "; "))
		}
	}
	who := r.Principal.ARN
	if r.Principal.RoleARN != "" {
		who = r.Principal.RoleARN
	}
	whose := who // the identity policies are
	if r.Principal.Type == policy.FederatedUser && p.Session != nil {
		whose = p.Session.Issuer.ARN
	}
	switch d.Kind {
	case policy.KeyPolicy, policy.ResourcePolicy, policy.TrustPolicy:
		text := fmt.Sprintf("let the resource's policy allow %s to %s, or to account %s, whose identity policies must allow it then too", r.Action, who, r.Principal.Account)
		if r.Principal.Type == policy.Root {
			text = fmt.Sprintf("let the resource's policy allow %s to account %s", r.Action, r.Principal.Account)
		}
		all = append(all, text)
		if key {
			all = append(all, "or make a grant for "+who)
		}
	case policy.IdentityPolicy:
		all = append(all, fmt.Sprintf("let an identity policy of %s allow %s on %s", whose, r.Action, r.Resource))
	case policy.BoundaryPolicy:
		all = append(all, fmt.Sprintf("let the permissions boundary of %s allow %s", whose, r.Action))
	case policy.SessionPolicy:
		all = append(all, fmt.Sprintf("let the session's policy allow %s", r.Action))
	}
	return all
}

// outlines are the statements' texts, by the name of their source.
type outlines map[string][]policy.StatementOutline

func outlinesOf(set *policy.Policies) outlines {
	all := outlines{}
	sources := append(append(append([]policy.Source(nil), set.ServiceControl...), set.Identity...), set.Session...)
	for _, one := range []*policy.Source{set.Resource, set.Boundary} {
		if one != nil {
			sources = append(sources, *one)
		}
	}
	for _, source := range sources {
		if source.Document != nil {
			all[outlineKey(source.Name, source.Document.Kind())] = source.Document.Outline()
		}
	}
	return all
}

func outlineKey(name string, k policy.Kind) string { return fmt.Sprint(k, " ", name) }

func (o outlines) explained(t policy.Trial) admin.ExplainedStatement {
	e := admin.ExplainedStatement{Policy: t.Source, Kind: "grant", Effect: "Allow", Index: t.Index, Sid: t.Sid, Applies: t.Applies, Failed: t.Failed}
	if t.Deny {
		e.Effect = "Deny"
	}
	if t.Kind != policy.GrantPolicy {
		e.Kind = t.Kind.String()
		if texts := o[outlineKey(t.Source, t.Kind)]; t.Index < len(texts) {
			e.Text = texts[t.Index].Text
		}
	}
	return e
}

// WhoCan implements [admin.Operator].
func (o *operator) WhoCan(ctx context.Context, q admin.Question) (admin.Holders, error) {
	i, err := o.inquire(ctx, q, o.cfg.Account)
	if err != nil {
		return admin.Holders{}, err
	}
	found := admin.Holders{Action: i.Action, Resource: i.Resource, Principals: []admin.Holder{}}
	accounts, err := o.iam.Accounts(ctx)
	if err != nil {
		return admin.Holders{}, err
	}
	seen := map[string]bool{}
	for _, a := range accounts {
		err := o.iam.PrincipalsOf(ctx, a.ID, func(arn string, p authz.Principal) error {
			seen[arn] = true
			holder, can, err := i.holder(ctx, arn, p)
			if can {
				found.Principals = append(found.Principals, holder)
			}
			return err
		})
		if err != nil {
			return admin.Holders{}, err
		}
		if a.RootDisabled {
			found.Notes = append(found.Notes, "the root of account "+a.ID+" is disabled, and cannot sign in")
		}
	}
	if i.key == nil {
		return found, nil
	}
	if i.key.State != "Enabled" {
		found.Notes = append(found.Notes, "the key is "+i.key.State+", which refuses much that the policies allow")
	}
	grantees, more, err := o.kms.Grantees(ctx, *i.key, i.Action)
	found.More = more
	for _, g := range grantees {
		if !seen[g.Name] {
			found.Principals = append(found.Principals, admin.Holder{Principal: g.Name, By: []string{"grant " + g.Grant}})
		}
	}
	return found, err
}

// holder tells whether a principal can do it, or could in another context.
func (i *inquiry) holder(ctx context.Context, arn string, p authz.Principal) (admin.Holder, bool, error) {
	if !i.crosses(&p) {
		return admin.Holder{}, false, nil
	}
	r, set, err := i.ask(ctx, p)
	if err != nil {
		return admin.Holder{}, false, err
	}
	h := admin.Holder{Principal: arn, By: []string{}}
	decision := policy.Evaluate(r, set)
	if decision.Allowed {
		h.Certain = policy.Certain(r, set, unknown(&p))
		for _, ref := range decision.Matched() {
			h.By = append(h.By, named(ref))
		}
		return h, true, nil
	}
	if !policy.Possible(r, set, unknown(&p)) {
		return h, false, nil
	}
	for _, t := range policy.Trials(r, set) {
		if !t.Deny && (t.Applies || t.Conditional) {
			h.By = append(h.By, named(t.StatementRef))
		}
	}
	return h, true, nil
}

// unknown tells which condition keys a request of p may have although the question
// has no values for them: not those that the principal and the resource answer.
func unknown(p *authz.Principal) func(key string) bool {
	return func(key string) bool {
		if strings.HasPrefix(key, "aws:principaltag/") {
			return p.Type == policy.AssumedRole // a session may bring tags
		}
		for _, known := range []string{"aws:principal", "aws:userid", "aws:username", "aws:resource", "kms:key", "kms:multiregion", "kms:calleraccount"} {
			if strings.HasPrefix(key, known) {
				return false
			}
		}
		return true
	}
}
