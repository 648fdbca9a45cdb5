package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"time"
)

// Provider is an identity provider as an account has registered it.
type Provider struct {
	// ARN names the registration, whose account and name are Account and Name.
	ARN, Account, Name string
	// ID is what the sign-in URL at AWS ends in that is the provider's own ("SAMLSP…").
	ID string
	Metadata
	// Encrypted says that assertions must be encrypted.
	Encrypted bool
	// PrivateKeys returns the keys that assertions may be encrypted for; if nil, there
	// are none. It is called when one is.
	PrivateKeys func() ([]*rsa.PrivateKey, error)
}

// privateKeys are the keys that an assertion may be encrypted for.
func (p *Provider) privateKeys() ([]*rsa.PrivateKey, error) {
	if p.PrivateKeys == nil {
		return nil, nil
	}
	return p.PrivateKeys()
}

// Doc is the provider as condition keys name it: "111122223333/name".
func (p *Provider) Doc() string { return p.Account + "/" + p.Name }

// NameQualifier sets the provider's subjects apart from those of others (STS API
// Reference, AssumeRoleWithSAML). SHA-1 makes a short name here, and vouches for nothing.
func (p *Provider) NameQualifier() string {
	sum := sha1.Sum([]byte(p.EntityID + p.Doc()))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// keys are the keys that the provider signs with at a time.
func (p *Provider) keys(now time.Time) []crypto.PublicKey {
	var keys []crypto.PublicKey
	for _, c := range p.Certificates {
		if !now.Before(c.NotBefore) && !now.After(c.NotAfter) {
			keys = append(keys, c.PublicKey)
		}
	}
	return keys
}
