package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// faultNames are the faults that there are.
var faultNames = map[string]func(*runner, context.Context) error{
	"kill the primary":                             func(r *runner, ctx context.Context) error { return r.killPrimary(ctx, false) },
	"kill the primary's machine":                   func(r *runner, ctx context.Context) error { return r.killPrimary(ctx, true) },
	"cut the primary off":                          (*runner).cutPrimary,
	"cut the primary off from the nodes":           (*runner).cutPrimaryFromNodes,
	"cut a standby off":                            (*runner).cutStandby,
	"cut a node off":                               func(r *runner, ctx context.Context) error { return r.cutNode(ctx, r.short()) },
	"cut a node off past its lease":                func(r *runner, ctx context.Context) error { return r.cutNode(ctx, r.past()) },
	"cut a node off from its clients":              (*runner).cutClients,
	"cut a node and the primary off together":      (*runner).cutTogether,
	"stop a node past its lease":                   (*runner).stopNode,
	"take notifications away":                      (*runner).takeNotifications,
	"kill the primary and cut a node off meantime": (*runner).killAndCut,
}

// short is a time within a lease, past is one behind it.
func (r *runner) short() time.Duration {
	return r.Cut + time.Duration(r.choices.Int64N(int64(r.Cut)))
}

// past allows for the tenth of a lease that others wait longer, and for their steps.
func (r *runner) past() time.Duration { return r.Lease + r.Lease/10 + max(r.Lease/10, 2*time.Second) }

// makeFaults makes one after another, until all are made or Stop says so.
func (r *runner) makeFaults(ctx context.Context) error {
	for i, name := range r.Faults {
		select {
		case <-r.Stop:
			r.say("the faults end early: %d of %d were made", i, len(r.Faults))
			return nil
		default:
		}
		if len(r.violationsSoFar()) > 0 {
			return nil
		}
		fault, ok := faultNames[name]
		if !ok {
			return fmt.Errorf("there is no fault %q", name)
		}
		r.say("%d of %d: %s", i+1, len(r.Faults), name)
		r.historian.faulty.Store(true)
		if err := fault(r, ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.platform.settled(ctx); err != nil {
			return fmt.Errorf("after %s: %w", name, err)
		}
		r.historian.faulty.Store(false)
		r.report.Faults[name]++
		r.root.hangUp()
		r.probe.hangUp()
		answered, _ := r.calls()
		r.say("%d calls answered, %d changes, %d revocations, %d probes refused (%d by nodes apart), %d histories, of which %d strictly",
			answered, r.changes.Load(), r.probes(func(v *revoker) int64 { return v.revocations.Load() }), r.probes(func(v *revoker) int64 { return v.refused.Load() }),
			r.probes(func(v *revoker) int64 { return v.refusedCut.Load() }), r.historian.checked(), r.historian.strict.Load())
		r.changesReturn(ctx, time.Now(), fmt.Sprintf("after %q was mended", name))
	}
	return nil
}

// rest waits.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// changesReturn waits until a change was acknowledged by every node that can be asked,
// and returns how long after began that was. A change that does not return within two
// minutes is a violation.
func (r *runner) changesReturn(ctx context.Context, began time.Time, what string) time.Duration {
	var last atomic.Int64
	var asked sync.WaitGroup
	for n := range nodes {
		asked.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if r.mayFail(n) {
					return
				}
				text := fmt.Sprintf("back %d %d", n, i)
				a := r.root.kms(ctx, r.urls[n], "UpdateKeyDescription", map[string]any{"KeyId": r.changed, "Description": text})
				if a.outcome() == done {
					last.Store(max(last.Load(), int64(time.Since(began))))
					return
				}
				if time.Since(began) > 2*time.Minute {
					r.violate("two minutes %s, node %d makes no changes: %v %s", what, n, a, a.body)
					return
				}
				rest(ctx, 50*time.Millisecond)
			}
		})
	}
	asked.Wait()
	return time.Duration(last.Load())
}

// killPrimary kills the primary, and with machine all that runs beside it, and
// measures how long changes are not made.
func (r *runner) killPrimary(ctx context.Context, machine bool) error {
	return r.losePrimary(ctx, machine, func() error { return nil })
}

// killAndCut cuts a node off while changes are not back yet.
func (r *runner) killAndCut(ctx context.Context) error {
	return r.losePrimary(ctx, false, func() error { return r.cutNode(ctx, r.short()) })
}

func (r *runner) losePrimary(ctx context.Context, machine bool, meanwhile func() error) error {
	primary, err := r.platform.primary(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := r.platform.kill(ctx, primary, machine); err != nil {
		return err
	}
	if err := meanwhile(); err != nil {
		return err
	}
	r.back(r.changesReturn(ctx, began, "after the primary was killed"))
	return r.platform.revive(ctx, primary)
}

func (r *runner) back(after time.Duration) {
	r.say("changes are back after %s", after.Round(time.Millisecond))
	r.report.Back = append(r.report.Back, after)
}

func (r *runner) cutPrimary(ctx context.Context) error {
	primary, err := r.platform.primary(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	heal, err := r.platform.cutDatabase(primary)
	if err != nil {
		return err
	}
	r.back(r.changesReturn(ctx, began, "after the primary was cut off"))
	return heal()
}

// cutPrimaryFromNodes leaves the primary to its standbys, so that nothing takes its
// place: no node can do anything but go on with what it knows.
func (r *runner) cutPrimaryFromNodes(ctx context.Context) error {
	primary, err := r.platform.primary(ctx)
	if err != nil {
		return err
	}
	heal, err := r.platform.cutFromNodes(primary)
	if err != nil {
		return err
	}
	rest(ctx, r.short()*2)
	return heal()
}

func (r *runner) cutStandby(ctx context.Context) error {
	primary, err := r.platform.primary(ctx)
	if err != nil {
		return err
	}
	all := slices.DeleteFunc([]int{0, 1, 2}[:r.platform.databases()], func(i int) bool { return i == primary })
	heal, err := r.platform.cutDatabase(all[r.choices.IntN(len(all))])
	if err != nil {
		return err
	}
	rest(ctx, r.short()*2)
	return heal()
}

// cutNode cuts a node off from the databases for some time.
func (r *runner) cutNode(ctx context.Context, duration time.Duration) error {
	node := r.choices.IntN(nodes)
	return r.apartFor(ctx, node, duration, func() (func() error, error) { return r.platform.cutNode(node) })
}

// apartFor lets a node be apart from the databases, and see that it recovers. When
// that is for longer than a lease, the others must make changes without it meanwhile.
func (r *runner) apartFor(ctx context.Context, node int, duration time.Duration, cut func() (func() error, error)) error {
	r.set(node, func(s *nodeState) { s.cut = time.Now() })
	heal, err := cut()
	if err != nil {
		return err
	}
	rest(ctx, duration)
	if duration > r.Lease {
		r.changesReturn(ctx, time.Now(), "after the lease of a node that was cut off")
	}
	before := r.probes(func(v *revoker) int64 { return v.revocations.Load() })
	if err := heal(); err != nil {
		return err
	}
	r.say("node %d is no longer cut off; %d revocations so far", node, before)
	excused := duration > r.Lease*7/10
	r.set(node, func(s *nodeState) { s.cut, s.excused, s.disabled = time.Time{}, excused, true })
	r.recovers(node)
	r.set(node, func(s *nodeState) { s.excused, s.disabled = false, false })
	return nil
}

func (r *runner) cutClients(ctx context.Context) error {
	node := r.choices.IntN(nodes)
	r.set(node, func(s *nodeState) { s.silent = true })
	heal, err := r.platform.cutClients(node)
	if err != nil {
		return err
	}
	rest(ctx, r.short()*2)
	if err := heal(); err != nil {
		return err
	}
	r.root.hangUp()
	r.probe.hangUp()
	r.recovers(node)
	r.set(node, func(s *nodeState) { s.silent = false })
	return nil
}

// cutTogether leaves one node with the old primary, on the side of the few.
func (r *runner) cutTogether(ctx context.Context) error {
	primary, err := r.platform.primary(ctx)
	if err != nil {
		return err
	}
	node := r.choices.IntN(nodes)
	return r.apartFor(ctx, node, r.past(), func() (func() error, error) { return r.platform.cutWith(node, primary) })
}

// stopNode stops a node with SIGSTOP until its lease has run out and revocations were
// acknowledged without it, has many probes wait for it, and lets it go on.
func (r *runner) stopNode(ctx context.Context) error {
	node := r.choices.IntN(nodes)
	r.set(node, func(s *nodeState) { s.silent, s.disabled = true, true })
	if err := r.servers[node].Pause(); err != nil {
		return err
	}
	rest(ctx, r.past())
	r.changesReturn(ctx, time.Now(), "after the lease of a node that was stopped")
	before := r.probes(func(v *revoker) int64 { return v.revocations.Load() })
	var waiting sync.WaitGroup
	for i := range 120 {
		waiting.Go(func() { r.oneProbe(ctx, node, r.revokers[i%len(r.revokers)]) })
	}
	rest(ctx, 2*time.Second) // until their bytes are in the node's sockets
	r.servers[node].Resume()
	waiting.Wait()
	r.say("node %d goes on; %d revocations so far", node, before)
	r.recovers(node)
	r.set(node, func(s *nodeState) { s.silent, s.disabled = false, false })
	return nil
}

// oneProbe is a probe on a connection of its own.
func (r *runner) oneProbe(ctx context.Context, node int, v *revoker) {
	t := v.current.Load()
	phase := t.phase.Load()
	p := signedProbe{}
	if err := p.sign(ctx, v, t, node); err != nil {
		r.violate("a probe: %v", err)
		return
	}
	v.judge(t, node, phase, true, newClient(r.probe.credentials, r.note).send(ctx, p.req, "Decrypt", p.body))
}

// takeNotifications ends the connections that listen, again and again, for some time.
func (r *runner) takeNotifications(ctx context.Context) error {
	conn, err := r.platform.query(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ended := 0
	for end := time.Now().Add(4 * r.short()); time.Now().Before(end); {
		tag, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND pid <> pg_backend_pid()`)
		if err != nil {
			return err
		}
		ended += int(tag.RowsAffected())
		rest(ctx, 50*time.Millisecond)
	}
	r.say("%d listening connections were ended", ended)
	return nil
}
