package crash

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// Values of a person's members.
const (
	there    = "there"
	active   = "Active"
	inactive = "Inactive"
)

// policyName is the name of a person's policy.
const policyName = "own"

// person is a worker's IAM user, with a policy in it and an access key.
type person struct {
	name   string
	exists value // there, or "" for not
	policy value // "" for none
	// keyID and secret are the access key, whose creation was acknowledged; status
	// is active or inactive.
	keyID, secret string
	status        value
	asked         bool // for an access key that was not acknowledged yet
}

// unsettled reports whether a change was not answered.
func (p *person) unsettled() bool {
	return p.exists.pending != nil || p.policy.pending != nil || p.status.pending != nil || p.asked
}

// step makes one change. n chooses.
func (p *person) step(ctx context.Context, c *identities, n int, next string) error {
	switch {
	case p.exists.acknowledged == "":
		return change(&p.exists, there, func() error {
			_, err := c.iam(ctx, "CreateUser", p.name)
			return err
		})
	case p.keyID == "":
		p.asked = true
		made, err := c.iam(ctx, "CreateAccessKey", p.name)
		if err != nil {
			return err
		}
		p.asked = false
		p.keyID, p.secret = made.Made.ID, made.Made.Secret
		p.status.settle(active)
		return nil
	case n == 0 && p.policy.acknowledged != "":
		return change(&p.policy, "", func() error {
			_, err := c.iam(ctx, "DeleteUserPolicy", p.name, "PolicyName", policyName)
			return err
		})
	case n <= 2:
		other := map[string]string{active: inactive, inactive: active}[p.status.acknowledged]
		return change(&p.status, other, func() error {
			_, err := c.iam(ctx, "UpdateAccessKey", p.name, "AccessKeyId", p.keyID, "Status", other)
			return err
		})
	default:
		text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":%q,"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}]}`, next)
		return change(&p.policy, text, func() error {
			_, err := c.iam(ctx, "PutUserPolicy", p.name, "PolicyName", policyName, "PolicyDocument", text)
			return err
		})
	}
}

// check compares the person with what is there.
func (p *person) check(ctx context.Context, c, asking *identities) error {
	_, err := asking.iam(ctx, "GetUser", p.name)
	found, err := absent(there, err)
	if err != nil {
		return err
	}
	if !p.exists.allows(found) {
		return fmt.Errorf("user %s is %q, acknowledged was %q", p.name, found, p.exists.acknowledged)
	}
	p.exists.settle(found)
	if found == "" {
		return nil
	}
	a, err := asking.iam(ctx, "GetUserPolicy", p.name, "PolicyName", policyName)
	text := ""
	if err == nil {
		text, err = url.PathUnescape(a.PolicyDocument)
	}
	if text, err = absent(text, err); err != nil {
		return err
	}
	if !p.policy.allows(text) {
		return fmt.Errorf("user %s has the policy %q, acknowledged was %q", p.name, text, p.policy.acknowledged)
	}
	p.policy.settle(text)
	return p.checkKey(ctx, c, asking)
}

// checkKey compares the access key, and signs with it.
func (p *person) checkKey(ctx context.Context, c, asking *identities) error {
	keys, err := asking.iam(ctx, "ListAccessKeys", p.name)
	if err != nil {
		return err
	}
	status := ""
	for _, key := range keys.Keys {
		switch {
		case key.ID == p.keyID:
			status = key.Status
		case p.asked: // nobody was told its secret
			if _, err := c.iam(ctx, "DeleteAccessKey", p.name, "AccessKeyId", key.ID); err != nil && !errors.Is(err, errGone) {
				return err
			} else if err != nil {
				return nil // it settles after the next restart
			}
		default:
			return fmt.Errorf("user %s has an access key %s that nobody asked for", p.name, key.ID)
		}
	}
	p.asked = false
	if !p.status.allows(status) {
		return fmt.Errorf("the access key of %s is %q, acknowledged was %q", p.name, status, p.status.acknowledged)
	}
	p.status.settle(status)
	if p.keyID == "" {
		return nil
	}
	var refusal *queryError
	_, err = asking.as(p.keyID, p.secret).caller(ctx)
	switch {
	case status == active:
		return err
	case err == nil:
		return fmt.Errorf("the inactive access key of %s signs", p.name)
	case errors.As(err, &refusal) && refusal.code == refusedSignature:
		return nil
	}
	return err
}

// absent turns the error of what is not there into no value.
func absent(found string, err error) (string, error) {
	if refusal := (*queryError)(nil); errors.As(err, &refusal) && refusal.code == "NoSuchEntity" {
		return "", nil
	}
	return found, err
}
