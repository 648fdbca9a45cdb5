package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

// check compares all that is there in the end with what was acknowledged.
func (r *runner) check(ctx context.Context) error {
	found := make([]error, nodes)
	var checking sync.WaitGroup
	for n := range nodes {
		checking.Go(func() { found[n] = r.checkNode(ctx, n) })
	}
	checking.Wait()
	for n, err := range found {
		if err != nil {
			return fmt.Errorf("the check of node %d: %w", n, err)
		}
	}
	if err := r.checkCreations(ctx); err != nil {
		return err
	}
	r.say("the nodes show what was acknowledged, or it was said what they do not; %d keys", r.report.Keys)
	for n := 1; n < nodes; n++ {
		if err := r.servers[n].Stop(); err != nil {
			r.violate("node %d: %v", n, err)
		}
	}
	for n, s := range r.servers {
		for line := range strings.Lines(s.Output()) {
			if strings.Contains(line, "panic:") || strings.Contains(line, "behind the server's back") {
				r.violate("node %d says: %s", n, strings.TrimSpace(line))
			}
		}
	}
	if err := r.checkTrail(); err != nil {
		return err
	}
	if err := r.servers[0].Stop(); err != nil {
		r.violate("node 0: %v", err)
	}
	return nil
}

// call makes a call that must be answered within a minute, and that may be made more
// than once.
func (r *runner) call(ctx context.Context, node int, operation string, in any) (answer, error) {
	for began := time.Now(); ; rest(ctx, 100*time.Millisecond) {
		a := r.root.kms(ctx, r.urls[node], operation, in)
		if a.outcome() != unknown {
			return a, nil
		}
		if ctx.Err() != nil || time.Since(began) > time.Minute {
			return a, fmt.Errorf("%v %s", a, a.body)
		}
	}
}

// succeeds is call for what must not be refused.
func (r *runner) succeeds(ctx context.Context, node int, operation string, in any) (answer, error) {
	a, err := r.call(ctx, node, operation, in)
	if err == nil && a.outcome() != done {
		err = fmt.Errorf("node %d: %s: %v %s", node, operation, a, a.body)
	}
	return a, err
}

// checkNode looks at everything through one node.
func (r *runner) checkNode(ctx context.Context, node int) error {
	aliases := map[string]string{}
	err := r.pages(ctx, node, "ListAliases", map[string]any{}, "Aliases", func(entry map[string]string) {
		aliases[entry["AliasName"]] = entry["TargetKeyId"]
	})
	if err != nil {
		return err
	}
	for _, w := range r.loaders {
		for _, alias := range w.aliases {
			if found := aliases[alias.name]; !alias.allows(found) {
				r.violate("%s points to %q at node %d; acknowledged is %q, possible %q", alias.name, found, node, alias.value, alias.maybe)
			}
		}
		for _, k := range w.keys {
			if err := r.checkKey(ctx, node, w, k); err != nil {
				return err
			}
		}
		for i := node; i < len(w.blobs); i += nodes { // each by one of them
			b := w.blobs[i]
			a, err := r.call(ctx, node, "Decrypt", map[string]any{"CiphertextBlob": b.ciphertext})
			if err != nil {
				return err
			}
			if a.outcome() == done && a.field("Plaintext") != b.plaintext || a.outcome() == refused && a.code != "DisabledException" {
				r.violate("a ciphertext of %q at node %d: %v, %q", b.plaintext, node, a, a.field("Plaintext"))
			}
		}
	}
	return nil
}

func (r *runner) checkKey(ctx context.Context, node int, w *loader, k *loadedKey) error {
	a, err := r.call(ctx, node, "DescribeKey", map[string]any{"KeyId": k.id})
	if err != nil {
		return err
	}
	if a.outcome() != done {
		r.violate("key %s at node %d: %v", k.id, node, a)
		return nil
	}
	w.compare(fmt.Sprint("node ", node), k, a)
	if a, err = r.call(ctx, node, "GetKeyPolicy", map[string]any{"KeyId": k.id}); err != nil {
		return err
	}
	policy := register{value: policyID(k.policy.value)}
	for _, maybe := range k.policy.maybe {
		policy.maybe = append(policy.maybe, policyID(maybe))
	}
	if found := policyID(a.field("Policy")); !policy.allows(found) {
		r.violate("key %s at node %d has the policy %q; acknowledged is %q, possible %q", k.id, node, found, policy.value, policy.maybe)
	}
	grants := map[string]int{}
	err = r.pages(ctx, node, "ListGrants", map[string]any{"KeyId": k.id}, "Grants", func(entry map[string]string) { grants[entry["GrantId"]]++ })
	if err != nil {
		return err
	}
	for _, g := range k.grants {
		found := "absent"
		if grants[g.name] > 0 {
			found = "present"
		}
		if !g.allows(found) || grants[g.name] > 1 {
			r.violate("the grant %s of key %s is there %d times at node %d; acknowledged is %s, possible %q", g.name, k.id, grants[g.name], node, g.value, g.maybe)
		}
	}
	return nil
}

// policyID returns the Id of a policy.
func policyID(policy string) string {
	var document struct{ Id string }
	if json.Unmarshal([]byte(policy), &document) != nil {
		return "not a policy: " + policy
	}
	return document.Id
}

// pages lists everything.
func (r *runner) pages(ctx context.Context, node int, operation string, in map[string]any, member string, each func(map[string]string)) error {
	for {
		a, err := r.call(ctx, node, operation, in)
		if err != nil {
			return err
		}
		if a.outcome() != done {
			return fmt.Errorf("%v %s", a, a.body)
		}
		var page map[string]json.RawMessage
		var entries []map[string]any
		if err := json.Unmarshal(a.body, &page); err != nil {
			return err
		}
		if err := json.Unmarshal(page[member], &entries); err != nil {
			return err
		}
		for _, entry := range entries {
			texts := map[string]string{}
			for name, value := range entry {
				if text, ok := value.(string); ok {
					texts[name] = text
				}
			}
			each(texts)
		}
		if in["Marker"] = a.field("NextMarker"); in["Marker"] == "" {
			return nil
		}
	}
}

// checkCreations looks for keys that were made twice.
func (r *runner) checkCreations(ctx context.Context) error {
	known, tokens := map[string]bool{}, map[string]bool{}
	for _, w := range r.loaders {
		for _, k := range w.keys {
			known[k.id] = true
		}
		for token, acknowledged := range w.tokens {
			tokens[token] = acknowledged
		}
	}
	var ids []string
	err := r.pages(ctx, 0, "ListKeys", map[string]any{"Limit": 1000}, "Keys", func(entry map[string]string) { ids = append(ids, entry["KeyId"]) })
	if err != nil {
		return err
	}
	r.report.Keys = len(ids)
	unacknowledged := map[string]int{}
	for _, id := range ids {
		if known[id] {
			continue
		}
		a, err := r.call(ctx, 1, "DescribeKey", map[string]any{"KeyId": id})
		if err != nil {
			return err
		}
		token := a.field("KeyMetadata", "Description")
		acknowledged, ours := tokens[token]
		if !ours {
			continue
		}
		if unacknowledged[token]++; acknowledged || unacknowledged[token] > 1 {
			r.violate("the key %q was made twice", token)
		}
	}
	return nil
}

// checkTrail lets the trail be verified, and compares it with the answers.
func (r *runner) checkTrail() error {
	cmd := exec.Command(r.Path, "audit", "export", "--data", r.data(0))
	cmd.Env = binary.Environment()
	var said strings.Builder
	cmd.Stderr = &said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = r.compareTrail(stdout)
	if waited := cmd.Wait(); waited != nil {
		return fmt.Errorf("audit export: %w: %s", waited, said.String())
	}
	if err != nil {
		return err
	}
	verified, err := binary.Run(r.Path, "audit", "verify", "--data", r.data(0))
	if err != nil {
		return err
	}
	if verified.Code != 0 {
		r.violate("audit verify: %d: %s%s", verified.Code, verified.Stdout, verified.Stderr)
	}
	r.say("audit verify: %s", strings.TrimSpace(string(verified.Stdout)))
	return nil
}

func (r *runner) compareTrail(export io.Reader) error {
	r.mu.Lock()
	answered := r.answered
	r.mu.Unlock()
	seen, events := make(map[string]bool, len(answered)), make(map[string]bool, len(answered))
	missing := len(answered)
	lines := bufio.NewReaderSize(export, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		var record struct{ EventID, EventName, EventType, RequestID string }
		if err := json.Unmarshal(line, &record); err != nil {
			return fmt.Errorf("%w in %s", err, line)
		}
		r.report.Records++
		if events[record.EventID] {
			r.violate("the record %s of %s is there twice", record.EventID, record.EventName)
		}
		events[record.EventID] = true
		if record.RequestID == "" || record.EventType != "AwsApiCall" {
			continue
		}
		if seen[record.RequestID] {
			r.violate("the call %s, %s, is recorded twice", record.RequestID, record.EventName)
		}
		seen[record.RequestID] = true
		if operation, ok := answered[record.RequestID]; ok {
			if missing--; operation != record.EventName {
				r.violate("the call %s of %s is recorded as %s", record.RequestID, operation, record.EventName)
			}
		}
	}
	if missing > 0 {
		for id, operation := range answered {
			if !seen[id] {
				r.violate("the call %s of %s was answered and has no record", id, operation)
			}
		}
	}
	return nil
}
