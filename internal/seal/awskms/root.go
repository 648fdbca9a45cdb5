// Package awskms is a root of trust in another AWS-compatible KMS: AWS's own, or
// another Strongroom.
//
// The domain key is encrypted there with the key that the operator names, under an
// encryption context of the deployment's id and the version of the domain key, so
// that the other side's policies and audit trail can tell what was opened. The key
// and the endpoint come from the operator's settings, never from the data folder:
// whoever can write there must not choose who is asked. Credentials come from the
// SDK's default chain.
//
// The other KMS, and whoever may use that key, can open the domain key. It is
// asked at each start, and when the domain key or its roots change: while it is
// away, a server that runs goes on and none can be started.
package awskms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

// The names in the encryption context.
const (
	ContextDeployment = "strongroom:deployment"
	ContextVersion    = "strongroom:domain-key-version"
)

// patience is how long one request may take, retries included.
const patience = 20 * time.Second

// API is what is asked of the other KMS.
type API interface {
	Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error)
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// Settings say which key, and where.
type Settings struct {
	// Key is a key id, an alias, or the ARN of either; must be set.
	Key string
	// Endpoint is the URL of the KMS; if empty, AWS's own. Plain HTTP is for
	// loopback alone.
	Endpoint string
	// Region is the one that requests are signed for; if empty, the one of Key's
	// ARN or, without one, that of the SDK's default chain.
	Region string
}

// Check says what is wrong with the settings, without asking anybody.
func (s Settings) Check() error {
	if s.Key == "" {
		return errors.New("no key is named")
	}
	if s.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(s.Endpoint)
	if err == nil && u.User != nil {
		return errors.New("credentials do not belong into the URL of a KMS")
	}
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("that is not the URL of a KMS, which looks like https://kms.example.com")
	}
	if u.Scheme == "http" {
		addr, err := netip.ParseAddr(u.Hostname())
		if u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
			return fmt.Errorf("%s is plain HTTP beyond this machine, and would show the domain key to the network", s.Endpoint)
		}
	}
	return nil
}

// Connect returns a client for the KMS of these settings. It asks nobody yet.
func Connect(ctx context.Context, s Settings) (API, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("the AWS settings of this process: %w", err)
	}
	if named, err := arn.Parse(s.Key); err == nil {
		cfg.Region = named.Region
	}
	if s.Region != "" {
		cfg.Region = s.Region
	}
	if cfg.Region == "" {
		return nil, errors.New("no region is named")
	}
	return kms.NewFromConfig(cfg, func(o *kms.Options) {
		if s.Endpoint != "" {
			o.BaseEndpoint = &s.Endpoint
		}
	}), nil
}

// Root is a key of another KMS. It is safe for concurrent use.
type Root struct {
	api API
	key string // as the operator names it
	id  string
}

var _ seal.Root = (*Root)(nil)

// Create returns the root of a key, once the KMS has encrypted and decrypted with
// it: a key that could do one of the two only would lock the deployment in or out.
func Create(ctx context.Context, api API, key string) (*Root, error) {
	r := &Root{api: api, key: key}
	probe := seal.Place{Deployment: "probe", Version: 1}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := api.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("probe"), EncryptionContext: contextOf(probe)})
	if err != nil {
		return nil, r.explain(err)
	}
	if out.KeyId == nil || len(*out.KeyId) > 110 || strings.ContainsFunc(*out.KeyId, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, r.explain(errors.New("its answer names no key"))
	}
	r.id = string(seal.KindAWSKMS) + ":" + *out.KeyId
	opened, err := r.Unwrap(ctx, out.CiphertextBlob, probe)
	if err != nil {
		return nil, err
	}
	if string(opened) != "probe" {
		return nil, r.explain(errors.New("it decrypts to something else than it has encrypted"))
	}
	return r, nil
}

// Open returns the root that the keyslots know as id, by the operator's name of its
// key. Whether they are the same shows when it unwraps.
func Open(api API, key, id string) *Root { return &Root{api: api, key: key, id: id} }

// ID implements [seal.Root]: "aws-kms:" and the key's ARN.
func (r *Root) ID() string { return r.id }

// Describe implements [seal.Root].
func (r *Root) Describe() string { return "the KMS key " + r.key }

// Wrap implements [seal.Root].
func (r *Root) Wrap(ctx context.Context, plaintext secret.Bytes, place seal.Place) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := r.api.Encrypt(ctx, &kms.EncryptInput{KeyId: &r.key, Plaintext: plaintext, EncryptionContext: contextOf(place)})
	if err != nil {
		return nil, r.explain(err)
	}
	if out.KeyId == nil || string(seal.KindAWSKMS)+":"+*out.KeyId != r.id {
		return nil, r.another()
	}
	return out.CiphertextBlob, nil
}

// Unwrap implements [seal.Root].
func (r *Root) Unwrap(ctx context.Context, wrapped []byte, place seal.Place) (secret.Bytes, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := r.api.Decrypt(ctx, &kms.DecryptInput{KeyId: &r.key, CiphertextBlob: wrapped, EncryptionContext: contextOf(place)})
	var incorrect *types.IncorrectKeyException
	var invalid *types.InvalidCiphertextException
	switch {
	case errors.As(err, &incorrect):
		return nil, r.another()
	case errors.As(err, &invalid):
		return nil, seal.ErrUnwrap
	case err != nil:
		return nil, r.explain(err)
	}
	return out.Plaintext, nil
}

func (r *Root) another() error {
	return seal.NewError(
		fmt.Sprintf("the KMS key %s is not the root of this deployment, which is %s", r.key, strings.TrimPrefix(r.id, string(seal.KindAWSKMS)+":")),
		"Name that key with --seal-kms-key, and its KMS with --seal-kms-endpoint. Nothing was changed.", seal.ErrWrongRoot)
}

// explain says of an error of the KMS what to do about it.
func (r *Root) explain(err error) error {
	hint := "Check that the KMS answers, and its endpoint, region and credentials. Nothing was changed."
	var api smithy.APIError
	if errors.As(err, &api) {
		hint = "Look at the key there: it must be enabled, and these credentials need kms:Encrypt and kms:Decrypt on it:\n  aws kms describe-key --key-id " + strconv.Quote(r.key)
		err = fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return seal.NewError(fmt.Sprintf("the KMS cannot be used with the key %s: %v", r.key, err), hint, errors.Join(seal.ErrRootUnreachable, err))
}

func contextOf(place seal.Place) map[string]string {
	return map[string]string{
		ContextDeployment: place.Deployment,
		ContextVersion:    strconv.FormatUint(uint64(place.Version), 10),
	}
}

// Format implements fmt.Formatter.
func (r *Root) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.Describe()) }
