package kms

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"iter"
	"testing"
)

// distorted yields what becomes of a blob that is cut at each length, extended, or
// has bits flipped: all of each byte, or only one of each for blobs whose check is
// expensive.
func distorted(blob []byte, all bool) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for n := 1; n < len(blob); n++ { // 0 is the model's to refuse
			if !yield(fmt.Sprint("cut to ", n), blob[:n:n]) {
				return
			}
		}
		for _, more := range [][]byte{{0}, {0xff}, blob} {
			if !yield(fmt.Sprintf("with %d bytes more", len(more)), append(bytes.Clone(blob), more...)) {
				return
			}
		}
		for i := range 8 * len(blob) {
			if !all && i%8 != i/8%8 {
				continue
			}
			flipped := bytes.Clone(blob)
			flipped[i/8] ^= 1 << (i % 8)
			if !yield(fmt.Sprint("with bit ", i, " flipped"), flipped) {
				return
			}
		}
	}
}

// refuses makes the call with every distortion of a member, which must be refused
// with that code and nothing said, and then with the member as it was, which ends as
// last says.
func (h *harness) refuses(who caller, operation string, in m, member, code string, all bool, last string) {
	h.t.Helper()
	text := in[member].(string)
	for how, blob := range distorted(bytesOf(h.t, text), all) {
		a := h.send(who, operation, with(in, m{member: b64(blob)}))
		if a.status != 400 || a.code != code || !a.bare {
			h.t.Errorf("%s, %s %s: %d %s %q, want a bare %s", operation, member, how, a.status, a.code, a.message, code)
		}
	}
	if a := h.send(who, operation, in); a.code != last {
		h.t.Errorf("%s with %s as it was made: %d %s %q, want %q", operation, member, a.status, a.code, a.message, last)
	}
}

// TestHostileCiphertexts: each operation that opens ciphertexts, each family.
func TestHostileCiphertexts(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	in := m{"CiphertextBlob": h.encrypt(id)}
	h.refuses(root, "Decrypt", in, "CiphertextBlob", "InvalidCiphertextException", true, "")
	h.refuses(root, "Decrypt", with(in, m{"KeyId": id, "DryRun": true}), "CiphertextBlob", "InvalidCiphertextException", false, "DryRunOperationException")
	h.refuses(root, "ReEncrypt", with(in, m{"DestinationKeyId": id}), "CiphertextBlob", "InvalidCiphertextException", false, "")
	data := h.ok(root, "GenerateDataKey", m{"KeyId": id, "KeySpec": "AES_256"})
	h.refuses(root, "Decrypt", m{"CiphertextBlob": data["CiphertextBlob"]}, "CiphertextBlob", "InvalidCiphertextException", false, "")
	// Whom no policy allows anything learns nothing of what follows the header, and a
	// header that is not ours names no key.
	for how, blob := range distorted(bytesOf(t, in["CiphertextBlob"]), false) {
		if a := h.send(user, "Decrypt", m{"CiphertextBlob": b64(blob)}); a.status != 400 || a.code != "AccessDeniedException" && (a.code != "InvalidCiphertextException" || !a.bare) {
			t.Errorf("Decrypt by a user without policies, the blob %s: %v", how, a)
		}
	}
	h.fails(user, "Decrypt", in, "AccessDeniedException", notAuthorized(principals[user].ARN, "kms:Decrypt",
		"the resource associated with this ciphertext"+fmt.Sprintf(noIdentityTail, "kms:Decrypt")))

	rsaID, _ := h.rsaKey()
	made := m{"KeyId": rsaID, "EncryptionAlgorithm": rsaOAEP}
	made["CiphertextBlob"] = h.ok(root, "Encrypt", with(made, m{"Plaintext": "eA=="}))["CiphertextBlob"]
	h.refuses(root, "Decrypt", made, "CiphertextBlob", "InvalidCiphertextException", false, "")
	kem := specKey(h, "ML_KEM_512", "ENCAPSULATE_DECAPSULATE")
	encapsulated := m{"KeyId": kem, "EncapsulationAlgorithm": "ML_KEM"}
	blob := bytesOf(t, h.ok(root, "Encapsulate", encapsulated)["SharedSecretCiphertextBlob"])
	for n := 1; n < len(blob)+2; n += 7 { // flipped bits give another secret: TestImplicitRejection
		if n != len(blob) {
			h.fails(root, "Decapsulate", with(encapsulated, m{"SharedSecretCiphertextBlob": b64(append(bytes.Clone(blob), 0)[:n])}), "InvalidCiphertextException", "")
		}
	}
	if h.log.Len() > 0 {
		t.Errorf("log: %s", h.log)
	}
}

// TestHostileSM2Ciphertexts does the same in China.
func TestHostileSM2Ciphertexts(t *testing.T) {
	h, who := inChinaHarness(t)
	in := m{"KeyId": h.ok(who, "CreateKey", m{"KeySpec": "SM2", "KeyUsage": "ENCRYPT_DECRYPT"})["KeyMetadata"].(m)["KeyId"], "EncryptionAlgorithm": "SM2PKE"}
	in["CiphertextBlob"] = h.ok(who, "Encrypt", with(in, m{"Plaintext": "eA=="}))["CiphertextBlob"]
	h.refuses(who, "Decrypt", in, "CiphertextBlob", "InvalidCiphertextException", false, "")
}

// TestForeignCiphertexts: those of another Region, account, deployment, key and key
// spec.
func TestForeignCiphertexts(t *testing.T) {
	h, elsewhere := newHarness(t), newHarness(t)
	id, _ := h.keyID()
	blob := h.encrypt(id)
	there := h.in(second)
	thereID, _ := there.keyID()
	unnamed := func(who caller) string {
		return notAuthorized(principals[who].ARN, "kms:Decrypt", "the resource associated with this ciphertext because the resource does not exist in this Region, "+
			"no resource-based policies allow access, or a resource-based policy explicitly denies access")
	}
	there.fails(root, "Decrypt", m{"CiphertextBlob": blob}, "AccessDeniedException", unnamed(root))
	there.fails(root, "Decrypt", m{"CiphertextBlob": blob, "KeyId": thereID}, "IncorrectKeyException", incorrectKey)
	there.fails(root, "ReEncrypt", m{"CiphertextBlob": blob, "DestinationKeyId": thereID}, "AccessDeniedException",
		notAuthorized(principals[root].ARN, "kms:ReEncryptFrom", "the resource associated with this ciphertext because the resource does not exist in this Region, "+
			"no resource-based policies allow access, or a resource-based policy explicitly denies access"))
	a := h.send(foreignRoot, "Decrypt", m{"CiphertextBlob": blob})
	if a.code != "AccessDeniedException" || a.status != 400 {
		t.Errorf("another account: %v", a)
	}
	foreign := h.ok(foreignRoot, "CreateKey", m{})["KeyMetadata"].(m)["KeyId"]
	h.fails(foreignRoot, "Decrypt", m{"CiphertextBlob": blob, "KeyId": foreign}, "IncorrectKeyException", incorrectKey)

	ours, _ := elsewhere.keyID()
	elsewhere.fails(root, "Decrypt", m{"CiphertextBlob": blob}, "InvalidCiphertextException", "")
	elsewhere.fails(root, "Decrypt", m{"CiphertextBlob": blob, "KeyId": ours}, "InvalidCiphertextException", "")

	// Each kind of ciphertext with each kind of key: TestEverySourceOfACiphertext.
	// And what is a blob, but no ciphertext.
	w, external := h.wrapping, h.key(m{"Origin": "EXTERNAL"})["KeyId"].(string)
	wrapped := w(external)
	rsaID, _ := h.rsaKey()
	for name, text := range map[string]any{
		"an import token":  wrapped.token,
		"wrapped material": wrapped.wrap(external, filled(1), nil)["EncryptedKeyMaterial"],
		"a grant token":    h.ok(root, "CreateGrant", sampleGrant(id))["GrantToken"],
		"a public key":     h.ok(root, "GetPublicKey", m{"KeyId": rsaID})["PublicKey"],
		"a signature":      h.ok(root, "Sign", sampleSign(h))["Signature"],
	} {
		for _, in := range []m{{}, {"KeyId": id}, {"KeyId": rsaID, "EncryptionAlgorithm": rsaOAEP}} {
			if a := h.send(root, "Decrypt", with(in, m{"CiphertextBlob": text})); a.code != "InvalidCiphertextException" || !a.bare {
				t.Errorf("%s as a ciphertext: %v", name, a)
			}
		}
	}
}

// TestHostileImports: the token and the material of an import, distorted, and those
// of other keys, accounts and Regions.
func TestHostileImports(t *testing.T) {
	h := newHarness(t)
	id, _ := h.external(m{})
	in := h.wrapping(id).wrap(id, filled(1), nil)
	h.refuses(root, "ImportKeyMaterial", in, "EncryptedKeyMaterial", "InvalidCiphertextException", false, "")
	h.refuses(root, "ImportKeyMaterial", in, "ImportToken", "InvalidImportTokenException", false, "")

	there := h.in(second)
	thereID, _ := there.external(m{})
	foreign := h.ok(foreignRoot, "CreateKey", m{"Origin": "EXTERNAL"})["KeyMetadata"].(m)["KeyId"]
	mac := h.key(m{"Origin": "EXTERNAL", "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"})["KeyId"]
	there.fails(root, "ImportKeyMaterial", with(in, m{"KeyId": thereID}), "InvalidImportTokenException", "")
	h.fails(foreignRoot, "ImportKeyMaterial", with(in, m{"KeyId": foreign}), "InvalidImportTokenException", "")
	h.fails(root, "ImportKeyMaterial", with(in, m{"KeyId": mac}), "InvalidImportTokenException", "")
	elsewhere := newHarness(t)
	elsewhereID, _ := elsewhere.external(m{})
	elsewhere.fails(root, "ImportKeyMaterial", with(in, m{"KeyId": elsewhereID}), "InvalidImportTokenException", "")
	for _, k := range []struct {
		h  *harness
		id any
	}{{there, thereID}, {h, mac}, {elsewhere, elsewhereID}} {
		if state := k.h.metadata(k.id.(string))["KeyState"]; state != "PendingImport" {
			t.Errorf("after refused imports a key is %v", state)
		}
	}
	// A primary's token is not its replica's.
	primary := h.key(m{"Origin": "EXTERNAL", "MultiRegion": true})["KeyId"].(string)
	whole := h.wrapping(primary).wrap(primary, filled(1), nil)
	h.ok(root, "ImportKeyMaterial", whole)
	replica := h.replicate(primary, second)
	replica.fails(root, "ImportKeyMaterial", whole, "InvalidImportTokenException", "")
}

// TestHostileGrantTokens: in operations that take them beside a key, and in
// RetireGrant, which takes nothing else.
func TestHostileGrantTokens(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	token := h.ok(root, "CreateGrant", sampleGrant(id))["GrantToken"].(string)
	raw := bytesOf(t, token)
	use := func(h *harness, text string) {
		t.Helper()
		h.fails(root, "RetireGrant", m{"GrantToken": text}, "InvalidGrantTokenException", "")
		h.fails(root, "DescribeKey", m{"KeyId": id, "GrantTokens": []string{text}}, "InvalidGrantTokenException", "")
		h.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA==", "GrantTokens": []string{token, text}}, "InvalidGrantTokenException", "")
	}
	for _, blob := range distorted(raw, false) {
		use(h, b64(blob))
	}
	for n := 1; n < len(token); n += 5 {
		use(h, token[:n])
	}
	for _, text := range []string{token + "=", token + "A", " " + token, token + "\n", base64.URLEncoding.EncodeToString(raw) + "-", "%", "\x00"} {
		use(h, text)
	}
	elsewhere := newHarness(t)
	elsewhere.config.GrantTokenKey = append(make([]byte, 31), 1)
	elsewhere.restart()
	elsewhere.fails(root, "RetireGrant", m{"GrantToken": token}, "InvalidGrantTokenException", "")
	h.in(second).fails(root, "RetireGrant", m{"GrantToken": token}, "InvalidGrantTokenException", "")
	if list := h.ok(root, "ListGrants", m{"KeyId": id})["Grants"].([]any); len(list) != 1 {
		t.Errorf("%d grants are left", len(list))
	}
	h.ok(root, "RetireGrant", m{"GrantToken": token})
}

// TestHostileMarkers: each bit and length of a marker.
func TestHostileMarkers(t *testing.T) {
	h := newHarness(t)
	h.keyID()
	h.keyID()
	marker := h.ok(root, "ListKeys", m{"Limit": 1})["NextMarker"].(string)
	for i := range 8 * len(marker) {
		flipped := []byte(marker)
		flipped[i/8] ^= 1 << (i % 8)
		if flipped[i/8] < ' ' || flipped[i/8] > '~' {
			continue // the model's to refuse
		}
		h.fails(root, "ListKeys", m{"Marker": string(flipped)}, "InvalidMarkerException", "")
	}
	for n := 1; n < len(marker); n++ {
		h.fails(root, "ListKeys", m{"Marker": marker[:n]}, "InvalidMarkerException", "")
	}
	for _, text := range []string{marker + "A", marker + "=", marker + marker, " " + marker, marker + " "} {
		h.fails(root, "ListKeys", m{"Marker": text}, "InvalidMarkerException", "")
	}
	h.ok(root, "ListKeys", m{"Marker": marker})
}
