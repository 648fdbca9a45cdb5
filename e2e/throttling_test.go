package e2e

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

const tooFast = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."

// patientClient is a client that retries as the SDK does by itself, with more
// attempts, and counts the attempts beyond each call's first.
func patientClient(s *binary.Server, account string, retries *atomic.Int64) *kms.Client {
	standard := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 20
		o.RateLimiter = ratelimit.None
	})
	options := devClient(s, account, defaultRegion).Options()
	options.Retryer = counting{standard, retries}
	return kms.New(options)
}

type counting struct {
	*retry.Standard
	retries *atomic.Int64
}

func (c counting) IsErrorRetryable(err error) bool {
	retryable := c.Standard.IsErrorRetryable(err)
	if retryable {
		c.retries.Add(1)
	}
	return retryable
}

// TestThrottledSDKRecovers sends more at once than the limits let through: the
// SDK's own back-off brings all of it home.
func TestThrottledSDKRecovers(t *testing.T) {
	t.Parallel()
	const other = "111122223333"
	s := start(t, "--dev", "--limits", "symmetric=3,"+other+"/symmetric=0,"+other+"/keys=1")
	var retries atomic.Int64
	c := patientClient(s, "test", &retries)
	random := &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)}
	var calls int64
	for calls == 0 || retries.Load() == 0 && calls < 80 { // a slow machine may keep to the limit
		var all sync.WaitGroup
		for range 8 {
			calls++
			all.Go(func() {
				if _, err := c.GenerateRandom(t.Context(), random); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	records, _ := export(t, s)
	var made, refused int64
	for _, r := range records {
		switch {
		case r.EventName == "GenerateRandom" && r.ErrorCode == "":
			made++
		case r.EventName == "GenerateRandom" && r.ErrorCode == "ThrottlingException" && r.ErrorMessage == tooFast:
			refused++
		}
	}
	if refused == 0 || refused != retries.Load() || made != calls {
		t.Errorf("%d retries; the trail has %d refusals and %d calls that were served", retries.Load(), refused, made)
	}
	if !strings.Contains(s.Output(), defaultAccount+" "+defaultRegion+" symmetric: ") {
		t.Error("the log does not say who was refused")
	}

	// Another account has limits of its own.
	theirs := devClient(s, other, defaultRegion)
	_, err := theirs.GenerateRandom(t.Context(), random)
	wantError(t, err, "ThrottlingException", tooFast)
	createKey(t, theirs, nil)
	_, err = theirs.CreateKey(t.Context(), &kms.CreateKeyInput{})
	wantError(t, err, "LimitExceededException", "Key quota for this account in this region is 1 but the current usage is 1.")

	// The faults endpoint brings about the same where nothing is limited.
	key := createKey(t, c, nil)
	dev(t, s, "faults", map[string]any{"faults": []map[string]any{{"operation": "DescribeKey", "error": "ThrottlingException", "count": 3}}})
	plain := devClient(s, "test", defaultRegion)
	_, err = plain.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId})
	wantError(t, err, "ThrottlingException", tooFast)
	retries.Store(0)
	if _, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId}); err != nil || retries.Load() != 2 {
		t.Errorf("after %d retries: %v", retries.Load(), err)
	}
}
