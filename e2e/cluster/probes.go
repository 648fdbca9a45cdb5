package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The ways of taking a user's access away.
var revocationKinds = []string{"disable", "deny", "revoke"}

// revoker gives and takes one kind of access, while probers try to use it.
type revoker struct {
	*runner
	kind    string
	choices *rand.Rand

	current atomic.Pointer[target]

	revocations, admitted, refused, refusedCut, silent atomic.Int64
}

// target is a key that the user may decrypt with, or may not.
type target struct {
	key, ciphertext, grant string
	// phase is odd from when a revocation is acknowledged until the access is given
	// again.
	phase atomic.Int64
	seen  [nodes]atomic.Int64 // probes that each node has answered in this phase
}

// revoke starts the revokers and their probers.
func (r *runner) revoke(ctx context.Context, workers *sync.WaitGroup) error {
	for i, kind := range revocationKinds {
		v := &revoker{runner: r, kind: kind, choices: rand.New(rand.NewPCG(r.Seed, 100+uint64(i)))}
		r.revokers = append(r.revokers, v)
		if err := v.renew(ctx); err != nil {
			return err
		}
		workers.Go(func() { v.run(ctx) })
	}
	for n := range nodes {
		for i := range r.Probers {
			workers.Go(func() { r.prober(ctx, n, i) })
		}
	}
	return nil
}

// probes adds up a figure of all revokers.
func (r *runner) probes(figure func(*revoker) int64) (sum int64) {
	for _, v := range r.revokers {
		sum += figure(v)
	}
	return sum
}

// statement is one of a key policy about the user.
func (v *revoker) statement(effect string) string {
	return fmt.Sprintf(`,{"Effect":%q,"Principal":{"AWS":%q},"Action":"kms:Decrypt","Resource":"*"}`, effect, v.user)
}

// renew makes another target. It tries until it goes well.
func (v *revoker) renew(ctx context.Context) error {
	for ctx.Err() == nil {
		t := &target{}
		more := v.statement("Allow")
		if v.kind == "revoke" {
			more = ""
		}
		node := v.anyNode(v.choices)
		a := v.root.kms(ctx, node, "CreateKey", map[string]any{"Description": "probed", "Policy": openPolicy("p", more)})
		if t.key = a.field("KeyMetadata", "KeyId"); a.outcome() == done {
			a = v.root.kms(ctx, node, "Encrypt", map[string]any{"KeyId": t.key, "Plaintext": "aGVsbG8="})
			t.ciphertext = a.field("CiphertextBlob")
		}
		if a.outcome() == done && v.kind == "revoke" {
			t.grant, a = v.newGrant(ctx, t)
		}
		switch a.outcome() {
		case done:
			v.current.Store(t)
			return nil
		case refused:
			return fmt.Errorf("a key to probe: %v %s", a, a.body)
		}
	}
	return ctx.Err()
}

func (v *revoker) newGrant(ctx context.Context, t *target) (string, answer) {
	a := v.root.kms(ctx, v.anyNode(v.choices), "CreateGrant", map[string]any{"KeyId": t.key, "GranteePrincipal": v.user, "Operations": []string{"Decrypt"}})
	return a.field("GrantId"), a
}

// run gives and takes until ctx ends.
func (v *revoker) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !v.cycle(ctx) && ctx.Err() == nil {
			if err := v.renew(ctx); err != nil && ctx.Err() == nil {
				v.violate("%v", err)
				return
			}
		}
	}
}

// cycle takes the access and gives it again. It reports whether the target can be
// used further: not after a call of unknown outcome that may yet give the access.
func (v *revoker) cycle(ctx context.Context) bool {
	t := v.current.Load()
	v.wait(ctx, t, 3, 2*time.Second)
	for {
		if ctx.Err() != nil {
			return true
		}
		a := v.take(ctx, t)
		if a.outcome() == done {
			break
		}
		if a.outcome() == refused {
			if v.kind == "revoke" && a.code == "NotFoundException" {
				return false // an earlier call may have done it, which was not acknowledged
			}
			v.violate("a revocation: %v %s", a, a.body)
			return false
		}
	}
	v.revocations.Add(1)
	t.phase.Add(1)
	// Now and then it stays so for long, so that faults fall into it.
	hold := 5 * time.Second
	if v.choices.IntN(3) == 0 {
		hold = 30 * time.Second
	}
	v.wait(ctx, t, 100+v.choices.Int64N(2000), hold)
	for n := range t.seen {
		t.seen[n].Store(0)
	}
	t.phase.Add(1)
	return v.give(ctx, t).outcome() == done
}

func (v *revoker) take(ctx context.Context, t *target) answer {
	node := v.anyNode(v.choices)
	switch v.kind {
	case "disable":
		return v.root.kms(ctx, node, "DisableKey", map[string]any{"KeyId": t.key})
	case "deny":
		return v.root.kms(ctx, node, "PutKeyPolicy", map[string]any{"KeyId": t.key, "Policy": openPolicy("p", v.statement("Allow")+v.statement("Deny"))})
	}
	return v.root.kms(ctx, node, "RevokeGrant", map[string]any{"KeyId": t.key, "GrantId": t.grant})
}

func (v *revoker) give(ctx context.Context, t *target) answer {
	node := v.anyNode(v.choices)
	switch v.kind {
	case "disable":
		return v.root.kms(ctx, node, "EnableKey", map[string]any{"KeyId": t.key})
	case "deny":
		return v.root.kms(ctx, node, "PutKeyPolicy", map[string]any{"KeyId": t.key, "Policy": openPolicy("p", v.statement("Allow"))})
	}
	grant, a := v.newGrant(ctx, t)
	t.grant = grant
	return a
}

// wait returns when every node has answered that many probes of this phase, or time
// is up.
func (v *revoker) wait(ctx context.Context, t *target, probes int64, most time.Duration) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(most)
	for {
		least := probes
		for n := range t.seen {
			least = min(least, t.seen[n].Load())
		}
		if least == probes {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			return
		case <-ctx.Done():
			return
		}
	}
}

// probeEvery is the pause between a prober's probes: on a machine of few processors the
// changes are to have their share.
const probeEvery = 18 * time.Millisecond

// signedProbe is a probe that is sent many times, and signed once in a while.
type signedProbe struct {
	of   *target
	req  *http.Request
	body []byte
	at   time.Time
}

// prober tries the access that each revoker gives and takes, on one node.
func (r *runner) prober(ctx context.Context, node, offset int) {
	signed := make([]signedProbe, len(r.revokers))
	ticker := time.NewTicker(max(probeEvery, r.Pause))
	defer ticker.Stop()
	for i := offset; ctx.Err() == nil; i++ {
		v := r.revokers[i%len(r.revokers)]
		t := v.current.Load()
		p := &signed[i%len(r.revokers)]
		if p.of != t || time.Since(p.at) > time.Minute {
			if err := p.sign(ctx, v, t, node); err != nil {
				r.violate("a probe: %v", err)
				return
			}
		}
		phase, apart := t.phase.Load(), r.apart(node)
		a := r.probe.send(context.WithoutCancel(ctx), p.req, "Decrypt", p.body)
		v.judge(t, node, phase, apart, a)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (p *signedProbe) sign(ctx context.Context, v *revoker, t *target, node int) (err error) {
	if p.body, err = json.Marshal(map[string]any{"CiphertextBlob": t.ciphertext}); err != nil {
		return err
	}
	p.req, err = v.probe.sign(ctx, v.urls[node], "kms", "application/x-amz-json-1.1", "TrentService.Decrypt", p.body)
	p.of, p.at = t, time.Now()
	return err
}

// judge counts what a probe met that began in a phase.
func (v *revoker) judge(t *target, node int, phase int64, apart bool, a answer) {
	revoked := phase%2 == 1
	if t.phase.Load() != phase {
		return // it may have met either
	}
	switch {
	case a.outcome() == done && revoked:
		v.violate("node %d does what a revocation (%s, key %s) forbids that was acknowledged before; cut off: %v; request %s", node, v.kind, t.key, apart, a.requestID)
	case a.outcome() == done:
		v.admitted.Add(1)
	case a.outcome() == unknown && revoked:
		v.silent.Add(1)
	case a.outcome() == refused && revoked:
		v.refused.Add(1)
		if apart {
			v.refusedCut.Add(1)
		}
	}
	if a.outcome() != unknown {
		t.seen[node].Add(1)
	}
}
