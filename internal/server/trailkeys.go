package server

import (
	"context"
	"fmt"

	kmsapi "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/secret"
)

// trailKeys makes the data keys of trails: KMS is asked in CloudTrail's own name, so
// that the key's policy decides and the trail shows it.
type trailKeys struct{ gate *gateway.Gateway }

const trailPrincipal = "cloudtrail.amazonaws.com"

// DataKey implements [delivery.Keys].
func (k *trailKeys) DataKey(ctx context.Context, t *delivery.Trail) (secret.Bytes, []byte, map[string]string, error) {
	out, err := k.generate(ctx, t, t.Key)
	if err != nil {
		return nil, nil, nil, err
	}
	return secret.Bytes(out.Plaintext), out.CiphertextBlob, delivery.Context(trailARN(t)), nil
}

// Try implements the trail service's Keys.
func (k *trailKeys) Try(ctx context.Context, t *delivery.Trail, key string) (string, error) {
	out, err := k.generate(ctx, t, key)
	if err != nil {
		return "", err
	}
	clear(out.Plaintext)
	return out.KeyId, nil
}

func (k *trailKeys) generate(ctx context.Context, t *delivery.Trail, key string) (*kmsapi.GenerateDataKeyOutput, error) {
	own := authz.OwnCall{Service: trailPrincipal, SourceARN: trailARN(t), Account: t.Account, Region: t.Region}
	out, err := k.gate.InvokeOwn(ctx, own, "kms", "GenerateDataKey", &kmsapi.GenerateDataKeyInput{
		KeyId: key, KeySpec: kmsapi.DataKeySpecAes256, EncryptionContext: delivery.Context(trailARN(t)),
	})
	if err != nil {
		return nil, err
	}
	made, ok := out.(*kmsapi.GenerateDataKeyOutput)
	if !ok {
		return nil, fmt.Errorf("GenerateDataKey answered a %T", out)
	}
	return made, nil
}

func trailARN(t *delivery.Trail) string {
	return delivery.ARN(authz.PartitionOf(t.Region), t.Region, t.Account, t.Name)
}
