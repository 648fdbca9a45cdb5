package kms

import (
	"errors"
	"strconv"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/attestation"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/secret"
)

// recipient is the attested environment that the answer to a call is for; nil for
// the caller itself.
type recipient struct{ *attestation.Document }

// recipientOf verifies the attestation document of a request and notes it for the
// audit record. Policies may ask for what it says, so that it comes before the
// authorisation.
func (s *Service) recipientOf(call *authz.Call, in *api.RecipientInfo) (*recipient, error) {
	switch {
	case in == nil:
		return nil, nil
	case in.KeyEncryptionAlgorithm == "" || in.AttestationDocument == nil:
		return nil, awserr.Validation("The Recipient parameter must have both a KeyEncryptionAlgorithm and an AttestationDocument.")
	case s.Attestation == nil:
		return nil, api.UnsupportedOperationException("The Recipient parameter cannot be used: no attestation root is trusted here. The operator names roots with the setting attestation-roots.")
	}
	document, err := s.Attestation.Verify(in.AttestationDocument, call.Time)
	var refused *attestation.Error
	if errors.As(err, &refused) {
		return nil, awserr.Validation("The attestation document in the Recipient parameter is not valid: " + refused.Reason + ".")
	}
	if err != nil {
		return nil, err
	}
	to := &recipient{document}
	call.Audit.SetAdditionalObject("recipient", to.facts())
	return to, nil
}

// enclose encrypts for the recipient, and wipes what it was given.
func (s *Service) enclose(to *recipient, plaintext secret.Bytes) ([]byte, error) {
	defer plaintext.Wipe()
	return to.Seal(s.Rand, plaintext)
}

// The registers that CloudTrail's records show (KMS Developer Guide, "Monitoring
// requests for Nitro enclaves" and "… for NitroTPM"), beside PCR 0 of an enclave,
// the digest of its image.
var (
	recordedOfEnclaves = []int{1, 2, 3, 4, 8}
	recordedOfNitroTPM = []int{4, 7, 8, 9, 16, 23}
)

// facts are what audit records show of a document.
func (r *recipient) facts() []authz.Field {
	facts := []authz.Field{{Name: "attestationDocumentModuleId", Value: r.ModuleID}}
	add := func(name string, index int) {
		if value, ok := r.PCR(index); ok {
			facts = append(facts, authz.Field{Name: name, Value: value})
		}
	}
	if r.Kind == attestation.NitroTPM {
		for _, index := range recordedOfNitroTPM {
			add("attestationDocumentNitroTPMPCR"+strconv.Itoa(index), index)
		}
		return facts
	}
	add("attestationDocumentEnclaveImageDigest", 0)
	for _, index := range recordedOfEnclaves {
		add("attestationDocumentEnclavePCR"+strconv.Itoa(index), index)
	}
	return facts
}

const attestationPrefix = "recipientattestation:"

// condition answers kms:RecipientAttestation:ImageSha384 and PCR<n> for enclaves,
// and NitroTPMPCR<n>. Values are hexadecimal digits in lower case.
func (r *recipient) condition(key string) ([]string, bool) {
	name, ok := strings.CutPrefix(key, attestationPrefix)
	if !ok || r == nil {
		return nil, false
	}
	prefix := "pcr"
	if r.Kind == attestation.NitroTPM {
		prefix = "nitrotpmpcr"
	} else if name == "imagesha384" {
		name = "pcr0"
	}
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return nil, false
	}
	index, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(index) != digits {
		return nil, false
	}
	value, _ := r.PCR(index)
	return present(value)
}

// either answers from the first of its conditions that has an answer.
type either []conditions

func (e either) condition(key string) ([]string, bool) {
	for _, c := range e {
		if values, ok := c.condition(key); ok {
			return values, true
		}
	}
	return nil, false
}
