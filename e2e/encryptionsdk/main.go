// Command encryptionsdk encrypts or decrypts its input with the AWS Encryption SDK
// for Go, whose data keys come from KMS. It is a module of its own, so that what
// the SDK brings along is no dependency of Strongroom.
//
//	encryptionsdk encrypt|decrypt KEY[,KEY…] [NAME=VALUE…] <input >output
//
// The first key makes the data key; every key encrypts it, and any of them decrypts
// it. The rest of the arguments are the encryption context. Credentials, region and
// endpoint come from the environment, as with every AWS SDK.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	esdk "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	esdktypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "encryptionsdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: encryptionsdk encrypt|decrypt KEY[,KEY…] [NAME=VALUE…]")
	}
	encryptionContext := map[string]string{}
	for _, arg := range args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		encryptionContext[name] = value
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	ring, err := keyring(ctx, strings.Split(args[1], ","))
	if err != nil {
		return err
	}
	client, err := esdk.NewClient(esdktypes.AwsEncryptionSdkConfig{})
	if err != nil {
		return err
	}
	var output []byte
	switch args[0] {
	case "encrypt":
		out, err := client.Encrypt(ctx, esdktypes.EncryptInput{Plaintext: input, EncryptionContext: encryptionContext, Keyring: ring})
		if err != nil {
			return err
		}
		output = out.Ciphertext
	case "decrypt":
		out, err := client.Decrypt(ctx, esdktypes.DecryptInput{Ciphertext: input, EncryptionContext: encryptionContext, Keyring: ring})
		if err != nil {
			return err
		}
		output = out.Plaintext
	default:
		return fmt.Errorf("there is no %q; there are: encrypt, decrypt", args[0])
	}
	_, err = os.Stdout.Write(output)
	return err
}

// keyring is a KMS keyring for each key, behind one that has them all.
func keyring(ctx context.Context, keys []string) (mpltypes.IKeyring, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	providers, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	if err != nil {
		return nil, err
	}
	var rings []mpltypes.IKeyring
	for _, key := range keys {
		ring, err := providers.CreateAwsKmsKeyring(ctx, mpltypes.CreateAwsKmsKeyringInput{KmsClient: kms.NewFromConfig(cfg), KmsKeyId: key})
		if err != nil {
			return nil, err
		}
		rings = append(rings, ring)
	}
	return providers.CreateMultiKeyring(ctx, mpltypes.CreateMultiKeyringInput{Generator: rings[0], ChildKeyrings: rings[1:]})
}
