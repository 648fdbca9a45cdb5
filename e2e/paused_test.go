package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// impatient gives up at once, so that each answer is seen.
func impatient(o *kms.Options) { o.RetryMaxAttempts = 1 }

// whilePaused makes calls to a server that is stopped, lets it go on when gone says so,
// and returns the codes of the answers: those that waited are the first that it gives.
func whilePaused(t *testing.T, resume func(), gone func(), call func(context.Context) error) (codes []string) {
	t.Helper()
	const calls = 16
	codes = make([]string, calls)
	var begun, done sync.WaitGroup
	for i := range calls {
		begun.Add(1)
		done.Go(func() {
			begun.Done()
			codes[i] = code(t, call(t.Context()))
		})
	}
	begun.Wait()
	gone()
	resume()
	done.Wait()
	return codes
}

// answered makes a call until it is answered by a node whose lease holds, and returns the
// code of the answer.
func answered(t *testing.T, call func() error) (answer string) {
	t.Helper()
	until(t, "a node to answer", func() bool {
		answer = code(t, call())
		return answer != "ServiceUnavailableException"
	})
	return answer
}

// TestAPausedNode: a node that was stopped beyond its lease, as a suspended machine is,
// answers nothing from what it knew: another has disabled the key meanwhile.
func TestAPausedNode(t *testing.T) {
	t.Parallel()
	db := postgrestest.Start(t)
	servers, clients := startNodesWith(t, db.URL(t), 2, "2s")
	key := createKey(t, clients[0], nil)
	blob := encrypt(t, clients[1], *key.KeyId, []byte("hello"), nil)
	decrypt := func(n int) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := clients[n].Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}, impatient)
			return err
		}
	}
	decrypts := func() {
		t.Helper()
		for n := range clients {
			if got := answered(t, func() error { return decrypt(n)(t.Context()) }); got != "" {
				t.Errorf("node %d: %s", n, got)
			}
		}
	}
	decrypts()
	if err := servers[1].Pause(); err != nil {
		t.Fatal(err)
	}
	codes := whilePaused(t, servers[1].Resume, func() {
		// Acknowledged once the paused node's lease has run out.
		got := answered(t, func() error {
			_, err := clients[0].DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: key.KeyId})
			return err
		})
		if got != "" {
			t.Error(got)
		}
	}, decrypt(1))
	for range 50 {
		codes = append(codes, code(t, decrypt(1)(t.Context())))
	}
	for _, c := range codes {
		if c != "DisabledException" && c != "ServiceUnavailableException" {
			t.Errorf("after an acknowledged disable the node that was paused answers %q", c)
		}
	}
	until(t, "the paused node knows that the key is disabled", func() bool { return code(t, decrypt(1)(t.Context())) == "DisabledException" })
	got := answered(t, func() error {
		_, err := clients[1].EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: key.KeyId})
		return err
	})
	if got != "" {
		t.Error(got)
	}
	decrypts()
}

// TestAPausedServer: what expired while a server was stopped is not used when it goes on,
// not by the first calls either.
func TestAPausedServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	key := externalKey(t, c, nil)
	var validTo time.Time
	var blob []byte
	for limit := 10 * time.Second; blob == nil; limit *= 2 {
		in := wrapped(t, c, key, 7)
		validTo = time.Now().Add(limit).Truncate(time.Second)
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, aws.Time(validTo)
		_, err := c.ImportKeyMaterial(t.Context(), in)
		var out *kms.EncryptOutput
		if err == nil {
			out, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
		}
		switch {
		case err == nil:
			blob = out.CiphertextBlob
		case time.Now().Before(validTo) || limit > time.Minute: // else the machine was too slow
			t.Fatal(err)
		}
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	codes := whilePaused(t, s.Resume, func() { <-time.After(time.Until(validTo)) }, func(ctx context.Context) error {
		_, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}, impatient)
		return err
	})
	for _, c := range codes {
		if c != "KMSInvalidStateException" {
			t.Errorf("material that has expired answers %q", c)
		}
	}
	until(t, "the material is gone", func() bool { return describe(t, c, key).KeyState == types.KeyStatePendingImport })
}

// TestSealOfNodes rotates the domain key and changes the root of nodes that serve.
func TestSealOfNodes(t *testing.T) {
	t.Parallel()
	db := postgrestest.Start(t, "fsync=off")
	url := db.URL(t)
	servers, clients := startNodesWith(t, url, 3, "20s", "--store-not-durable")
	key := createKey(t, clients[0], nil)
	opens := func(blob []byte) {
		t.Helper()
		for n, c := range clients {
			out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}, impatient)
			if err != nil || string(out.Plaintext) != "hello" {
				t.Errorf("node %d: %v", n, err)
			}
		}
	}
	before := encrypt(t, clients[1], *key.KeyId, []byte("hello"), nil)
	succeeds(t, servers[1], "seal", "rotate")
	for n := range clients { // sealed under the new version by one, read by the others at once
		k := createKey(t, clients[n], nil)
		opens(encrypt(t, clients[(n+1)%3], *k.KeyId, []byte("hello"), nil))
	}
	opens(before)

	// A node without its root file could not start again: it is found first.
	root := filepath.Join(servers[2].Data, "root.key")
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	refused(t, servers[0], servers[2].Data, "seal", "rotate")
	if err := os.Rename(root+".away", root); err != nil {
		t.Fatal(err)
	}
	succeeds(t, servers[0], "seal", "rotate")
	refused(t, servers[0], "root.key.next", "seal", "migrate", "--to", "file")
	next, err := os.ReadFile(filepath.Join(servers[0].Data, "root.key.next"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers[1:] {
		if err := os.WriteFile(filepath.Join(s.Data, "root.key.next"), next, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	succeeds(t, servers[0], "seal", "migrate", "--to", "file")
	opens(before)
	for i, s := range servers {
		mustStop(t, s)
		again := startIn(t, s.Data, "--store", url, "--lease", "20s", "--store-not-durable")
		if resp, err := http.Get(again.URL + "/readyz"); err != nil || resp.StatusCode != 200 {
			t.Errorf("node %d: %v, %v", i, resp, err)
		} else {
			_ = resp.Body.Close()
		}
		mustStop(t, again)
	}
}
