package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
)

// cluster is a CloudHSM cluster of two SoftHSM tokens, and the server that has it.
type cluster struct {
	*cli
	t       *testing.T
	server  *binary.Server
	soft    *hsmtest.SoftHSM
	id      string
	folders map[string]string // of the tokens, by zone
}

// newCluster does what docs/cloudhsm-key-stores.md says, up to the key store.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, soft: hsmtest.MustSoftHSM(t), folders: map[string]string{}}
	for _, letter := range []string{"a", "b"} {
		c.folders[defaultRegion+letter] = c.soft.MustToken(t, "rack-"+letter)
	}
	c.start(filepath.Join(t.TempDir(), "data"))
	for _, letter := range []string{"a", "b"} {
		c.slot("add", "rack-"+letter, "--module", c.soft.Module, "--token-label", "rack-"+letter, "--zone", defaultRegion+letter)
	}
	c.id = c.query("Cluster.ClusterId", "cloudhsmv2", "create-cluster", "--hsm-type", "hsm2m.medium", "--mode", "NON_FIPS",
		"--subnet-ids", "subnet-0000000a", "subnet-0000000b", "--tag-list", "Key=team,Value=pay")
	for zone := range c.folders {
		if state := c.query("Hsm.State", "cloudhsmv2", "create-hsm", "--cluster-id", c.id, "--availability-zone", zone); state != "CREATE_IN_PROGRESS" {
			t.Errorf("the HSM is %s", state)
		}
	}
	c.fails("CloudHsmServiceException", "There is no free HSM in", "cloudhsmv2", "create-hsm", "--cluster-id", c.id, "--availability-zone", defaultRegion+"a")
	openssl := program(t, "openssl", installOpenSSL)
	request := c.file("cluster.csr", []byte(c.of("Certificates.ClusterCsr")+"\n"))
	for _, args := range [][]string{
		{"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", c.in("ca.key"), "-out", c.in("ca.crt"), "-days", "3652", "-subj", "/CN=owner"},
		{"x509", "-req", "-in", request, "-CA", c.in("ca.crt"), "-CAkey", c.in("ca.key"), "-CAcreateserial", "-days", "3652", "-out", c.in("cluster.crt")},
	} {
		if _, stderr, err := command(t, c.env, openssl, args...); err != nil {
			t.Fatalf("openssl %s: %v\n%s", args[0], err, stderr)
		}
	}
	c.fails("CloudHsmClusterNotActiveException", "is not active", c.creating("too-early")...)
	c.run("cloudhsmv2", "initialize-cluster", "--cluster-id", c.id, "--signed-cert", "file://"+c.in("cluster.crt"), "--trust-anchor", "file://"+c.in("ca.crt"))
	if state := c.of("State"); state != "ACTIVE" {
		t.Errorf("the cluster is %s", state)
	}
	return c
}

// start runs a server on a data folder until the test ends. The libraries that it
// loads find their tokens through its environment.
func (c *cluster) start(data string) {
	c.t.Helper()
	s, err := binary.Start(binary.Config{Path: executable, Data: data, Env: c.soft.Env})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		s.Kill()
		if c.t.Failed() {
			c.t.Logf("the server said:\n%s", s.Output())
		}
	})
	c.server = s
	if c.cli == nil {
		c.cli = newCLI(c.t, clientEnvironment(s))
	} else {
		c.env = append(c.env, "AWS_ENDPOINT_URL="+s.URL)
	}
}

func (c *cluster) in(name string) string { return filepath.Join(c.dir, name) }

// of is a member of the cluster's description.
func (c *cluster) of(member string) string {
	c.t.Helper()
	return c.query("Clusters[0]."+member, "cloudhsmv2", "describe-clusters", "--filters", "clusterIds="+c.id)
}

// slot runs a command about slots and returns what it printed.
func (c *cluster) slot(verb string, args ...string) string {
	c.t.Helper()
	result, err := binary.Run(executable, append([]string{"hsm", "slot", verb, "--data", c.server.Data}, args...)...)
	if err != nil || result.Code != 0 {
		c.t.Fatalf("hsm slot %s: %v, %s", verb, err, result.Stderr)
	}
	return string(result.Stdout)
}

func (c *cluster) creating(name string) []string {
	return []string{"kms", "create-custom-key-store", "--custom-key-store-name", name, "--cloud-hsm-cluster-id", c.id,
		"--key-store-password", hsmtest.PIN, "--trust-anchor-certificate", "file://" + c.in("ca.crt")}
}

// connect connects a key store and returns the state that it comes to, and why.
func (c *cluster) connect(id string) string {
	c.t.Helper()
	c.run("kms", "connect-custom-key-store", "--custom-key-store-id", id)
	state := ""
	err := binary.Until("an end of connecting", time.Minute, func() (bool, error) {
		state = c.query("CustomKeyStores[0].[ConnectionState,ConnectionErrorCode]", "kms", "describe-custom-key-stores", "--custom-key-store-id", id)
		return !strings.HasPrefix(state, "CONNECTING"), nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Join(strings.Fields(state), " ")
}

// lose takes an HSM's token away. What it returns brings it back.
func (c *cluster) lose(zone string) (found func()) {
	c.t.Helper()
	folder := c.folders[zone]
	aside := filepath.Join(c.t.TempDir(), "away")
	if err := os.Rename(folder, aside); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if err := os.Rename(aside, folder); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestKeyStoreInHSMs is the life of a key store in two HSMs, with the AWS command line:
// made, connected, used, an HSM lost and found, disconnected, and left again.
func TestKeyStoreInHSMs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	store := c.query("CustomKeyStoreId", c.creating("hsm")...)
	c.fails("CloudHsmClusterInUseException", "is already associated with a custom key store", c.creating("another")...)
	if state := c.connect(store); state != "CONNECTED None" {
		t.Fatalf("the key store is %s\n%s", state, c.server.Output())
	}
	newKey := []string{"kms", "create-key", "--origin", "AWS_CLOUDHSM", "--custom-key-store-id", store}
	key := c.query("KeyMetadata.KeyId", newKey...)
	if got := c.query("KeyMetadata.[Origin,CloudHsmClusterId,CustomKeyStoreId,KeyState]", "kms", "describe-key", "--key-id", key); strings.Join(strings.Fields(got), " ") != "AWS_CLOUDHSM "+c.id+" "+store+" Enabled" {
		t.Errorf("the key is %s", got)
	}
	plaintext := c.file("plaintext", []byte("hello"))
	encrypt := func() string {
		t.Helper()
		return c.query("CiphertextBlob", "kms", "encrypt", "--key-id", key, "--plaintext", "fileb://"+plaintext, "--encryption-context", "a=b")
	}
	opens := func(blob string) {
		t.Helper()
		path := c.decodeInto("blob", blob)
		if got := c.query("Plaintext", "kms", "decrypt", "--ciphertext-blob", "fileb://"+path, "--encryption-context", "a=b"); got != "aGVsbG8=" {
			t.Errorf("it opens as %s", got)
		}
	}
	blob := encrypt()
	opens(blob)
	if got := c.query("length(Plaintext)", "kms", "generate-random", "--number-of-bytes", "32", "--custom-key-store-id", store); got != "44" {
		t.Errorf("%s characters of randomness", got)
	}

	// Whichever HSM is lost, the other one goes on.
	for zone := range c.folders {
		found := c.lose(zone)
		for range 2 {
			opens(blob)
			opens(encrypt())
		}
		c.fails("CloudHsmClusterInvalidConfigurationException", "every one of its HSMs must answer", newKey...)
		found()
		// It is found by itself. A key can be made again, which takes all HSMs.
		err := binary.Until("a cluster whose HSMs all answer", time.Minute, func() (bool, error) {
			_, _, err := command(t, c.env, c.path, newKey...)
			return err == nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	c.run("kms", "disconnect-custom-key-store", "--custom-key-store-id", store)
	if state := c.query("KeyMetadata.KeyState", "kms", "describe-key", "--key-id", key); state != "Unavailable" {
		t.Errorf("the key is %s", state)
	}
	path := c.decodeInto("blob", blob)
	c.fails("KMSInvalidStateException", "not connected to its AWS CloudHSM cluster", "kms", "decrypt", "--ciphertext-blob", "fileb://"+path, "--encryption-context", "a=b")
	c.run("kms", "update-custom-key-store", "--custom-key-store-id", store, "--key-store-password", "a-wrong-one")
	if state := c.connect(store); state != "FAILED INVALID_CREDENTIALS" {
		t.Errorf("with a wrong password it is %s", state)
	}
	c.run("kms", "disconnect-custom-key-store", "--custom-key-store-id", store)
	c.run("kms", "update-custom-key-store", "--custom-key-store-id", store, "--key-store-password", hsmtest.PIN)
	if state := c.connect(store); state != "CONNECTED None" {
		t.Fatalf("reconnected it is %s", state)
	}
	opens(blob)

	// The password is nowhere, and the slots know what they are.
	if strings.Contains(c.server.Output(), hsmtest.PIN) {
		t.Error("the server's log has the password")
	}
	if list := c.slot("list"); strings.Count(list, " of "+c.id+"\n") != 2 {
		t.Errorf("the slots are\n%s", list)
	}
	c.fails("CloudHsmInvalidRequestException", "has HSMs", "cloudhsmv2", "delete-cluster", "--cluster-id", c.id)

	// A restart finds its way back by itself.
	if err := c.server.Stop(); err != nil {
		t.Fatal(err)
	}
	c.start(c.server.Data)
	opens(blob)
	verify(t, c.server)
}
