package iam

import (
	"context"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// GetAccountSummary counts what the account has, and tells the quotas that hold here.
func (s *Service) GetAccountSummary(ctx context.Context, call *authz.Call, _ *api.GetAccountSummaryInput) (*api.GetAccountSummaryOutput, error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	account := call.Principal.Account
	summary := map[string]int32{
		"AccountMFAEnabled": 0, "AccountPasswordPresent": 0, "AccountSigningCertificatesPresent": 0, "ServerCertificatesQuota": maxServerCertificates,
		"GlobalEndpointTokenVersion": 1,
		"AccessKeysPerUserQuota":     maxAccessKeys, "GroupsPerUserQuota": maxGroups, "VersionsPerPolicyQuota": maxVersions,
		"PolicySizeQuota": maxManaged, "AssumeRolePolicySizeQuota": maxTrust, "InstanceProfilesQuota": maxInstanceProfiles,
		"UserPolicySizeQuota": int32(maxInline[userKind]), "GroupPolicySizeQuota": int32(maxInline[groupKind]), "RolePolicySizeQuota": int32(maxInline[roleKind]),
		"AttachedPoliciesPerUserQuota": maxAttached, "AttachedPoliciesPerGroupQuota": maxAttached, "AttachedPoliciesPerRoleQuota": maxAttached,
	}
	identities, err := allOf(ctx, s, identityRecords, account)
	if err != nil {
		return nil, err
	}
	names := map[kind]string{userKind: "Users", groupKind: "Groups", roleKind: "Roles"}
	for _, name := range names {
		summary[name] = 0
	}
	for _, i := range identities {
		summary[names[i.Value.Kind]]++
	}
	policies, err := allOf(ctx, s, policyRecords, account)
	if err != nil {
		return nil, err
	}
	summary["Policies"], summary["PolicyVersionsInUse"] = int32(len(policies)), 0
	for _, p := range policies {
		summary["PolicyVersionsInUse"] += int32(len(p.Value.Versions))
	}
	devices, err := allOf(ctx, s, mfaRecords, account)
	if err != nil {
		return nil, err
	}
	summary["MFADevices"], summary["MFADevicesInUse"] = int32(len(devices)), 0
	for _, d := range devices {
		if d.Value.User != "" {
			summary["MFADevicesInUse"]++
		}
	}
	err = s.Store.View(ctx, func(r store.Reader) error {
		profiles, _, err := instanceProfileRecords.Scan(r, scopeOf(account), "", maxInstanceProfiles)
		if err != nil {
			return err
		}
		providers, _, err := oidcProviderRecords.Scan(r, scopeOf(account), "", maxProviders)
		if err != nil {
			return err
		}
		samlProviders, _, err := samlProviderRecords.Scan(r, scopeOf(account), "", maxSAMLProviders)
		if err != nil {
			return err
		}
		certificates, _, err := serverCertificateRecords.Scan(r, scopeOf(account), "", maxServerCertificates)
		if err != nil {
			return err
		}
		summary["ServerCertificates"] = int32(len(certificates))
		keys, err := keysOf(r, account, "")
		summary["InstanceProfiles"], summary["Providers"] = int32(len(profiles)), int32(len(providers)+len(samlProviders))
		summary["AccountAccessKeysPresent"] = int32(min(len(keys), 1))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &api.GetAccountSummaryOutput{SummaryMap: summary}, nil
}
