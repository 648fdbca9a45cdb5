package e2e

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/strongroom/strongroom/e2e/binary"
)

// proxyHost is the name that the proxy's certificate is for.
const proxyHost = "proxy.keys.example.com"

// ownKeys is two deployments: there has the keys, and offers one of them to here,
// whose external key store it is, over mutual TLS.
type ownKeys struct {
	t           testing.TB
	here, there *binary.Server
	kms, owner  *kms.Client
	offered     string // the key's id there
	credential  xksCredential
	path        string
}

type xksCredential struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

func newOwnKeys(t testing.TB) *ownKeys {
	t.Helper()
	servers, clients := newAuthority(t, "servers"), newAuthority(t, "clients")
	cert, key := servers.issue(proxyHost)
	o := &ownKeys{t: t}
	o.there = start(t, "--account", "111122223333", "--regions", "eu-west-1",
		"--xks-listen", "127.0.0.1:0", "--xks-tls-cert", cert, "--xks-tls-key", key,
		"--xks-client-ca", clients.File(), "--xks-client-name", "cks.kms.us-east-1.amazonaws.com")
	// It is said on stderr, which may be read after the ready line on stdout.
	var found []string
	err := binary.Until("a line that says where keys are offered", time.Minute, func() (bool, error) {
		found = offeredAt.FindStringSubmatch(o.there.Output())
		return found != nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cert, key = clients.issue("cks.kms.us-east-1.amazonaws.com")
	o.here = start(t, "--xks-route", proxyHost+"="+found[1]+",nobody.example.com=127.0.0.1:1,wrong.example.com="+found[1],
		"--xks-ca", servers.File(), "--xks-cert", cert, "--xks-key", key)
	o.kms, o.owner = kmsClient(t, o.here, defaultRegion), kmsClient(t, o.there, "eu-west-1")
	o.offered = *createKey(t, o.owner, nil).KeyId
	reply := o.xks("create", "payments", "--key", o.offered, "--allow-principal", "arn:aws:iam::000000000000:*")
	o.path, o.credential = reply.Stores[0].Path, *reply.Credential
	return o
}

var offeredAt = regexp.MustCompile(`offered as external key stores" address=(\S+)\n`)

type xksReply struct {
	Stores []struct {
		Path        string   `json:"path"`
		Killed      *string  `json:"killed"`
		Credentials []string `json:"credentials"`
	} `json:"stores"`
	Credential *xksCredential `json:"credential"`
}

// xks runs a command on the deployment that has the keys.
func (o *ownKeys) xks(args ...string) xksReply {
	o.t.Helper()
	result, err := binary.Run(executable, append([]string{"xks", args[0], "--json", "--data", o.there.Data}, args[1:]...)...)
	if err != nil || result.Code != 0 {
		o.t.Fatalf("xks %s: %v, %s", strings.Join(args, " "), err, result.Stderr)
	}
	var reply xksReply
	if err := json.Unmarshal(result.Stdout, &reply); err != nil {
		o.t.Fatalf("%v: %s", err, result.Stdout)
	}
	return reply
}

// slow are the messages for a proxy that takes more than 250 ms: what a machine
// under load may need. They ask for the request to be made again. The second is also that
// for one that is not there.
var (
	tooSlow = "did not respond in time"
	slow    = []string{tooSlow, "cannot communicate with the external key store proxy"}
)

// patiently repeats what a busy machine let time out.
func patiently[T any](o *ownKeys, call func() (T, error)) (T, error) {
	o.t.Helper()
	return patientlyOf(o, slow, call)
}

// patientlyOf repeats what one of these messages answers.
func patientlyOf[T any](o *ownKeys, messages []string, call func() (T, error)) (T, error) {
	o.t.Helper()
	var out T
	var failed error
	err := binary.Until("an answer within the limit", time.Minute, func() (bool, error) {
		out, failed = call()
		for _, text := range messages {
			if failed != nil && strings.Contains(failed.Error(), text) {
				return false, nil
			}
		}
		return true, nil
	})
	return out, errors.Join(failed, err)
}

// create makes the external key store, as given or changed.
func (o *ownKeys) create(name string, change func(*kms.CreateCustomKeyStoreInput)) (string, error) {
	o.t.Helper()
	in := &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: &name, CustomKeyStoreType: types.CustomKeyStoreTypeExternalKeyStore,
		XksProxyUriEndpoint: aws.String("https://" + proxyHost), XksProxyUriPath: &o.path, XksProxyConnectivity: types.XksProxyConnectivityTypePublicEndpoint,
		XksProxyAuthenticationCredential: o.auth(o.credential),
	}
	if change != nil {
		change(in)
	}
	out, err := patiently(o, func() (*kms.CreateCustomKeyStoreOutput, error) { return o.kms.CreateCustomKeyStore(o.t.Context(), in) })
	if err != nil {
		return "", err
	}
	return *out.CustomKeyStoreId, nil
}

func (o *ownKeys) auth(c xksCredential) *types.XksProxyAuthenticationCredentialType {
	return &types.XksProxyAuthenticationCredentialType{AccessKeyId: &c.AccessKeyID, RawSecretAccessKey: &c.SecretAccessKey}
}

// connect connects a store and returns how it ended.
func (o *ownKeys) connect(id string) *types.CustomKeyStoresListEntry {
	o.t.Helper()
	for {
		if _, err := o.kms.ConnectCustomKeyStore(o.t.Context(), &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: &id}); err != nil {
			o.t.Fatal(err)
		}
		entry := o.settled(id)
		if entry.ConnectionState == types.ConnectionStateTypeFailed &&
			(entry.ConnectionErrorCode == types.ConnectionErrorCodeTypeXksProxyTimedOut || entry.ConnectionErrorCode == types.ConnectionErrorCodeTypeXksProxyNotReachable) {
			o.disconnect(id)
			continue
		}
		return entry
	}
}

func (o *ownKeys) settled(id string) *types.CustomKeyStoresListEntry {
	o.t.Helper()
	var entry *types.CustomKeyStoresListEntry
	err := binary.Until("an end of connecting", time.Minute, func() (bool, error) {
		out, err := o.kms.DescribeCustomKeyStores(o.t.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: &id})
		if err != nil {
			return false, err
		}
		entry = &out.CustomKeyStores[0]
		return entry.ConnectionState != types.ConnectionStateTypeConnecting, nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return entry
}

func (o *ownKeys) disconnect(id string) {
	o.t.Helper()
	if _, err := o.kms.DisconnectCustomKeyStore(o.t.Context(), &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: &id}); err != nil {
		o.t.Fatal(err)
	}
}

func (o *ownKeys) createKey(store, external string) (*kms.CreateKeyOutput, error) {
	return patiently(o, func() (*kms.CreateKeyOutput, error) {
		return o.kms.CreateKey(o.t.Context(), &kms.CreateKeyInput{Origin: types.OriginTypeExternalKeyStore, CustomKeyStoreId: &store, XksKeyId: &external})
	})
}

var ownContext = map[string]string{"tenant": "acme"}

func (o *ownKeys) encrypt(key, plaintext string) ([]byte, error) {
	out, err := patiently(o, func() (*kms.EncryptOutput, error) {
		return o.kms.Encrypt(o.t.Context(), &kms.EncryptInput{KeyId: &key, Plaintext: []byte(plaintext), EncryptionContext: ownContext})
	})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

func (o *ownKeys) decrypt(blob []byte) (string, error) {
	out, err := patiently(o, func() (*kms.DecryptOutput, error) {
		return o.kms.Decrypt(o.t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: ownContext})
	})
	if err != nil {
		return "", err
	}
	return string(out.Plaintext), nil
}

func (o *ownKeys) opens(blob []byte, want string) {
	o.t.Helper()
	if got, err := o.decrypt(blob); err != nil || got != want {
		o.t.Errorf("Decrypt gave %q, %v", got, err)
	}
}

// wantWords checks an error's code and how its message begins.
func wantWords(t testing.TB, err error, code, begins string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.HasPrefix(e.ErrorMessage(), begins) {
		t.Errorf("%v\nwant %s: %s…", err, code, begins)
	}
}

const (
	notEnabled       = "The external key associated with this KMS key in an external key store is not enabled in the external key manager."
	notFound         = "The external key associated with this KMS key in an external key store was not found in its external key manager."
	accessDenied     = "The external key store proxy denied access to the operation."
	noAuthentication = "The external key store proxy rejected the request because it could not authenticate AWS KMS."
	storeAway        = "This KMS key is in a custom key store that is not connected to its external key store proxy."
)

// TestOwnKeysTheWholeWay: here's external key store is there's proxy. Created,
// encrypted, credentials rotated, killed, revived, with every error between as AWS
// words it.
func TestOwnKeysTheWholeWay(t *testing.T) {
	o := newOwnKeys(t)

	// Setting it up, with each thing wrong once.
	_, err := o.create("own", func(in *kms.CreateCustomKeyStoreInput) {
		in.XksProxyAuthenticationCredential = o.auth(xksCredential{o.credential.AccessKeyID, strings.Repeat("x", 43)})
	})
	wantWords(t, err, "XksProxyIncorrectAuthenticationCredentialException", noAuthentication)
	_, err = o.create("own", func(in *kms.CreateCustomKeyStoreInput) { in.XksProxyUriPath = aws.String("/else/kms/xks/v1") })
	wantWords(t, err, "XksProxyInvalidConfigurationException", "The external key store proxy rejected the request because of an invalid URI path.")
	_, err = o.create("own", func(in *kms.CreateCustomKeyStoreInput) {
		in.XksProxyUriEndpoint = aws.String("https://wrong.example.com")
	})
	wantWords(t, err, "XksProxyUriUnreachableException", "AWS KMS cannot establish a TLS connection to the external key store proxy.")
	_, err = patientlyOf(o, []string{tooSlow}, func() (*kms.CreateCustomKeyStoreOutput, error) {
		return o.kms.CreateCustomKeyStore(t.Context(), &kms.CreateCustomKeyStoreInput{
			CustomKeyStoreName: aws.String("own"), CustomKeyStoreType: types.CustomKeyStoreTypeExternalKeyStore,
			XksProxyUriEndpoint: aws.String("https://nobody.example.com"), XksProxyUriPath: &o.path, XksProxyConnectivity: types.XksProxyConnectivityTypePublicEndpoint,
			XksProxyAuthenticationCredential: o.auth(o.credential),
		})
	})
	wantWords(t, err, "XksProxyUriUnreachableException", "AWS KMS cannot communicate with the external key store proxy.")
	store, err := o.create("own", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.createKey(store, o.offered)
	wantWords(t, err, "CustomKeyStoreInvalidStateException", storeAway)
	if entry := o.connect(store); entry.ConnectionState != types.ConnectionStateTypeConnected {
		t.Fatalf("the store is %s: %s", entry.ConnectionState, entry.ConnectionErrorCode)
	}
	_, err = o.createKey(store, "unknown")
	wantWords(t, err, "XksKeyNotFoundException", notFound)

	// The key, and what it encrypts.
	made, err := o.createKey(store, o.offered)
	if err != nil {
		t.Fatal(err)
	}
	key := *made.KeyMetadata.Arn
	_, err = o.createKey(store, o.offered)
	wantWords(t, err, "XksKeyAlreadyInUseException", "")
	blob, err := o.encrypt(key, "attack at dawn")
	if err != nil {
		t.Fatal(err)
	}
	o.opens(blob, "attack at dawn")
	// Whoever offers the key sees that it is in use.
	use, err := o.owner.GetKeyLastUsage(t.Context(), &kms.GetKeyLastUsageInput{KeyId: &o.offered})
	if err != nil || use.KeyLastUsage == nil || use.KeyLastUsage.Operation != "Decrypt" {
		t.Errorf("the offered key was last used for %+v, %v", use, err)
	}
	if long, err := o.encrypt(key, strings.Repeat("y", 4096)); err != nil || len(long) > 6144 {
		t.Errorf("4,096 bytes give %d: %v", len(long), err)
	}
	_, err = patiently(o, func() (*kms.DecryptOutput, error) {
		return o.kms.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	})
	wantWords(t, err, "KMSInvalidStateException", "The external key store proxy rejected the request because the specified ciphertext or encryption context is corrupted, missing, or otherwise invalid.")
	_, err = o.kms.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: &key})
	wantWords(t, err, "UnsupportedOperationException", "")

	// Credentials are rotated without a gap.
	second := o.xks("add-credential", "payments")
	o.opens(blob, "attack at dawn")
	_, err = patiently(o, func() (*kms.UpdateCustomKeyStoreOutput, error) {
		return o.kms.UpdateCustomKeyStore(t.Context(), &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: &store, XksProxyAuthenticationCredential: o.auth(*second.Credential)})
	})
	if err != nil {
		t.Fatal(err)
	}
	o.xks("remove-credential", "payments", o.credential.AccessKeyID)
	o.opens(blob, "attack at dawn")
	_, err = patiently(o, func() (*kms.UpdateCustomKeyStoreOutput, error) {
		return o.kms.UpdateCustomKeyStore(t.Context(), &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: &store, XksProxyAuthenticationCredential: o.auth(o.credential)})
	})
	wantWords(t, err, "XksProxyIncorrectAuthenticationCredentialException", noAuthentication)
	o.opens(blob, "attack at dawn")

	// The switch, at once; and on again.
	if killed := o.xks("kill", "payments"); killed.Stores[0].Killed == nil {
		t.Error("the killed store does not say so")
	}
	_, err = o.decrypt(blob)
	wantWords(t, err, "KMSInvalidStateException", notEnabled)
	_, err = o.encrypt(key, "x")
	wantWords(t, err, "KMSInvalidStateException", notEnabled)
	o.disconnect(store)
	_, err = o.decrypt(blob)
	wantWords(t, err, "KMSInvalidStateException", storeAway)
	if entry := o.connect(store); entry.ConnectionState != types.ConnectionStateTypeFailed || entry.ConnectionErrorCode != types.ConnectionErrorCodeTypeXksProxyAccessDenied {
		t.Errorf("connected to a killed store, it is %s: %s", entry.ConnectionState, entry.ConnectionErrorCode)
	}
	o.xks("revive", "payments")
	o.disconnect(store)
	if entry := o.connect(store); entry.ConnectionState != types.ConnectionStateTypeConnected {
		t.Fatalf("revived, the store is %s: %s", entry.ConnectionState, entry.ConnectionErrorCode)
	}
	o.opens(blob, "attack at dawn")

	// The owner's rules and keys decide.
	o.xks("allow", "payments", "--allow-principal", "arn:aws:iam::000000000000:*", "--allow-operation", "Decrypt")
	o.opens(blob, "attack at dawn")
	_, err = o.encrypt(key, "x")
	wantWords(t, err, "KMSInvalidStateException", accessDenied)
	o.xks("allow", "payments", "--trust-kms")
	if _, err := o.owner.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &o.offered}); err != nil {
		t.Fatal(err)
	}
	_, err = o.decrypt(blob)
	wantWords(t, err, "KMSInvalidStateException", notEnabled)
	if _, err := o.owner.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &o.offered}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.owner.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &o.offered}); err != nil {
		t.Fatal(err)
	}
	err = binary.Until("the rotation", time.Minute, func() (bool, error) {
		out, err := o.owner.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: &o.offered})
		return err == nil && len(out.Rotations) == 1, err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.opens(blob, "attack at dawn")
	fresh, err := o.encrypt(key, "after the rotation")
	if err != nil {
		t.Fatal(err)
	}
	o.opens(fresh, "after the rotation")
	other := *createKey(t, o.owner, nil).KeyId
	o.xks("keys", "payments", "--key", other)
	_, err = o.decrypt(blob)
	wantWords(t, err, "KMSInvalidStateException", notFound)
	o.xks("keys", "payments", "--key", o.offered+","+other)
	o.opens(blob, "attack at dawn")

	o.recordsAgree()
	for _, s := range []*binary.Server{o.here, o.there} {
		verify(t, s)
	}

	// The proxy is gone.
	if err := o.there.Stop(); err != nil {
		t.Fatal(err)
	}
	_, err = patientlyOf(o, []string{tooSlow}, func() (*kms.DecryptOutput, error) {
		return o.kms.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: ownContext})
	})
	wantWords(t, err, "KMSInvalidStateException", "AWS KMS cannot communicate with the external key store proxy.")

	secrets := []canary{
		{"the first credential", []byte(o.credential.SecretAccessKey)}, {"the second credential", []byte(second.Credential.SecretAccessKey)},
		{"a plaintext", []byte("attack at dawn")},
	}
	for _, s := range []*binary.Server{o.here, o.there} {
		searchFolder(t, s.Data, secrets)
		for _, c := range secrets {
			if how := c.findIn([]byte(s.Output())); how != "" {
				t.Errorf("%s is in a server's log (%s)", c.name, how)
			}
		}
	}
}

// recordsAgree finds every decryption here in the trail there, under one request id,
// and no secret in either.
func (o *ownKeys) recordsAgree() {
	o.t.Helper()
	here, hereText := export(o.t, o.here)
	there, thereText := export(o.t, o.there)
	asked := map[string]bool{}
	for _, r := range there {
		if r.EventSource == "xks-proxy.strongroom.local" && r.EventName == "Decrypt" && r.ErrorCode == "" {
			var stated struct {
				RequestMetadata struct{ KmsRequestId string }
			}
			if err := json.Unmarshal(r.RequestParameters, &stated); err != nil {
				o.t.Fatal(err)
			}
			asked[stated.RequestMetadata.KmsRequestId] = true
		}
	}
	decrypted := 0
	for _, r := range here {
		if r.EventName != "Decrypt" || r.ErrorCode != "" {
			continue
		}
		decrypted++
		if !asked[r.RequestID] {
			o.t.Errorf("there knows nothing of the decryption %s", r.RequestID)
		}
	}
	if !strings.Contains(hereText, `"xksKeyId":"`+o.offered+`"`) {
		o.t.Error("the records here do not name the external key")
	}
	if decrypted < 5 {
		o.t.Errorf("%d decryptions", decrypted)
	}
	for _, text := range []string{hereText, thereText} {
		if strings.Contains(text, o.credential.SecretAccessKey) || strings.Contains(text, "attack at dawn") {
			o.t.Error("a secret is in the trail")
		}
	}
}
