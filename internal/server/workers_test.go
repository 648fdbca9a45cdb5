package server

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

// ask calls KMS on a node and decodes the answer.
func ask[T any](t *testing.T, n *nodes, s *Server, target, body string) (out T) {
	t.Helper()
	status, answer := signed(t, s, sigv4test.Signer{AccessKeyID: n.id, SecretKey: n.key, Service: "kms"}, "TrentService."+target, body)
	if status != 200 {
		t.Fatalf("%s: %d %s", target, status, answer)
	}
	if answer == "" {
		return out
	}
	if err := json.Unmarshal([]byte(answer), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

type madeKey struct {
	KeyMetadata struct{ KeyID, Arn string }
}

// importExpiring gives a key material that expires.
func importExpiring(t *testing.T, n *nodes, s *Server, id string, validTo time.Time) {
	t.Helper()
	p := ask[struct{ ImportToken, PublicKey []byte }](t, n, s, "GetParametersForImport",
		`{"KeyId":"`+id+`","WrappingAlgorithm":"RSAES_OAEP_SHA_256","WrappingKeySpec":"RSA_2048"}`)
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	material, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), bytes.Repeat([]byte{7}, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"KeyId": id, "ImportToken": p.ImportToken, "EncryptedKeyMaterial": material,
		"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": validTo.Unix()})
	if err != nil {
		t.Fatal(err)
	}
	ask[struct{}](t, n, s, "ImportKeyMaterial", string(body))
}

// TestDueWorkIsDoneOnce: rotations, deletions and expiries that are due are each done and
// recorded once, though the node that leads hangs in the middle of them and another takes
// over, and all nodes' clocks say that they are due.
func TestDueWorkIsDoneOnce(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 1, 6*time.Second)
	first := n.servers[0]
	n.start(filepath.Join(t.TempDir(), "data"), nil)
	n.start(filepath.Join(t.TempDir(), "data"), nil)
	const day = 24 * time.Hour
	want := map[string]int{} // event and key → how often
	for i := range 36 {
		body := "{}"
		if i%6 == 5 {
			body = `{"Origin":"EXTERNAL"}`
		}
		k := ask[madeKey](t, n, first, "CreateKey", body).KeyMetadata
		event := ""
		switch i % 6 {
		case 0, 1, 2:
			ask[struct{}](t, n, first, "EnableKeyRotation", `{"KeyId":"`+k.KeyID+`","RotationPeriodInDays":90}`)
			event = "RotateKey"
		case 3, 4:
			ask[struct{}](t, n, first, "ScheduleKeyDeletion", `{"KeyId":"`+k.KeyID+`","PendingWindowInDays":7}`)
			event = "DeleteKey"
		case 5:
			importExpiring(t, n, first, k.KeyID, first.Clock().Now().Add(30*day))
			event = "DeleteExpiredKeyMaterial"
		}
		want[event+" "+k.Arn] = 1
	}
	done := func(s *Server) map[string]int {
		reader, err := s.folder.journalReader()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int{}
		for _, line := range tail(t, reader) {
			var r struct {
				EventName, EventType string
				Resources            []struct{ ARN string }
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			if r.EventType == "AwsServiceEvent" && len(r.Resources) == 1 {
				found[r.EventName+" "+r.Resources[0].ARN]++
			}
		}
		return found
	}
	var leader, other *Server
	n.follows("a node that leads", func() bool {
		for i, s := range n.servers {
			if s.folder.backend.(*postgres.Backend).Leading() {
				leader, other = s, n.servers[(i+1)%len(n.servers)]
			}
		}
		return leader != nil
	})
	for _, s := range n.servers {
		s.Clock().Advance(91 * day)
	}
	n.follows("the first of the due work", func() bool { return len(done(other)) >= 3 })
	leader.unfollow() // it hears nothing, its lease runs out, and it goes on to try
	if len(done(other)) == len(want) {
		t.Log("all was done before the lead was handed over")
	}
	n.follows("all that is due", func() bool { return len(done(other)) >= len(want) })
	n.follows("another leader", func() bool {
		for _, s := range n.servers {
			if s != leader && s.folder.backend.(*postgres.Backend).Leading() {
				return true
			}
		}
		return false
	})
	// And the workers go on, each of them: by then whatever was done twice is recorded twice.
	k := ask[madeKey](t, n, other, "CreateKey", "{}").KeyMetadata
	ask[struct{}](t, n, other, "ScheduleKeyDeletion", `{"KeyId":"`+k.KeyID+`","PendingWindowInDays":7}`)
	want["DeleteKey "+k.Arn] = 1
	for _, s := range n.servers {
		s.Clock().Advance(8 * day)
	}
	n.follows("the deletion of a key that was scheduled later", func() bool { return done(other)["DeleteKey "+k.Arn] > 0 })
	if got := done(other); !maps.Equal(got, want) {
		for what, times := range got {
			if times != want[what] {
				t.Errorf("%s: %d times", what, times)
			}
		}
		t.Errorf("%d things were done, want %d", len(got), len(want))
	}
}
