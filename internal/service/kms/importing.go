package kms

import (
	"context"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/store"
)

// longestValidity is how far ahead an expiry may be.
const longestValidity = 365 * 24 * time.Hour

// ImportKeyMaterial gives a key of origin EXTERNAL its material, for the first time
// or again, or a material to rotate to. Material is bound to its key: other bytes
// than those that a key once had are refused, unless they come as new ones.
func (s *Service) ImportKeyMaterial(ctx context.Context, call *authz.Call, in *api.ImportKeyMaterialInput) (*api.ImportKeyMaterialOutput, error) {
	conditions := conditionMap{"expirationmodel": {stringOr(string(in.ExpirationModel), string(api.ExpirationModelTypeKeyMaterialExpires))}}
	if in.ValidTo != nil {
		conditions["validto"] = []string{in.ValidTo.UTC().Format(time.RFC3339)}
	}
	var terms imported
	var made keyring.Material
	return changeKey(ctx, s, call, change[*api.ImportKeyMaterialOutput]{
		keyID:      in.KeyId,
		group:      importing,
		conditions: conditions,
		check: func(k *key) error {
			if err := k.mustBeExternal(); err != nil {
				return err
			}
			if err := k.checkImport(in); err != nil {
				return err
			}
			var err error
			terms, err = importTerms(in, call.Time)
			return err
		},
		prepare: func(k *key) error {
			module, err := s.importer()
			if err != nil {
				return err
			}
			return fromImport(call.Work(ctx, func(ctx context.Context) (err error) {
				made, err = module.Import(ctx, keyring.Wrapped{
					Key: k.ARN, KeyID: k.ID, Spec: keyring.Spec(k.Spec), Token: in.ImportToken, Material: in.EncryptedKeyMaterial, Now: call.Time,
				})
				return err
			}))
		},
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.ImportKeyMaterialOutput, error) {
			if err := place(tx, k, record, in, made); err != nil {
				return nil, err
			}
			if err := takeIn(tx, record, made, terms, in.KeyMaterialDescription); err != nil {
				return nil, err
			}
			out := &api.ImportKeyMaterialOutput{KeyId: k.ARN}
			if k.spec.family == symmetricKey {
				out.KeyMaterialId = made.ID
			}
			return out, nil
		},
	})
}

// importTerms reads when the material is to expire.
func importTerms(in *api.ImportKeyMaterialInput, now time.Time) (imported, error) {
	terms := imported{ExpirationModel: in.ExpirationModel}
	if terms.ExpirationModel == "" {
		terms.ExpirationModel = api.ExpirationModelTypeKeyMaterialExpires
	}
	expires := terms.ExpirationModel == api.ExpirationModelTypeKeyMaterialExpires
	switch {
	case expires && in.ValidTo == nil:
		return terms, awserr.Validation("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
	case !expires && in.ValidTo != nil:
		return terms, awserr.Validation("A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
	case !expires:
		return terms, nil
	}
	validTo := in.ValidTo.UTC().Truncate(time.Second)
	terms.ValidTo = &validTo
	switch {
	case !validTo.After(now):
		return terms, awserr.Validation("ValidTo must be in the future")
	case validTo.Sub(now) > longestValidity:
		return terms, awserr.Validation("ValidTo must be less than 365 days in the future")
	}
	return terms, nil
}

// checkImport looks at the parameters that are for keys of several materials.
func (k *key) checkImport(in *api.ImportKeyMaterialInput) error {
	if k.spec.family != symmetricKey {
		for _, p := range []struct {
			name string
			set  bool
		}{
			{"importType", in.ImportType != ""}, {"keyMaterialDescription", in.KeyMaterialDescription != nil}, {"keyMaterialId", in.KeyMaterialId != ""},
		} {
			if p.set {
				return awserr.Validation("Input parameter " + p.name + " cannot be used with " + string(k.Spec) + " imported keys.")
			}
		}
		return nil
	}
	if k.isReplica() && in.ImportType == api.ImportTypeNewKeyMaterial {
		return awserr.Validation("Input parameter importType cannot be NEW_KEY_MATERIAL for a multi-Region replica key.")
	}
	if k.isReplica() && in.KeyMaterialDescription != nil {
		return awserr.Validation("Input parameter keyMaterialDescription cannot be used with a multi-Region replica key.")
	}
	if in.KeyMaterialId != "" && k.importType(in) == api.ImportTypeNewKeyMaterial {
		return awserr.Validation("Input parameter keyMaterialId cannot be used with NEW_KEY_MATERIAL importType.")
	}
	return nil
}

// importType is what an import is taken for: new material on a key that never had
// any, and what is known already otherwise.
func (r *keyRecord) importType(in *api.ImportKeyMaterialInput) api.ImportType {
	switch {
	case in.ImportType != "":
		return in.ImportType
	case len(r.Materials) == 0:
		return api.ImportTypeNewKeyMaterial
	default:
		return api.ImportTypeExistingKeyMaterial
	}
}

// place checks that the material may come into the key, and makes room for it if it
// is new.
func place(tx *store.Tx, k *key, record *keyRecord, in *api.ImportKeyMaterialInput, made keyring.Material) error {
	known := record.material(made.ID)
	if record.importType(in) == api.ImportTypeExistingKeyMaterial {
		want := stringOr(in.KeyMaterialId, k.current().ID)
		switch {
		case want == "" || in.KeyMaterialId != "" && record.material(in.KeyMaterialId) == nil:
			return errNeverImported(k, stringOr(in.KeyMaterialId, made.ID))
		case known == nil, in.KeyMaterialId != "" && made.ID != in.KeyMaterialId:
			return api.IncorrectKeyMaterialException("Imported key material does not have the expected identifier (" + want + ").")
		}
		return nil
	}
	fresh := generation{Material: keyring.Material{ID: made.ID, Spec: made.Spec}, Import: &imported{Deleted: true}}
	switch {
	case known != nil:
		return api.IncorrectKeyMaterialException("Key material (id: " + made.ID + ") being imported as NEW_KEY_MATERIAL is already associated with KMS key " + k.ARN + ".")
	case record.Pending != nil:
		return api.KMSInvalidStateException("New key material (id: " + made.ID + ") cannot be imported into KMS key " + k.ARN +
			", because another key material (id: " + record.Pending.ID + ") is pending rotation.")
	case len(record.Materials) == 0:
		record.Materials = []generation{fresh}
		return nil
	}
	record.Pending = &pendingMaterial{generation: fresh}
	return inSiblings(tx, record, func(sibling *keyRecord) error {
		sibling.Pending = &pendingMaterial{generation: fresh.away()}
		return nil
	})
}

func errNeverImported(k *key, id string) error {
	return awserr.Validation("Key material (id: " + id + ") has never been imported into KMS key " + k.ARN + ".")
}

// takeIn puts the bytes in their place. A key that has all its permanent material
// is enabled by that.
func takeIn(tx *store.Tx, record *keyRecord, made keyring.Material, terms imported, description *string) error {
	g := record.material(made.ID)
	if due, ok := record.expires(g); ok {
		if err := strike(tx, record.Region, due); err != nil {
			return err
		}
	}
	terms.Description = g.Import.Description
	if description != nil {
		terms.Description = *description
		err := inSiblings(tx, record, func(sibling *keyRecord) error {
			if theirs := sibling.material(made.ID); theirs != nil {
				theirs.Import.Description = *description
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	g.Material, g.Import = made, &terms
	if due, ok := record.expires(g); ok {
		if err := dueRecords.Put(tx, regionScope(record.Region), due.id(), due); err != nil {
			return err
		}
	}
	if record.State != api.KeyStateUpdating && record.complete() {
		record.State = api.KeyStateEnabled
	}
	return settlePending(tx, record)
}

// DeleteImportedKeyMaterial takes a material's bytes away; the key remembers which
// they were. It is idempotent.
func (s *Service) DeleteImportedKeyMaterial(ctx context.Context, call *authz.Call, in *api.DeleteImportedKeyMaterialInput) (*api.DeleteImportedKeyMaterialOutput, error) {
	return changeKey(ctx, s, call, change[*api.DeleteImportedKeyMaterialOutput]{
		keyID: in.KeyId,
		group: deletingMaterial,
		check: func(k *key) error {
			if err := k.mustBeExternal(); err != nil {
				return err
			}
			switch {
			case in.KeyMaterialId != "" && k.spec.family != symmetricKey:
				return awserr.Validation("Input parameter keyMaterialId cannot be used with " + string(k.Spec) + " imported keys.")
			case in.KeyMaterialId != "" && k.material(in.KeyMaterialId) == nil:
				return errNeverImported(k, in.KeyMaterialId)
			}
			return nil
		},
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.DeleteImportedKeyMaterialOutput, error) {
			out := &api.DeleteImportedKeyMaterialOutput{KeyId: k.ARN}
			g := record.material(stringOr(in.KeyMaterialId, k.current().ID))
			if g == nil {
				return out, nil
			}
			if k.spec.family == symmetricKey {
				id := g.ID
				out.KeyMaterialId = &id
			}
			if err := lose(tx, record, g); err != nil {
				return nil, err
			}
			g.Import = &imported{Deleted: true, Description: g.Import.Description}
			return out, nil
		},
	})
}
