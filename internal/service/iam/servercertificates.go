package iam

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	serverCertificateType = "server-certificate"
	// maxServerCertificates is a quota (IAM quotas), maxChain bounds the certificates of
	// a chain, and its text in bytes: a record holds it.
	maxServerCertificates = 20
	maxChain              = 10
	maxChainText          = 256 << 10
)

// serverCertificateRecord is a server certificate. Its id in the collection is the name
// in lower case.
type serverCertificateRecord struct {
	Name     string    `json:"name"`
	Path     string    `json:"path"`
	ID       string    `json:"id"`
	Uploaded time.Time `json:"uploaded"`
	Expires  time.Time `json:"expires"`
	// Body and Chain are PEM, as they were given.
	Body  string `json:"body"`
	Chain string `json:"chain,omitempty"`
	// Key is the private key in PEM, sealed. Nobody is ever answered it.
	Key  []byte `json:"key"`
	Tags []tag  `json:"tags,omitempty"`
}

var (
	serverCertificateRecords = store.NewCollection[serverCertificateRecord]("iam-server-certificate", 1)
	serverCertificates       = &entity[serverCertificateRecord]{
		records: serverCertificateRecords,
		tags:    func(r *serverCertificateRecord) *[]tag { return &r.Tags },
		missing: func(name string) *awserr.Error {
			return api.NoSuchEntityException("The Server Certificate with name " + name + " cannot be found.")
		},
	}
)

// serverCertificate names the certificate that a request means, and what its ARN is once
// it is found.
func (s *Service) serverCertificate(call *authz.Call, name string) (one, func(*serverCertificateRecord) string) {
	account := call.Principal.Account
	o := one{id: strings.ToLower(name), name: name, arn: s.arn(account, serverCertificateType, "/", name)}
	return o, func(r *serverCertificateRecord) string {
		if r.Name != name {
			return ""
		}
		return s.certificateARN(account, r)
	}
}

func (s *Service) certificateARN(account string, r *serverCertificateRecord) string {
	return s.arn(account, serverCertificateType, r.Path, r.Name)
}

func (s *Service) shownCertificate(account string, r *serverCertificateRecord) *api.ServerCertificateMetadata {
	return &api.ServerCertificateMetadata{
		Path: r.Path, ServerCertificateName: r.Name, ServerCertificateId: r.ID, Arn: s.certificateARN(account, r),
		UploadDate: new(r.Uploaded), Expiration: new(r.Expires),
	}
}

// checkCertificate checks that a certificate is one, that the key is its own, and that
// each of the chain has signed the one before it. It returns when the certificate ends.
func checkCertificate(body, chain string, key secret.Bytes) (time.Time, error) {
	block, rest := pem.Decode([]byte(body))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) != 0 {
		return time.Time{}, api.MalformedCertificateException("The certificate body is not one certificate in PEM.")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, api.MalformedCertificateException("The certificate body cannot be parsed as an X.509 certificate.")
	}
	if !holds(key, leaf.PublicKey) {
		return time.Time{}, api.KeyPairMismatchException("Private key doesn't match certificate.")
	}
	if len(chain) > maxChainText {
		return time.Time{}, api.MalformedCertificateException("The certificate chain is too long.")
	}
	issued, n := leaf, 0
	for text := []byte(chain); len(bytes.TrimSpace(text)) != 0; n++ {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" || n == maxChain {
			return time.Time{}, api.MalformedCertificateException("The certificate chain is not a list of certificates in PEM.")
		}
		issuer, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, api.MalformedCertificateException("The certificate chain cannot be parsed as X.509 certificates.")
		}
		if err := issued.CheckSignatureFrom(issuer); err != nil {
			return time.Time{}, api.MalformedCertificateException("The certificate chain is not in order: each certificate must have signed the one before it.")
		}
		issued, text = issuer, rest
	}
	return leaf.NotAfter.UTC(), nil
}

// holds reports whether a private key in PEM is that of a public key.
func holds(key secret.Bytes, public any) bool {
	block, rest := pem.Decode(key)
	if block != nil && block.Type == "EC PARAMETERS" { // which OpenSSL puts before
		block, rest = pem.Decode(rest)
	}
	if block == nil || len(bytes.TrimSpace(rest)) != 0 {
		return false
	}
	defer clear(block.Bytes)
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return false
	}
	signer, ok := private.(crypto.Signer)
	if err != nil || !ok {
		return false
	}
	same, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && same.Equal(public)
}

func certificateBinding(account, id string) []byte {
	return []byte("server-certificate/" + account + "/" + id)
}

// UploadServerCertificate keeps a certificate with its private key.
func (s *Service) UploadServerCertificate(ctx context.Context, call *authz.Call, in *api.UploadServerCertificateInput) (*api.UploadServerCertificateOutput, error) {
	account := call.Principal.Account
	record := serverCertificateRecord{Name: in.ServerCertificateName, Path: pathOr(in.Path), Uploaded: now(call), Body: in.CertificateBody, Chain: in.CertificateChain}
	var err error
	if record.Tags, err = s.mayCreateEntity(ctx, call, s.certificateARN(account, &record), "iam:TagServerCertificate", in.Tags); err != nil {
		return nil, err
	}
	private := secret.Bytes(in.PrivateKey)
	defer private.Wipe()
	if record.Expires, err = checkCertificate(in.CertificateBody, in.CertificateChain, private); err != nil {
		return nil, err
	}
	if record.ID, err = s.newID("ASCA"); err != nil {
		return nil, err
	}
	if record.Key, err = s.Secrets.Seal(s.Rand, private, certificateBinding(account, record.ID)); err != nil {
		return nil, err
	}
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.UploadServerCertificateOutput, error) {
		if err := certificateFree(tx, account, record.Name); err != nil {
			return nil, err
		}
		others, _, err := serverCertificateRecords.Scan(tx, scopeOf(account), "", maxServerCertificates)
		if err != nil {
			return nil, err
		}
		if len(others) >= maxServerCertificates {
			return nil, quota("ServerCertificatesPerAccount", maxServerCertificates)
		}
		return &api.UploadServerCertificateOutput{ServerCertificateMetadata: s.shownCertificate(account, &record), Tags: shownTags(record.Tags)},
			serverCertificateRecords.Put(tx, scopeOf(account), strings.ToLower(record.Name), record)
	})
}

func certificateFree(r store.Reader, account, name string) error {
	_, err := serverCertificateRecords.Get(r, scopeOf(account), strings.ToLower(name))
	if err == nil {
		return api.EntityAlreadyExistsException("The Server Certificate with name " + name + " already exists.")
	}
	if isNotFound(err) {
		return nil
	}
	return err
}

// GetServerCertificate returns a certificate without its private key.
func (s *Service) GetServerCertificate(ctx context.Context, call *authz.Call, in *api.GetServerCertificateInput) (*api.GetServerCertificateOutput, error) {
	o, arn := s.serverCertificate(call, in.ServerCertificateName)
	item, err := lookupEntity(ctx, s, call, serverCertificates, o, arn)
	if err != nil {
		return nil, err
	}
	r := &item.Value
	return &api.GetServerCertificateOutput{ServerCertificate: &api.ServerCertificate{
		ServerCertificateMetadata: s.shownCertificate(call.Principal.Account, r), CertificateBody: r.Body, CertificateChain: r.Chain, Tags: shownTags(r.Tags),
	}}, nil
}

// ListServerCertificates lists the account's certificates by their names.
func (s *Service) ListServerCertificates(ctx context.Context, call *authz.Call, in *api.ListServerCertificatesInput) (*api.ListServerCertificatesOutput, error) {
	account, prefix := call.Principal.Account, pathOr(in.PathPrefix)
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	all, err := allOf(ctx, s, serverCertificateRecords, account)
	if err != nil {
		return nil, err
	}
	var listed []store.Item[serverCertificateRecord]
	for _, item := range all {
		if strings.HasPrefix(item.Value.Path, prefix) {
			listed = append(listed, item)
		}
	}
	listed, truncated, marker := cut(p, listed, func(i store.Item[serverCertificateRecord]) string { return i.ID })
	out := &api.ListServerCertificatesOutput{ServerCertificateMetadataList: []api.ServerCertificateMetadata{}, IsTruncated: truncated, Marker: marker}
	for _, item := range listed {
		out.ServerCertificateMetadataList = append(out.ServerCertificateMetadataList, *s.shownCertificate(account, &item.Value))
	}
	return out, nil
}

// UpdateServerCertificate renames a certificate or moves it to another path. The
// permission is needed on what it was and on what it becomes.
func (s *Service) UpdateServerCertificate(ctx context.Context, call *authz.Call, in *api.UpdateServerCertificateInput) (*api.UpdateServerCertificateOutput, error) {
	account := call.Principal.Account
	o, arn := s.serverCertificate(call, in.ServerCertificateName)
	becomes := func(r *serverCertificateRecord) {
		if in.NewServerCertificateName != "" {
			r.Name = in.NewServerCertificateName
		}
		if in.NewPath != "" {
			r.Path = in.NewPath
		}
	}
	item, err := lookupEntity(ctx, s, call, serverCertificates, o, arn)
	if err != nil {
		return nil, err
	}
	after := item.Value
	becomes(&after)
	if err := s.authorize(ctx, call, "", s.certificateARN(account, &after), resourceTags(after.Tags)); err != nil {
		return nil, err
	}
	return changeEntity[serverCertificateRecord, api.UpdateServerCertificateOutput](ctx, s, call, serverCertificates, o, arn,
		func(tx *store.Tx, r *serverCertificateRecord) (*serverCertificateRecord, error) {
			if r.ID != item.Value.ID || r.Path != item.Value.Path {
				return nil, errChanged
			}
			before := strings.ToLower(r.Name)
			becomes(r)
			key := strings.ToLower(r.Name)
			if key == before {
				return r, nil
			}
			if err := certificateFree(tx, account, r.Name); err != nil {
				return nil, err
			}
			return nil, serverCertificateRecords.Put(tx, scopeOf(account), key, *r) // and the record of the old name goes
		})
}

// DeleteServerCertificate deletes a certificate and its private key.
func (s *Service) DeleteServerCertificate(ctx context.Context, call *authz.Call, in *api.DeleteServerCertificateInput) (*api.DeleteServerCertificateOutput, error) {
	o, arn := s.serverCertificate(call, in.ServerCertificateName)
	return changeEntity[serverCertificateRecord, api.DeleteServerCertificateOutput](ctx, s, call, serverCertificates, o, arn,
		func(*store.Tx, *serverCertificateRecord) (*serverCertificateRecord, error) { return nil, nil })
}

// TagServerCertificate adds tags to a certificate, or gives them new values.
func (s *Service) TagServerCertificate(ctx context.Context, call *authz.Call, in *api.TagServerCertificateInput) (*api.TagServerCertificateOutput, error) {
	o, arn := s.serverCertificate(call, in.ServerCertificateName)
	return tagEntity[serverCertificateRecord, api.TagServerCertificateOutput](ctx, s, call, serverCertificates, o, arn, in.Tags)
}

// UntagServerCertificate removes tags from a certificate.
func (s *Service) UntagServerCertificate(ctx context.Context, call *authz.Call, in *api.UntagServerCertificateInput) (*api.UntagServerCertificateOutput, error) {
	o, arn := s.serverCertificate(call, in.ServerCertificateName)
	return untagEntity[serverCertificateRecord, api.UntagServerCertificateOutput](ctx, s, call, serverCertificates, o, arn, in.TagKeys)
}

// ListServerCertificateTags lists a certificate's tags by their keys.
func (s *Service) ListServerCertificateTags(ctx context.Context, call *authz.Call, in *api.ListServerCertificateTagsInput) (*api.ListServerCertificateTagsOutput, error) {
	o, arn := s.serverCertificate(call, in.ServerCertificateName)
	tags, truncated, marker, err := listEntityTags(ctx, s, call, serverCertificates, o, arn, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListServerCertificateTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, nil
}
