package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// mostGrants bounds how many grants a worker lets a key have.
const mostGrants = 5

// granted is the value of a grant that is there; one that is not has none.
const granted = "granted"

// grantee is who the grants are for.
const grantee = "arn:aws:iam::000000000000:root"

// grant is a grant that a worker asked for. Its name makes it known even when its
// creation was not answered, and the same request with the same name must not make
// a second one.
type grant struct {
	name  string
	id    string // "" until it was acknowledged or found
	there value
}

// input is what the grant is asked for with.
func (g *grant) input(k *key) *kms.CreateGrantInput {
	return &kms.CreateGrantInput{
		KeyId: &k.id, Name: &g.name, GranteePrincipal: aws.String(grantee),
		Operations:  []types.GrantOperation{types.GrantOperationDecrypt, types.GrantOperationEncrypt},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"grant": g.name}},
	}
}

// compare says how a grant that is there differs from what was asked for.
func (g *grant) compare(k *key, found types.GrantListEntry) error {
	want := g.input(k)
	operations := slices.Sorted(slices.Values(found.Operations))
	switch {
	case g.id != "" && aws.ToString(found.GrantId) != g.id:
		return fmt.Errorf("grant %s has id %s, acknowledged was %s", g.name, aws.ToString(found.GrantId), g.id)
	case aws.ToString(found.GranteePrincipal) != grantee:
		return fmt.Errorf("grant %s is for %s", g.name, aws.ToString(found.GranteePrincipal))
	case !slices.Equal(operations, want.Operations):
		return fmt.Errorf("grant %s allows %v, not %v", g.name, operations, want.Operations)
	case found.Constraints == nil || !maps.Equal(found.Constraints.EncryptionContextSubset, want.Constraints.EncryptionContextSubset):
		return fmt.Errorf("grant %s has constraints %+v", g.name, found.Constraints)
	}
	return nil
}

// changeGrant makes a grant on k or revokes one.
func (w *worker) changeGrant(ctx context.Context, c *client, k *key) error {
	var there []*grant
	for _, name := range slices.Sorted(maps.Keys(k.grants)) {
		if g := k.grants[name]; g.there.acknowledged == granted {
			there = append(there, g)
		}
	}
	if !k.is(types.KeyStateEnabled) || len(there) >= mostGrants || len(there) > 0 && w.choices.IntN(3) == 0 {
		if len(there) == 0 {
			return nil // CreateGrant is for keys that can be used
		}
		return w.revoke(ctx, c, k, there[w.choices.IntN(len(there))])
	}
	g := &grant{name: strings.ReplaceAll(w.next("grant"), " ", "-")}
	k.grants[g.name] = g
	return w.grant(ctx, c, k, g)
}

// grant asks for a grant, for the first time or again.
func (w *worker) grant(ctx context.Context, c *client, k *key, g *grant) error {
	return change(&g.there, granted, func() error {
		out, err := c.CreateGrant(ctx, g.input(k))
		if err := answered("CreateGrant", err); err != nil {
			return err
		}
		id := aws.ToString(out.GrantId)
		if g.id != "" && g.id != id {
			return fmt.Errorf("asked for again, grant %s is %s and was %s", g.name, id, g.id)
		}
		g.id = id
		w.grants++
		return nil
	})
}

func (w *worker) revoke(ctx context.Context, c *client, k *key, g *grant) error {
	return change(&g.there, "", func() error {
		_, err := c.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &k.id, GrantId: &g.id})
		return answered("RevokeGrant", err)
	})
}

// checkGrants compares the grants on k. Half of the unanswered calls are made
// again, so that both what a client does with its retries and what it finds
// without are seen.
func (w *worker) checkGrants(ctx context.Context, c, asking *client, k *key) error {
	found := map[string]types.GrantListEntry{}
	pages := kms.NewListGrantsPaginator(asking, &kms.ListGrantsInput{KeyId: &k.id, Limit: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("ListGrants of %s: %w", k.id, err)
		}
		for _, entry := range page.Grants {
			name := aws.ToString(entry.Name)
			g := k.grants[name]
			if g == nil {
				return fmt.Errorf("%s has a grant %q that nobody asked for", k.id, name)
			}
			if _, twice := found[name]; twice {
				return fmt.Errorf("%s has two grants %s", k.id, name)
			}
			if err := g.compare(k, entry); err != nil {
				return fmt.Errorf("%s: %w", k.id, err)
			}
			found[name] = entry
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.grants)) {
		g := k.grants[name]
		now := ""
		if entry, ok := found[name]; ok {
			now, g.id = granted, aws.ToString(entry.GrantId)
		}
		if !g.there.allows(now) {
			return fmt.Errorf("%s: grant %s is %q, acknowledged was %q", k.id, name, now, g.there.acknowledged)
		}
		asked := g.there.pending
		g.there.settle(now)
		if asked == nil || w.choices.IntN(2) == 0 {
			continue
		}
		var err error
		switch {
		case *asked == granted && k.is(types.KeyStateEnabled):
			err = w.grant(ctx, c, k, g)
		case *asked == "" && now == granted:
			err = w.revoke(ctx, c, k, g)
		}
		if err != nil && !errors.Is(err, errGone) { // if it is gone, it settles after the next restart
			return fmt.Errorf("%s: made again: %w", k.id, err)
		}
	}
	return nil
}
