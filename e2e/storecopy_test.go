package e2e

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// moved is a deployment that moves between its folder and databases.
type moved struct {
	testing.TB
	data   string
	kills  int
	proofs []proof
}

// killedWithin runs a command and kills it after a while, unless it has ended.
func killedWithin(t testing.TB, d time.Duration, env []string, args ...string) (killed bool, said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	cmd := exec.CommandContext(ctx, executable, args...)
	cmd.Env = binary.Environment(env...)
	out, err := cmd.CombinedOutput()
	return ctx.Err() != nil && err != nil, string(out), err
}

// audit verifies the trail of a stopped deployment as somebody would who does not know
// where it is, and returns whether it is there.
func (m *moved) audit(store string) bool {
	m.Helper()
	args := []string{"audit", "verify", "--data", m.data}
	if store != "" {
		args = append(args, "--store", store)
	}
	result := strongroom(m, args...)
	switch said := string(result.Stderr); {
	case result.Code == 0:
		return true
	case strings.Contains(said, "was not finished"), strings.Contains(said, "were moved to"), strings.Contains(said, "names a database"), strings.Contains(said, "is the folder of a node"), strings.Contains(said, "holds no deployment"):
		return false
	default:
		m.Fatalf("strongroom %s: %s", strings.Join(args, " "), said)
		return false
	}
}

// move copies, and kills the copy again and again, each time a little later, until one
// comes to its end. A step is at most a quarter of the time so far, so that hardly one
// passes over the time from a copy's begin to its end. One that is killed behind its last
// step has come there unheard, and the next is told so.
func (m *moved) move(store, to string) string {
	m.Helper()
	env, there := []string{}, false
	if store != "" {
		env = append(env, "STRONGROOM_STORE="+store)
	}
	for after := 10 * time.Millisecond; ; after += after/8 + time.Duration(rand.IntN(int(after/8))) {
		killed, said, err := killedWithin(m, after, env, "store", "copy", "--data", m.data, "--to", to)
		if !killed {
			if err != nil && !(there && (strings.Contains(said, "were moved to the database") || strings.Contains(said, "it is done: serve them"))) {
				m.Fatalf("after %d kills, strongroom store copy --data %s --to %s: %v\n%s", m.kills, m.data, to, err, said)
			}
			return said
		}
		m.kills++
		place := to
		if to == "pebble" {
			place = ""
		}
		here := m.audit(store)
		if there = m.audit(place); there && here {
			m.Fatalf("after a kill within %s the deployment is in both places", after)
		}
	}
}

// check uses every key.
func (m *moved) check(s *binary.Server) {
	m.Helper()
	for _, p := range m.proofs {
		if err := p.check(m, s); err != nil {
			m.Errorf("%s: %v", p.key, err)
		}
	}
}

// TestStoreCopy moves a deployment into a database and back, with kills in the middle,
// and uses it at each place.
func TestStoreCopy(t *testing.T) {
	db := postgrestest.Start(t)
	regions := []string{"--regions", defaultRegion + "," + secondRegion}
	s := start(t, regions...)
	m := &moved{TB: t, data: s.Data, proofs: makeProofs(t, s, 6)}
	shell := newCLI(t, clientEnvironment(s))
	key := shell.query("KeyMetadata.KeyId", "kms", "create-key", "--description", "made in the folder")
	shell.run("kms", "create-alias", "--alias-name", "alias/moved", "--target-key-id", key)
	shell.run("iam", "create-user", "--user-name", "alice")
	mustStop(t, s)

	url := db.URL(t)
	said := m.move("", url)
	if !strings.Contains(said, "the data folder "+m.data+" ") || !strings.Contains(said, " to the database postgres on ") {
		t.Errorf("the copy says %s", said)
	}
	result := strongroom(t, "serve", "--data", m.data, "--listen", "127.0.0.1:0")
	if result.Code == 0 || !strings.Contains(string(result.Stderr), "were moved to the database") {
		t.Errorf("a server on the old place ended with %d: %s", result.Code, result.Stderr)
	}

	// Two nodes.
	first := startIn(t, m.data, append(regions, "--store", url)...)
	second := filepath.Join(t.TempDir(), "second")
	for _, name := range []string{"root.key", "credentials"} {
		text, err := os.ReadFile(filepath.Join(m.data, name))
		if err == nil && name == "root.key" {
			err = os.Mkdir(second, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(second, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if name == "root.key" {
			s = startIn(t, second, append(regions, "--store", url)...)
		}
	}
	m.check(first)
	m.check(s)
	c := kmsClient(t, s, defaultRegion)
	made := *createKey(t, c, nil).KeyId
	m.proofs = append(m.proofs, proof{key: made, region: defaultRegion, ciphertext: encrypt(t, kmsClient(t, first, defaultRegion), made, proofText, nil)})
	if _, err := c.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionInput{KeyId: aws.String("alias/moved"), Description: aws.String("changed on the second node")}); err == nil {
		t.Error("UpdateKeyDescription takes an alias") // AWS does not
	}
	if _, err := c.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionInput{KeyId: &key, Description: aws.String("changed on the second node")}); err != nil {
		t.Error(err)
	}
	result = strongroom(t, "store", "copy", "--data", m.data, "--store", url, "--to", "pebble")
	if result.Code == 0 || !strings.Contains(string(result.Stderr), "another process has the data folder") {
		t.Errorf("a copy of a node that serves ended with %d: %s", result.Code, result.Stderr)
	}
	mustStop(t, first)
	result = strongroom(t, "store", "copy", "--data", m.data, "--store", url, "--to", "pebble")
	if result.Code == 0 || !strings.Contains(string(result.Stderr), "nodes serve from the database: node-") || !strings.Contains(string(result.Stderr), second) {
		t.Errorf("a copy while another node serves ended with %d: %s", result.Code, result.Stderr)
	}
	verify(t, s)
	mustStop(t, s)

	m.move(url, "pebble")
	back := startIn(t, m.data, regions...)
	m.check(back)
	if got := newCLI(t, clientEnvironment(back)).query("KeyMetadata.Description", "kms", "describe-key", "--key-id", "alias/moved"); got != "changed on the second node" {
		t.Errorf("the key is described as %q", got)
	}
	verify(t, back)
	records, _ := export(t, back)
	counts, ids := map[string]int{}, map[string]bool{}
	for _, r := range records {
		if counts[r.EventName+" "+r.ErrorCode]++; ids[r.EventID] {
			t.Errorf("the record %s of %s is there twice", r.EventID, r.EventName)
		}
		ids[r.EventID] = true
		if r.EventName == "UpdateKeyDescription" && r.ErrorCode == "" && (!strings.HasSuffix(r.UserIdentity.ARN, ":root") || !bytes.Contains(r.RequestParameters, []byte("second node"))) {
			t.Errorf("the change on the second node is recorded as of %+v: %s", r.UserIdentity, r.RequestParameters)
		}
	}
	for name, want := range map[string]int{"CreateKey ": len(m.proofs) + 1, "CreateAlias ": 1, "CreateUser ": 1, "UpdateKeyDescription ": 1, "FinishStoreCopy ": 2} {
		if counts[name] != want {
			t.Errorf("there are %d records of %s, not %d", counts[name], name, want)
		}
	}
	if m.kills < 6 || counts["StartStoreCopy "] < 3 {
		t.Errorf("%d copies were killed, and %d begun", m.kills, counts["StartStoreCopy "])
	}
	t.Logf("%d copies were killed, %d begun", m.kills, counts["StartStoreCopy "])
	mustStop(t, back)
	// Who still has a node's folder is told.
	result = strongroom(t, "serve", "--data", second, "--listen", "127.0.0.1:0")
	if result.Code == 0 || !strings.Contains(string(result.Stderr), second+" is the folder of a node, whose records are in a database") {
		t.Errorf("a node without its database ended with %d: %s", result.Code, result.Stderr)
	}
	result = strongroom(t, "serve", "--data", second, "--store", url, "--listen", "127.0.0.1:0")
	if result.Code == 0 || !strings.Contains(string(result.Stderr), "were moved to the data folder "+m.data) {
		t.Errorf("a node of the old place ended with %d: %s", result.Code, result.Stderr)
	}
}
