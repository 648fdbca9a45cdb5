package kms

import (
	"context"
	"strconv"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
)

// GetKeyRotationStatus tells whether and when a key's material is rotated. Keys
// that never rotate answer that they do not.
func (s *Service) GetKeyRotationStatus(ctx context.Context, call *authz.Call, in *api.GetKeyRotationStatusInput) (*api.GetKeyRotationStatusOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	if err := s.may(ctx, call, need{key: k}); err != nil {
		return nil, err
	}
	if refused := k.admits(viewingRotation); refused != nil {
		return nil, refused
	}
	if k.Store != "" {
		return nil, errStoreRotation
	}
	out := &api.GetKeyRotationStatusOutput{KeyId: k.ARN, OnDemandRotationStartDate: k.Rotation.OnDemand}
	// A key that is to be deleted hides its schedule; cancelling shows it again. Of
	// AWS managed keys, which are rotated every year, AWS answers false all the same.
	if k.Rotation.Next != nil && k.State != api.KeyStatePendingDeletion && k.Manager != api.KeyManagerTypeAws {
		out.KeyRotationEnabled = true
		out.RotationPeriodInDays = &k.Rotation.PeriodInDays
		out.NextRotationDate = k.Rotation.Next
	}
	return out, nil
}

// errStoreRotation is the answer to questions about the rotation of a key whose
// material is not ours to rotate.
var errStoreRotation = api.UnsupportedOperationException("")

// ListKeyRotations lists the rotations of a key that were made, and if asked all
// its materials, the oldest first.
func (s *Service) ListKeyRotations(ctx context.Context, call *authz.Call, in *api.ListKeyRotationsInput) (*api.ListKeyRotationsOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	if err := s.mayOwn(ctx, call, need{key: k}); err != nil {
		return nil, err
	}
	if refused := k.admits(viewingRotation); refused != nil {
		return nil, refused
	}
	if k.Store != "" {
		return nil, errStoreRotation
	}
	all := in.IncludeKeyMaterial == api.IncludeKeyMaterialAllKeyMaterial
	if all && k.spec.family != symmetricKey {
		return nil, awserr.Validation("Input parameter includeKeyMaterial can only be used with symmetric keys.")
	}
	page, err := s.page(call, in.Limit, in.Marker, 100, 1000)
	if err != nil {
		return nil, err
	}
	entries := k.rotations(all)
	// A marker says how many entries were shown: history only grows at its end.
	first := 0
	if page.after != "" {
		if first, err = strconv.Atoi(page.after); err != nil {
			return nil, api.InvalidMarkerException("")
		}
	}
	first = min(first, len(entries))
	last := min(first+page.limit, len(entries))
	out := &api.ListKeyRotationsOutput{Rotations: entries[first:last]}
	out.Truncated, out.NextMarker = page.next(last < len(entries), strconv.Itoa(last))
	return out, nil
}

// rotations are the entries of ListKeyRotations: with all, those of materials that
// were not rotated to as well.
func (k *key) rotations(all bool) []api.RotationsListEntry {
	entries := []api.RotationsListEntry{}
	if k.spec.family != symmetricKey {
		return entries
	}
	for i := range k.Materials {
		g := &k.Materials[i]
		if !all && g.Rotated == nil {
			continue
		}
		state := api.KeyMaterialStateNonCurrent
		if i == len(k.Materials)-1 {
			state = api.KeyMaterialStateCurrent
		}
		entries = append(entries, g.entry(k.ARN, state))
	}
	if all && k.Pending != nil {
		state := api.KeyMaterialStatePendingRotation
		if !k.Pending.Everywhere {
			state = api.KeyMaterialStatePendingMultiRegionImportAndRotation
		}
		entries = append(entries, k.Pending.entry(k.ARN, state))
	}
	return entries
}

func (g *generation) entry(arn string, state api.KeyMaterialState) api.RotationsListEntry {
	e := api.RotationsListEntry{
		KeyId:            arn,
		KeyMaterialId:    g.ID,
		KeyMaterialState: state,
		RotationDate:     g.Rotated,
		RotationType:     g.RotationType,
	}
	if g.Import != nil {
		e.ImportState = api.ImportStateImported
		if g.Import.Deleted {
			e.ImportState = api.ImportStatePendingImport
		}
		e.ExpirationModel, e.ValidTo = g.Import.ExpirationModel, g.Import.ValidTo
		if g.Import.Description != "" {
			e.KeyMaterialDescription = &g.Import.Description
		}
	}
	return e
}
