package awskms

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/internal/seal"
)

// table is a KMS that remembers what it has encrypted.
type table struct {
	arn     string
	blobs   []*kms.EncryptInput
	failure error
}

func (k *table) Encrypt(_ context.Context, in *kms.EncryptInput, _ ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	if k.failure != nil {
		return nil, k.failure
	}
	kept := *in
	kept.Plaintext = bytes.Clone(in.Plaintext)
	k.blobs = append(k.blobs, &kept)
	return &kms.EncryptOutput{KeyId: &k.arn, CiphertextBlob: []byte{byte(len(k.blobs) - 1)}}, nil
}

func (k *table) Decrypt(_ context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	switch {
	case k.failure != nil:
		return nil, k.failure
	case len(in.CiphertextBlob) != 1 || int(in.CiphertextBlob[0]) >= len(k.blobs):
		return nil, &types.InvalidCiphertextException{}
	}
	blob := k.blobs[in.CiphertextBlob[0]]
	switch {
	case *in.KeyId != *blob.KeyId:
		return nil, &types.IncorrectKeyException{}
	case !maps.Equal(in.EncryptionContext, blob.EncryptionContext):
		return nil, &types.InvalidCiphertextException{}
	}
	return &kms.DecryptOutput{Plaintext: bytes.Clone(blob.Plaintext), KeyId: &k.arn}, nil
}

const keyARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

func mustCreate(t *testing.T, api API) *Root {
	t.Helper()
	r, err := Create(t.Context(), api, "alias/root")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoot(t *testing.T) {
	ctx := t.Context()
	api := &table{arn: keyARN}
	r := mustCreate(t, api)
	if r.ID() != "aws-kms:"+keyARN {
		t.Errorf("ID %s", r.ID())
	}
	d, slots, err := seal.Create(ctx, r, "deployment-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := api.blobs[len(api.blobs)-1].EncryptionContext; !maps.Equal(got, map[string]string{
		"strongroom:deployment": "deployment-1", "strongroom:domain-key-version": "1"}) {
		t.Errorf("encryption context %v", got)
	}
	opened, err := seal.Open(ctx, Open(api, "alias/root", r.ID()), slots)
	if err != nil || opened.Current() != d.Current() {
		t.Fatalf("opened %v, %v", opened, err)
	}
	if _, err := seal.Open(ctx, Open(api, "alias/other", r.ID()), slots); !errors.Is(err, seal.ErrWrongRoot) {
		t.Errorf("with another key: %v", err)
	}
	api.failure = &types.KMSInvalidStateException{Message: aws.String("it is disabled")}
	if _, err := seal.Open(ctx, r, slots); !errors.Is(err, seal.ErrRootUnreachable) || errors.Is(err, seal.ErrSlotsCorrupt) {
		t.Errorf("with a disabled key: %v", err)
	}
	if _, err := Create(ctx, api, "alias/root"); !errors.Is(err, seal.ErrRootUnreachable) {
		t.Errorf("made of a disabled key: %v", err)
	}
}

// TestAMovedAlias: the key behind the name is another one when the domain key
// rotates. The change fails, and the old slots stay.
func TestAMovedAlias(t *testing.T) {
	api := &table{arn: keyARN}
	r := mustCreate(t, api)
	d, _, err := seal.Create(t.Context(), r, "deployment-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	api.arn += "0"
	if _, err := d.Prepare(t.Context(), []seal.Root{r}, true, nil); !errors.Is(err, seal.ErrWrongRoot) {
		t.Errorf("rotated under another key: %v", err)
	}
}

func TestSettings(t *testing.T) {
	for endpoint, good := range map[string]bool{
		"": true, "https://kms.example.com": true, "http://127.0.0.1:4566": true, "http://localhost:1": true, "http://[::1]:4566": true,
		"http://kms.example.com": false, "http://10.0.0.1": false, "kms.example.com": false, "ftp://x": false,
		"https://user:secret@kms.example.com": false, "://": false,
	} {
		if err := (Settings{Key: "k", Endpoint: endpoint}).Check(); (err == nil) != good {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	if (Settings{}).Check() == nil {
		t.Error("no key is taken")
	}
}
