package crash

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

// sample is how many keys and ciphertexts of earlier rounds a worker checks again
// after each restart. After a folder's last one it checks all of them.
const sample = 2

// check compares a restarted server with the ledger. Only violations and not
// being able to ask are told apart: the first go to the report, the second is the
// error.
func (f *folder) check(ctx context.Context, s *binary.Server, everything bool) error {
	client, err := newClient(s, f.note)
	if err != nil {
		return f.violate("%v", err)
	}
	asking := patient(client)
	aliases, err := listAliases(ctx, asking)
	if err != nil {
		return f.wrong(ctx, fmt.Errorf("ListAliases after a restart: %w", err))
	}
	if err := f.checkLists(ctx, asking, aliases); err != nil {
		return f.wrong(ctx, err)
	}
	var checking sync.WaitGroup
	found := make([]error, len(f.workers))
	for i, w := range f.workers {
		checking.Go(func() { found[i] = w.check(ctx, client, asking, aliases, everything) })
	}
	checking.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, err := range found {
		if err != nil {
			_ = f.violate("worker %d: %v", i, err)
		}
	}
	return f.checkTrail(s, everything)
}

// checkLists looks for keys and aliases that nobody asked for and for keys that
// are not listed. A key whose creation was not answered is adopted: from now on it
// must be as whole as any other.
func (f *folder) checkLists(ctx context.Context, c *client, aliases map[string]string) error {
	listed, err := listKeys(ctx, c)
	if err != nil {
		return fmt.Errorf("ListKeys after a restart: %w", err)
	}
	asked := map[string]bool{}
	for _, w := range f.workers {
		for name := range w.aliases {
			asked[name] = true
		}
		for _, k := range w.keys {
			if listed[k.id] == "" {
				return fmt.Errorf("key %s is not listed", k.id)
			}
			delete(listed, k.id)
		}
		if id := w.multi.id; id != "" {
			if listed[id] == "" {
				return fmt.Errorf("key %s is not listed", id)
			}
			delete(listed, id)
		}
	}
	for name, id := range aliases {
		if !asked[name] && !strings.HasPrefix(name, "alias/aws/") {
			return fmt.Errorf("nobody asked for %s, which points to %s", name, id)
		}
	}
	for id, arn := range listed {
		described, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
		if err != nil {
			return fmt.Errorf("key %s is listed, but: %w", id, err)
		}
		description := aws.ToString(described.KeyMetadata.Description)
		adopted := false
		for _, w := range f.workers {
			if k := w.creating; k != nil && k.description.acknowledged == description {
				w.adopt(k, id, arn)
				w.adopted++
				adopted = true
			}
			if m := &w.multi; m.id == "" && m.description != "" && m.description == description {
				m.id = id
				w.adopted++
				adopted = true
			}
		}
		if !adopted {
			return fmt.Errorf("nobody asked for key %s, %q", id, description)
		}
	}
	for _, w := range f.workers {
		w.creating = nil // what is not there by now must not come any more
	}
	return nil
}

// listKeys returns bare key id → ARN.
func listKeys(ctx context.Context, c *client) (map[string]string, error) {
	keys := map[string]string{}
	pages := kms.NewListKeysPaginator(c, &kms.ListKeysInput{Limit: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, key := range page.Keys {
			keys[aws.ToString(key.KeyId)] = aws.ToString(key.KeyArn)
		}
	}
	return keys, nil
}

// listAliases returns alias name → bare key id.
func listAliases(ctx context.Context, c *client) (map[string]string, error) {
	aliases := map[string]string{}
	pages := kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{Limit: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, alias := range page.Aliases {
			aliases[aws.ToString(alias.AliasName)] = aws.ToString(alias.TargetKeyId)
		}
	}
	return aliases, nil
}

// check compares what the worker was told with what is there. It asks by asking,
// and makes changes by c.
func (w *worker) check(ctx context.Context, c, asking *client, aliases map[string]string, everything bool) error {
	var wrong []error
	for name, v := range w.aliases {
		if found := aliases[name]; !v.allows(found) {
			wrong = append(wrong, fmt.Errorf("%s points to %q, acknowledged was %q", name, found, v.acknowledged))
		} else {
			v.settle(found)
		}
	}
	for i, k := range w.keys {
		// A key with an unanswered change is always looked at: it must settle
		// before the worker changes it again.
		if everything || k.unsettled() || w.choices.IntN(len(w.keys)) < sample {
			if err := w.checkKey(ctx, c, asking, k); err != nil {
				wrong = append(wrong, fmt.Errorf("key %d of %d: %w", i+1, len(w.keys), err))
			}
		}
	}
	if everything || w.person.unsettled() || w.choices.IntN(4) == 0 {
		if err := w.person.check(ctx, c.identities, asking.identities); err != nil {
			wrong = append(wrong, err)
		}
	}
	if err := w.multi.check(ctx, asking, everything); err != nil {
		wrong = append(wrong, err)
	}
	for i, b := range w.blobs {
		if everything || i >= w.checked || w.choices.IntN(len(w.blobs)) < sample {
			if err := b.check(ctx, asking); err != nil {
				wrong = append(wrong, fmt.Errorf("ciphertext %d of %d under %s: %w", i+1, len(w.blobs), b.key.id, err))
			}
		}
	}
	w.checked = len(w.blobs)
	return errors.Join(wrong...)
}
