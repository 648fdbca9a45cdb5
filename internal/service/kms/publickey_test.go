package kms

import (
	"context"
	"fmt"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// newStates is kms.md §6 for the operations on keys that are not symmetric.
var newStates = map[string]map[State]string{
	"sign": {
		api.KeyStateEnabled: "", api.KeyStateDisabled: "DisabledException", api.KeyStateUpdating: "",
		api.KeyStatePendingDeletion: "KMSInvalidStateException", api.KeyStatePendingReplicaDeletion: "KMSInvalidStateException",
		api.KeyStatePendingImport: "KMSInvalidStateException", api.KeyStateCreating: "KMSInvalidStateException", api.KeyStateUnavailable: "KMSInvalidStateException",
	},
	"show": {
		api.KeyStateEnabled: "", api.KeyStateDisabled: "", api.KeyStateUpdating: "",
		api.KeyStatePendingDeletion: "KMSInvalidStateException", api.KeyStatePendingReplicaDeletion: "KMSInvalidStateException",
		api.KeyStatePendingImport: "KMSInvalidStateException", api.KeyStateCreating: "KMSInvalidStateException", api.KeyStateUnavailable: "KMSInvalidStateException",
	},
}

// TestStatesOfKeyPairs tries each operation on its key in each state.
func TestStatesOfKeyPairs(t *testing.T) {
	h := newHarness(t)
	signing := h.key(m{"KeySpec": "ECC_NIST_EDWARDS25519", "KeyUsage": "SIGN_VERIFY"})
	agreeing := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"})
	encapsulating := h.key(m{"KeySpec": "ML_KEM_512", "KeyUsage": "ENCAPSULATE_DECAPSULATE"})
	mac := h.key(m{"KeySpec": "HMAC_224", "KeyUsage": "GENERATE_VERIFY_MAC"})
	symmetric := h.key(m{})
	message := m{"Message": plaintextBase64, "SigningAlgorithm": "ED25519_SHA_512"}
	code := m{"Message": plaintextBase64, "MacAlgorithm": "HMAC_SHA_224"}
	peer := h.ok(root, "GetPublicKey", m{"KeyId": agreeing["KeyId"]})["PublicKey"]
	for _, test := range []struct {
		operation, row string
		key            m
		in             m
	}{
		{"Sign", "sign", signing, message},
		{"Verify", "sign", signing, with(message, m{"Signature": h.ok(root, "Sign", with(message, m{"KeyId": signing["KeyId"]}))["Signature"]})},
		{"GenerateMac", "sign", mac, code},
		{"VerifyMac", "sign", mac, with(code, m{"Mac": h.ok(root, "GenerateMac", with(code, m{"KeyId": mac["KeyId"]}))["Mac"]})},
		{"DeriveSharedSecret", "sign", agreeing, m{"KeyAgreementAlgorithm": "ECDH", "PublicKey": peer}},
		{"Encapsulate", "sign", encapsulating, m{"EncapsulationAlgorithm": "ML_KEM"}},
		{"Decapsulate", "sign", encapsulating, m{"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": b64(make([]byte, 768))}},
		{"GenerateDataKeyPair", "sign", symmetric, m{"KeyPairSpec": "ECC_NIST_EDWARDS25519"}},
		{"GenerateDataKeyPairWithoutPlaintext", "sign", symmetric, m{"KeyPairSpec": "ECC_NIST_EDWARDS25519"}},
		{"GetPublicKey", "show", signing, m{}},
	} {
		id, arn := test.key["KeyId"].(string), test.key["Arn"].(string)
		for state, want := range newStates[test.row] {
			h.setState(id, state)
			a := h.send(root, test.operation, with(test.in, m{"KeyId": id}))
			if a.code != want || want != "" && a.message != arn+" is "+stateMessages[state]+"." {
				t.Errorf("%s of a key that is %s: %q %q, want %q", test.operation, state, a.code, a.message, want)
			}
		}
		h.setState(id, api.KeyStateEnabled)
	}
	// The state comes before the kind of key.
	h.setState(mac["KeyId"].(string), api.KeyStatePendingDeletion)
	h.fails(root, "GetPublicKey", m{"KeyId": mac["KeyId"]}, "KMSInvalidStateException", mac["Arn"].(string)+" is pending deletion.")
	h.fails(user, "GetPublicKey", m{"KeyId": mac["KeyId"]}, "AccessDeniedException",
		notAuthorized(userARN, "kms:GetPublicKey", "resource: "+mac["Arn"].(string)+fmt.Sprintf(noIdentityTail, "kms:GetPublicKey")))
	h.fails(root, "GetPublicKey", m{"KeyId": signing["KeyId"], "GrantTokens": []string{"x"}}, "InvalidGrantTokenException", "")
}

// TestGetPublicKeyByAlias answers with the key's ARN, to another account too.
func TestGetPublicKeyByAlias(t *testing.T) {
	h := newHarness(t)
	k := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "Policy": keyPolicy(allow("arn:aws:iam::"+other+":root", "kms:GetPublicKey", nil))})
	h.ok(root, "CreateAlias", m{"AliasName": "alias/k", "TargetKeyId": k["KeyId"]})
	h.journal.taken(t)
	out := h.ok(root, "GetPublicKey", m{"KeyId": "alias/k"})
	if record, want := h.only(), (m{"keyId": "alias/k"}); fmt.Sprint(record["requestParameters"]) != fmt.Sprint(want) || record["responseElements"] != nil || record["readOnly"] != true {
		t.Errorf("recorded as %v", record)
	}
	foreign := h.ok(foreignRoot, "GetPublicKey", m{"KeyId": "arn:aws:kms:us-east-1:" + account + ":alias/k"})
	if out["KeyId"] != k["Arn"] || jsonText(out) != jsonText(foreign) {
		t.Errorf("%v and %v", out, foreign)
	}
}

// TestConditionsOnKeyPairs: the condition keys that only these operations have.
func TestConditionsOnKeyPairs(t *testing.T) {
	h := newHarness(t)
	peer := h.ok(root, "GetPublicKey", m{"KeyId": h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"})["KeyId"]})["PublicKey"]
	sign := m{"Message": b64(make([]byte, 32)), "SigningAlgorithm": "ECDSA_SHA_256"}
	for _, test := range []struct {
		spec, usage, operation, key string
		value                       string
		meets, fails                m
	}{
		{"ECC_NIST_P256", "SIGN_VERIFY", "Sign", "kms:SigningAlgorithm", "ECDSA_SHA_256", sign, with(sign, m{"SigningAlgorithm": "ECDSA_SHA_384"})},
		{"ECC_NIST_P256", "SIGN_VERIFY", "Sign", "kms:MessageType", "DIGEST", with(sign, m{"MessageType": "DIGEST"}), sign},
		{"ECC_NIST_P256", "SIGN_VERIFY", "Sign", "kms:MessageType", "RAW", sign, with(sign, m{"MessageType": "DIGEST"})},
		{"HMAC_256", "GENERATE_VERIFY_MAC", "GenerateMac", "kms:MacAlgorithm", "HMAC_SHA_256",
			m{"Message": plaintextBase64, "MacAlgorithm": "HMAC_SHA_256"}, m{"Message": plaintextBase64, "MacAlgorithm": "HMAC_SHA_512"}},
		{"ECC_NIST_P256", "KEY_AGREEMENT", "DeriveSharedSecret", "kms:KeyAgreementAlgorithm", "ECDH", m{"KeyAgreementAlgorithm": "ECDH", "PublicKey": peer}, nil},
		{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "GenerateDataKeyPair", "kms:DataKeyPairSpec", "ECC_NIST_P256", m{"KeyPairSpec": "ECC_NIST_P256"}, m{"KeyPairSpec": "ECC_NIST_P384"}},
		{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "GenerateDataKeyPair", "kms:EncryptionContext:a", "1",
			m{"KeyPairSpec": "ECC_NIST_P256", "EncryptionContext": m{"a": "1"}}, m{"KeyPairSpec": "ECC_NIST_P256"}},
		{"ECC_NIST_P256", "SIGN_VERIFY", "Sign", "kms:KeySpec", "ECC_NIST_P256", sign, nil},
		{"ECC_NIST_P256", "SIGN_VERIFY", "Sign", "kms:KeyUsage", "SIGN_VERIFY", sign, nil},
	} {
		for _, value := range []string{test.value, "another"} {
			k := h.key(m{"KeySpec": test.spec, "KeyUsage": test.usage,
				"Policy": keyPolicy(allow(userARN, "kms:"+test.operation, m{"StringEquals": m{test.key: value}}))})
			a := h.send(user, test.operation, with(test.meets, m{"KeyId": k["KeyId"]}))
			if (a.status == 200) != (value == test.value) || a.status != 200 && a.code != "AccessDeniedException" {
				t.Errorf("%s with %s = %s: %v", test.operation, test.key, value, a)
			}
			if test.fails == nil {
				continue
			}
			if a := h.send(user, test.operation, with(test.fails, m{"KeyId": k["KeyId"]})); a.code != "AccessDeniedException" {
				t.Errorf("%s of %v with %s = %s: %v", test.operation, test.fails, test.key, value, a)
			}
		}
	}
}

// TestKeyPairsSurviveRestart: what is stored is all that a new process needs.
func TestKeyPairsSurviveRestart(t *testing.T) {
	h := newHarness(t)
	sign := m{"KeyId": h.key(m{"KeySpec": "ML_DSA_44", "KeyUsage": "SIGN_VERIFY"})["KeyId"], "Message": plaintextBase64, "SigningAlgorithm": "ML_DSA_SHAKE_256"}
	signature := h.ok(root, "Sign", sign)["Signature"]
	h.restart()
	h.ok(root, "Verify", with(sign, m{"Signature": signature}))
	h.ok(root, "Sign", sign)
}

// slowKeyring takes longer for what may take long than the call of h may wait.
type slowKeyring struct {
	Keyring
	h *harness
}

func (s slowKeyring) Generate(ctx context.Context, id string, spec keyring.Spec) (keyring.Material, error) {
	<-s.h.ctx.Done()
	return s.Keyring.Generate(ctx, id, spec)
}

// Encrypt, which follows GeneratePair, takes its time from the call, as an HSM does.
func (s slowKeyring) Encrypt(ctx context.Context, ref keyring.KeyRef, plaintext secret.Bytes, c map[string]string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Keyring.Encrypt(ctx, ref, plaintext, c)
}

func (s slowKeyring) GeneratePair(ctx context.Context, spec keyring.Spec) (secret.Bytes, []byte, error) {
	<-s.h.ctx.Done()
	return s.Keyring.(keyring.PairMaker).GeneratePair(ctx, spec)
}

func (s slowKeyring) ImportParameters(ctx context.Context, terms keyring.ImportTerms) ([]byte, []byte, error) {
	<-s.h.ctx.Done()
	return s.Keyring.(keyring.Importer).ImportParameters(ctx, terms)
}

func (s slowKeyring) Import(ctx context.Context, in keyring.Wrapped) (keyring.Material, error) {
	<-s.h.ctx.Done()
	return s.Keyring.(keyring.Importer).Import(ctx, in)
}

// TestWorkIsNoWaiting: an RSA key takes many seconds on a slow or busy machine, and a call
// that makes one still has its time for the disk.
func TestWorkIsNoWaiting(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	ring := slowKeyring{h.config.Keyring, h}
	symmetric, _ := h.keyID()
	external := h.key(m{"Origin": "EXTERNAL"})["KeyId"]
	h.config.Keyring = ring
	h.restart()
	calls := deadline.NewCalls(clock.System(), 3*time.Second)
	works := func(what string, call func()) {
		t.Helper()
		h.ctx = calls.Context(t.Context())
		call()
		if h.ctx.Err() == nil {
			t.Errorf("%s has not worked", what)
		}
	}
	pair := m{"KeyId": symmetric, "KeyPairSpec": "RSA_2048"}
	works("CreateKey", func() { h.key(m{"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}) })
	works("GenerateDataKeyPair", func() { h.ok(root, "GenerateDataKeyPair", pair) })
	var in m
	works("GetParametersForImport", func() { in = h.wrapping(external.(string)).wrap(external.(string), filled(1), nil) })
	works("ImportKeyMaterial", func() { h.ok(root, "ImportKeyMaterial", in) })
}

// bareKeyring has no ability but those of symmetric keys.
type bareKeyring struct {
	keyring.Ring
	keyring.Cipher
}

// busyKeyring has no place for anything expensive.
type busyKeyring struct{ Keyring }

var errBusy = fmt.Errorf("%w: %w", keyring.ErrBusy, context.DeadlineExceeded)

func (busyKeyring) Generate(context.Context, string, keyring.Spec) (keyring.Material, error) {
	return keyring.Material{}, errBusy
}

func (busyKeyring) GeneratePair(context.Context, keyring.Spec) (secret.Bytes, []byte, error) {
	return nil, nil, errBusy
}

func (busyKeyring) ImportParameters(context.Context, keyring.ImportTerms) ([]byte, []byte, error) {
	return nil, nil, errBusy
}

func (busyKeyring) Import(context.Context, keyring.Wrapped) (keyring.Material, error) {
	return keyring.Material{}, errBusy
}

// TestModulesThatLackAbilities answer so, and nothing panics.
func TestModulesThatLackAbilities(t *testing.T) {
	h := newHarness(t)
	whole := h.config.Keyring
	keys := map[string]any{}
	for usage, spec := range map[string]string{"SIGN_VERIFY": "ECC_NIST_P256", "KEY_AGREEMENT": "ECC_NIST_P256", "GENERATE_VERIFY_MAC": "HMAC_256",
		"ENCAPSULATE_DECAPSULATE": "ML_KEM_512", "ENCRYPT_DECRYPT": "RSA_2048"} {
		keys[usage] = h.key(m{"KeySpec": spec, "KeyUsage": usage})["KeyId"]
	}
	symmetric, _ := h.keyID()
	external := h.key(m{"Origin": "EXTERNAL"})["KeyId"].(string)
	wrapped := h.wrapping(external).wrap(external, filled(1), nil)
	h.config.Keyring = bareKeyring{whole, whole}
	h.restart()
	for operation, in := range map[string]m{
		"Sign":                {"KeyId": keys["SIGN_VERIFY"], "Message": "YQ==", "SigningAlgorithm": "ECDSA_SHA_256"},
		"Verify":              {"KeyId": keys["SIGN_VERIFY"], "Message": "YQ==", "SigningAlgorithm": "ECDSA_SHA_256", "Signature": "YQ=="},
		"GenerateMac":         {"KeyId": keys["GENERATE_VERIFY_MAC"], "Message": "YQ==", "MacAlgorithm": "HMAC_SHA_256"},
		"VerifyMac":           {"KeyId": keys["GENERATE_VERIFY_MAC"], "Message": "YQ==", "MacAlgorithm": "HMAC_SHA_256", "Mac": "YQ=="},
		"DeriveSharedSecret":  {"KeyId": keys["KEY_AGREEMENT"], "KeyAgreementAlgorithm": "ECDH", "PublicKey": "YQ=="},
		"Encapsulate":         {"KeyId": keys["ENCAPSULATE_DECAPSULATE"], "EncapsulationAlgorithm": "ML_KEM"},
		"Decapsulate":         {"KeyId": keys["ENCAPSULATE_DECAPSULATE"], "EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": "YQ=="},
		"Encrypt":             {"KeyId": keys["ENCRYPT_DECRYPT"], "Plaintext": "YQ==", "EncryptionAlgorithm": rsaOAEP},
		"Decrypt":             {"KeyId": keys["ENCRYPT_DECRYPT"], "CiphertextBlob": "YQ==", "EncryptionAlgorithm": rsaOAEP},
		"GenerateDataKeyPair": {"KeyId": symmetric, "KeyPairSpec": "ECC_NIST_P256"},
	} {
		h.fails(root, operation, in, "UnsupportedOperationException", "The key module does not support this operation.")
	}
	h.config.Keyring = busyKeyring{whole}
	h.restart()
	for operation, in := range map[string]m{
		"CreateKey": {}, "GenerateDataKeyPair": {"KeyId": symmetric, "KeyPairSpec": "RSA_2048"},
		"GetParametersForImport": {"KeyId": external, "WrappingAlgorithm": rsaOAEP, "WrappingKeySpec": "RSA_2048"},
		"ImportKeyMaterial":      wrapped,
	} {
		if a := h.send(root, operation, in); a.status != 500 || a.code != "DependencyTimeoutException" {
			t.Errorf("%s without a place: %v", operation, a)
		}
	}
}
