package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// sealedNodes are nodes of one database, each with an environment and settings of its
// own: they stand for machines.
type sealedNodes struct {
	t       *testing.T
	url     string
	servers []*binary.Server
	env     [][]string
	args    [][]string
	blobs   [][]byte // what must go on to open on every node
}

func newSealedNodes(t *testing.T, env, args [][]string) *sealedNodes {
	t.Helper()
	n := &sealedNodes{t: t, url: postgrestest.Start(t).URL(t), servers: make([]*binary.Server, len(env)), env: env, args: args}
	for i := range n.servers {
		data := filepath.Join(t.TempDir(), "data")
		if i > 0 {
			joinFolder(t, n.servers[0].Data, data)
		}
		n.servers[i] = &binary.Server{Data: data}
		n.start(i)
	}
	n.seal()
	return n
}

// settings are those of a node. Its lease is long: a node without one is not asked, and a
// command that it would refuse is done.
func (n *sealedNodes) settings(i int) []string {
	return append([]string{"--store", n.url, "--lease", "1m"}, n.args[i]...)
}

func (n *sealedNodes) start(i int) {
	n.t.Helper()
	s, err := binary.Start(binary.Config{Path: executable, Data: n.servers[i].Data, Args: n.settings(i), Env: n.env[i]})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		s.Kill()
		if n.t.Failed() {
			n.t.Logf("node %d said:\n%s", i, s.Output())
		}
	})
	n.servers[i] = s
}

func (n *sealedNodes) restart(i int) {
	n.t.Helper()
	mustStop(n.t, n.servers[i])
	n.start(i)
}

// settle gives a node other settings and starts it again.
func (n *sealedNodes) settle(i int, args ...string) {
	n.t.Helper()
	n.args[i] = args
	n.restart(i)
}

func (n *sealedNodes) client(i int) *kms.Client {
	n.t.Helper()
	base := kmsClient(n.t, n.servers[0], defaultRegion).Options()
	return kms.New(base, func(o *kms.Options) { o.BaseEndpoint = aws.String(n.servers[i].URL) })
}

// seal encrypts something under a new key, on one node after another.
func (n *sealedNodes) seal() {
	n.t.Helper()
	c := n.client(len(n.blobs) % len(n.servers))
	n.blobs = append(n.blobs, encrypt(n.t, c, *createKey(n.t, c, nil).Arn, []byte("x"), nil))
}

// open: each node opens all that was sealed so far, and more.
func (n *sealedNodes) open() {
	n.t.Helper()
	n.seal()
	for i := range n.servers {
		for _, blob := range n.blobs {
			out, err := n.client(i).Decrypt(n.t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
			if err != nil || string(out.Plaintext) != "x" {
				n.t.Errorf("node %d: %v", i, err)
			}
		}
	}
}

// refuses: the command on a node is refused with a message that names the folders of
// those nodes, and no other's, and says that; nothing is changed on any node.
func (n *sealedNodes) refuses(command []string, nodes []int, texts ...string) {
	n.t.Helper()
	was := n.status()
	result, err := binary.RunWith(executable, nil, append(command, "--data", n.servers[0].Data)...)
	if err != nil {
		n.t.Fatal(err)
	}
	said := string(result.Stderr)
	if result.Code != 1 || !strings.Contains(said, "nothing was changed") {
		n.t.Fatalf("%d %s", result.Code, said)
	}
	for i, s := range n.servers {
		named := strings.Contains(said, s.Data+")")
		want := false
		for _, node := range nodes {
			want = want || node == i
		}
		if named != want {
			n.t.Errorf("node %d is named: %v\n%s", i, named, said)
		}
	}
	for _, text := range texts {
		if !strings.Contains(said, text) {
			n.t.Errorf("it does not say %q:\n%s", text, said)
		}
	}
	if now := n.status(); now != was {
		n.t.Errorf("after a refusal the seal is\n%s, and was\n%s", now, was)
	}
	n.open()
}

// status is the root and the version that all nodes go by.
func (n *sealedNodes) status() string {
	n.t.Helper()
	all := ""
	for i, s := range n.servers {
		var found string
		for line := range strings.Lines(succeeds(n.t, s, "seal", "status")) {
			if strings.HasPrefix(line, "domain key") || strings.HasPrefix(line, "root ") {
				id, _, _ := strings.Cut(strings.TrimSpace(line), " (")
				found += id + "\n"
			}
			if strings.Contains(line, "PROBLEM") {
				n.t.Errorf("node %d: %s", i, line)
			}
		}
		if all == "" {
			all = found
		} else if found != all {
			n.t.Errorf("node %d goes by\n%s, another by\n%s", i, found, all)
		}
	}
	return all
}

// TestNodesMoveIntoAnotherKMSAndAnHSM: every node must have been told what it needs to
// reach the new root, credentials, an endpoint or a PIN; one that was not is named, and
// nothing is changed. Afterwards the old root opens on no node.
func TestNodesMoveIntoAnotherKMSAndAnHSM(t *testing.T) {
	t.Parallel()
	soft := hsmtest.MustSoftHSM(t)
	other, key, credentials, flags := otherKMS(t)
	endpoint := flags[len(flags)-1]
	hsmEnv := append(append([]string{}, credentials...), soft.Env...)
	n := newSealedNodes(t, [][]string{hsmEnv, hsmEnv, {"AWS_EC2_METADATA_DISABLED=true"}}, make([][]string, 3))

	toKMS := []string{"seal", "migrate", "--to", "aws-kms", "--to-kms-key", key, "--to-kms-endpoint", endpoint}
	n.refuses(toKMS, []int{2}, "the KMS cannot be used with the key")
	n.env[2] = credentials // no library of an HSM yet
	// Its own settings say where this node finds the KMS, and they are wrong.
	n.settle(2, "--seal-kms-endpoint", "http://127.0.0.1:1")
	n.settle(1, "--seal-kms-endpoint", strings.Replace(endpoint, "127.0.0.1", "localhost", 1))
	succeeds(t, n.servers[0], toKMS...) // where the one who asks finds it, it is
	n.open()
	if is := n.status(); !strings.Contains(is, "root aws-kms:"+key) || strings.Contains(is, "root file:") {
		t.Errorf("the root is\n%s", is)
	}
	succeeds(t, n.servers[2], "seal", "rotate")
	n.open()
	for i := range n.servers {
		if err := os.Remove(filepath.Join(n.servers[i].Data, "root.key")); err != nil {
			t.Fatal(err)
		}
	}
	mustStop(t, n.servers[1])
	notStarted(t, n.servers[1].Data, "is of the kind aws-kms, not file", hsmEnv, n.settings(1)...)
	n.args[1] = flags
	n.start(1)
	n.settle(2, flags...)
	n.settle(0, flags...)
	if _, err := other.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	n.open() // nodes that run do without
	if _, err := other.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}

	token := newToken(t, soft, "kms")
	pin := passphraseFile(t, "0000")
	n.settle(1, append(flags, "--seal-pkcs11-pin-file", pin)...)
	n.refuses(token.migrate(), []int{1, 2}, "refuses the PIN", "there is no such token")
	n.env[2] = hsmEnv
	n.restart(2)
	n.refuses(token.migrate(), []int{1}, "refuses the PIN")
	if err := os.WriteFile(pin, []byte(hsmtest.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	succeeds(t, n.servers[0], token.migrate()...)
	n.open()
	if is := n.status(); !strings.Contains(is, "root pkcs11:") || strings.Contains(is, "root aws-kms:") {
		t.Errorf("the root is\n%s", is)
	}
	if _, err := other.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	succeeds(t, n.servers[1], "seal", "rotate")
	mustStop(t, n.servers[2])
	notStarted(t, n.servers[2].Data, "is of the kind pkcs11, not aws-kms", hsmEnv, n.settings(2)...)
	n.args[2] = token.seal()
	n.start(2)
	n.settle(1, append(token.seal(), "--seal-pkcs11-pin-file", pin)...)
	n.settle(0, token.seal()...)

	// To another token, while each node's settings name the first.
	next := newToken(t, soft, "next")
	succeeds(t, n.servers[0], next.migrate()...)
	if err := os.RemoveAll(token.folder); err != nil {
		t.Fatal(err)
	}
	n.args[1] = next.seal()
	n.restart(1)
	n.open()
	trail := succeeds(t, n.servers[1], "audit", "search", "--operation", "MigrateSeal", "--error", "none")
	if made := strings.Count(trail, `"MigrateSeal"`) + strings.Count(trail, " MigrateSeal"); made != 3 {
		t.Errorf("%d migrations are recorded:\n%s", made, trail)
	}
	if whole := succeeds(t, n.servers[1], "audit", "export"); strings.Contains(whole, hsmtest.PIN) {
		t.Error("a PIN is in the trail")
	}
	for _, s := range n.servers {
		if strings.Contains(s.Output(), hsmtest.PIN) {
			t.Error("a PIN is in the log")
		}
	}
	verify(t, n.servers[1])
}
