package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// nodesLease is short, so that a test can wait until one has run out, and longer than
// what it does while one must hold.
const nodesLease = "6s"

// leaseIsSure is how long such a lease holds at least that was renewed in time.
const leaseIsSure = 4 * time.Second

// startNodes runs three servers over one database.
func startNodes(t *testing.T, url string) (servers []*binary.Server, clients []*kms.Client) {
	t.Helper()
	return startNodesWith(t, url, 3, nodesLease)
}

// startNodesWith runs some servers over one database. All have the root of the first,
// and its credentials.
func startNodesWith(t *testing.T, url string, n int, lease string, args ...string) (servers []*binary.Server, clients []*kms.Client) {
	t.Helper()
	for range n {
		data := filepath.Join(t.TempDir(), "data")
		if len(servers) > 0 {
			joinFolder(t, servers[0].Data, data)
		}
		s := startIn(t, data, append([]string{"--store", url, "--lease", lease}, args...)...)
		servers = append(servers, s)
		base := kmsClient(t, servers[0], defaultRegion).Options()
		clients = append(clients, kms.New(base, func(o *kms.Options) { o.BaseEndpoint = aws.String(s.URL) }))
	}
	return servers, clients
}

// joinFolder makes the data folder of one more node, with the root of the first; the
// credentials, for the client alone, lie beside it.
func joinFolder(t *testing.T, first, data string) {
	t.Helper()
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"root.key": "root.key", "credentials": filepath.Join("..", "credentials")} {
		text, err := os.ReadFile(filepath.Join(first, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(data, to), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// code is the error code of an answer; "" for a success.
func code(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var refusal smithy.APIError
	if !errors.As(err, &refusal) {
		t.Errorf("no answer: %v", err)
		return "none"
	}
	return refusal.ErrorCode()
}

// TestNodes proves what several nodes over one database promise, from outside.
func TestNodes(t *testing.T) {
	db := postgrestest.Start(t)
	url := db.URL(t)
	servers, nodes := startNodes(t, url)
	ctx := t.Context()
	key := createKey(t, nodes[0], nil)
	blob := encrypt(t, nodes[1], *key.KeyId, []byte("hello"), nil)
	decrypt := func(n int) string {
		out, err := nodes[n].Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})
		if err == nil && string(out.Plaintext) != "hello" {
			t.Errorf("node %d decrypts %q", n, out.Plaintext)
		}
		return code(t, err)
	}
	disable := func(n int) string {
		_, err := nodes[n].DisableKey(ctx, &kms.DisableKeyInput{KeyId: key.KeyId})
		return code(t, err)
	}
	enable := func(n int) string {
		_, err := nodes[n].EnableKey(ctx, &kms.EnableKeyInput{KeyId: key.KeyId})
		return code(t, err)
	}
	readyz := func(n int) (int, string) {
		resp, err := http.Get(servers[n].URL + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for n := range nodes {
		if got := decrypt(n); got != "" {
			t.Fatalf("node %d: Decrypt: %s", n, got)
		}
	}

	// What is acknowledged on one node holds on all: no probe that begins after a
	// disable was acknowledged, and ends before the key is enabled again, succeeds.
	var phase, admitted, denied, wrong atomic.Int64 // phase is odd while the key is disabled
	probing, stop := context.WithCancel(ctx)
	var probes sync.WaitGroup
	for n := range nodes {
		probes.Go(func() {
			for probing.Err() == nil {
				before := phase.Load()
				got := decrypt(n)
				switch {
				case got == "DisabledException":
					denied.Add(1)
				case got == "ServiceUnavailableException": // a machine that stands still for longer than a lease
				case got != "":
					t.Errorf("node %d answers a probe with %s", n, got)
				case before%2 == 1 && phase.Load() == before:
					wrong.Add(1)
				default:
					admitted.Add(1)
				}
			}
		})
	}
	for i := range 30 {
		if got := disable(i % 3); got != "" {
			t.Errorf("DisableKey on node %d: %s", i%3, got)
			break
		}
		phase.Add(1)
		for until := denied.Load() + 6; denied.Load() < until && wrong.Load() == 0; {
			_, _ = readyz(i % 3)
		}
		phase.Add(1)
		if got := enable((i + 1) % 3); got != "" {
			t.Errorf("EnableKey on node %d: %s", (i+1)%3, got)
			break
		}
	}
	stop()
	probes.Wait()
	if wrong.Load() > 0 || denied.Load() < 180 || admitted.Load() == 0 {
		t.Errorf("%d probes succeeded after an acknowledged disable; %d were denied, %d admitted", wrong.Load(), denied.Load(), admitted.Load())
	}

	for n := range nodes { // so that all know the key as it is
		if got := decrypt(n); got != "" {
			t.Errorf("node %d: Decrypt of the key that was enabled: %s", n, got)
		}
	}

	// Without the database known keys go on being used, and nothing can be changed. What
	// is refused so may be made later, so it is asked for another key.
	other := createKey(t, nodes[0], nil)
	killed := time.Now()
	db.Kill()
	for n := range nodes {
		if got := decrypt(n); got != "" && time.Since(killed) < leaseIsSure {
			t.Errorf("without the database, node %d answers Decrypt with %s", n, got)
		}
	}
	told, kept := false, 0 // how often it says nothing although there was time to find out
	until(t, "/readyz to tell", func() bool {
		late := time.Since(killed) > leaseIsSure/2
		status, text := readyz(2)
		if told = status == http.StatusOK && strings.Contains(text, "warning: the database is not available"); late && !told {
			kept++
		}
		return told || status == http.StatusServiceUnavailable
	})
	if !told && kept > 10 {
		t.Error("/readyz never tells that the database is not available")
	}
	_, err := nodes[1].DisableKey(ctx, &kms.DisableKeyInput{KeyId: other.KeyId})
	if got := code(t, err); got != "ServiceUnavailableException" {
		t.Errorf("without the database, DisableKey is answered with %q", got)
	}
	until(t, "the lease to run out", func() bool { status, _ := readyz(0); return status == http.StatusServiceUnavailable })
	if got := decrypt(0); got != "ServiceUnavailableException" {
		t.Errorf("without a lease, Decrypt is answered with %q", got)
	}
	db.Restart(t)
	for n := range nodes {
		until(t, "the node to answer again", func() bool { return decrypt(n) == "" })
	}
	until(t, "changes to be made again", func() bool { return disable(2) == "" })

	// A node that is gone holds up a change until its lease has run out.
	servers[2].Kill()
	until(t, "a change without the node that is gone", func() bool { return enable(0) == "" })
	if got := decrypt(1); got != "" {
		t.Errorf("after the key was enabled, node 1 answers %s", got)
	}

	// The trail is one chain, with the records of all nodes; what the one that was
	// killed had not sent is sent when it comes back.
	if err := servers[0].Stop(); err != nil {
		t.Error(err)
	}
	back := startIn(t, servers[2].Data, "--store", url, "--lease", nodesLease)
	if result, err := back.Audit("verify"); err != nil || result.Code != 0 {
		t.Errorf("audit verify: %v, %s%s", err, result.Stdout, result.Stderr)
	}
	counts := map[string]int{}
	records, _ := export(t, back)
	ids := map[string]bool{}
	for _, r := range records {
		if len(r.Resources) == 1 && r.Resources[0].ARN == *other.Arn {
			continue
		}
		if counts[r.EventName+" "+r.ErrorCode]++; ids[r.EventID] {
			t.Errorf("the record %s of %s is there twice", r.EventID, r.EventName)
		}
		ids[r.EventID] = true
	}
	if counts["Decrypt "] < int(admitted.Load()+wrong.Load())+6 || counts["DisableKey "] != 31 || counts["Decrypt DisabledException"] < int(denied.Load()) {
		text, _ := json.Marshal(counts)
		t.Errorf("%d probes were admitted, %d denied; the trail has %s", admitted.Load(), denied.Load(), text)
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	if err := binary.Until(what, time.Minute, func() (bool, error) { return done(), nil }); err != nil {
		t.Error(err)
	}
}
