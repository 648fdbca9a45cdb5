package kms

import (
	"bytes"
	"fmt"
	"testing"
)

func TestMacs(t *testing.T) {
	h := newHarness(t)
	k := h.key(m{"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"})
	id, arn := k["KeyId"].(string), k["Arn"].(string)
	in := m{"KeyId": id, "Message": b64([]byte("m")), "MacAlgorithm": "HMAC_SHA_256"}
	h.journal.taken(t)
	mac := bytesOf(t, h.ok(root, "GenerateMac", in)["Mac"])
	if record, want := h.only(), (m{"keyId": id, "macAlgorithm": "HMAC_SHA_256"}); fmt.Sprint(record["requestParameters"]) != fmt.Sprint(want) || record["responseElements"] != nil {
		t.Errorf("recorded as %v, want %v", record["requestParameters"], want)
	}
	if again := bytesOf(t, h.ok(root, "GenerateMac", in)["Mac"]); !bytes.Equal(again, mac) {
		t.Error("one message has two MACs")
	}
	h.ok(root, "VerifyMac", with(in, m{"Mac": b64(mac)}))
	h.journal.taken(t)
	for i := range len(mac) * 8 {
		flipped := bytes.Clone(mac)
		flipped[i/8] ^= 1 << (i % 8)
		h.fails(root, "VerifyMac", with(in, m{"Mac": b64(flipped)}), "KMSInvalidMacException", "")
	}
	for n := 1; n < len(mac); n++ {
		h.fails(root, "VerifyMac", with(in, m{"Mac": b64(mac[:n])}), "KMSInvalidMacException", "")
	}
	h.fails(root, "VerifyMac", with(in, m{"Mac": b64(append(bytes.Clone(mac), 0))}), "KMSInvalidMacException", "")
	h.fails(root, "VerifyMac", with(in, m{"Mac": b64(mac), "Message": b64([]byte("n"))}), "KMSInvalidMacException", "")
	h.fails(root, "VerifyMac", with(in, m{"Mac": b64(mac), "Message": b64([]byte("n")), "DryRun": true}), "KMSInvalidMacException", "")
	if records := h.journal.taken(t); len(records) != len(mac)*9+2 || records[0]["errorCode"] != "KMSInvalidMacException" {
		t.Errorf("%d records of refusals, the first is %v", len(records), records[0])
	}
	// The state comes before the algorithm.
	h.ok(root, "DisableKey", m{"KeyId": id})
	h.fails(root, "GenerateMac", with(in, m{"MacAlgorithm": "HMAC_SHA_512"}), "DisabledException", arn+" is disabled.")
	h.fails(root, "VerifyMac", with(in, m{"MacAlgorithm": "HMAC_SHA_512", "Mac": b64(mac)}), "DisabledException", arn+" is disabled.")
	h.fails(root, "GenerateMac", with(in, m{"MacAlgorithm": "HMAC_SHA_1"}), "ValidationException",
		"1 validation error detected: Value 'HMAC_SHA_1' at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]")
}
