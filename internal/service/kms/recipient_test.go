package kms

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/attestation"
	"github.com/strongroom/strongroom/internal/attestation/attestationtest"
)

// enclaveKey is the key of the attested environment, made once.
var enclaveKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// attested is a harness that trusts an authority for attestation documents.
type attested struct {
	*harness
	authority *attestationtest.Authority
}

func newAttested(t *testing.T) *attested {
	h := newHarness(t)
	a := &attested{h, attestationtest.NewAuthority(t, h.clock.Now().AddDate(-1, 0, 0))}
	roots, err := attestation.ParseRoots(a.authority.Roots())
	if err != nil {
		t.Fatal(err)
	}
	h.config.Attestation = attestation.New(roots)
	h.restart()
	return a
}

// recipient is the parameter with a document of that kind.
func (a *attested) recipient(pcrs string) m {
	d := a.authority.New(pcrs, a.clock.Now(), &enclaveKey().PublicKey)
	return m{"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": a.authority.Sign(d)}
}

// attestedOperation is one that takes a Recipient.
type attestedOperation struct {
	name  string
	in    m
	plain string // the member that an attested answer lacks
	// want returns what the recipient opens; nil where it is random.
	want func(out m) []byte
}

func attestedOperations(h *harness) []attestedOperation {
	id, _ := h.keyID()
	blob := sampleBlob(h, id)
	agreement := specKey(h, "ECC_NIST_P256", "KEY_AGREEMENT")
	agree := m{"KeyId": agreement, "KeyAgreementAlgorithm": "ECDH", "PublicKey": h.ok(root, "GetPublicKey", m{"KeyId": agreement})["PublicKey"]}
	decode := func(text any) []byte {
		b, err := base64.StdEncoding.DecodeString(text.(string))
		if err != nil {
			panic(err)
		}
		return b
	}
	opened := func(member string) func(out m) []byte {
		return func(out m) []byte {
			return decode(h.ok(root, "Decrypt", m{"CiphertextBlob": out[member]})["Plaintext"])
		}
	}
	return []attestedOperation{
		{"Decrypt", m{"CiphertextBlob": blob}, "Plaintext", func(m) []byte { return decode(plaintextBase64) }},
		{"GenerateDataKey", m{"KeyId": id, "KeySpec": "AES_256"}, "Plaintext", opened("CiphertextBlob")},
		{"GenerateDataKeyPair", m{"KeyId": id, "KeyPairSpec": "ECC_NIST_P256"}, "PrivateKeyPlaintext", opened("PrivateKeyCiphertextBlob")},
		{"GenerateRandom", m{"NumberOfBytes": 77}, "Plaintext", nil},
		{"DeriveSharedSecret", agree, "SharedSecret", func(m) []byte { return decode(h.ok(root, "DeriveSharedSecret", agree)["SharedSecret"]) }},
	}
}

// TestAnswersForTheRecipientAlone: an attested call is answered with what only the
// environment can open; the plaintext is nowhere in the answer.
func TestAnswersForTheRecipientAlone(t *testing.T) {
	a := newAttested(t)
	for _, operation := range attestedOperations(a.harness) {
		for _, pcrs := range []string{"pcrs", "nitrotpm_pcrs"} {
			a.journal.taken(t)
			out := a.ok(root, operation.name, with(operation.in, m{"Recipient": a.recipient(pcrs)}))
			record := a.only()
			sealed, err := base64.StdEncoding.DecodeString(out["CiphertextForRecipient"].(string))
			if err != nil {
				t.Fatal(err)
			}
			plaintext := attestationtest.Open(t, enclaveKey(), sealed)
			if operation.want == nil && len(plaintext) != 77 || operation.want != nil && !bytes.Equal(plaintext, operation.want(out)) {
				t.Errorf("%s: the recipient opens %x", operation.name, plaintext)
			}
			for _, absent := range []string{operation.plain, "KeyMaterialId"} {
				if _, there := out[absent]; there {
					t.Errorf("%s: the answer has %s", operation.name, absent)
				}
			}
			facts := record["additionalEventData"].(m)["recipient"].(m)
			want := m{"attestationDocumentModuleId": "i-1234567890abcdef0-tpm0000000000000000"}
			recorded, name := recordedOfNitroTPM, "attestationDocumentNitroTPMPCR"
			if pcrs == "pcrs" {
				want = m{
					"attestationDocumentModuleId":           "i-1234567890abcdef0-enc1234567890abcdef",
					"attestationDocumentEnclaveImageDigest": hex.EncodeToString(attestationtest.Value(0)),
				}
				recorded, name = recordedOfEnclaves, "attestationDocumentEnclavePCR"
			}
			for _, index := range recorded {
				if index < 16 {
					want[fmt.Sprint(name, index)] = hex.EncodeToString(attestationtest.Value(index))
				}
			}
			if jsonText(facts) != jsonText(want) {
				t.Errorf("%s: recorded %v\nwant %v", operation.name, facts, want)
			}
			if text := jsonText(record["requestParameters"]); strings.Contains(text, "ttestation") {
				t.Errorf("%s: the record's parameters have the document: %s", operation.name, text)
			}
		}
		if _, there := a.ok(root, operation.name, operation.in)[operation.plain]; !there {
			t.Errorf("%s: without a recipient, there is no %s", operation.name, operation.plain)
		}
	}
}

// TestDryRunsForARecipient: a dry run looks at the document as well, and answers
// nothing.
func TestDryRunsForARecipient(t *testing.T) {
	a := newAttested(t)
	for _, operation := range attestedOperations(a.harness) {
		if operation.name == "GenerateRandom" {
			continue // it has no DryRun
		}
		in := with(operation.in, m{"DryRun": true, "Recipient": a.recipient("pcrs")})
		a.fails(root, operation.name, in, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
		in["Recipient"].(m)["AttestationDocument"] = []byte("x")
		a.fails(root, operation.name, in, "ValidationException", "The attestation document in the Recipient parameter is not valid: it is not a COSE_Sign1 structure.")
	}
}

func TestRefusedRecipients(t *testing.T) {
	const half = "The Recipient parameter must have both a KeyEncryptionAlgorithm and an AttestationDocument."
	a := newAttested(t)
	untrusted := newHarness(t)
	good := a.recipient("pcrs")
	foreign := attestationtest.NewAuthority(t, a.clock.Now().AddDate(-1, 0, 0))
	forged := foreign.Sign(foreign.New("pcrs", a.clock.Now(), &enclaveKey().PublicKey))
	for _, operation := range attestedOperations(a.harness) {
		refused := func(recipient m, message string) {
			t.Helper()
			a.fails(root, operation.name, with(operation.in, m{"Recipient": recipient}), "ValidationException", message)
		}
		refused(m{}, half)
		refused(m{"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, half)
		refused(m{"AttestationDocument": good["AttestationDocument"]}, half)
		refused(with(good, m{"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_1"}),
			"1 validation error detected: Value 'RSAES_OAEP_SHA_1' at 'recipient.keyEncryptionAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [RSAES_OAEP_SHA_256]")
		refused(with(good, m{"AttestationDocument": []byte{}}),
			"1 validation error detected: Value at 'recipient.attestationDocument' failed to satisfy constraint: Member must have length greater than or equal to 1")
		refused(with(good, m{"AttestationDocument": make([]byte, 262145)}),
			"1 validation error detected: Value at 'recipient.attestationDocument' failed to satisfy constraint: Member must have length less than or equal to 262144")
		refused(with(good, m{"AttestationDocument": make([]byte, 262144)}),
			"The attestation document in the Recipient parameter is not valid: it is not a COSE_Sign1 structure.")
		refused(with(good, m{"AttestationDocument": forged}),
			"The attestation document in the Recipient parameter is not valid: its certificates do not begin at a trusted root.")
	}
	for _, operation := range attestedOperations(untrusted) {
		untrusted.fails(root, operation.name, with(operation.in, m{"Recipient": good}), "UnsupportedOperationException",
			"The Recipient parameter cannot be used: no attestation root is trusted here. The operator names roots with the setting attestation-roots.")
	}
	// Dates go by the deployment's clock.
	a.clock.Advance(attestation.MaxAge + time.Second)
	a.fails(root, "GenerateRandom", m{"NumberOfBytes": 1, "Recipient": good}, "ValidationException",
		"The attestation document in the Recipient parameter is not valid: its timestamp is more than 5 minutes away from the time of the request.")
}

// TestAttestationConditions puts a condition on what a document says into the one
// statement that allows, for each operation.
func TestAttestationConditions(t *testing.T) {
	a := newAttested(t)
	pcr := func(index int) string { return hex.EncodeToString(attestationtest.Value(index)) }
	enclave, tpm := a.recipient("pcrs"), a.recipient("nitrotpm_pcrs")
	for _, operation := range attestedOperations(a.harness) {
		call := func(recipient m) answer {
			in := operation.in
			if recipient != nil {
				in = with(in, m{"Recipient": recipient})
			}
			return a.send(user, operation.name, in)
		}
		for _, test := range []struct {
			condition             m
			enclave, tpm, neither bool
		}{
			{m{"StringEqualsIgnoreCase": m{"kms:RecipientAttestation:ImageSha384": strings.ToUpper(pcr(0))}}, true, false, false},
			{m{"StringEquals": m{"kms:RecipientAttestation:ImageSha384": strings.ToUpper(pcr(10))}}, false, false, false},
			{m{"StringEquals": m{"kms:RecipientAttestation:PCR0": pcr(0)}}, true, false, false},
			{m{"StringEquals": m{"kms:RecipientAttestation:PCR8": pcr(8), "kms:RecipientAttestation:PCR15": pcr(15)}}, true, false, false},
			{m{"StringEquals": m{"kms:RecipientAttestation:PCR8": pcr(8), "kms:RecipientAttestation:PCR15": pcr(1)}}, false, false, false},
			{m{"StringEquals": m{"kms:RecipientAttestation:PCR16": pcr(0)}}, false, false, false},
			{m{"StringLike": m{"kms:RecipientAttestation:PCR00": "*"}}, false, false, false},
			{m{"StringLike": m{"kms:RecipientAttestation:PCR-1": "*"}}, false, false, false},
			{m{"StringEquals": m{"kms:RecipientAttestation:NitroTPMPCR4": pcr(4)}}, false, true, false},
			{m{"StringEquals": m{"kms:RecipientAttestation:NitroTPMPCR7": pcr(4)}}, false, false, false},
			{m{"Null": m{"kms:RecipientAttestation:PCR0": "true"}}, false, true, true},
			{m{"Null": m{"kms:RecipientAttestation:ImageSha384": "false"}}, true, false, false},
		} {
			a.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:" + operation.name, "Resource": "*", "Condition": test.condition})
			for _, c := range []struct {
				who     string
				in      m
				allowed bool
			}{{"an enclave", enclave, test.enclave}, {"a NitroTPM", tpm, test.tpm}, {"nobody attested", nil, test.neither}} {
				got := call(c.in)
				if c.allowed != (got.status == 200) || !c.allowed && got.code != "AccessDeniedException" {
					t.Errorf("%s for %s under %v: %d %s: %s", operation.name, c.who, test.condition, got.status, got.code, got.message)
				}
			}
		}
	}
}

// TestDocumentsAreLookedAtBeforeKeys: a caller without any permission learns that
// its document is bad, and nothing of the key.
func TestDocumentsAreLookedAtBeforeKeys(t *testing.T) {
	a := newAttested(t)
	spki, err := x509.MarshalPKIXPublicKey(&enclaveKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	d := a.authority.New("pcrs", a.clock.Now(), &enclaveKey().PublicKey)
	d.Members["public_key"] = spki[1:]
	bad := m{"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": a.authority.Sign(d)}
	a.fails(user, "GenerateDataKey", m{"KeyId": absentKey, "KeySpec": "AES_256", "Recipient": bad}, "ValidationException",
		"The attestation document in the Recipient parameter is not valid: its public_key is not an RSA key as a DER SubjectPublicKeyInfo.")
}
