package strongroomtest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/strongroomtest"
)

func client(s *strongroomtest.Server, accessKeyID, secret, region string) *awskms.Client {
	return awskms.New(awskms.Options{
		BaseEndpoint: &s.URL, Region: region,
		Credentials: credentials.NewStaticCredentialsProvider(accessKeyID, secret, ""),
	})
}

func TestWithTheSDK(t *testing.T) {
	s := strongroomtest.Start(t)
	kms := client(s, s.AccessKeyID, s.SecretAccessKey, s.Region)
	key, err := kms.CreateKey(t.Context(), &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	id := key.KeyMetadata.KeyId
	encrypted, err := kms.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: id, Plaintext: []byte("hello")})
	if err != nil {
		t.Fatal(err)
	}
	decrypted, err := kms.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: encrypted.CiphertextBlob})
	if err != nil || string(decrypted.Plaintext) != "hello" {
		t.Fatalf("%d bytes, %v", len(decrypted.Plaintext), err)
	}
	// Another secret is refused, another account has none of this.
	if _, err := client(s, s.AccessKeyID, "wrong", s.Region).ListKeys(t.Context(), nil); err == nil {
		t.Error("a wrong secret was let in")
	}
	other := client(s, "444455556666", "any", s.Region)
	if list, err := other.ListKeys(t.Context(), nil); err != nil || len(list.Keys) != 0 {
		t.Errorf("another account: %v, %v", list, err)
	}
	// A waiting period ends when the test says so.
	week := int32(7)
	if _, err := kms.ScheduleKeyDeletion(t.Context(), &awskms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: &week}); err != nil {
		t.Fatal(err)
	}
	s.Advance(8 * 24 * time.Hour)
	var gone *types.NotFoundException
	for deadline := time.Now().Add(20 * time.Second); gone == nil; {
		_, err := kms.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: id})
		if !errors.As(err, &gone) && (err != nil || time.Now().After(deadline)) {
			t.Fatalf("the key is still there: %v", err)
		}
	}
}

func TestOptions(t *testing.T) {
	s := strongroomtest.Start(t, strongroomtest.WithAccount("111122223333"), strongroomtest.WithRegions("eu-west-1", "eu-central-1"))
	if s.Account != "111122223333" || s.Region != "eu-west-1" {
		t.Errorf("%+v", s)
	}
	for _, region := range []string{"eu-west-1", "eu-central-1"} {
		key, err := client(s, s.AccessKeyID, s.SecretAccessKey, region).CreateKey(t.Context(), &awskms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		if want := "arn:aws:kms:" + region + ":111122223333:key/" + *key.KeyMetadata.KeyId; *key.KeyMetadata.Arn != want {
			t.Errorf("%s, want %s", *key.KeyMetadata.Arn, want)
		}
	}
	if _, err := client(s, s.AccessKeyID, s.SecretAccessKey, "us-east-1").ListKeys(t.Context(), nil); err == nil {
		t.Error("a region that the server does not have was served")
	}
}
