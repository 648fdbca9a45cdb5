package iam

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/oidc"
	"github.com/strongroom/strongroom/internal/store"
)

// Quotas of OpenID Connect providers (IAM quotas).
const (
	maxProviders    = 100
	maxClientIDs    = 100
	maxThumbprints  = 5
	maxClientIDSize = 255
)

// Issuers finds out what an OpenID Connect issuer's certificate is.
type Issuers interface {
	// Thumbprint returns the SHA-1 digest of the top certificate that the issuer's
	// host sends, in lower-case hex. The error wraps oidc.ErrUnreachable or
	// oidc.ErrCertificate.
	Thumbprint(ctx context.Context, issuer string) (string, error)
}

// oidcProviderRecord is an OpenID Connect issuer that an account trusts. Its id in
// the collection is its URL without the scheme, which is also what its ARN ends in.
type oidcProviderRecord struct {
	Host        string    `json:"host"` // "issuer.example.com/path"
	ClientIDs   []string  `json:"clientIds,omitempty"`
	Thumbprints []string  `json:"thumbprints"`
	Created     time.Time `json:"created"`
	Tags        []tag     `json:"tags,omitempty"`
}

const (
	oidcProviderCollection = "iam-oidc-provider"
	oidcProviderType       = "oidc-provider"
)

var (
	oidcProviderRecords = store.NewCollection[oidcProviderRecord](oidcProviderCollection, 1)
	oidcProviders       = &entity[oidcProviderRecord]{
		records: oidcProviderRecords,
		tags:    func(r *oidcProviderRecord) *[]tag { return &r.Tags },
		missing: func(arn string) *awserr.Error {
			return api.NoSuchEntityException("OpenIDConnect Provider not found for arn " + arn)
		},
	}
)

// provider names the provider that a request means by its ARN.
func (s *Service) provider(call *authz.Call, arn string, c conditions) (one, error) {
	host, ok := strings.CutPrefix(arn, s.arn(call.Principal.Account, oidcProviderType, "/", ""))
	if !ok || host == "" {
		host = "-" // no URL: ARNs of other accounts and other things name nothing here
	}
	if !strings.HasPrefix(arn, "arn:") {
		return one{}, api.InvalidInputException("ARN " + arn + " is not valid.")
	}
	return one{id: host, name: arn, arn: arn, conditions: c}, nil
}

const httpsScheme = "https://"

// issuerHost checks the URL of an issuer, and returns it without its scheme.
func issuerHost(text string) (string, error) {
	invalid := api.InvalidInputException("Invalid Open ID Connect Provider URL")
	host, ok := strings.CutPrefix(text, httpsScheme)
	if !ok {
		return "", invalid
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") ||
		u.Host != strings.ToLower(u.Host) || u.String() != text {
		return "", invalid
	}
	for i := range len(host) {
		// What an ARN in a trust policy cannot hold.
		if c := host[i]; c <= ' ' || c > '~' || strings.IndexByte(`*?"'\$`, c) >= 0 {
			return "", invalid
		}
	}
	return host, nil
}

func checkClientIDs(ids []string) error {
	for _, id := range ids {
		if id == "" || len(id) > maxClientIDSize {
			return api.InvalidInputException(fmt.Sprintf("A client ID has 1 to %d characters.", maxClientIDSize))
		}
	}
	if len(ids) > maxClientIDs {
		return quota("ClientIdsPerOpenIdConnectProvider", maxClientIDs)
	}
	return nil
}

var thumbprintForm = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// newThumbprints checks thumbprints and returns them in lower case, each once.
func newThumbprints(given []string) ([]string, error) {
	var all []string
	for _, t := range given {
		if !thumbprintForm.MatchString(t) {
			return nil, api.InvalidInputException("A thumbprint has 40 hexadecimal digits.")
		}
		if t = strings.ToLower(t); !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	if len(all) > maxThumbprints {
		return nil, api.InvalidInputException(fmt.Sprintf("Thumbprint list must contain at most %d entries.", maxThumbprints))
	}
	return all, nil
}

// unique returns a list with each value once.
func unique(list []string) []string {
	var all []string
	for _, v := range list {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// CreateOpenIDConnectProvider registers an issuer, whose tokens may then assume the
// roles that trust it. Without thumbprints the issuer is asked for its own, which
// the machine's roots must vouch for.
func (s *Service) CreateOpenIDConnectProvider(ctx context.Context, call *authz.Call, in *api.CreateOpenIDConnectProviderInput) (*api.CreateOpenIDConnectProviderOutput, error) {
	arn := s.arn(call.Principal.Account, oidcProviderType, "/", strings.TrimPrefix(in.Url, httpsScheme))
	tags, err := s.mayCreateEntity(ctx, call, arn, "iam:TagOpenIDConnectProvider", in.Tags)
	if err != nil {
		return nil, err
	}
	host, err := issuerHost(in.Url)
	if err != nil {
		return nil, err
	}
	record := oidcProviderRecord{Host: host, ClientIDs: unique(in.ClientIDList), Created: now(call), Tags: tags}
	if err := checkClientIDs(record.ClientIDs); err != nil {
		return nil, err
	}
	if record.Thumbprints, err = newThumbprints(in.ThumbprintList); err != nil {
		return nil, err
	}
	if len(record.Thumbprints) == 0 {
		found, err := s.Issuers.Thumbprint(ctx, in.Url)
		switch {
		case errors.Is(err, oidc.ErrCertificate):
			return nil, api.OpenIdIdpCommunicationErrorException("The certificate of the OpenID Connect provider is not signed by a trusted authority. Give its thumbprint.")
		case errors.Is(err, oidc.ErrUnreachable):
			return nil, api.OpenIdIdpCommunicationErrorException("The OpenID Connect provider cannot be reached. Give the thumbprint of its certificate, or try again.")
		case err != nil:
			return nil, err
		}
		record.Thumbprints = []string{found}
	}
	in0 := scopeOf(call.Principal.Account)
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateOpenIDConnectProviderOutput, error) {
		_, err := oidcProviderRecords.Get(tx, in0, host)
		if err == nil {
			return nil, api.EntityAlreadyExistsException("Provider with url " + in.Url + " already exists.")
		}
		if !isNotFound(err) {
			return nil, err
		}
		others, _, err := oidcProviderRecords.Scan(tx, in0, "", maxProviders)
		if err != nil {
			return nil, err
		}
		if len(others) >= maxProviders {
			return nil, quota("OpenIdConnectProvidersPerAccount", maxProviders)
		}
		return &api.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: arn, Tags: shownTags(tags)},
			oidcProviderRecords.Put(tx, in0, host, record)
	})
}

// GetOpenIDConnectProvider returns what is registered of an issuer. Its URL comes
// without the scheme, as AWS answers it.
func (s *Service) GetOpenIDConnectProvider(ctx context.Context, call *authz.Call, in *api.GetOpenIDConnectProviderInput) (*api.GetOpenIDConnectProviderOutput, error) {
	o, err := s.provider(call, in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	item, err := lookupEntity(ctx, s, call, oidcProviders, o, nil)
	if err != nil {
		return nil, err
	}
	r := item.Value
	return &api.GetOpenIDConnectProviderOutput{
		Url: r.Host, ClientIDList: append([]string{}, r.ClientIDs...), ThumbprintList: r.Thumbprints, CreateDate: &r.Created, Tags: shownTags(r.Tags),
	}, nil
}

// ListOpenIDConnectProviders lists the ARNs of the account's providers.
func (s *Service) ListOpenIDConnectProviders(ctx context.Context, call *authz.Call, _ *api.ListOpenIDConnectProvidersInput) (*api.ListOpenIDConnectProvidersOutput, error) {
	account := call.Principal.Account
	if err := s.authorize(ctx, call, "", s.arn(account, oidcProviderType, "/", "*"), nil); err != nil {
		return nil, err
	}
	all, err := allOf(ctx, s, oidcProviderRecords, account)
	if err != nil {
		return nil, err
	}
	out := &api.ListOpenIDConnectProvidersOutput{OpenIDConnectProviderList: []api.OpenIDConnectProviderListEntry{}}
	for _, item := range all {
		out.OpenIDConnectProviderList = append(out.OpenIDConnectProviderList,
			api.OpenIDConnectProviderListEntry{Arn: s.arn(account, oidcProviderType, "/", item.ID)})
	}
	return out, nil
}

// DeleteOpenIDConnectProvider ends the trust in an issuer. One that is not there is
// no error.
func (s *Service) DeleteOpenIDConnectProvider(ctx context.Context, call *authz.Call, in *api.DeleteOpenIDConnectProviderInput) (*api.DeleteOpenIDConnectProviderOutput, error) {
	o, err := s.provider(call, in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	out, err := changeEntity[oidcProviderRecord, api.DeleteOpenIDConnectProviderOutput](ctx, s, call, oidcProviders, o, nil,
		func(*store.Tx, *oidcProviderRecord) (*oidcProviderRecord, error) { return nil, nil })
	if awserr.Code(err) == noSuchEntity {
		return &api.DeleteOpenIDConnectProviderOutput{}, nil
	}
	return out, err
}

// noSuchEntity is the code of what is not there.
var (
	noSuchEntity = api.NoSuchEntityException("").Code
	entityExists = api.EntityAlreadyExistsException("").Code
)

// AddClientIDToOpenIDConnectProvider accepts the tokens of one more audience.
func (s *Service) AddClientIDToOpenIDConnectProvider(ctx context.Context, call *authz.Call, in *api.AddClientIDToOpenIDConnectProviderInput) (*api.AddClientIDToOpenIDConnectProviderOutput, error) {
	o, err := s.provider(call, in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return changeEntity[oidcProviderRecord, api.AddClientIDToOpenIDConnectProviderOutput](ctx, s, call, oidcProviders, o, nil,
		func(_ *store.Tx, r *oidcProviderRecord) (*oidcProviderRecord, error) {
			r.ClientIDs = unique(append(r.ClientIDs, in.ClientID))
			return r, checkClientIDs(r.ClientIDs)
		})
}

// RemoveClientIDFromOpenIDConnectProvider refuses the tokens of an audience.
func (s *Service) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, call *authz.Call, in *api.RemoveClientIDFromOpenIDConnectProviderInput) (*api.RemoveClientIDFromOpenIDConnectProviderOutput, error) {
	o, err := s.provider(call, in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return changeEntity[oidcProviderRecord, api.RemoveClientIDFromOpenIDConnectProviderOutput](ctx, s, call, oidcProviders, o, nil,
		func(_ *store.Tx, r *oidcProviderRecord) (*oidcProviderRecord, error) {
			r.ClientIDs = slices.DeleteFunc(r.ClientIDs, func(id string) bool { return id == in.ClientID })
			return r, nil
		})
}

// UpdateOpenIDConnectProviderThumbprint replaces the thumbprints of an issuer.
func (s *Service) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, call *authz.Call, in *api.UpdateOpenIDConnectProviderThumbprintInput) (*api.UpdateOpenIDConnectProviderThumbprintOutput, error) {
	o, err := s.provider(call, in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return changeEntity[oidcProviderRecord, api.UpdateOpenIDConnectProviderThumbprintOutput](ctx, s, call, oidcProviders, o, nil,
		func(_ *store.Tx, r *oidcProviderRecord) (*oidcProviderRecord, error) {
			var err error
			if r.Thumbprints, err = newThumbprints(in.ThumbprintList); err == nil && len(r.Thumbprints) == 0 {
				err = api.InvalidInputException("Thumbprint list must not be empty.")
			}
			return r, err
		})
}

// TagOpenIDConnectProvider adds tags to a provider, or gives them new values.
func (s *Service) TagOpenIDConnectProvider(ctx context.Context, call *authz.Call, in *api.TagOpenIDConnectProviderInput) (*api.TagOpenIDConnectProviderOutput, error) {
	o, err := s.provider(call, in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return tagEntity[oidcProviderRecord, api.TagOpenIDConnectProviderOutput](ctx, s, call, oidcProviders, o, nil, in.Tags)
}

// UntagOpenIDConnectProvider removes tags from a provider.
func (s *Service) UntagOpenIDConnectProvider(ctx context.Context, call *authz.Call, in *api.UntagOpenIDConnectProviderInput) (*api.UntagOpenIDConnectProviderOutput, error) {
	o, err := s.provider(call, in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	return untagEntity[oidcProviderRecord, api.UntagOpenIDConnectProviderOutput](ctx, s, call, oidcProviders, o, nil, in.TagKeys)
}

// ListOpenIDConnectProviderTags lists a provider's tags by their keys.
func (s *Service) ListOpenIDConnectProviderTags(ctx context.Context, call *authz.Call, in *api.ListOpenIDConnectProviderTagsInput) (*api.ListOpenIDConnectProviderTagsOutput, error) {
	o, err := s.provider(call, in.OpenIDConnectProviderArn, nil)
	if err != nil {
		return nil, err
	}
	tags, truncated, marker, err := listEntityTags(ctx, s, call, oidcProviders, o, nil, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListOpenIDConnectProviderTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, nil
}

// OpenIDProvider returns the issuer of that URL as an account has registered it;
// nil if it has not.
func (s *Service) OpenIDProvider(ctx context.Context, account, issuer string) (*oidc.Issuer, error) {
	host, ok := strings.CutPrefix(issuer, httpsScheme)
	if !ok || host == "" {
		return nil, nil
	}
	var record oidcProviderRecord
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		record, err = oidcProviderRecords.Get(r, scopeOf(account), host)
		return err
	})
	if isNotFound(err) || errors.Is(err, store.ErrKey) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &oidc.Issuer{
		ARN: s.arn(account, oidcProviderType, "/", host), URL: issuer, ClientIDs: record.ClientIDs, Thumbprints: record.Thumbprints,
	}, nil
}
