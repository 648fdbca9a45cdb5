package kms

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/store"
)

const clusterState = "CustomKeyStoreInvalidStateException"

func TestClusterStoreFromBeginningToEnd(t *testing.T) {
	h := newHarness(t)
	id := h.clusterStore("hsm")
	entry := h.storeEntry(id)
	text, _ := anchor()
	if entry["CustomKeyStoreType"] != "AWS_CLOUDHSM" || entry["CloudHsmClusterId"] != clusterID || entry["TrustAnchorCertificate"] != text ||
		entry["ConnectionState"] != "DISCONNECTED" || entry["XksProxyConfiguration"] != nil {
		t.Errorf("%v", entry)
	}
	h.fails(root, "CreateKey", clusterKey(id), clusterState, notLoggedIn)
	h.connect(id)
	k := h.key(clusterKey(id))
	if k["Origin"] != "AWS_CLOUDHSM" || k["CustomKeyStoreId"] != id || k["CloudHsmClusterId"] != clusterID || k["XksKeyConfiguration"] != nil ||
		k["CurrentKeyMaterialId"] != nil || k["KeySpec"] != "SYMMETRIC_DEFAULT" || k["MultiRegion"] != false {
		t.Errorf("%v", k)
	}
	h.holding(1)
	records := h.journal.taken(t)
	extra := records[len(records)-1]["additionalEventData"].(m)
	if extra["customKeyStoreId"] != id || extra["clusterId"] != clusterID || !strings.Contains(fmt.Sprint(extra["backingKey"]), `"backingKeyId":"`) {
		t.Errorf("the record of CreateKey has %v", extra)
	}

	in := m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64, "EncryptionContext": m{"a": "b"}}
	blob := h.ok(root, "Encrypt", in)["CiphertextBlob"]
	open := m{"CiphertextBlob": blob, "EncryptionContext": m{"a": "b"}}
	if out := h.ok(root, "Decrypt", open); out["Plaintext"] != plaintextBase64 || out["KeyId"] != k["Arn"] || out["KeyMaterialId"] != nil {
		t.Errorf("%v", out)
	}
	h.fails(root, "Decrypt", m{"CiphertextBlob": blob, "EncryptionContext": m{"a": "c"}}, "InvalidCiphertextException", "")
	data := h.ok(root, "GenerateDataKey", m{"KeyId": k["KeyId"], "KeySpec": "AES_256"})
	if out := h.ok(root, "Decrypt", m{"CiphertextBlob": data["CiphertextBlob"]}); out["Plaintext"] != data["Plaintext"] {
		t.Error("another data key")
	}
	plain, _ := h.keyID()
	moved := h.ok(root, "ReEncrypt", with(m{"CiphertextBlob": blob, "SourceEncryptionContext": m{"a": "b"}}, m{"DestinationKeyId": plain}))
	if out := h.ok(root, "Decrypt", m{"CiphertextBlob": moved["CiphertextBlob"]}); out["Plaintext"] != plaintextBase64 {
		t.Errorf("%v", out)
	}
	if random := h.ok(root, "GenerateRandom", m{"NumberOfBytes": 16, "CustomKeyStoreId": id})["Plaintext"].(string); len(random) != 24 {
		t.Errorf("%s", random)
	}
	for _, refused := range []struct {
		name string
		in   m
		code string
	}{
		{"EnableKeyRotation", m{"KeyId": k["KeyId"]}, "UnsupportedOperationException"},
		{"GenerateDataKeyPair", m{"KeyId": k["KeyId"], "KeyPairSpec": "ECC_NIST_P256"}, "UnsupportedOperationException"},
		{"CreateKey", with(clusterKey(id), m{"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}), "UnsupportedOperationException"},
		{"CreateKey", with(clusterKey(id), m{"MultiRegion": true}), "UnsupportedOperationException"},
		{"CreateKey", with(clusterKey(id), m{"XksKeyId": "x"}), "ValidationException"},
		{"CreateKey", with(clusterKey(id), m{"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "x"}), "ValidationException"},
	} {
		if a := h.send(root, refused.name, refused.in); a.code != refused.code {
			t.Errorf("%s: %s %s", refused.name, a.code, a.message)
		}
	}
	h.holding(1)

	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
	if state := h.metadata(k["KeyId"].(string))["KeyState"]; state != "Unavailable" {
		t.Errorf("it is %v", state)
	}
	h.fails(root, "Decrypt", open, "KMSInvalidStateException", notLoggedIn)
	h.fails(root, "GenerateRandom", m{"NumberOfBytes": 16, "CustomKeyStoreId": id}, clusterState,
		"Custom key store "+id+" has the connection state DISCONNECTED, which is not valid for GenerateRandom.")
	h.fails(root, "DeleteCustomKeyStore", m{"CustomKeyStoreId": id}, "CustomKeyStoreHasCMKsException",
		"Custom key store "+id+" has KMS keys. Schedule their deletion, and delete it when they are gone.")
	h.connect(id)
	h.ok(root, "Decrypt", open)

	// The secret is nowhere.
	for _, record := range append(h.journal.taken(t), m{"described": h.storeEntry(id)}) {
		if strings.Contains(jsonText(record), hsmPassword) {
			t.Error("the password is shown")
		}
	}
	if strings.Contains(h.log.String(), hsmPassword) {
		t.Error("the password is in the log")
	}

	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": k["KeyId"], "PendingWindowInDays": 7})
	h.clock.Advance(7 * 24 * time.Hour)
	h.work()
	h.work()
	h.holding(0)
	h.fails(root, "Decrypt", with(open, m{"KeyId": k["KeyId"]}), "NotFoundException", "Key '"+k["Arn"].(string)+"' does not exist")
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.ok(root, "DeleteCustomKeyStore", m{"CustomKeyStoreId": id})
}

// TestOneHSMIsEnough: calls go on while one of two HSMs is away, and fail in AWS's way
// while both are.
func TestOneHSMIsEnough(t *testing.T) {
	h := newHarness(t)
	id := h.loggedIn()
	k := h.key(clusterKey(id))
	in := m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64}
	use := func() {
		t.Helper()
		for range 4 { // whosever turn it is
			h.ok(root, "Decrypt", m{"CiphertextBlob": h.ok(root, "Encrypt", in)["CiphertextBlob"]})
			h.ok(root, "GenerateRandom", m{"NumberOfBytes": 8, "CustomKeyStoreId": id})
		}
	}
	use()
	for _, lost := range []string{"hsm-a", "hsm-b"} {
		h.token(lost).Pull()
		use()
		h.service.tend(t.Context())
		if h.clusters.report(lost) != "The HSM does not answer." {
			t.Errorf("%s is reported as %q", lost, h.clusters.report(lost))
		}
		// A key has to be in every HSM.
		h.fails(root, "CreateKey", clusterKey(id), "CloudHsmClusterInvalidConfigurationException", someHSMsAway)
		h.token(lost).Insert()
		h.service.tend(t.Context())
		if h.clusters.report(lost) != "" {
			t.Errorf("%s is back, and reported as %q", lost, h.clusters.report(lost))
		}
		use()
	}
	h.holding(1)
	h.token("hsm-a").Pull()
	h.token("hsm-b").Pull()
	for name, in := range map[string]m{"Encrypt": in, "GenerateDataKey": {"KeyId": k["KeyId"], "KeySpec": "AES_256"}} {
		h.fails(root, name, in, "KMSInvalidStateException", clusterAway)
	}
	if a := h.send(root, "GenerateRandom", m{"NumberOfBytes": 8, "CustomKeyStoreId": id}); a.code != "DependencyTimeoutException" || a.status != 500 {
		t.Errorf("%d %s", a.status, a.code)
	}
	h.service.tend(t.Context())
	h.service.tend(t.Context())
	if n := strings.Count(h.log.String(), "does not serve its custom key store"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
	if state := h.storeEntry(id)["ConnectionState"]; state != "CONNECTED" {
		t.Errorf("the key store is %v", state)
	}
	h.token("hsm-b").Insert()
	use()
	h.service.tend(t.Context())
	if !strings.Contains(h.log.String(), "a custom key store serves again") {
		t.Error("nothing says that it serves again")
	}
}

// TestAfterARestart: whoever comes first logs in, to whatever HSM answers; the other
// one is logged in to when it is back.
func TestAfterARestart(t *testing.T) {
	h := newHarness(t)
	id := h.loggedIn()
	k := h.key(clusterKey(id))
	in := m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64}
	h.token("hsm-a").Pull()
	h.restart()
	h.learn()
	for range 3 {
		h.ok(root, "Encrypt", in)
	}
	if n := h.clusters.logins("hsm-a"); n != 2 { // when it was connected, and now
		t.Errorf("%d logins to an HSM that is away", n)
	}
	h.token("hsm-a").Insert()
	h.service.tend(t.Context())
	h.token("hsm-b").Pull()
	h.ok(root, "Encrypt", in)

	// An HSM that joins is logged in to, one that leaves is left.
	h.token("hsm-b").Insert()
	h.clusters.tokens["hsm-e"] = hsmtest.NewToken("hsm-e", hsmPassword)
	h.clusters.edit(clusterID, func(c *Cluster) {
		c.HSMs = append(c.HSMs[1:], ClusterHSM{ID: "hsm-e", Zone: region + "a", Token: hsm.Token{Label: "hsm-e"}})
	})
	h.token("hsm-a").Pull()
	for range 4 { // the new one does not hold the key
		h.ok(root, "Encrypt", in)
	}
	h.key(clusterKey(id))
	if n := h.token("hsm-e").Len(); n != 1 {
		t.Errorf("the new HSM holds %d keys", n)
	}
	// Who disconnects logs out.
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.service.tend(t.Context())
	if names := h.service.sessions.names(); len(names) != 0 {
		t.Errorf("still logged in: %v", names)
	}
}

func TestConnectionsThatFail(t *testing.T) {
	for what, c := range map[string]struct {
		a, b error
		code string
	}{
		"wrong password":           {hsm.ErrPIN, hsm.ErrPIN, "INVALID_CREDENTIALS"},
		"wrong password for one":   {nil, hsm.ErrPIN, "INVALID_CREDENTIALS"},
		"locked":                   {hsm.ErrPINLocked, hsm.ErrUnavailable, "USER_LOCKED_OUT"},
		"locked behind one away":   {hsm.ErrUnavailable, hsm.ErrPINLocked, "USER_LOCKED_OUT"},
		"no user":                  {hsm.ErrUser, nil, "USER_NOT_FOUND"},
		"another user":             {hsm.ErrLoggedIn, hsm.ErrLoggedIn, "USER_LOGGED_IN"},
		"none answers":             {hsm.ErrUnavailable, hsm.ErrNoToken, "NETWORK_ERRORS"},
		"one answers":              {hsm.ErrUnavailable, nil, ""},
		"no library":               {hsm.ErrNoModule, hsm.ErrNoModule, "INTERNAL_ERROR"},
		"something else":           {errors.New("x"), nil, "INTERNAL_ERROR"},
		"unavailable for a reason": {fmt.Errorf("%w: %w", hsm.ErrUnavailable, hsm.ErrPIN), hsm.ErrUnavailable, "INVALID_CREDENTIALS"},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHarness(t)
			id := h.clusterStore("s")
			h.clusters.failing("hsm-a", c.a)
			h.clusters.failing("hsm-b", c.b)
			h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": id})
			h.work()
			entry := h.storeEntry(id)
			if c.code == "" {
				if entry["ConnectionState"] != "CONNECTED" || entry["ConnectionErrorCode"] != nil {
					t.Errorf("%v", entry)
				}
				return
			}
			if entry["ConnectionState"] != "FAILED" || entry["ConnectionErrorCode"] != c.code {
				t.Errorf("%v %v, want %s", entry["ConnectionState"], entry["ConnectionErrorCode"], c.code)
			}
			if len(h.service.sessions.names()) != 0 {
				t.Error("it is still logged in")
			}
			for _, name := range []string{"ConnectCustomKeyStore", "DeleteCustomKeyStore", "UpdateCustomKeyStore"} {
				h.fails(root, name, m{"CustomKeyStoreId": id}, clusterState, "Custom key store "+id+" has the connection state FAILED, which is not valid for "+name+".")
			}
			// With a new password it connects.
			h.clusters.failing("hsm-a", nil)
			h.clusters.failing("hsm-b", nil)
			h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
			h.ok(root, "UpdateCustomKeyStore", m{"CustomKeyStoreId": id, "KeyStorePassword": hsmPassword, "CloudHsmClusterId": clusterID, "NewCustomKeyStoreName": "renamed"})
			h.connect(id)
			if h.storeEntry(id)["CustomKeyStoreName"] != "renamed" {
				t.Error("it is not renamed")
			}
		})
	}
	t.Run("the cluster is gone", func(t *testing.T) {
		h := newHarness(t)
		id := h.clusterStore("s")
		h.clusters.remove(clusterID)
		h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": id})
		h.work()
		if entry := h.storeEntry(id); entry["ConnectionErrorCode"] != "CLUSTER_NOT_FOUND" {
			t.Errorf("%v", entry)
		}
	})
	t.Run("the HSMs are gone meanwhile", func(t *testing.T) {
		h := newHarness(t)
		id := h.clusterStore("s")
		h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": id})
		h.clusters.edit(clusterID, func(c *Cluster) { c.HSMs = nil })
		h.work()
		if entry := h.storeEntry(id); entry["ConnectionErrorCode"] != "INSUFFICIENT_CLOUDHSM_HSMS" {
			t.Errorf("%v", entry)
		}
	})
}

// TestAWrongPasswordIsTriedOnce: looking after a key store must not lock kmsuser out.
func TestAWrongPasswordIsTriedOnce(t *testing.T) {
	h := newHarness(t)
	id := h.loggedIn()
	h.restart()
	h.learn()
	h.clusters.failing("hsm-a", hsm.ErrPIN) // it was changed
	h.ok(root, "GenerateRandom", m{"NumberOfBytes": 8, "CustomKeyStoreId": id})
	before := h.clusters.logins("hsm-a")
	for range 5 {
		h.service.tend(t.Context())
		h.ok(root, "GenerateRandom", m{"NumberOfBytes": 8, "CustomKeyStoreId": id})
	}
	if n := h.clusters.logins("hsm-a") - before; n != 0 {
		t.Errorf("the password was tried %d times more", n)
	}
	if h.clusters.report("hsm-a") != "The password of kmsuser is wrong." {
		t.Errorf("it is reported as %q", h.clusters.report("hsm-a"))
	}
}

// TestMaterialIsDestroyedEverywhere: it waits for HSMs that are away and key stores that
// are not connected, and is left where nobody can log in any more.
func TestMaterialIsDestroyedEverywhere(t *testing.T) {
	h := newHarness(t)
	id := h.loggedIn()
	k := h.key(clusterKey(id))
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": k["KeyId"], "PendingWindowInDays": 7})
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.clock.Advance(7 * 24 * time.Hour)
	h.work()
	h.work()
	h.holding(1)
	h.connect(id)
	h.token("hsm-b").Pull()
	h.clock.Advance(destroyAgain)
	h.work()
	if n := h.token("hsm-b").Len(); n != 1 {
		t.Errorf("a token that is away holds %d keys", n)
	}
	h.token("hsm-b").Insert()
	h.clock.Advance(destroyAgain)
	h.work()
	h.holding(0)

	left := h.key(clusterKey(id))
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": left["KeyId"], "PendingWindowInDays": 7})
	h.clock.Advance(7 * 24 * time.Hour)
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.work()
	h.work()
	h.ok(root, "DeleteCustomKeyStore", m{"CustomKeyStoreId": id})
	h.clock.Advance(destroyAgain)
	h.work()
	h.holding(1)
	if !strings.Contains(h.log.String(), "key material stays in a CloudHSM cluster") {
		t.Error("nothing says that material stays")
	}
	if n := dueOf(h, destroyMaterial); n != 0 {
		t.Errorf("%d tasks are left", n)
	}
}

// learn finds the key stores that there are, as Tend does when it begins.
func (h *harness) learn() {
	h.t.Helper()
	if err := h.service.learnKeyStores(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// dueOf counts what is planned of a kind.
func dueOf(h *harness, task dueTask) (n int) {
	h.t.Helper()
	err := h.store.View(h.t.Context(), func(r store.Reader) error {
		items, _, err := dueRecords.Scan(r, regionScope(region), "", 1000)
		for _, item := range items {
			if item.Value.Task == task {
				n++
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// TestNoMaterialOfAKeyThatWasNotMade: what was made in the HSMs for a key that cannot
// be stored is destroyed again.
func TestNoMaterialOfAKeyThatWasNotMade(t *testing.T) {
	h := newHarness(t)
	id := h.loggedIn()
	h.config.Limits = mustLimits(t, account+"/keys=0")
	h.restart()
	if a := h.send(root, "CreateKey", clusterKey(id)); a.code != "LimitExceededException" {
		t.Fatalf("%s: %s", a.code, a.message)
	}
	h.holding(0)
}

// TestALostKeySaysSo: a key that somebody deleted in the HSMs.
func TestALostKeySaysSo(t *testing.T) {
	h := newHarness(t)
	id := h.loggedIn()
	k := h.key(clusterKey(id))
	ks, err := h.service.keyStores.Get(t.Context(), scope(account, region), id)
	if err != nil {
		t.Fatal(err)
	}
	g, err := h.service.session(t.Context(), &ks.keyStoreRecord, false)
	if err != nil {
		t.Fatal(err)
	}
	held, err := h.service.keys.Get(t.Context(), scope(account, region), k["KeyId"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.service.HSMKeys.Destroy(t.Context(), g.keys, held.ref()); err != nil {
		t.Fatal(err)
	}
	h.fails(root, "Encrypt", m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64}, "KMSInvalidStateException", lostInCluster)
}

// TestKeyStoresHaveARate: each store its own, which every caller shares.
func TestKeyStoresHaveARate(t *testing.T) {
	h := newHarness(t)
	h.config.Limits = mustLimits(t, "custom-key-store=3")
	h.restart()
	inside, outside := h.loggedIn(), h.connectedStore("x")
	a, b := h.key(clusterKey(inside)), h.storeKey(outside, "external-1")
	for _, k := range []m{a, b} {
		in := m{"KeyId": k["KeyId"], "Plaintext": plaintextBase64}
		for range 3 {
			h.ok(root, "Encrypt", in)
		}
		h.fails(root, "Encrypt", in, ThrottlingCode, ThrottlingMessage)
	}
	h.fails(root, "GenerateRandom", m{"NumberOfBytes": 8, "CustomKeyStoreId": inside}, ThrottlingCode, ThrottlingMessage)
	h.ok(root, "DescribeKey", m{"KeyId": a["KeyId"]})
	h.clock.Advance(time.Second)
	h.ok(root, "Encrypt", m{"KeyId": a["KeyId"], "Plaintext": plaintextBase64})
	if !strings.Contains(h.log.String(), limitStore+" "+inside) {
		t.Errorf("the log does not name the store: %s", h.log)
	}
	if l := mustLimits(t, "aws"); l.rate(account, region, limitStore) != 1800 {
		t.Error("AWS's rate is 1,800")
	}
}

// TestProxiesAreAskedForTheirHealth: connected stores alone, and the log says what has
// changed.
func TestProxiesAreAskedForTheirHealth(t *testing.T) {
	h := newHarness(t)
	h.connectedStore("up")
	h.keyStore("idle")
	asked := func() int { return len(h.outside.health) }
	before := asked()
	h.service.tend(t.Context())
	if n := asked() - before; n != 1 || h.outside.health[before].Path != "/up/kms/xks/v1" {
		t.Errorf("%d proxies were asked", n)
	}
	h.outside.down = true
	for range 3 {
		h.service.tend(t.Context())
	}
	if n := strings.Count(h.log.String(), "for="+healthCheck); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, h.log)
	}
	if n, elsewhere := h.service.FailingKeyStores(region), h.service.FailingKeyStores(second); n != 1 || elsewhere != 0 {
		t.Errorf("%d and %d key stores are counted as failing", n, elsewhere)
	}
	h.outside.down = false
	h.service.tend(t.Context())
	if n := h.service.FailingKeyStores(region); n != 0 {
		t.Errorf("%d key stores are still counted as failing", n)
	}
	if n := strings.Count(h.log.String(), "serves again"); n != 1 {
		t.Errorf("that it serves again is said %d times", n)
	}
	// A process that starts finds the stores that there are.
	h.restart()
	h.learn()
	if names := h.service.stores.names(); len(names) != 2 {
		t.Errorf("%v", names)
	}
}
