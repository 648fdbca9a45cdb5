package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

// sample is how many keys and ciphertexts of earlier rounds a worker checks again
// after each restart. After the last one it checks all of them.
const sample = 25

// check compares a restarted server with the ledger. Only violations and not
// being able to ask are told apart: the first go to the report, the second is the
// error.
func (r *runner) check(ctx context.Context, s *binary.Server, everything bool) error {
	client, err := newClient(s, r.note)
	if err != nil {
		return r.violate("%v", err)
	}
	aliases, err := listAliases(ctx, client)
	if err != nil {
		return r.violate("ListAliases after a restart: %v", err)
	}
	var checking sync.WaitGroup
	found := make([]error, len(r.workers))
	for i, w := range r.workers {
		checking.Go(func() { found[i] = w.check(ctx, client, aliases, everything) })
	}
	checking.Wait()
	for i, err := range found {
		if err != nil {
			_ = r.violate("worker %d: %v", i, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.checkTrail(s)
}

// listAliases returns alias name → bare key id.
func listAliases(ctx context.Context, c *kms.Client) (map[string]string, error) {
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

// check compares what the worker was told with what is there.
func (w *worker) check(ctx context.Context, c *kms.Client, aliases map[string]string, everything bool) error {
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
		unsettled := k.description.pending != nil || k.policy.pending != nil || !k.checked
		if everything || unsettled || w.choices.IntN(len(w.keys)) < sample {
			if err := k.check(ctx, c); err != nil {
				wrong = append(wrong, fmt.Errorf("key %d of %d: %w", i+1, len(w.keys), err))
			}
		}
	}
	for i, b := range w.blobs {
		if everything || i >= w.checked || w.choices.IntN(len(w.blobs)) < sample {
			out, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: b.ciphertext, EncryptionContext: b.encryptionContext})
			if err != nil {
				wrong = append(wrong, fmt.Errorf("ciphertext %d of %d does not decrypt: %w", i+1, len(w.blobs), err))
			} else if !bytes.Equal(out.Plaintext, b.plaintext) {
				wrong = append(wrong, fmt.Errorf("ciphertext %d of %d decrypts to %q, not %q", i+1, len(w.blobs), out.Plaintext, b.plaintext))
			}
		}
	}
	w.checked = len(w.blobs)
	return errors.Join(wrong...)
}

// check compares one key.
func (k *key) check(ctx context.Context, c *kms.Client) error {
	described, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &k.arn})
	if err != nil {
		return fmt.Errorf("%s is lost: %w", k.id, err)
	}
	if described.KeyMetadata.KeyState != types.KeyStateEnabled {
		return fmt.Errorf("%s is %s", k.id, described.KeyMetadata.KeyState)
	}
	description := aws.ToString(described.KeyMetadata.Description)
	if !k.description.allows(description) {
		return fmt.Errorf("%s: description %q, acknowledged was %q", k.id, description, k.description.acknowledged)
	}
	got, err := c.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &k.arn})
	if err != nil {
		return fmt.Errorf("the policy of %s is lost: %w", k.id, err)
	}
	if text := aws.ToString(got.Policy); !k.policy.allows(text) {
		return fmt.Errorf("%s: policy\n%s\nacknowledged was\n%s", k.id, text, k.policy.acknowledged)
	}
	k.description.settle(description)
	k.policy.settle(aws.ToString(got.Policy))
	k.checked = true
	return nil
}

// checkTrail exports the audit trail, looks for each acknowledged call and lets
// the server's own verification run.
func (r *runner) checkTrail(s *binary.Server) error {
	exported, err := s.Audit("export")
	if err != nil {
		return err
	}
	if exported.Code != 0 {
		return r.violate("audit export ended with %d: %s", exported.Code, exported.Stderr)
	}
	recorded, records, err := recordedCalls(exported.Stdout)
	if err != nil {
		return r.violate("audit export: %v", err)
	}
	r.report.Records = records
	for requestID, operation := range r.requests {
		if got, ok := recorded[requestID]; !ok || got != operation {
			_ = r.violate("%s with the acknowledged request id %s is recorded as %q", operation, requestID, got)
		}
	}
	verified, err := s.Audit("verify")
	if err != nil {
		return err
	}
	if verified.Code != 0 {
		return r.violate("audit verify ended with %d: %s%s", verified.Code, verified.Stdout, verified.Stderr)
	}
	return nil
}

// recordedCalls reads an export: request id → event name, and the number of
// records. A request id that is there twice is an error.
func recordedCalls(export []byte) (map[string]string, int, error) {
	calls := map[string]string{}
	records := 0
	for line := range strings.Lines(string(export)) {
		var record struct {
			RequestID string `json:"requestID"`
			EventName string `json:"eventName"`
			EventType string `json:"eventType"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			return nil, 0, fmt.Errorf("%w in %s", err, line)
		}
		records++
		if record.RequestID == "" || record.EventType != "AwsApiCall" {
			continue
		}
		if before, ok := calls[record.RequestID]; ok {
			return nil, 0, fmt.Errorf("request %s is recorded twice, as %s and as %s", record.RequestID, before, record.EventName)
		}
		calls[record.RequestID] = record.EventName
	}
	return calls, records, nil
}
