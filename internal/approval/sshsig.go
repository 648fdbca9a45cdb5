package approval

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Namespace is what signatures are made for: ssh-keygen -Y sign -n strongroom.
const Namespace = "strongroom"

// Bounds of what is read, in bytes.
const (
	maxKey       = 4 << 10
	maxSignature = 8 << 10
)

// keyTypes are the kinds of keys that operators may have. RSA keys are left out: there
// are old ones that are too short.
var keyTypes = map[string]bool{
	ssh.KeyAlgoED25519: true, ssh.KeyAlgoSKED25519: true, ssh.KeyAlgoECDSA256: true, ssh.KeyAlgoECDSA384: true, ssh.KeyAlgoSKECDSA256: true,
}

// parseKey reads a line of an .pub file, and returns it without its comment.
func parseKey(line string) (ssh.PublicKey, string, error) {
	if len(line) > maxKey {
		return nil, "", errors.New("it is too long for a public key")
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return nil, "", errors.New("it is no SSH public key, which looks like ssh-ed25519 AAAA… somebody")
	case len(options) > 0 || len(bytes.TrimSpace(rest)) > 0:
		return nil, "", errors.New("it is more than one SSH public key")
	case !keyTypes[key.Type()]:
		return nil, "", fmt.Errorf("keys of the type %s are not taken; ssh-keygen -t ed25519 makes one that is, or -t ed25519-sk in hardware", key.Type())
	}
	return key, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), nil
}

// errSignature is returned for what is no signature, or none of this.
var errSignature = errors.New("the signature does not verify")

// sshsig is the outer structure of a signature, behind its preamble.
type sshsig struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

const preamble = "SSHSIG"

// verify checks an armoured signature of message and returns the key that it claims
// and has. What the signature says of the key is only compared with what is known.
func verify(message, armoured []byte, known []ssh.PublicKey) (ssh.PublicKey, error) {
	if len(armoured) > maxSignature {
		return nil, fmt.Errorf("%w: it is too long", errSignature)
	}
	block, rest := pem.Decode(armoured)
	if block == nil || block.Type != "SSH SIGNATURE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: it is not what ssh-keygen -Y sign writes", errSignature)
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte(preamble))
	var s sshsig
	if !ok || ssh.Unmarshal(body, &s) != nil || s.Version != 1 {
		return nil, fmt.Errorf("%w: it is not what ssh-keygen -Y sign writes", errSignature)
	}
	if s.Namespace != Namespace {
		return nil, fmt.Errorf("%w: it was made for %.40q; sign with: ssh-keygen -Y sign -n %s", errSignature, s.Namespace, Namespace)
	}
	var digest []byte
	switch s.Hash {
	case "sha256":
		sum := sha256.Sum256(message)
		digest = sum[:]
	case "sha512":
		sum := sha512.Sum512(message)
		digest = sum[:]
	default:
		return nil, fmt.Errorf("%w: it has an unknown hash", errSignature)
	}
	var signature ssh.Signature
	if ssh.Unmarshal(s.Signature, &signature) != nil {
		return nil, fmt.Errorf("%w: it is not what ssh-keygen -Y sign writes", errSignature)
	}
	signed := append([]byte(preamble), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{s.Namespace, s.Reserved, s.Hash, digest})...)
	for _, key := range known {
		if bytes.Equal(key.Marshal(), s.PublicKey) {
			if key.Verify(signed, &signature) != nil {
				return nil, fmt.Errorf("%w: the text that was signed is another one, or was changed on its way", errSignature)
			}
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: no operator has that key", errSignature)
}
