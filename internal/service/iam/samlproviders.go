package iam

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	samlProviderType = "saml-provider"
	// maxSAMLProviders is a quota (IAM quotas).
	maxSAMLProviders = 100
	// samlYears is how long a provider is good for whose metadata do not say: AWS shows
	// that date.
	samlYears = 100
)

// samlProviderRecord is a SAML identity provider that an account trusts: what responses
// are verified with. Its id in the collection is its name.
type samlProviderRecord struct {
	Name string `json:"name"`
	// ID is the unique id that AWS puts into the sign-in URL of the provider's own.
	ID         string    `json:"id"`
	Created    time.Time `json:"created"`
	ValidUntil time.Time `json:"validUntil"`
	EntityID   string    `json:"entityId"`
	// Certificates are DER.
	Certificates [][]byte `json:"certificates"`
	// Encrypted says that assertions must be encrypted, which they may be for the
	// private keys.
	Encrypted   bool             `json:"encrypted,omitempty"`
	PrivateKeys []samlPrivateKey `json:"privateKeys,omitempty"`
	Tags        []tag            `json:"tags,omitempty"`
}

// samlMetadataRecord is a provider's metadata as they were given, under the same id; apart,
// because they are long, and not needed to verify a response.
type samlMetadataRecord struct {
	Document []byte `json:"document"`
}

var (
	samlProviderRecords = store.NewCollection[samlProviderRecord]("iam-saml-provider", 1)
	samlMetadataRecords = store.NewCollection[samlMetadataRecord]("iam-saml-metadata", 1)
	samlProviders       = &entity[samlProviderRecord]{
		records: samlProviderRecords,
		tags:    func(r *samlProviderRecord) *[]tag { return &r.Tags },
		missing: func(arn string) *awserr.Error {
			return api.NoSuchEntityException("Manifest not found for arn " + arn)
		},
	}
)

// samlProvider names the provider that a request means by its ARN.
func (s *Service) samlProvider(call *authz.Call, arn string, c conditions) (one, error) {
	if !strings.HasPrefix(arn, "arn:") {
		return one{}, api.InvalidInputException("ARN " + arn + " is not valid.")
	}
	name, ok := strings.CutPrefix(arn, s.arn(call.Principal.Account, samlProviderType, "/", ""))
	if !ok || name == "" || strings.Contains(name, "/") {
		name = "/" // no name: ARNs of other accounts and other things name nothing here
	}
	return one{id: name, name: arn, arn: arn, conditions: c}, nil
}

// describe takes over what a metadata document says of the provider.
func (r *samlProviderRecord) describe(document string, at time.Time) error {
	m, err := saml.ParseMetadata([]byte(document))
	var why *saml.MalformedError
	if errors.As(err, &why) {
		return api.InvalidInputException("Could not parse metadata: " + why.Reason + ".")
	}
	if err != nil {
		return err
	}
	if m.ValidUntil.IsZero() {
		m.ValidUntil = at.AddDate(samlYears, 0, 0)
	}
	if !at.Before(m.ValidUntil) {
		return api.InvalidInputException("Could not parse metadata: they were valid until " + m.ValidUntil.Format(time.RFC3339) + ".")
	}
	r.EntityID, r.ValidUntil, r.Certificates = m.EntityID, m.ValidUntil, nil
	current := false
	for _, c := range m.Certificates {
		r.Certificates = append(r.Certificates, c.Raw)
		current = current || at.Before(c.NotAfter)
	}
	if !current {
		return api.InvalidInputException("Could not parse metadata: all certificates for signing have expired.")
	}
	return nil
}

// CreateSAMLProvider registers an identity provider, whose responses may then assume the
// roles that trust it.
func (s *Service) CreateSAMLProvider(ctx context.Context, call *authz.Call, in *api.CreateSAMLProviderInput) (*api.CreateSAMLProviderOutput, error) {
	account := call.Principal.Account
	arn := s.arn(account, samlProviderType, "/", in.Name)
	tags, err := s.mayCreateEntity(ctx, call, arn, "iam:TagSAMLProvider", in.Tags)
	if err != nil {
		return nil, err
	}
	record := samlProviderRecord{Name: in.Name, Created: now(call), Tags: tags}
	if err := record.describe(in.SAMLMetadataDocument, record.Created); err != nil {
		return nil, err
	}
	if record.ID, err = s.newID("SAMLSP"); err != nil {
		return nil, err
	}
	add, err := s.newSAMLKey(call, &record, in.AddPrivateKey)
	if err != nil {
		return nil, err
	}
	if err := record.encrypt(samlKeyChange{mode: in.AssertionEncryptionMode, add: add}); err != nil {
		return nil, err
	}
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateSAMLProviderOutput, error) {
		_, err := samlProviderRecords.Get(tx, scopeOf(account), in.Name)
		if err == nil {
			return nil, api.EntityAlreadyExistsException("Provider with name " + in.Name + " already exists.")
		}
		if !isNotFound(err) {
			return nil, err
		}
		others, _, err := samlProviderRecords.Scan(tx, scopeOf(account), "", maxSAMLProviders)
		if err != nil {
			return nil, err
		}
		if len(others) >= maxSAMLProviders {
			return nil, quota("SAMLProvidersPerAccount", maxSAMLProviders)
		}
		if err := samlMetadataRecords.Put(tx, scopeOf(account), in.Name, samlMetadataRecord{[]byte(in.SAMLMetadataDocument)}); err != nil {
			return nil, err
		}
		return &api.CreateSAMLProviderOutput{SAMLProviderArn: arn, Tags: shownTags(tags)},
			samlProviderRecords.Put(tx, scopeOf(account), in.Name, record)
	})
}

// GetSAMLProvider returns a provider with its metadata.
func (s *Service) GetSAMLProvider(ctx context.Context, call *authz.Call, in *api.GetSAMLProviderInput) (*api.GetSAMLProviderOutput, error) {
	o, err := s.samlProvider(call, in.SAMLProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return again(func() (*api.GetSAMLProviderOutput, error) {
		item, err := lookupEntity(ctx, s, call, samlProviders, o, nil)
		if err != nil {
			return nil, err
		}
		var metadata samlMetadataRecord
		err = s.Store.View(ctx, func(r store.Reader) error {
			same, err := samlProviderRecords.GetItem(r, scopeOf(call.Principal.Account), o.id)
			if isNotFound(err) || err == nil && same.Version != item.Version {
				return errChanged
			}
			if err == nil {
				metadata, err = samlMetadataRecords.Get(r, scopeOf(call.Principal.Account), o.id)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		r := item.Value
		return &api.GetSAMLProviderOutput{
			SAMLProviderUUID: r.ID, SAMLMetadataDocument: string(metadata.Document), CreateDate: &r.Created, ValidUntil: &r.ValidUntil,
			Tags: listedTags(r.Tags), AssertionEncryptionMode: r.mode(), PrivateKeyList: r.shownKeys(),
		}, nil
	})
}

// ListSAMLProviders lists the account's providers by their names.
func (s *Service) ListSAMLProviders(ctx context.Context, call *authz.Call, _ *api.ListSAMLProvidersInput) (*api.ListSAMLProvidersOutput, error) {
	account := call.Principal.Account
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	all, err := allOf(ctx, s, samlProviderRecords, account)
	if err != nil {
		return nil, err
	}
	out := &api.ListSAMLProvidersOutput{SAMLProviderList: []api.SAMLProviderListEntry{}}
	for _, item := range all {
		out.SAMLProviderList = append(out.SAMLProviderList, api.SAMLProviderListEntry{
			Arn: s.arn(account, samlProviderType, "/", item.ID), ValidUntil: new(item.Value.ValidUntil), CreateDate: new(item.Value.Created),
		})
	}
	return out, nil
}

// UpdateSAMLProvider gives a provider other metadata, another private key or another mode.
// Responses that were signed by a key that is not in the metadata any more are refused
// from then on.
func (s *Service) UpdateSAMLProvider(ctx context.Context, call *authz.Call, in *api.UpdateSAMLProviderInput) (*api.UpdateSAMLProviderOutput, error) {
	o, err := s.samlProvider(call, in.SAMLProviderArn, nil)
	if err != nil {
		return nil, err
	}
	item, err := lookupEntity(ctx, s, call, samlProviders, o, nil)
	if err != nil {
		return nil, err
	}
	if in.AddPrivateKey != "" && in.RemovePrivateKey != "" {
		return nil, api.InvalidInputException("Unable to add and remove private keys in the same request. Set a value for only one of the two parameters.")
	}
	if in.SAMLMetadataDocument == "" && in.AssertionEncryptionMode == "" && in.AddPrivateKey == "" && in.RemovePrivateKey == "" {
		return nil, api.InvalidInputException("Unable to update identity provider. No updates are defined for metadata or encryption assertion.")
	}
	var described samlProviderRecord
	if in.SAMLMetadataDocument != "" {
		if err := described.describe(in.SAMLMetadataDocument, now(call)); err != nil {
			return nil, err
		}
	}
	add, err := s.newSAMLKey(call, &item.Value, in.AddPrivateKey)
	if err != nil {
		return nil, err
	}
	_, err = changeEntity[samlProviderRecord, api.UpdateSAMLProviderOutput](ctx, s, call, samlProviders, o, nil,
		func(tx *store.Tx, r *samlProviderRecord) (*samlProviderRecord, error) {
			if r.ID != item.Value.ID { // made anew since, and the key is sealed for the other one
				return nil, errChanged
			}
			if err := r.encrypt(samlKeyChange{mode: in.AssertionEncryptionMode, add: add, remove: in.RemovePrivateKey}); err != nil {
				return nil, err
			}
			if in.SAMLMetadataDocument == "" {
				return r, nil
			}
			r.EntityID, r.ValidUntil, r.Certificates = described.EntityID, described.ValidUntil, described.Certificates
			return r, samlMetadataRecords.Put(tx, scopeOf(call.Principal.Account), o.id, samlMetadataRecord{[]byte(in.SAMLMetadataDocument)})
		})
	if err != nil {
		return nil, err
	}
	return &api.UpdateSAMLProviderOutput{SAMLProviderArn: in.SAMLProviderArn}, nil
}

// DeleteSAMLProvider ends the trust in a provider. Roles that name it stay as they are.
func (s *Service) DeleteSAMLProvider(ctx context.Context, call *authz.Call, in *api.DeleteSAMLProviderInput) (*api.DeleteSAMLProviderOutput, error) {
	o, err := s.samlProvider(call, in.SAMLProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return changeEntity[samlProviderRecord, api.DeleteSAMLProviderOutput](ctx, s, call, samlProviders, o, nil,
		func(tx *store.Tx, _ *samlProviderRecord) (*samlProviderRecord, error) {
			return nil, samlMetadataRecords.Delete(tx, scopeOf(call.Principal.Account), o.id)
		})
}

// TagSAMLProvider adds tags to a provider, or gives them new values.
func (s *Service) TagSAMLProvider(ctx context.Context, call *authz.Call, in *api.TagSAMLProviderInput) (*api.TagSAMLProviderOutput, error) {
	o, err := s.samlProvider(call, in.SAMLProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return tagEntity[samlProviderRecord, api.TagSAMLProviderOutput](ctx, s, call, samlProviders, o, nil, in.Tags)
}

// UntagSAMLProvider removes tags from a provider.
func (s *Service) UntagSAMLProvider(ctx context.Context, call *authz.Call, in *api.UntagSAMLProviderInput) (*api.UntagSAMLProviderOutput, error) {
	o, err := s.samlProvider(call, in.SAMLProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return untagEntity[samlProviderRecord, api.UntagSAMLProviderOutput](ctx, s, call, samlProviders, o, nil, in.TagKeys)
}

// ListSAMLProviderTags lists a provider's tags by their keys.
func (s *Service) ListSAMLProviderTags(ctx context.Context, call *authz.Call, in *api.ListSAMLProviderTagsInput) (*api.ListSAMLProviderTagsOutput, error) {
	o, err := s.samlProvider(call, in.SAMLProviderArn, nil)
	if err != nil {
		return nil, err
	}
	tags, truncated, marker, err := listEntityTags(ctx, s, call, samlProviders, o, nil, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListSAMLProviderTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, nil
}

// SAMLProvider returns the provider with that ARN; nil if there is none.
func (s *Service) SAMLProvider(ctx context.Context, arn string) (*saml.Provider, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 {
		return nil, nil
	}
	account, name := parts[4], strings.TrimPrefix(parts[5], samlProviderType+"/")
	if arn != s.arn(account, samlProviderType, "/", name) {
		return nil, nil
	}
	var r samlProviderRecord
	err := s.Store.View(ctx, func(reader store.Reader) error {
		var err error
		r, err = samlProviderRecords.Get(reader, scopeOf(account), name)
		return err
	})
	if isNotFound(err) || errors.Is(err, store.ErrKey) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &saml.Provider{
		ARN: arn, Account: account, Name: name, ID: r.ID, Metadata: saml.Metadata{EntityID: r.EntityID, ValidUntil: r.ValidUntil},
		Encrypted: r.Encrypted, PrivateKeys: func() ([]*rsa.PrivateKey, error) { return s.samlKeys(account, &r) },
	}
	for _, der := range r.Certificates {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("iam: a certificate of %s: %w", arn, err)
		}
		p.Certificates = append(p.Certificates, c)
	}
	return p, nil
}
