package iam

import (
	"context"

	"github.com/strongroom/strongroom/internal/store"
)

// Reset deletes every user, group, role, policy and identity provider of all accounts, and
// the access keys of users. Roots keep theirs. Only dev servers offer it.
func (s *Service) Reset(ctx context.Context) error {
	var scopes []store.Scope
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		scopes, err = store.Scopes(r)
		return err
	})
	if err != nil {
		return err
	}
	for _, in := range scopes {
		err := clearRecords(ctx, s.Store, identityRecords, in, func(identityRecord) bool { return true })
		if err == nil {
			err = clearRecords(ctx, s.Store, policyRecords, in, func(policyRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, oidcProviderRecords, in, func(oidcProviderRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, samlProviderRecords, in, func(samlProviderRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, samlMetadataRecords, in, func(samlMetadataRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, instanceProfileRecords, in, func(instanceProfileRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, mfaRecords, in, func(mfaRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, settingsRecords, in, func(settingsRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, accessJobRecords, in, func(accessJobRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, loginProfileRecords, in, func(loginProfileRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, credentialReportRecords, in, func(credentialReportRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, linkedDeletionRecords, in, func(linkedDeletionRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, serverCertificateRecords, in, func(serverCertificateRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, accountAliasRecords, in, func(accountAliasRecord) bool { return true })
		}
		if err == nil {
			err = clearRecords(ctx, s.Store, accessKeyRecords, in, func(k accessKeyRecord) bool { return k.User != "" })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const clearBatch = 500

func clearRecords[T any](ctx context.Context, s *store.Store, c *store.Collection[T], in store.Scope, gone func(T) bool) error {
	after := ""
	for more := true; more; {
		var last string
		err := s.Update(ctx, func(tx *store.Tx) error {
			items, rest, err := c.Scan(tx, in, after, clearBatch)
			if err != nil {
				return err
			}
			more = rest
			for _, item := range items {
				last = item.ID
				if !gone(item.Value) {
					continue
				}
				if err := c.Delete(tx, in, item.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		after = last
	}
	return nil
}
