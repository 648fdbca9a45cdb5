package metrics

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCalls(t *testing.T) {
	r := New()
	encrypt := r.Calls.Operation("kms", "Encrypt")
	r.Calls.Operation("kms", "Decrypt") // never called: it is not shown
	for _, how := range []Outcome{Succeeded, Succeeded, Denied, Throttled, Failed} {
		encrypt.Ended(Start(), how)
	}
	r.Calls.Refused("IncompleteSignatureException")
	const want = `
# HELP strongroom_calls_total Calls that were answered, by how they ended: succeeded, denied, throttled, refused, unavailable (503) or failed (500).
# TYPE strongroom_calls_total counter
strongroom_calls_total{operation="Encrypt",outcome="denied",service="kms"} 1
strongroom_calls_total{operation="Encrypt",outcome="failed",service="kms"} 1
strongroom_calls_total{operation="Encrypt",outcome="refused",service="kms"} 0
strongroom_calls_total{operation="Encrypt",outcome="succeeded",service="kms"} 2
strongroom_calls_total{operation="Encrypt",outcome="throttled",service="kms"} 1
strongroom_calls_total{operation="Encrypt",outcome="unavailable",service="kms"} 0
# HELP strongroom_unauthenticated_refusals_total Requests that were refused before it was known who asks, by the code of the answer.
# TYPE strongroom_unauthenticated_refusals_total counter
strongroom_unauthenticated_refusals_total{code="IncompleteSignatureException"} 1
`
	if err := testutil.GatherAndCompare(r.registry, strings.NewReader(want), "strongroom_calls_total", "strongroom_unauthenticated_refusals_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(r.registry, "strongroom_call_duration_seconds"); err != nil || n != 1 {
		t.Errorf("%d histograms of times, %v", n, err)
	}
}

// TestCountingAllocatesNothing: it is on the way of every call.
func TestCountingAllocatesNothing(t *testing.T) {
	r := New()
	o := r.Calls.Operation("kms", "Encrypt")
	o.Ended(Start(), Succeeded)
	if n := testing.AllocsPerRun(1000, func() { o.Ended(Start(), Succeeded) }); n != 0 {
		t.Errorf("counting a call allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		r.Commits.CommitBegins()
		r.Commits.CommitEnds(1, 1, 1000, nil)
	}); n != 0 {
		t.Errorf("counting a commit allocates %v times", n)
	}
}

func BenchmarkEnded(b *testing.B) {
	o := New().Calls.Operation("kms", "Encrypt")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			o.Ended(Start(), Succeeded)
		}
	})
}

// TestNothingIsCounted: what is not asked for costs a nil check.
func TestNothingIsCounted(*testing.T) {
	var calls *Calls
	calls.Refused("X")
	calls.Operation("kms", "Encrypt").Ended(Start(), Succeeded)
	var proxies *Proxies
	proxies.Ended(Start(), Failed)
}

func TestCommits(t *testing.T) {
	r := New()
	r.Commits.CommitBegins()
	r.Commits.CommitEnds(7, 9, 5000, nil)
	r.Commits.CommitBegins()
	r.Commits.CommitEnds(1, 1, 1, errors.New("full"))
	r.Proxies.Ended(Start(), Refused)
	const want = `
# HELP strongroom_audit_records_total Audit records that were made durable.
# TYPE strongroom_audit_records_total counter
strongroom_audit_records_total 9
# HELP strongroom_commit_refusals_total Commits that were refused, as on a full disk.
# TYPE strongroom_commit_refusals_total counter
strongroom_commit_refusals_total 1
# HELP strongroom_xks_requests_total Requests to the proxies of external key stores, by how they ended: succeeded, refused by the proxy, or failed without an answer that could be used.
# TYPE strongroom_xks_requests_total counter
strongroom_xks_requests_total{outcome="failed"} 0
strongroom_xks_requests_total{outcome="refused"} 1
strongroom_xks_requests_total{outcome="succeeded"} 0
`
	if err := testutil.GatherAndCompare(r.registry, strings.NewReader(want), "strongroom_audit_records_total", "strongroom_commit_refusals_total", "strongroom_xks_requests_total"); err != nil {
		t.Error(err)
	}
}
