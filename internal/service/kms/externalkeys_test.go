package kms

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/xksapi"
)

func TestExternalKeyFromBeginningToEnd(t *testing.T) {
	h := newHarness(t)
	store := h.connectedStore("s")
	h.journal.taken(t)
	k := h.storeKey(store, "external-1")
	id, arn := k["KeyId"].(string), k["Arn"].(string)
	if k["Origin"] != "EXTERNAL_KEY_STORE" || k["CustomKeyStoreId"] != store || k["XksKeyConfiguration"].(m)["Id"] != "external-1" ||
		k["KeyState"] != "Enabled" || k["Enabled"] != true || k["CurrentKeyMaterialId"] != nil || k["MultiRegion"] != false || k["KeyManager"] != "CUSTOMER" {
		t.Errorf("%v", k)
	}
	if extra := h.only()["additionalEventData"].(m); extra["customKeyStoreId"] != store || extra["xksKeyId"] != "external-1" {
		t.Errorf("the record's additional data is %v", extra)
	}
	asked := h.outside.last()
	if asked.KeyID != "external-1" || asked.Metadata.Operation != "CreateKey" || asked.Metadata.KeyARN != "" || asked.Metadata.PrincipalARN != principals[root].ARN || asked.Metadata.RequestID == "" {
		t.Errorf("the proxy was asked %+v", asked)
	}
	h.fails(root, "CreateKey", m{"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": "external-1"},
		"XksKeyAlreadyInUseException", "The external key external-1 is already associated with a KMS key in this external key store.")

	context := m{"tenant": "acme"}
	for _, plaintext := range [][]byte{{1}, make([]byte, 4096)} {
		out := h.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": base64.StdEncoding.EncodeToString(plaintext), "EncryptionContext": context})
		if raw, err := base64.StdEncoding.DecodeString(out["CiphertextBlob"].(string)); err != nil || len(raw) > 6144 || raw[0] != 0xA3 {
			t.Errorf("a blob of %d bytes", len(raw))
		}
		asked := h.outside.last().Metadata
		if asked.Operation != "Encrypt" || asked.KeyARN != arn {
			t.Errorf("the proxy was asked %+v", asked)
		}
		back := h.ok(root, "Decrypt", m{"CiphertextBlob": out["CiphertextBlob"], "EncryptionContext": context})
		if back["Plaintext"] != base64.StdEncoding.EncodeToString(plaintext) || back["KeyId"] != arn || back["KeyMaterialId"] != nil {
			t.Errorf("%v", back["KeyId"])
		}
		h.fails(root, "Decrypt", m{"CiphertextBlob": out["CiphertextBlob"]}, "KMSInvalidStateException", refusals[xksapi.InvalidCiphertext].message)
	}
	data := h.ok(root, "GenerateDataKey", m{"KeyId": id, "KeySpec": "AES_256"})
	if data["KeyMaterialId"] != nil || h.outside.last().Metadata.Operation != "GenerateDataKey" {
		t.Errorf("%v", data["KeyMaterialId"])
	}
	// Across kinds: out of the store and into it.
	inside, _ := h.keyID()
	moved := h.ok(root, "ReEncrypt", m{"CiphertextBlob": data["CiphertextBlob"], "DestinationKeyId": inside})
	if moved["SourceKeyMaterialId"] != nil || moved["DestinationKeyMaterialId"] == nil {
		t.Errorf("%v", moved)
	}
	back := h.ok(root, "ReEncrypt", m{"CiphertextBlob": moved["CiphertextBlob"], "DestinationKeyId": id})
	if plain := h.ok(root, "Decrypt", m{"CiphertextBlob": back["CiphertextBlob"]}); plain["Plaintext"] != data["Plaintext"] {
		t.Error("the data key has changed on its way")
	}
	// A blob of the other kind under this key's name.
	whole := h.ok(root, "Encrypt", m{"KeyId": inside, "Plaintext": plaintextBase64})["CiphertextBlob"]
	if a := h.send(root, "Decrypt", m{"CiphertextBlob": whole, "KeyId": id}); a.code != "IncorrectKeyException" {
		t.Errorf("%s: %s", a.code, a.message)
	}

	h.fails(root, "DisableKey", m{"KeyId": "alias/none"}, "InvalidArnException", "Key Aliases are not supported for this operation.")
	h.ok(root, "DisableKey", m{"KeyId": id})
	h.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64}, "DisabledException", arn+" is disabled.")
	h.ok(root, "EnableKey", m{"KeyId": id})

	// Deletion: the store has keys until the last one is gone, and the external key
	// is free again then.
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": store})
	if state := h.ok(root, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m)["KeyState"]; state != "PendingDeletion" {
		t.Errorf("disconnected, a key to be deleted is %v", state)
	}
	h.fails(root, "DeleteCustomKeyStore", m{"CustomKeyStoreId": store}, "CustomKeyStoreHasCMKsException",
		"Custom key store "+store+" has KMS keys. Schedule their deletion, and delete it when they are gone.")
	h.clock.Advance(8 * 24 * time.Hour)
	h.work()
	h.connect(store)
	again := h.storeKey(store, "external-1")["KeyId"].(string)
	if again == id {
		t.Error("the key has come back")
	}
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": again, "PendingWindowInDays": 7})
	h.clock.Advance(8 * 24 * time.Hour)
	h.work()
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": store})
	h.ok(root, "DeleteCustomKeyStore", m{"CustomKeyStoreId": store})
}

func TestExternalKeyParameters(t *testing.T) {
	h := newHarness(t)
	store := h.connectedStore("s")
	idle := h.keyStore("idle")
	external := m{"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": "external-1"}
	for _, c := range []struct {
		in            m
		code, message string
	}{
		{m{"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "x"}, "ValidationException", "CustomKeyStoreId is required when Origin is EXTERNAL_KEY_STORE."},
		{m{"Origin": "AWS_CLOUDHSM"}, "ValidationException", "CustomKeyStoreId is required when Origin is AWS_CLOUDHSM."},
		{m{"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store}, "ValidationException", "XksKeyId is required when Origin is EXTERNAL_KEY_STORE."},
		{m{"CustomKeyStoreId": store}, "ValidationException", "CustomKeyStoreId is valid only when Origin is AWS_CLOUDHSM or EXTERNAL_KEY_STORE."},
		{m{"Origin": "EXTERNAL", "CustomKeyStoreId": store}, "ValidationException", "CustomKeyStoreId is valid only when Origin is AWS_CLOUDHSM or EXTERNAL_KEY_STORE."},
		{m{"XksKeyId": "x"}, "ValidationException", "XksKeyId is valid only when Origin is EXTERNAL_KEY_STORE."},
		{m{"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": store, "XksKeyId": "x"}, "ValidationException", "XksKeyId is valid only when Origin is EXTERNAL_KEY_STORE."},
		{m{"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": store}, "ValidationException", "Origin AWS_CLOUDHSM does not match the type of the custom key store, EXTERNAL_KEY_STORE."},
		{with(external, m{"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}), "UnsupportedOperationException", "KeySpec RSA_2048 is not supported in a custom key store."},
		{with(external, m{"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}), "UnsupportedOperationException", "KeySpec HMAC_256 is not supported in a custom key store."},
		{with(external, m{"MultiRegion": true}), "UnsupportedOperationException", "Multi-Region keys are not supported in a custom key store."},
		{with(external, m{"CustomKeyStoreId": "cks-none"}), "CustomKeyStoreNotFoundException", "Custom key store cks-none does not exist."},
		{with(external, m{"CustomKeyStoreId": idle}), "CustomKeyStoreInvalidStateException", notConnected},
	} {
		h.fails(root, "CreateKey", c.in, c.code, c.message)
	}
	h.outside.unfit = true
	h.fails(root, "CreateKey", external, "XksKeyInvalidConfigurationException", badExternalKey)
	h.outside.unfit = false
	h.ok(root, "CreateKey", external)

	// A policy decides by the origin.
	h.identity[userARN] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:CreateKey","Resource":"*","Condition":{"StringEquals":{"kms:KeyOrigin":"EXTERNAL_KEY_STORE"}}},` +
		`{"Effect":"Allow","Action":"kms:*CustomKeyStore*","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"` + account + `"}}}]}`
	h.ok(user, "CreateKey", with(external, m{"XksKeyId": "external-2"}))
	if a := h.send(user, "CreateKey", m{}); a.code != "AccessDeniedException" {
		t.Errorf("%s: %s", a.code, a.message)
	}
	h.ok(user, "DescribeCustomKeyStores", m{})

	h.fails(root, "GenerateRandom", m{"NumberOfBytes": 8, "CustomKeyStoreId": store}, "UnsupportedOperationException", "GenerateRandom is not supported in an external key store.")
	h.fails(root, "GenerateRandom", m{"NumberOfBytes": 8, "CustomKeyStoreId": "cks-none"}, "CustomKeyStoreNotFoundException", "Custom key store cks-none does not exist.")
}

// TestWhatExternalKeysCannotDo: rotation, import, replicas, data key pairs.
func TestWhatExternalKeysCannotDo(t *testing.T) {
	h := newHarness(t)
	store := h.connectedStore("s")
	k := h.storeKey(store, "external-1")
	id := k["KeyId"]
	for name, in := range map[string]m{
		"EnableKeyRotation": {}, "DisableKeyRotation": {}, "GetKeyRotationStatus": {}, "ListKeyRotations": {}, "RotateKeyOnDemand": {},
		"GetParametersForImport":    {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
		"ImportKeyMaterial":         {"ImportToken": plaintextBase64, "EncryptedKeyMaterial": plaintextBase64, "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
		"DeleteImportedKeyMaterial": {}, "ReplicateKey": {"ReplicaRegion": second}, "UpdatePrimaryRegion": {"PrimaryRegion": second},
		"GenerateDataKeyPair": {"KeyPairSpec": "ECC_NIST_P256"}, "GenerateDataKeyPairWithoutPlaintext": {"KeyPairSpec": "ECC_NIST_P256"},
		"GetPublicKey": {},
	} {
		if a := h.send(root, name, with(in, m{"KeyId": id})); a.code != "UnsupportedOperationException" {
			t.Errorf("%s: %s: %s", name, a.code, a.message)
		}
	}
	for name, in := range map[string]m{
		"Sign":        {"Message": plaintextBase64, "SigningAlgorithm": "ECDSA_SHA_256"},
		"GenerateMac": {"Message": plaintextBase64, "MacAlgorithm": "HMAC_SHA_256"},
	} {
		if a := h.send(root, name, with(in, m{"KeyId": id})); a.code != "InvalidKeyUsageException" {
			t.Errorf("%s: %s: %s", name, a.code, a.message)
		}
	}
}

// TestUnavailable: while the store is not connected its keys can be managed and not
// used, and what was changed meanwhile holds afterwards.
func TestUnavailable(t *testing.T) {
	h := newHarness(t)
	store := h.connectedStore("s")
	k := h.storeKey(store, "external-1")
	id := k["KeyId"].(string)
	blob := h.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64})["CiphertextBlob"]
	asked := len(h.outside.asked)
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": store})
	state := func() any {
		metadata := h.ok(root, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m)
		if (metadata["KeyState"] == "Enabled") != (metadata["Enabled"] == true) {
			t.Errorf("%v", metadata)
		}
		return metadata["KeyState"]
	}
	if state() != "Unavailable" {
		t.Errorf("it is %v", state())
	}
	for name, in := range map[string]m{
		"Encrypt": {"KeyId": id, "Plaintext": plaintextBase64}, "Decrypt": {"CiphertextBlob": blob},
		"GenerateDataKey": {"KeyId": id, "KeySpec": "AES_256"}, "ReEncrypt": {"CiphertextBlob": blob, "DestinationKeyId": id},
	} {
		h.fails(root, name, in, "KMSInvalidStateException", notConnected)
	}
	if len(h.outside.asked) != asked {
		t.Error("the proxy was asked")
	}
	h.ok(root, "DisableKey", m{"KeyId": id})
	h.ok(root, "TagResource", m{"KeyId": id, "Tags": []m{{"TagKey": "a", "TagValue": "b"}}})
	h.ok(root, "CreateAlias", m{"AliasName": "alias/x", "TargetKeyId": id})
	h.ok(root, "UpdateKeyDescription", m{"KeyId": id, "Description": "d"})
	if state() != "Unavailable" {
		t.Errorf("disabled while unavailable, it is %v", state())
	}
	h.connect(store)
	if state() != "Disabled" {
		t.Errorf("connected again, it is %v", state())
	}
	h.ok(root, "EnableKey", m{"KeyId": id})
	if plain := h.ok(root, "Decrypt", m{"CiphertextBlob": blob, "KeyId": "alias/x"})["Plaintext"]; plain != plaintextBase64 {
		t.Errorf("%v", plain)
	}
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id})
	h.ok(root, "DisconnectCustomKeyStore", m{"CustomKeyStoreId": store})
	h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	if state() != "Unavailable" {
		t.Errorf("its deletion cancelled, it is %v", state())
	}
}
