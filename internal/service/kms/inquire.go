package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// crossable are the actions that a key's policy can open to other accounts (AWS KMS
// Developer Guide, "Allowing users in other accounts to use a KMS key"). The
// operations themselves ask by may, all others by mayOwn.
var crossable = map[string]bool{
	"kms:Encrypt": true, "kms:Decrypt": true, "kms:ReEncryptFrom": true, "kms:ReEncryptTo": true,
	"kms:GenerateDataKey": true, "kms:GenerateDataKeyWithoutPlaintext": true,
	"kms:GenerateDataKeyPair": true, "kms:GenerateDataKeyPairWithoutPlaintext": true,
	"kms:Sign": true, "kms:Verify": true, "kms:GenerateMac": true, "kms:VerifyMac": true, "kms:DeriveSharedSecret": true,
	"kms:Encapsulate": true, "kms:Decapsulate": true,
	"kms:CreateGrant": true, "kms:DescribeKey": true, "kms:GetKeyRotationStatus": true, "kms:GetPublicKey": true,
	"kms:ListGrants": true, "kms:RetireGrant": true, "kms:RevokeGrant": true,
}

// Subject is a key that whoever holds the deployment asks about.
type Subject struct {
	key *key
	// ARN and Account are the key's; State is "Enabled" or one of the others.
	ARN, Account, State string
	// Policy is the key's as GetKeyPolicy shows it: with ARNs, where what is
	// evaluated has unique ids. Its statements have the same order.
	Policy *policy.Document
}

// ErrNoKey says that there is no such key or alias.
var ErrNoKey = errors.New("kms: no such key")

// Subject finds a key by its id, its ARN, an alias or an alias's ARN, whosever it
// is. call says the region, and by its principal's account whose alias a bare name
// is.
func (s *Service) Subject(ctx context.Context, call *authz.Call, id string) (Subject, error) {
	ref, refused := parseReference(call, id, keysAndAliases)
	if refused != nil {
		return Subject{}, fmt.Errorf("%w: %s", ErrNoKey, refused.Message)
	}
	account, keyID := ref.account, ref.keyID
	var err error
	switch {
	case ref.alias != "":
		var alias aliasRecord
		alias, err = s.aliases.Get(ctx, scope(account, ref.region), ref.alias)
		keyID = alias.Target
	case id == keyID: // a bare id, which says no account
		account, err = s.owners.Get(ctx, regionScope(ref.region), keyID)
	}
	var k *key
	if err == nil {
		k, err = s.keys.Get(ctx, scope(account, ref.region), keyID)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrKey) {
		return Subject{}, ErrNoKey
	}
	if err != nil {
		return Subject{}, err
	}
	if k, err = s.asItStands(ctx, k); err != nil {
		return Subject{}, err
	}
	text, err := s.shownPolicy(ctx, &k.keyRecord)
	if err != nil {
		return Subject{}, err
	}
	shown, err := policy.Parse([]byte(text), policy.KeyPolicy)
	return Subject{key: k, ARN: k.ARN, Account: k.Account, State: string(k.State), Policy: shown}, err
}

// Inquire returns what an operation would ask Authorize for the call's action on a
// key. encryptionContext is that of the request; it decides about grants too. What
// CreateGrant may do by a grant depends on the grant that is to be made, which
// nobody knows here: no grant counts for it.
func (s *Service) Inquire(ctx context.Context, call *authz.Call, subject Subject, encryptionContext map[string]string) (authz.Access, error) {
	conditions := cryptoConditions{known: true, context: encryptionContext}
	if subject.key.spec.family == symmetricKey && usesAlgorithm[call.Action] {
		conditions.algorithm = string(api.EncryptionAlgorithmSpecSymmetricDefault)
	}
	n := need{key: found{key: subject.key}, crypto: conditions}
	known := s.knownOf(ctx, call, &n)
	access := n.access(&known)
	var err error
	access.Grants, err = s.grantsFor(ctx, call, &n)
	return access, err
}

// usesAlgorithm are the actions on symmetric keys that have an encryption algorithm
// without being told.
var usesAlgorithm = map[string]bool{
	"kms:Encrypt": true, "kms:Decrypt": true, "kms:ReEncryptFrom": true, "kms:ReEncryptTo": true,
	"kms:GenerateDataKey": true, "kms:GenerateDataKeyWithoutPlaintext": true,
	"kms:GenerateDataKeyPair": true, "kms:GenerateDataKeyPairWithoutPlaintext": true,
}

// Crosses tells whether other accounts than the key's can do an action at all.
func Crosses(action string) bool { return crossable[action] }

// Grantee is a principal that a grant gives an action to.
type Grantee struct{ Name, Grant string }

// maxGrantees bounds the grants that are looked at for one question.
const maxGrantees = 10_000

// Grantees returns the grants on a key that include an action, by their ids; more
// says that there are further grants.
func (s *Service) Grantees(ctx context.Context, subject Subject, action string) (grantees []Grantee, more bool, err error) {
	k := subject.key
	err = s.Store.View(ctx, func(r store.Reader) error {
		grantees = nil
		var items []store.Item[grantRecord]
		items, more, err = scanGrants(r, k, grantID(k.ID, ""), maxGrantees)
		for _, item := range items {
			g := &item.Value
			if g.of(&k.keyRecord) && g.includes(api.GrantOperation(strings.TrimPrefix(action, "kms:"))) {
				grantees = append(grantees, Grantee{Name: g.Grantee.Name, Grant: g.ID})
			}
		}
		return err
	})
	return grantees, more, err
}
