package kms

import (
	"slices"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
)

// usable checks that the key can do now what a cryptographic operation asks, in AWS's
// order: usage, state, algorithm (kms.md §3).
func (k *key) usable(now time.Time, operation string, usage api.KeyUsageType, algorithm string) error {
	if k.Usage != usage {
		return api.InvalidKeyUsageException(k.ARN + " key usage is " + string(k.Usage) + " which is not valid for " + operation + ".")
	}
	if refused := k.admits(cryptographic); refused != nil {
		return refused
	}
	if k.expired(now) {
		return api.KMSInvalidStateException(k.ARN + " is " + stateWords[api.KeyStatePendingImport] + ".")
	}
	for _, known := range k.spec.algorithms(usage) {
		if known == algorithm {
			return nil
		}
	}
	return api.InvalidKeyUsageException("Algorithm " + algorithm + " is incompatible with key spec " + string(k.Spec) + ".")
}

// ignoresCiphertext tells a dry run that is to stop short of the ciphertext, which
// then need not be there. Without DryRun the modifiers have no meaning.
func ignoresCiphertext(dryRun *bool, modifiers []api.DryRunModifierType) bool {
	return dryRun != nil && *dryRun && slices.Contains(modifiers, api.DryRunModifierTypeIgnoreCiphertext)
}

// orDefault fills in the algorithm that a request left out, so that its audit
// record shows it as well, and returns it.
func orDefault(algorithm *api.EncryptionAlgorithmSpec) string {
	if *algorithm == "" {
		*algorithm = api.EncryptionAlgorithmSpecSymmetricDefault
	}
	return string(*algorithm)
}

// dryRun is the answer to a dry run that would have succeeded.
func dryRun(asked *bool) error {
	if asked != nil && *asked {
		return api.DryRunOperationException("The request would have succeeded, but the DryRun option is set.")
	}
	return nil
}

// cryptoConditions answers the condition keys of cryptographic operations.
type cryptoConditions struct {
	// known says that the request may have an encryption context; without it, no grant
	// applies that constrains one.
	known     bool
	context   map[string]string
	algorithm string
	// sameKey is set for ReEncrypt.
	sameKey *bool
	// pairSpec is set for the GenerateDataKeyPair operations.
	pairSpec string
	// recipient is nil unless the call is attested.
	recipient *recipient
}

const contextPrefix = "encryptioncontext:"

func (c *cryptoConditions) condition(key string) ([]string, bool) {
	if name, ok := strings.CutPrefix(key, contextPrefix); ok {
		// Names of an encryption context compare without regard to case in
		// condition keys, though the ciphertext is bound to their exact form. name
		// is in lower case; folding would take more for equal ("ſ" and "s").
		var values []string
		for k, v := range c.context {
			if strings.ToLower(k) == name {
				values = append(values, v)
			}
		}
		return values, len(values) > 0
	}
	switch key {
	case "encryptioncontextkeys":
		names := make([]string, 0, len(c.context))
		for k := range c.context {
			names = append(names, k)
		}
		return names, len(names) > 0
	case "encryptionalgorithm":
		return present(c.algorithm)
	case "datakeypairspec":
		return present(c.pairSpec)
	case "reencryptonsamekey":
		if c.sameKey == nil {
			return nil, false
		}
		if *c.sameKey {
			return []string{"true"}, true
		}
		return []string{"false"}, true
	}
	return c.recipient.condition(key)
}
