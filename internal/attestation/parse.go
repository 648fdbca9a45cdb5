package attestation

import (
	"bytes"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Bounds of AWS's specification, §2.2 and §3.1 to §3.2.2 there, in bytes.
const (
	maxPayload     = 16384
	maxCertificate = 1024
	maxPublicKey   = 1024
	maxUserData    = 512 // also of the nonce
	maxPCRs        = 32
	// maxBundle is ours: AWS's bundles have four certificates.
	maxBundle = 8
)

// es384 is the protected header {1: -35}, the only one that there is.
var es384 = []byte{0xa1, 0x01, 0x38, 0x22}

// tagSign1 is CBOR's tag of a COSE_Sign1 (RFC 9052 §2), which may be left out.
const tagSign1 = 0xd2

// decoding is strict but for lengths: the Nitro hypervisor writes its payloads as
// maps of indefinite length.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  4,
		MaxArrayElements: 16, // the least that can be set
		MaxMapPairs:      maxPCRs,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

// Error is why a document is refused. Its reason shows nothing of the document but
// the names of members.
type Error struct{ Reason string }

func (e *Error) Error() string { return "attestation: " + e.Reason }

func refuse(reason string) *Error { return &Error{reason} }

// signed is a COSE_Sign1 taken apart.
type signed struct {
	payload, signature []byte
}

// parseSign1 takes the envelope apart, whose headers can say one thing only.
func parseSign1(document []byte) (*signed, *Error) {
	if len(document) > 0 && document[0] == tagSign1 {
		document = document[1:]
	}
	var parts []cbor.RawMessage
	if kindOf(document) != array || decoding.Unmarshal(document, &parts) != nil || len(parts) != 4 {
		return nil, refuse("it is not a COSE_Sign1 structure")
	}
	protected, ok := byteString(parts[0], len(es384), len(es384))
	if !ok || !bytes.Equal(protected, es384) {
		return nil, refuse("its protected header is not the one of algorithm ES384")
	}
	if !bytes.Equal(parts[1], []byte{0xa0}) {
		return nil, refuse("its unprotected header is not empty")
	}
	var s signed
	if s.payload, ok = byteString(parts[2], 1, maxPayload); !ok {
		return nil, refuse("its payload is not a byte string of 1 to 16384 bytes")
	}
	if s.signature, ok = byteString(parts[3], signatureSize, signatureSize); !ok {
		return nil, refuse("its signature is not a byte string of 96 bytes")
	}
	return &s, nil
}

// statement is the payload of a document, not yet verified.
type statement struct {
	moduleID    string
	created     time.Time
	kind        Kind
	pcrs        [maxPCRs][]byte
	certificate []byte
	bundle      [][]byte
	publicKey   []byte
}

// member is one that a payload may have.
type member struct {
	name     string
	optional bool
	take     func(*statement, cbor.RawMessage) bool
	// must completes "<name> must be …".
	must string
}

var members = []member{
	{"module_id", false, (*statement).takeModuleID, "a text that is not empty"},
	{"digest", false, (*statement).takeDigest, "SHA384"},
	{"timestamp", false, (*statement).takeTimestamp, "a positive integer of milliseconds"},
	{"pcrs", true, enclavePCRs, mustPCRs},
	{"nitrotpm_pcrs", true, tpmPCRs, mustPCRs},
	{"certificate", false, (*statement).takeCertificate, "a byte string of 1 to 1024 bytes"},
	{"cabundle", false, (*statement).takeBundle, "a list of 1 to 8 byte strings of 1 to 1024 bytes"},
	{"public_key", true, (*statement).takePublicKey, "a byte string of 1 to 1024 bytes"},
	{"user_data", true, takeUserData, "a byte string of at most 512 bytes"},
	{"nonce", true, takeUserData, "a byte string of at most 512 bytes"},
}

const mustPCRs = "a map of 1 to 32 indexes below 32 to byte strings of 32, 48 or 64 bytes"

// parseStatement reads a payload.
func parseStatement(payload []byte) (*statement, *Error) {
	var all map[string]cbor.RawMessage
	if kindOf(payload) != pairs || decoding.Unmarshal(payload, &all) != nil {
		return nil, refuse("its payload is not a map with distinct texts as keys")
	}
	var s statement
	known := 0
	for _, m := range members {
		raw, given := all[m.name]
		if given {
			known++
		}
		// The Nitro hypervisor writes null for an optional member that was not asked
		// for, whatever the specification says of nulls.
		if !given || m.optional && bytes.Equal(raw, null) {
			if !m.optional {
				return nil, refuse(m.name + " is missing")
			}
			continue
		}
		if !m.take(&s, raw) {
			return nil, refuse(m.name + " must be " + m.must)
		}
	}
	if known != len(all) {
		return nil, refuse("it has a member that attestation documents do not have")
	}
	if s.kind != Enclave && s.kind != NitroTPM {
		return nil, refuse("it must have either pcrs or nitrotpm_pcrs")
	}
	return &s, nil
}

func (s *statement) takeModuleID(raw cbor.RawMessage) bool {
	text, ok := textString(raw)
	s.moduleID = text
	return ok && text != ""
}

func (s *statement) takeDigest(raw cbor.RawMessage) bool {
	text, ok := textString(raw)
	return ok && text == "SHA384"
}

func (s *statement) takeTimestamp(raw cbor.RawMessage) bool {
	var ms uint64
	if kindOf(raw) != unsigned || decoding.Unmarshal(raw, &ms) != nil || ms == 0 || ms > math.MaxInt64 {
		return false
	}
	s.created = time.UnixMilli(int64(ms)).UTC()
	return true
}

func enclavePCRs(s *statement, raw cbor.RawMessage) bool { return s.takePCRs(Enclave, raw) }
func tpmPCRs(s *statement, raw cbor.RawMessage) bool     { return s.takePCRs(NitroTPM, raw) }

func (s *statement) takePCRs(kind Kind, raw cbor.RawMessage) bool {
	s.kind |= kind
	var registers map[uint64]cbor.RawMessage
	if kindOf(raw) != pairs || decoding.Unmarshal(raw, &registers) != nil || len(registers) == 0 {
		return false
	}
	for index, raw := range registers {
		value, ok := byteString(raw, 32, 64)
		if !ok || index >= maxPCRs || len(value) != 32 && len(value) != 48 && len(value) != 64 {
			return false
		}
		s.pcrs[index] = value
	}
	return true
}

func (s *statement) takeCertificate(raw cbor.RawMessage) bool {
	der, ok := byteString(raw, 1, maxCertificate)
	s.certificate = der
	return ok
}

func (s *statement) takeBundle(raw cbor.RawMessage) bool {
	var list []cbor.RawMessage
	if kindOf(raw) != array || decoding.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > maxBundle {
		return false
	}
	for _, raw := range list {
		der, ok := byteString(raw, 1, maxCertificate)
		if !ok {
			return false
		}
		s.bundle = append(s.bundle, der)
	}
	return true
}

func (s *statement) takePublicKey(raw cbor.RawMessage) bool {
	der, ok := byteString(raw, 1, maxPublicKey)
	s.publicKey = der
	return ok
}

func takeUserData(_ *statement, raw cbor.RawMessage) bool {
	_, ok := byteString(raw, 0, maxUserData)
	return ok
}

// major is a major type of CBOR (RFC 8949 §3.1). It is looked at before a value is
// decoded, as the decoder would take a list of numbers for bytes too.
type major byte

const (
	unsigned major = 0
	octets   major = 2
	text     major = 3
	array    major = 4
	pairs    major = 5
	none     major = 8 // of no bytes at all
)

var null = []byte{0xf6}

func kindOf(raw []byte) major {
	if len(raw) == 0 {
		return none
	}
	return major(raw[0] >> 5)
}

func byteString(raw cbor.RawMessage, shortest, longest int) (value []byte, ok bool) {
	if kindOf(raw) != octets || decoding.Unmarshal(raw, &value) != nil {
		return nil, false
	}
	return value, len(value) >= shortest && len(value) <= longest
}

func textString(raw cbor.RawMessage) (value string, ok bool) {
	return value, kindOf(raw) == text && decoding.Unmarshal(raw, &value) == nil
}
