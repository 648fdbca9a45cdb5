package kms

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/store"
)

// CreateKey makes a key. Every call makes one: there is no idempotency token.
func (s *Service) CreateKey(ctx context.Context, call *authz.Call, in *api.CreateKeyInput) (*api.CreateKeyOutput, error) {
	conditions := createConditions(in)
	if err := s.mayInAccount(ctx, call, "", "*", conditions); err != nil {
		return nil, err
	}
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := s.mayInAccount(ctx, call, "kms:TagResource", "*", conditions); err != nil {
			return nil, err
		}
	}
	record, err := newKeyRecord(call, in)
	if err != nil {
		return nil, err
	}
	record.Tags = tags
	if record.ID, err = s.newKeyID(record.MultiRegion != nil); err != nil {
		return nil, err
	}
	chosen, err := s.newPolicy(ctx, call, &record, in.Policy, in.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	record.Policy, record.PolicyIDs = chosen.text, chosen.ids
	var ks *keyStore
	if record.Store != "" {
		if ks, err = s.storeForKey(ctx, call, &record); err != nil {
			return nil, err
		}
	}
	// A key in a custom key store has material of ours as well, for the inner layer.
	switch {
	case record.Origin == api.OriginTypeExternal:
	case record.Cluster != "":
		if err := s.generateInHSMs(ctx, call, &record, ks); err != nil {
			return nil, err
		}
	default:
		if err := call.Work(ctx, func(ctx context.Context) error {
			material, err := s.Keyring.Generate(ctx, record.ID, keyring.Spec(record.Spec))
			record.Materials = []generation{{Material: material}}
			return err
		}); err != nil {
			return nil, fromKeyring(err)
		}
	}
	out, err := authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateKeyOutput, error) {
		k, err := newKey(record, call.Partition, 0)
		if err != nil {
			return nil, err
		}
		if err := claimExternalKey(tx, &record); err != nil {
			return nil, err
		}
		if err := s.countNewKey(tx, record.Account, record.Region); err != nil {
			return nil, err
		}
		if err := addKey(tx, &record); err != nil {
			return nil, err
		}
		call.Audit.Resource(k.Account, keyResource, k.ARN)
		return &api.CreateKeyOutput{KeyMetadata: k.metadata()}, nil
	})
	if err != nil && record.Cluster != "" && !errors.Is(err, store.ErrUnknown) {
		s.takeBack(ctx, &record, ks)
	}
	return out, err
}

// addKey writes a key whose id was drawn for it.
func addKey(tx *store.Tx, record *keyRecord) error {
	if err := keyRecords.Add(tx, scope(record.Account, record.Region), record.ID, *record); err != nil {
		return err
	}
	return ownerRecords.Add(tx, regionScope(record.Region), record.ID, ownerRecord{Account: record.Account})
}

// newKeyRecord checks what kind of key is asked for, and describes it.
func newKeyRecord(call *authz.Call, in *api.CreateKeyInput) (keyRecord, error) {
	var none keyRecord
	spec := in.KeySpec
	if in.CustomerMasterKeySpec != "" {
		if in.KeySpec != "" {
			return none, awserr.Validation("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
		}
		spec = api.KeySpec(in.CustomerMasterKeySpec)
	}
	if spec == "" {
		spec = api.KeySpecSymmetricDefault
	}
	use := in.KeyUsage
	if use == "" {
		if spec != api.KeySpecSymmetricDefault {
			return none, awserr.Validation("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
		}
		use = api.KeyUsageTypeEncryptDecrypt
	}
	row := specOf(spec)
	if row == nil || !row.in(call.Region) {
		return none, api.UnsupportedOperationException(fmt.Sprintf("KeySpec %s is not supported in this Region.", spec))
	}
	if row.algorithms(use) == nil {
		return none, awserr.Validationf("KeyUsage %s is not compatible with KeySpec %s", use, spec)
	}
	origin := in.Origin
	if origin == "" {
		origin = api.OriginTypeAwsKms
	}
	state := api.KeyStateEnabled
	switch {
	case origin == api.OriginTypeExternal && row.importable():
		state = api.KeyStatePendingImport
	case origin == api.OriginTypeExternal:
		return none, api.UnsupportedOperationException(fmt.Sprintf("KeySpec %s is not supported for origin EXTERNAL.", spec))
	}
	record := keyRecord{
		Account: call.Principal.Account,
		Region:  call.Region,
		Created: call.Time,
		Spec:    spec,
		Usage:   use,
		Origin:  origin,
		State:   state,
	}
	if in.Description != nil {
		record.Description = *in.Description
	}
	if in.MultiRegion != nil && *in.MultiRegion {
		record.MultiRegion = &multiRegion{Primary: call.Region}
	}
	return record, checkStoreKey(in, &record)
}

// newKeyID returns a random UUID (RFC 9562 §5.4) or, for a multi-Region key, mrk-
// and 32 random hex digits.
func (s *Service) newKeyID(multiRegion bool) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(s.Rand, b[:]); err != nil {
		return "", err
	}
	if multiRegion {
		return multiRegionPrefix + hex.EncodeToString(b[:]), nil
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}

// createConditions answers the condition keys of CreateKey; a parameter that is
// left out counts with its default.
func createConditions(in *api.CreateKeyInput) conditionMap {
	spec := string(in.KeySpec)
	if spec == "" {
		spec = string(in.CustomerMasterKeySpec)
	}
	if spec == "" {
		spec = string(api.KeySpecSymmetricDefault)
	}
	m := conditionMap{
		"keyspec":                        {spec},
		"customermasterkeyspec":          {spec},
		"keyusage":                       {stringOr(string(in.KeyUsage), string(api.KeyUsageTypeEncryptDecrypt))},
		"keyorigin":                      {stringOr(string(in.Origin), string(api.OriginTypeAwsKms))},
		"multiregion":                    {boolText(in.MultiRegion != nil && *in.MultiRegion)},
		"bypasspolicylockoutsafetycheck": {boolText(in.BypassPolicyLockoutSafetyCheck)},
	}
	m["customermasterkeyusage"] = m["keyusage"]
	if in.MultiRegion != nil && *in.MultiRegion {
		m["multiregionkeytype"] = []string{string(api.MultiRegionKeyTypePrimary)}
	}
	m.addTags(in.Tags)
	return m
}

func stringOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
