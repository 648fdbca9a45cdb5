package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/front"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/metrics"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/service/xksproxy"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// checkXKS checks the settings of external key stores, in both directions.
func (c Config) checkXKS() error {
	for _, pair := range []struct{ certSetting, cert, keySetting, key string }{
		{"xks-tls-cert", c.XKSTLSCert, "xks-tls-key", c.XKSTLSKey}, {"xks-cert", c.XKSCert, "xks-key", c.XKSKey},
	} {
		if err := checkPair(pair.certSetting, pair.cert, pair.keySetting, pair.key); err != nil {
			return err
		}
	}
	for _, ca := range []struct{ setting, path string }{{"xks-client-ca", c.XKSClientCA}, {"xks-ca", c.XKSCA}} {
		if ca.path == "" {
			continue
		}
		if _, err := readAuthorities(ca.setting, ca.path, x509.NewCertPool()); err != nil {
			return err
		}
	}
	if _, err := c.xksRoutes(); err != nil {
		return err
	}
	switch {
	case c.XKSListen == "" && (c.XKSTLSCert != "" || c.XKSClientCA != "" || len(c.XKSClientNames) > 0):
		return refuse("xks-listen", "give --xks-listen ADDR too", "there is a certificate or an authority, and nothing to listen on")
	case c.XKSListen != "" && c.XKSTLSCert == "":
		return refuse("xks-tls-cert", "give --xks-tls-cert and --xks-tls-key", "external key stores are offered over TLS alone")
	case c.XKSClientCA == "" && len(c.XKSClientNames) > 0:
		return refuse("xks-client-ca", "give --xks-client-ca FILE too", "the names of certificates say nothing without the authorities that vouch for them")
	}
	if c.XKSListen == "" {
		return nil
	}
	if _, err := loopbackOnly(c.XKSListen); err != nil {
		return refuse("xks-listen", "an address looks like 127.0.0.1:8443, [::1]:8443 or 0.0.0.0:443", "%v", err)
	}
	return nil
}

func checkPair(certSetting, certFile, keySetting, keyFile string) error {
	switch {
	case certFile == "" && keyFile == "":
		return nil
	case keyFile == "":
		return refuse(keySetting, "", "the certificate's private key is missing: --%s and --%s go together", certSetting, keySetting)
	case certFile == "":
		return refuse(certSetting, "", "the key's certificate is missing: --%s and --%s go together", certSetting, keySetting)
	}
	cert, err := readSetting(certSetting, certFile)
	if err != nil {
		return err
	}
	key, err := readSetting(keySetting, keyFile)
	if err != nil {
		return err
	}
	defer clear(key)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return refuse(certSetting, "both files are PEM, the certificate first in its chain and the key without a passphrase",
			"%s and %s are not a certificate and its key: %v", certFile, keyFile, err)
	}
	if err := front.CheckCertificate(pair.Leaf); err != nil {
		return refuse(certSetting, "have one made with an ECDSA key or at least RSA-2048, and SHA-256", "the certificate in %s is too weak: %v", certFile, err)
	}
	return nil
}

// readAuthorities adds the certificates of a file to pool.
func readAuthorities(setting, path string, pool *x509.CertPool) (*x509.CertPool, error) {
	pem, err := readSetting(setting, path)
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, refuse(setting, "", "%s holds no certificate in PEM", path)
	}
	return pool, nil
}

// xksRoutes are the routes to proxies, by name.
func (c Config) xksRoutes() (map[string]string, error) {
	routes := map[string]string{}
	for _, route := range c.XKSRoutes {
		name, address, ok := strings.Cut(strings.TrimSpace(route), "=")
		host, port, err := net.SplitHostPort(address)
		if !ok || name == "" || err != nil || host == "" || port == "" {
			return nil, refuse("xks-route", "a route looks like proxy.example.com=10.0.0.5:8443", "%q is not a name and where it is", route)
		}
		name = strings.ToLower(name)
		if _, twice := routes[name]; twice {
			return nil, refuse("xks-route", "", "%s has two routes", name)
		}
		routes[name] = address
	}
	return routes, nil
}

// xksClient is what uses the proxies of external key stores.
func (c Config) xksClient(inner keyring.Layered, requests *metrics.Proxies) (*xks.Client, error) {
	routes, err := c.xksRoutes()
	if err != nil {
		return nil, err
	}
	cfg := xks.Config{Inner: inner, Clock: machineClock, Routes: routes, Requests: requests}
	if c.XKSCA != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool() // a system without any
		}
		if cfg.Roots, err = readAuthorities("xks-ca", c.XKSCA, roots); err != nil {
			return nil, err
		}
	}
	if c.XKSCert != "" {
		// Read for each handshake, of which there are few: the files may be replaced.
		cfg.Certificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.XKSCert, c.XKSKey)
			return &pair, err
		}
	}
	return xks.New(cfg)
}

// openXKS makes the proxy, which can be managed also while it is not served.
func (s *Server) openXKS(cipher keyring.DetachedCipher) (*xksproxy.Service, error) {
	secrets, err := s.domain.Box(seal.LabelProxyCredentials)
	if err != nil {
		return nil, err
	}
	return xksproxy.New(xksproxy.Config{
		Store: s.store, Keys: s.kms, Cipher: cipher, Secrets: secrets, Clock: s.clock, SignatureClock: machineClock,
		Rand: s.cfg.rand(), Log: s.cfg.Log, Model: "Strongroom",
	})
}

// xksFront is the proxy's listener.
type xksFront struct {
	front    *front.Server
	listener net.Listener
}

// serveXKS listens, if that is asked for.
func (s *Server) serveXKS() error {
	if s.cfg.XKSListen == "" {
		return nil
	}
	config, err := s.xksTLS()
	if err != nil {
		return err
	}
	f, err := front.New(front.Config{Handler: s.bounded(s.xks.Serve), TLS: config, Log: s.cfg.Log, MaxBodyBytes: xksapi.MaxRequest})
	if err != nil {
		return err
	}
	listener, err := listen("--xks-listen", s.cfg.XKSListen)
	if err != nil {
		return err
	}
	s.xksFront = &xksFront{f, listener}
	s.cfg.Log.Info("keys are offered as external key stores", "address", listener.Addr().String())
	go func() {
		if err := f.Serve(listener); err != nil {
			s.cfg.Log.Error("the external key store proxy stopped serving", "error", err)
			s.finish(err)
		}
	}()
	return nil
}

func (f *xksFront) shutdown(ctx context.Context) error {
	if f == nil {
		return nil
	}
	return f.front.Shutdown(ctx)
}

// XKSAddr is where the proxy is served, nil if it is not.
func (s *Server) XKSAddr() net.Addr {
	if s.xksFront == nil {
		return nil
	}
	return s.xksFront.listener.Addr()
}

// xksTLS is the proxy's side of TLS. With a client authority the handshake ends for
// whoever has no certificate of it, or one with another name (specification,
// "Authentication").
func (s *Server) xksTLS() (*tls.Config, error) {
	certificate, err := s.certificate("xks", s.cfg.XKSTLSCert, s.cfg.XKSTLSKey)
	if err != nil {
		return nil, problem("the TLS certificate for external key stores cannot be used", "Check --xks-tls-cert and --xks-tls-key.", err)
	}
	config := front.TLSConfig(certificate)
	if s.cfg.XKSClientCA == "" {
		return config, nil
	}
	if config.ClientCAs, err = readAuthorities("xks-client-ca", s.cfg.XKSClientCA, x509.NewCertPool()); err != nil {
		return nil, err
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	names := s.cfg.XKSClientNames
	config.VerifyConnection = func(state tls.ConnectionState) error {
		leaf := state.PeerCertificates[0]
		if len(names) == 0 || slices.Contains(names, leaf.Subject.CommonName) {
			return nil
		}
		return fmt.Errorf("a client certificate for %q, which is not among those that --xks-client-name has", leaf.Subject.CommonName)
	}
	return config, nil
}

// manageXKS answers the command line.
func (s *Server) manageXKS(ctx context.Context, in admin.XKSRequest) (admin.XKSReply, error) {
	var d xksproxy.Description
	var c xksproxy.Credential
	var err error
	switch in.Verb {
	case "list":
		list, err := s.xks.List(ctx)
		reply := admin.XKSReply{Stores: []admin.XKSStore{}}
		for _, d := range list {
			reply.Stores = append(reply.Stores, xksStore(d))
		}
		return reply, err
	case "show":
		d, err = s.xks.Describe(ctx, in.Store)
	case "create":
		offer := xksproxy.Offer{Name: in.Store, Account: in.Account, Region: in.Region, Keys: in.Keys, Rules: xksRules(in.Rules)}
		if offer.Account == "" {
			offer.Account = s.cfg.Account
		}
		if offer.Region == "" {
			offer.Region = s.cfg.Regions[0]
		}
		d, c, err = s.xks.Create(ctx, offer)
	case "keys":
		d, err = s.xks.SetKeys(ctx, in.Store, in.Keys)
	case "allow":
		d, err = s.xks.SetRules(ctx, in.Store, xksRules(in.Rules))
	case "add-credential":
		d, c, err = s.xks.AddCredential(ctx, in.Store)
	case "remove-credential":
		d, err = s.xks.RemoveCredential(ctx, in.Store, in.AccessKeyID)
	case "kill":
		d, err = s.xks.Kill(ctx, in.Store)
	case "revive":
		d, err = s.xks.Revive(ctx, in.Store)
	case "delete":
		return admin.XKSReply{Stores: []admin.XKSStore{}}, s.xks.Delete(ctx, in.Store)
	default:
		err = fmt.Errorf("server: no verb %q", in.Verb)
	}
	if err != nil {
		return admin.XKSReply{}, err
	}
	reply := admin.XKSReply{Stores: []admin.XKSStore{xksStore(d)}}
	if c.AccessKeyID != "" {
		reply.Credential = &admin.XKSCredential{AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.Secret)}
	}
	return reply, nil
}

func xksRules(r *admin.XKSRules) xksproxy.Rules {
	if r == nil {
		return xksproxy.Rules{}
	}
	return xksproxy.Rules(*r)
}

func xksStore(d xksproxy.Description) admin.XKSStore {
	return admin.XKSStore{
		Name: d.Name, Path: d.Path, Account: d.Account, Region: d.Region, Created: d.Created,
		Keys: d.Keys, Rules: admin.XKSRules(d.Rules), Killed: d.Killed, Credentials: d.Credentials,
	}
}
