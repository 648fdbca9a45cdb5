package attestation_test

import (
	"bytes"
	"testing"

	"github.com/strongroom/strongroom/internal/attestation/attestationtest"
)

// FuzzVerify: nothing but the documents that were signed is accepted, and nothing
// makes the verifier panic. The payload is taken as it comes too, so that the fuzzer
// gets past the envelope.
func FuzzVerify(f *testing.F) {
	s := newSetting(f)
	good := [][]byte{s.Sign(s.enclave()), s.Sign(s.New("nitrotpm_pcrs", now, &s.key.PublicKey))}
	for _, document := range good {
		f.Add(document)
	}
	d := s.enclave()
	s.Sign(d)
	payload := attestationtest.Encode(f, d.Members)
	f.Add(payload)
	f.Add(append([]byte{0xbf}, append(bytes.Clone(payload[1:]), 0xff)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, document := range good {
			if bytes.Equal(data, document) || bytes.Equal(data, append([]byte{0xd2}, document...)) {
				return
			}
		}
		// An envelope in another encoding, with the same payload and signature, says
		// the same and is accepted.
		if d, err := s.verifier.Verify(data, now); err == nil && !bytes.Contains(data, payloadOf(good[0])) && !bytes.Contains(data, payloadOf(good[1])) {
			t.Errorf("accepted: %+v", d)
		}
		wrapped := attestationtest.Encode(t, []any{[]byte{0xa1, 0x01, 0x38, 0x22}, map[int]int{}, data, make([]byte, 96)})
		if d, err := s.verifier.Verify(wrapped, now); err == nil {
			t.Errorf("accepted without a signature: %+v", d)
		}
	})
}

// payloadOf cuts the payload out of a document that attestationtest made: it stands
// between 10 bytes of headers and lengths and 98 of the signature.
func payloadOf(document []byte) []byte { return document[10 : len(document)-98] }
