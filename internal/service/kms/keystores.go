package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// maxKeyStores is the quota of custom key stores in an account and region.
const maxKeyStores = 10

// mayKeyStores asks for a permission on custom key stores: identity policies alone
// decide, and know of the stores nothing but whose they are.
func (s *Service) mayKeyStores(ctx context.Context, call *authz.Call) error {
	return s.mayInAccount(ctx, call, "", "*", conditionMap{"calleraccount": {call.Principal.Account}})
}

// CreateCustomKeyStore registers a key store: an external one after its proxy has shown
// that it can be used, one of a CloudHSM cluster after its owner has shown who it is.
// The store is not connected.
func (s *Service) CreateCustomKeyStore(ctx context.Context, call *authz.Call, in *api.CreateCustomKeyStoreInput) (*api.CreateCustomKeyStoreOutput, error) {
	if err := s.mayKeyStores(ctx, call); err != nil {
		return nil, err
	}
	if err := s.checkNewKeyStore(in); err != nil {
		return nil, err
	}
	record := keyStoreRecord{
		Account: call.Principal.Account, Region: call.Region, Name: in.CustomKeyStoreName, Created: call.Time,
		State: api.ConnectionStateTypeDisconnected,
	}
	var err error
	if record.ID, err = s.newKeyStoreID(); err != nil {
		return nil, err
	}
	if in.CustomKeyStoreType == api.CustomKeyStoreTypeExternalKeyStore {
		err = s.newExternalStore(ctx, call, in, &record)
	} else {
		err = s.newClusterStore(ctx, call, in, &record)
	}
	if err != nil {
		return nil, err
	}
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateCustomKeyStoreOutput, error) {
		if err := fits(tx, &record, ""); err != nil {
			return nil, err
		}
		in := scope(record.Account, record.Region)
		return &api.CreateCustomKeyStoreOutput{CustomKeyStoreId: record.ID}, keyStoreRecords.Put(tx, in, record.ID, record)
	})
}

// newExternalStore makes what CreateCustomKeyStore asks for, of a proxy.
func (s *Service) newExternalStore(ctx context.Context, call *authz.Call, in *api.CreateCustomKeyStoreInput, record *keyStoreRecord) error {
	record.Proxy = proxyRecord{
		Connectivity: in.XksProxyConnectivity, Endpoint: in.XksProxyUriEndpoint, Path: in.XksProxyUriPath,
		Service: in.XksProxyVpcEndpointServiceName, ServiceOwner: in.XksProxyVpcEndpointServiceOwner,
	}
	if err := s.setCredential(record, in.XksProxyAuthenticationCredential); err != nil {
		return err
	}
	if err := record.Proxy.check(); err != nil {
		return err
	}
	// Before the proxy is asked: what cannot be made need not bother it.
	if err := s.Store.View(ctx, func(r store.Reader) error { return fits(r, record, "") }); err != nil {
		return err
	}
	return s.tryProxy(ctx, call, record)
}

// checkNewKeyStore looks at how the parameters of CreateCustomKeyStore go together.
func (s *Service) checkNewKeyStore(in *api.CreateCustomKeyStoreInput) error {
	external := in.CustomKeyStoreType == api.CustomKeyStoreTypeExternalKeyStore
	hsm := map[string]bool{
		"CloudHsmClusterId": in.CloudHsmClusterId != "", "KeyStorePassword": in.KeyStorePassword != "", "TrustAnchorCertificate": in.TrustAnchorCertificate != "",
	}
	proxy := map[string]bool{
		"XksProxyUriEndpoint": in.XksProxyUriEndpoint != "", "XksProxyUriPath": in.XksProxyUriPath != "",
		"XksProxyAuthenticationCredential": in.XksProxyAuthenticationCredential != nil, "XksProxyConnectivity": in.XksProxyConnectivity != "",
	}
	wanted, unwanted, kind := hsm, proxy, api.CustomKeyStoreTypeAwsCloudhsm
	if external {
		wanted, unwanted, kind = proxy, hsm, api.CustomKeyStoreTypeExternalKeyStore
	} else {
		unwanted["XksProxyVpcEndpointServiceName"] = in.XksProxyVpcEndpointServiceName != ""
		unwanted["XksProxyVpcEndpointServiceOwner"] = in.XksProxyVpcEndpointServiceOwner != ""
	}
	if name := firstMember(wanted, false); name != "" {
		return awserr.Validationf("%s is required for a custom key store with CustomKeyStoreType %s.", name, kind)
	}
	if name := firstMember(unwanted, true); name != "" {
		return errNotFor(name, kind)
	}
	if external && s.ExternalKeys == nil {
		return api.UnsupportedOperationException("External key stores are not available on this server.")
	}
	return nil
}

func errNotFor(member string, kind api.CustomKeyStoreType) error {
	return awserr.Validationf("%s is not valid for a custom key store with CustomKeyStoreType %s.", member, kind)
}

// firstMember returns the first name, in alphabetical order, that is given or not;
// "" if there is none.
func firstMember(members map[string]bool, given bool) string {
	var names []string
	for name, is := range members {
		if is == given {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}

// check looks at the parts of a proxy's address, and at how they go together.
func (p *proxyRecord) check() error {
	host, err := xks.ParseURI(p.Endpoint)
	if err != nil {
		return api.XksProxyInvalidConfigurationException("XksProxyUriEndpoint must be https:// followed by the fully qualified domain name of the external key store proxy.")
	}
	p.Host = host
	if xks.CheckPath(p.Path) != nil {
		return api.XksProxyInvalidConfigurationException("XksProxyUriPath must end with /kms/xks/v1 and must not have empty parts.")
	}
	vpc := p.Connectivity == api.XksProxyConnectivityTypeVpcEndpointService
	switch {
	case vpc && p.Service == "":
		return awserr.Validation("XksProxyVpcEndpointServiceName is required when XksProxyConnectivity is VPC_ENDPOINT_SERVICE.")
	case !vpc && (p.Service != "" || p.ServiceOwner != ""):
		return awserr.Validation("XksProxyVpcEndpointServiceName and XksProxyVpcEndpointServiceOwner are valid only when XksProxyConnectivity is VPC_ENDPOINT_SERVICE.")
	}
	return nil
}

// setCredential seals a credential into a record that has its id.
func (s *Service) setCredential(r *keyStoreRecord, c *api.XksProxyAuthenticationCredentialType) error {
	r.Proxy.AccessKeyID = string(c.AccessKeyId)
	var err error
	r.Proxy.Secret, err = s.KeyStoreSecrets.Seal(s.Rand, secret.Bytes(c.RawSecretAccessKey), r.secretBinding())
	return err
}

// fits tells whether a key store may be as it is beside the others of its account
// and region. except is its own id if it is there already.
func fits(r store.Reader, record *keyStoreRecord, except string) error {
	items, _, err := keyStoreRecords.Scan(r, scope(record.Account, record.Region), "", maxKeyStores+1)
	if err != nil {
		return err
	}
	if except == "" && len(items) >= maxKeyStores {
		return api.LimitExceededException("The quota of 10 custom key stores in an account and Region is used up.")
	}
	p := &record.Proxy
	for _, item := range items {
		other := &item.Value
		if other.ID == except {
			continue
		}
		switch o := &other.Proxy; {
		case other.Name == record.Name:
			return api.CustomKeyStoreNameInUseException("A custom key store with the name " + record.Name + " already exists.")
		case record.Cluster != "" || other.Cluster != "":
			if record.Cluster == other.Cluster {
				return api.CloudHsmClusterInUseException("The AWS CloudHSM cluster " + record.Cluster + " is already associated with a custom key store.")
			}
		case o.Host == p.Host && o.Path == p.Path:
			return api.XksProxyUriInUseException("The XksProxyUriEndpoint and XksProxyUriPath are already associated with another external key store.")
		case o.Host == p.Host && (o.Service != "" || p.Service != ""):
			return api.XksProxyUriEndpointInUseException("The XksProxyUriEndpoint is already associated with another external key store.")
		case o.Service != "" && o.Service == p.Service:
			return api.XksProxyVpcEndpointServiceInUseException("The VPC endpoint service is already associated with another external key store.")
		}
	}
	return nil
}

// tryProxy asks the proxy for its health, with the configuration of the record.
func (s *Service) tryProxy(ctx context.Context, call *authz.Call, r *keyStoreRecord) error {
	return fromProxy(s.health(ctx, r, xksapi.Metadata{Operation: call.Operation, RequestID: call.RequestID}), whileManaging)
}

// health asks the proxy of an external key store, and says in the log when it does not
// serve.
func (s *Service) health(ctx context.Context, r *keyStoreRecord, m xksapi.Metadata) error {
	err := s.askHealth(ctx, r, m)
	if err != nil {
		s.sayUnserved(r, m.Operation, err)
	}
	return err
}

func (s *Service) askHealth(ctx context.Context, r *keyStoreRecord, m xksapi.Metadata) error {
	at, err := s.endpoint(r)
	if err != nil {
		return err
	}
	h, err := s.ExternalKeys.Health(ctx, &at, m)
	if err == nil && !h.Serves() {
		err = fmt.Errorf("%w: none of its key managers serves", xks.ErrUnreachable)
	}
	return err
}

// sayUnserved says what a proxy answered instead of serving. The answer to a caller
// has AWS's words; who runs this server wants to know what it was, and what the proxy
// says of it.
func (s *Service) sayUnserved(r *keyStoreRecord, operation string, err error) {
	said := ""
	var refused *xksapi.Error
	if errors.As(err, &refused) {
		said = refused.Message
	}
	s.Log.Warn("the proxy of an external key store does not serve", "store", r.Name, "host", r.Proxy.Host, "for", operation, "error", err, "proxySays", said)
}

// DescribeCustomKeyStores shows the key stores of the account and region, or one.
func (s *Service) DescribeCustomKeyStores(ctx context.Context, call *authz.Call, in *api.DescribeCustomKeyStoresInput) (*api.DescribeCustomKeyStoresOutput, error) {
	if err := s.mayKeyStores(ctx, call); err != nil {
		return nil, err
	}
	if in.CustomKeyStoreId != "" && in.CustomKeyStoreName != "" {
		return nil, awserr.Validation("You cannot specify both CustomKeyStoreId and CustomKeyStoreName.")
	}
	page, err := s.page(call, in.Limit, in.Marker, 100, 1000)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeCustomKeyStoresOutput{CustomKeyStores: []api.CustomKeyStoresListEntry{}}
	if in.CustomKeyStoreId != "" {
		ks, err := s.findKeyStore(ctx, call, in.CustomKeyStoreId)
		if err != nil {
			return nil, err
		}
		out.CustomKeyStores = append(out.CustomKeyStores, ks.listEntry())
		return out, nil
	}
	err = s.Store.View(ctx, func(r store.Reader) error {
		at := scope(call.Principal.Account, call.Region)
		var items []store.Item[keyStoreRecord]
		var more bool
		var err error
		if in.CustomKeyStoreName != "" {
			items, _, err = keyStoreRecords.ScanIndex(r, at, byName, in.CustomKeyStoreName, "", 1)
			if err == nil && len(items) == 0 {
				err = errNoKeyStore(in.CustomKeyStoreName)
			}
		} else {
			items, more, err = keyStoreRecords.Scan(r, at, page.after, page.limit)
		}
		if err != nil {
			return err
		}
		for _, item := range items {
			out.CustomKeyStores = append(out.CustomKeyStores, item.Value.listEntry())
		}
		out.Truncated, out.NextMarker = page.next(more, lastID(items))
		return nil
	})
	return out, err
}
