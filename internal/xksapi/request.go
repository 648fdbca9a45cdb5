package xksapi

import (
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/wire"
)

// Bounds, in bytes once decoded.
const (
	MaxPlaintext = 4300
	MaxAAD       = 8192
	MaxMetadata  = 20
	ShortIV      = 12
	LongIV       = 16
	TagSize      = 16
	// MaxText bounds every string of the request metadata: ARNs may have 2,048
	// characters.
	MaxText = 2048
	// MaxRequest is the longest request body that means anything: metadata in
	// which each character is escaped, plaintext and aad in base64.
	MaxRequest = 128 << 10

	algorithm          = "AES_GCM"
	integrityAlgorithm = "SHA_256"
)

// Metadata says which call to KMS a request belongs to. A member that is empty is
// left out.
type Metadata struct {
	PrincipalARN, SourceVPC, SourceVPCE string
	KeyARN                              string
	Operation                           string // of KMS: "Encrypt", "GenerateDataKey"
	RequestID                           string // of the call to KMS, opaque
	ViaService                          string
}

func (m *Metadata) members() [7]struct {
	name  string
	value *string
} {
	return [7]struct {
		name  string
		value *string
	}{
		{"awsPrincipalArn", &m.PrincipalARN}, {"awsSourceVpc", &m.SourceVPC}, {"awsSourceVpce", &m.SourceVPCE},
		{"kmsKeyArn", &m.KeyARN}, {"kmsOperation", &m.Operation}, {"kmsRequestId", &m.RequestID}, {"kmsViaService", &m.ViaService},
	}
}

// AppendJSON appends the object that requestMetadata is.
func (m *Metadata) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for _, member := range m.members() {
		if *member.value != "" {
			dst = wire.AppendString(wire.AppendName(dst, member.name), *member.value)
		}
	}
	return append(dst, '}')
}

func (m *Metadata) read(d *wire.JSON) {
	var seen uint64
	members := m.members()
	d.Object()
next:
	for d.Next() {
		for i := range members {
			if members[i].name == string(d.Key()) {
				if d.Member(&seen, 1<<i) {
					*members[i].value = string(d.Text())
				}
				continue next
			}
		}
		d.Unknown()
	}
}

// Request is the body of any of the four requests. Which members a request must
// have depends on what it asks, which its path says.
type Request struct {
	Metadata Metadata
	// Plaintext is what Encrypt is to encrypt, Ciphertext what Decrypt is to open.
	Plaintext  secret.Bytes
	Ciphertext []byte
	AAD        []byte
	// CiphertextMetadata, IV and Tag are Decrypt's.
	CiphertextMetadata, IV, Tag []byte
	// Integrity asks Encrypt for a ciphertext data integrity value.
	Integrity bool

	algorithm, integrity string
	has                  uint64
}

const (
	hasMetadata = 1 << iota
	hasPlaintext
	hasCiphertext
	hasAAD
	hasCiphertextMetadata
	hasIV
	hasTag
	hasAlgorithm
	hasIntegrity
)

// AppendMetadataRequest appends the body of GetKeyMetadata and GetHealthStatus.
func AppendMetadataRequest(dst []byte, m *Metadata) []byte {
	return append(m.AppendJSON(wire.AppendName(append(dst, '{'), "requestMetadata")), '}')
}

// AppendEncrypt appends the body of Encrypt, which asks for an integrity value.
func (r *Request) AppendEncrypt(dst []byte) []byte {
	dst = r.Metadata.AppendJSON(wire.AppendName(append(dst, '{'), "requestMetadata"))
	dst = wire.AppendBlob(wire.AppendName(dst, "additionalAuthenticatedData"), r.AAD)
	dst = wire.AppendBlob(wire.AppendName(dst, "plaintext"), r.Plaintext)
	dst = wire.AppendString(wire.AppendName(dst, "encryptionAlgorithm"), algorithm)
	dst = wire.AppendString(wire.AppendName(dst, "ciphertextDataIntegrityValueAlgorithm"), integrityAlgorithm)
	return append(dst, '}')
}

// AppendDecrypt appends the body of Decrypt.
func (r *Request) AppendDecrypt(dst []byte) []byte {
	dst = r.Metadata.AppendJSON(wire.AppendName(append(dst, '{'), "requestMetadata"))
	dst = wire.AppendBlob(wire.AppendName(dst, "additionalAuthenticatedData"), r.AAD)
	dst = wire.AppendBlob(wire.AppendName(dst, "ciphertext"), r.Ciphertext)
	if len(r.CiphertextMetadata) > 0 {
		dst = wire.AppendBlob(wire.AppendName(dst, "ciphertextMetadata"), r.CiphertextMetadata)
	}
	dst = wire.AppendString(wire.AppendName(dst, "encryptionAlgorithm"), algorithm)
	dst = wire.AppendBlob(wire.AppendName(dst, "initializationVector"), r.IV)
	dst = wire.AppendBlob(wire.AppendName(dst, "authenticationTag"), r.Tag)
	return append(dst, '}')
}

// ParseRequest reads a request's body; follow with the check of what it asks. Its
// error is an *[Error].
func ParseRequest(body []byte) (*Request, error) {
	r := &Request{}
	d := wire.ReadJSON(body)
	d.Object()
	for d.Next() {
		switch string(d.Key()) {
		case "requestMetadata":
			if d.Member(&r.has, hasMetadata) {
				r.Metadata.read(&d)
			}
		case "plaintext":
			r.blob(&d, hasPlaintext, (*[]byte)(&r.Plaintext))
		case "ciphertext":
			r.blob(&d, hasCiphertext, &r.Ciphertext)
		case "additionalAuthenticatedData":
			r.blob(&d, hasAAD, &r.AAD)
		case "ciphertextMetadata":
			r.blob(&d, hasCiphertextMetadata, &r.CiphertextMetadata)
		case "initializationVector":
			r.blob(&d, hasIV, &r.IV)
		case "authenticationTag":
			r.blob(&d, hasTag, &r.Tag)
		case "encryptionAlgorithm":
			if d.Member(&r.has, hasAlgorithm) {
				r.algorithm = string(d.Text())
			}
		case "ciphertextDataIntegrityValueAlgorithm":
			if d.Member(&r.has, hasIntegrity) {
				r.integrity = string(d.Text())
			}
		default:
			d.Unknown()
		}
	}
	if d.Close() != nil {
		return nil, Refuse(Validation, "The request body is not well-formed.")
	}
	if refused := r.Metadata.check(); refused != nil {
		return nil, refused
	}
	return r, nil
}

func (r *Request) blob(d *wire.JSON, bit uint64, to *[]byte) {
	if d.Member(&r.has, bit) {
		*to = d.Blob()
	}
}

// check covers what all requests have; KMS sends health checks without a principal.
func (m *Metadata) check() *Error {
	for _, member := range m.members() {
		if len(*member.value) > MaxText {
			return Refuse(Validation, "requestMetadata."+member.name+" is too long.")
		}
	}
	if m.Operation == "" {
		return missing("requestMetadata.kmsOperation")
	}
	if m.RequestID == "" {
		return missing("requestMetadata.kmsRequestId")
	}
	return nil
}

func missing(name string) *Error { return Refuse(Validation, name+" is missing.") }

// CheckMetadata checks a GetKeyMetadata request. Its error is an *[Error].
func (r *Request) CheckMetadata() error {
	if r.Metadata.PrincipalARN == "" {
		return missing("requestMetadata.awsPrincipalArn")
	}
	return nil
}

func (r *Request) checkUse() error {
	if err := r.CheckMetadata(); err != nil {
		return err
	}
	switch {
	case r.Metadata.KeyARN == "":
		return missing("requestMetadata.kmsKeyArn")
	case r.algorithm == "":
		return missing("encryptionAlgorithm")
	case r.algorithm != algorithm:
		return Refuse(Validation, "encryptionAlgorithm must be AES_GCM.")
	case len(r.AAD) > MaxAAD:
		return Refuse(Unsupported, "additionalAuthenticatedData is longer than 8192 bytes.")
	}
	return nil
}

// CheckEncrypt checks an Encrypt request. Its error is an *[Error].
func (r *Request) CheckEncrypt() error {
	if err := r.checkUse(); err != nil {
		return err
	}
	switch {
	case len(r.Plaintext) == 0:
		return missing("plaintext")
	case len(r.Plaintext) > MaxPlaintext:
		return Refuse(Unsupported, "plaintext is longer than 4300 bytes.")
	case r.has&hasIntegrity != 0 && r.integrity != integrityAlgorithm:
		return Refuse(Validation, "ciphertextDataIntegrityValueAlgorithm must be SHA_256.")
	}
	r.Integrity = r.integrity != ""
	return nil
}

// CheckDecrypt checks a Decrypt request. Its error is an *[Error].
func (r *Request) CheckDecrypt() error {
	if err := r.checkUse(); err != nil {
		return err
	}
	switch {
	case len(r.Ciphertext) == 0:
		return missing("ciphertext")
	case len(r.Ciphertext) > MaxPlaintext:
		return Refuse(Unsupported, "ciphertext is longer than 4300 bytes.")
	case len(r.CiphertextMetadata) > MaxMetadata:
		return Refuse(Validation, "ciphertextMetadata is longer than 20 bytes.")
	case len(r.IV) != ShortIV && len(r.IV) != LongIV:
		return Refuse(Validation, "initializationVector must have 12 or 16 bytes.")
	case len(r.Tag) != TagSize:
		return Refuse(Validation, "authenticationTag must have 16 bytes.")
	}
	return nil
}
