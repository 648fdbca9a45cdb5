package authz

import (
	"context"
	"fmt"

	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
)

// Access is one thing that a call wants to do.
type Access struct {
	// Action is the IAM action, "kms:Encrypt"; if empty, the call's own.
	Action string
	// Resource is the ARN that the action is done on, "*" for none.
	Resource string
	// ResourceAccount is the account that owns Resource; if empty, the caller's.
	ResourceAccount string
	// Policy is the resource's own policy; nil for a resource that has none.
	Policy *policy.Source
	// Grants are the live grants on the resource.
	Grants []policy.Grant
	// GrantsSuffice says that a grant to the caller itself needs no identity policy
	// beside it in another account either: the resource decides as one of the
	// caller's account would.
	GrantsSuffice bool
	// Context answers the condition keys that the service knows; those of aws:
	// that a call itself answers come from the call. It may be nil.
	Context policy.Context
	// Unnamed words a denial without the resource's ARN, such as "the resource
	// associated with this ciphertext"; if empty, the ARN is shown to callers of
	// the resource's own account and "this resource" to others.
	Unnamed string
}

// Authorize decides whether the call may do what access describes. It returns
// nil, or an AccessDeniedException in AWS's words, or another error when the
// policies could not be gathered.
func (c *Call) Authorize(ctx context.Context, access Access) error {
	decision, err := c.decide(ctx, &access)
	if err != nil {
		return err
	}
	if !decision.Allowed {
		c.refused = true
		return c.denied(&access, &decision)
	}
	c.authorized = true
	return nil
}

// Could tells what Authorize would decide, for questions about the future; it
// authorises nothing.
func (c *Call) Could(ctx context.Context, access Access) (bool, error) {
	decision, err := c.decide(ctx, &access)
	return err == nil && decision.Allowed, err
}

// NeedsNoPermission says that the operation is one that every authenticated
// caller may do, such as GetCallerIdentity, which even a Deny does not touch.
func (c *Call) NeedsNoPermission() { c.authorized = true }

// question is what a decision is made of.
type question struct {
	request  policy.Request
	policies policy.Policies
	context  callContext
}

func (c *Call) decide(ctx context.Context, access *Access) (policy.Decision, error) {
	q := &c.question
	defer func() { *q = question{} }()
	if err := c.ask(ctx, access, q); err != nil {
		return policy.Decision{}, err
	}
	return policy.Evaluate(&q.request, &q.policies), nil
}

// Question returns what Authorize would decide, and upon which policies; it decides
// and authorises nothing.
func (c *Call) Question(ctx context.Context, access Access) (*policy.Request, *policy.Policies, error) {
	q := new(question)
	err := c.ask(ctx, &access, q)
	return &q.request, &q.policies, err
}

func (c *Call) ask(ctx context.Context, access *Access, q *question) error {
	if access.Action == "" {
		access.Action = c.Action
	}
	if access.ResourceAccount == "" {
		access.ResourceAccount = c.Principal.Account
	}
	q.policies = policy.Policies{Resource: access.Policy, Grants: access.Grants}
	if err := c.pipe.Policies(ctx, &c.Principal, &q.policies); err != nil {
		return fmt.Errorf("authz: gathering the policies of %s: %w", c.Principal.ARN, err)
	}
	judged := access.ResourceAccount
	if access.GrantsSuffice {
		judged = c.Principal.Account
	}
	q.context = callContext{c, access.ResourceAccount, access.Context}
	q.request = policy.Request{
		Principal:       c.Principal.Principal,
		Action:          access.Action,
		Resource:        access.Resource,
		ResourceAccount: judged,
		Context:         &q.context,
	}
	return nil
}

// ErrDenied is what errors.Is finds in every denial.
var ErrDenied = awserr.New("AccessDeniedException", "")

// denied words a denial. Of another account's resource a caller learns nothing
// that it would not learn of a missing one, unless that resource's policy admits
// it and its own policies, implicitly, do not: an explicit Deny of its own, or a
// service control policy, decides before the resource's policy is known to admit.
func (c *Call) denied(access *Access, d *policy.Decision) error {
	on := access.Unnamed
	if access.ResourceAccount != c.Principal.Account {
		if on == "" {
			on = "this resource"
		}
		admitted := d.Reason == policy.ImplicitDeny &&
			(d.Kind == policy.IdentityPolicy || d.Kind == policy.BoundaryPolicy || d.Kind == policy.SessionPolicy)
		if !admitted {
			return c.DeniedUnseen(access.Action, on)
		}
	} else if on == "" {
		on = "resource: " + access.Resource
	}
	return awserr.Newf(ErrDenied.Code, "User: %s is not authorized to perform: %s on %s %s",
		c.Principal.ARN, access.Action, on, d.Because(access.Action))
}

// DeniedUnseen is the denial of something that the caller may not know to exist:
// a resource of another account that is missing, or that is there and gives the
// caller nothing. on is "this resource" or another way to name it without an ARN.
func (c *Call) DeniedUnseen(action, on string) error {
	c.refused = true
	return awserr.Newf(ErrDenied.Code, "User: %s is not authorized to perform: %s on %s because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access",
		c.Principal.ARN, action, on)
}
