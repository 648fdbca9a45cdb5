package kms

import (
	"bytes"
	"crypto/mlkem"
	"fmt"
	"testing"
)

// TestEncapsulation between the service and the standard library.
func TestEncapsulation(t *testing.T) {
	h := newHarness(t)
	id := h.key(m{"KeySpec": "ML_KEM_768", "KeyUsage": "ENCAPSULATE_DECAPSULATE"})["KeyId"]
	public := bytesOf(t, h.ok(root, "GetPublicKey", m{"KeyId": id})["PublicKey"])
	key, err := mlkem.NewEncapsulationKey768(public[len(public)-mlkem.EncapsulationKeySize768:])
	if err != nil {
		t.Fatal(err)
	}
	shared, blob := key.Encapsulate()
	in := m{"KeyId": id, "EncapsulationAlgorithm": "ML_KEM"}
	h.journal.taken(t)
	if out := h.ok(root, "Decapsulate", with(in, m{"SharedSecretCiphertextBlob": b64(blob)})); out["SharedSecret"] != b64(shared) {
		t.Error("another secret comes out than went in")
	}
	if record, want := h.only(), (m{"keyId": id, "encapsulationAlgorithm": "ML_KEM"}); fmt.Sprint(record["requestParameters"]) != fmt.Sprint(want) || record["responseElements"] != nil {
		t.Errorf("recorded as %v, want %v", record["requestParameters"], want)
	}
	one, two := h.ok(root, "Encapsulate", in), h.ok(root, "Encapsulate", in)
	if one["SharedSecret"] == two["SharedSecret"] || one["SharedSecretCiphertextBlob"] == two["SharedSecretCiphertextBlob"] {
		t.Error("two encapsulations are one")
	}
}

// TestImplicitRejection: an altered encapsulation gives a secret that is another;
// one of another length, another parameter set's too, is refused.
func TestImplicitRejection(t *testing.T) {
	h := newHarness(t)
	id := h.key(m{"KeySpec": "ML_KEM_512", "KeyUsage": "ENCAPSULATE_DECAPSULATE"})["KeyId"]
	in := m{"KeyId": id, "EncapsulationAlgorithm": "ML_KEM"}
	made := h.ok(root, "Encapsulate", in)
	blob := bytesOf(t, made["SharedSecretCiphertextBlob"])
	flipped := bytes.Clone(blob)
	flipped[0] ^= 1
	if out := h.ok(root, "Decapsulate", with(in, m{"SharedSecretCiphertextBlob": b64(flipped)})); out["SharedSecret"] == made["SharedSecret"] || len(bytesOf(t, out["SharedSecret"])) != 32 {
		t.Errorf("an altered encapsulation gives %v", out)
	}
	for _, size := range []int{1, 767, 769, 1088, 1568, 6144} {
		for _, dry := range []bool{false, true} {
			h.fails(root, "Decapsulate", with(in, m{"SharedSecretCiphertextBlob": b64(make([]byte, size)), "DryRun": dry}), "InvalidCiphertextException", "")
		}
	}
}
