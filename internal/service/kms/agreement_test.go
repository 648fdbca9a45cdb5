package kms

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"testing"
)

// TestDeriveSharedSecret agrees with a key of the standard library's.
func TestDeriveSharedSecret(t *testing.T) {
	h := newHarness(t)
	for spec, curve := range map[string]ecdh.Curve{"ECC_NIST_P256": ecdh.P256(), "ECC_NIST_P384": ecdh.P384(), "ECC_NIST_P521": ecdh.P521()} {
		id := h.key(m{"KeySpec": spec, "KeyUsage": "KEY_AGREEMENT"})["KeyId"]
		peer, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(peer.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		h.journal.taken(t)
		out := h.ok(root, "DeriveSharedSecret", m{"KeyId": id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": b64(public)})
		if record, want := h.only(), (m{"keyId": id, "keyAgreementAlgorithm": "ECDH"}); fmt.Sprint(record["requestParameters"]) != fmt.Sprint(want) || record["responseElements"] != nil {
			t.Errorf("recorded as %v, want %v", record["requestParameters"], want)
		}
		parsed, err := x509.ParsePKIXPublicKey(bytesOf(t, h.ok(root, "GetPublicKey", m{"KeyId": id})["PublicKey"]))
		if err != nil {
			t.Fatal(err)
		}
		own, err := parsed.(*ecdsa.PublicKey).ECDH()
		if err != nil {
			t.Fatal(err)
		}
		shared, err := peer.ECDH(own)
		if err != nil || b64(shared) != out["SharedSecret"] {
			t.Errorf("%s: the peer derives another secret, %v", spec, err)
		}
	}
}

// TestPeersThatDoNotAgree: malformed keys and those of another curve are refused
// without a word, in a dry run too.
func TestPeersThatDoNotAgree(t *testing.T) {
	h := newHarness(t)
	public := map[string][]byte{}
	for _, spec := range []string{"ECC_NIST_P256", "ECC_NIST_P384"} {
		id := h.key(m{"KeySpec": spec, "KeyUsage": "KEY_AGREEMENT"})["KeyId"]
		public[spec] = bytesOf(t, h.ok(root, "GetPublicKey", m{"KeyId": id})["PublicKey"])
	}
	id := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"})["KeyId"]
	good := public["ECC_NIST_P256"]
	peers := [][]byte{public["ECC_NIST_P384"], {0}, make([]byte, 8192), append(good[:len(good):len(good)], 0)}
	for n := 1; n < len(good); n++ {
		peers = append(peers, good[:n])
	}
	for _, peer := range peers {
		for _, dry := range []bool{false, true} {
			h.fails(root, "DeriveSharedSecret", m{"KeyId": id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": b64(peer), "DryRun": dry}, "ValidationException", "")
		}
	}
	h.fails(root, "DeriveSharedSecret", m{"KeyId": id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": b64(good), "DryRun": true}, "DryRunOperationException", dryRunMessage)
}
