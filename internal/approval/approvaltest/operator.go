// Package approvaltest is an operator for tests: an SSH key, and the signatures that
// ssh-keygen would make with it.
package approvaltest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Operator is somebody with an SSH key.
type Operator struct {
	// PublicKey is the line of a .pub file.
	PublicKey string

	tb     testing.TB
	signer ssh.Signer
}

// New returns an operator with an Ed25519 key of their own.
func New(tb testing.TB) *Operator {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return With(tb, signer)
}

// With returns an operator who signs with signer.
func With(tb testing.TB, signer ssh.Signer) *Operator {
	return &Operator{PublicKey: string(ssh.MarshalAuthorizedKey(signer.PublicKey())), tb: tb, signer: signer}
}

// Sign signs a text as ssh-keygen -Y sign -n namespace does.
func (o *Operator) Sign(namespace, text string) []byte {
	o.tb.Helper()
	digest := sha512.Sum512([]byte(text))
	signed := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{namespace, "", "sha512", digest[:]})...)
	signature, err := o.signer.Sign(rand.Reader, signed)
	if err != nil {
		o.tb.Fatal(err)
	}
	body := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version             uint32
		PublicKey           []byte
		Namespace, Reserved string
		Hash                string
		Signature           []byte
	}{1, o.signer.PublicKey().Marshal(), namespace, "", "sha512", ssh.Marshal(signature)})...)
	return pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: body})
}
