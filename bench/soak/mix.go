package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/strongroom/strongroom/bench/load"
)

// mix is what the server is asked: keys are used, and now and then one is created,
// rotated or given another policy.
type mix struct {
	signer *load.Signer
	keys   []string
	// ciphertexts are one of each key.
	ciphertexts []string
	// rotations counts those of each key that were asked for. turned are the keys that
	// are rotated in this window: another rotation would have to wait for the first.
	rotations map[string]int
	turned    map[string]bool

	made, rotated, policies int
}

// mostRotations is how many on-demand rotations a key may have, KMS's quota.
const mostRotations = 25

// shares of a thousand calls; all others use keys.
const (
	creates        = 5
	rotations      = 2
	policyChanges  = 5
	encrypts       = 400
	generates      = 100
	ofThousandUsed = 1000 - creates - rotations - policyChanges
)

// prepare makes the keys that are used, and a ciphertext of each.
func (m *mix) prepare(ctx context.Context, keys int) error {
	m.rotations = map[string]int{}
	for range keys {
		if err := m.add(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *mix) add(ctx context.Context) error {
	var created struct{ KeyMetadata struct{ KeyID string } }
	if err := m.signer.Call(ctx, "CreateKey", "{}", &created); err != nil {
		return err
	}
	key := created.KeyMetadata.KeyID
	var made struct{ CiphertextBlob string }
	if err := m.signer.Call(ctx, "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"c29hawo="}`, key), &made); err != nil {
		return err
	}
	m.keys, m.ciphertexts = append(m.keys, key), append(m.ciphertexts, made.CiphertextBlob)
	return nil
}

// requests returns n requests in random order, signed now.
func (m *mix) requests(n int) ([][]byte, error) {
	m.turned = map[string]bool{}
	all := make([][]byte, n)
	for i := range all {
		operation, body := m.next()
		var err error
		if all[i], err = m.signer.Request(operation, body); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// next returns the next call.
func (m *mix) next() (operation, body string) {
	i := rand.IntN(len(m.keys))
	key := m.keys[i]
	switch n := rand.IntN(1000); {
	case n < encrypts:
		return "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"c29hawo=","EncryptionContext":{"n":"%d"}}`, key, rand.IntN(100))
	case n < encrypts+generates:
		return "GenerateDataKey", fmt.Sprintf(`{"KeyId":%q,"KeySpec":"AES_256"}`, key)
	case n < ofThousandUsed || m.rotations[key] == mostRotations || m.turned[key]:
		return "Decrypt", fmt.Sprintf(`{"CiphertextBlob":%q}`, m.ciphertexts[i])
	case n < ofThousandUsed+creates:
		m.made++
		return "CreateKey", `{"Description":"made on the way"}`
	case n < ofThousandUsed+creates+policyChanges:
		m.policies++
		return "PutKeyPolicy", fmt.Sprintf(`{"KeyId":%q,"PolicyName":"default","Policy":%q}`, key, policy(m.policies))
	default:
		m.turned[key] = true
		m.rotations[key]++
		m.rotated++
		return "RotateKeyOnDemand", fmt.Sprintf(`{"KeyId":%q}`, key)
	}
}

// policy returns a key policy that no key had before.
func policy(n int) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":"policy-%d","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"}]}`, n)
}
