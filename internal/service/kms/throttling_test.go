package kms

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
)

func TestMeter(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	let := func(m *meter, at time.Duration, n int) (through int) {
		for range n {
			if m.take(start.Add(at)) {
				through++
			}
		}
		return through
	}
	m := &meter{}
	m.setRate(10)
	for _, step := range []struct {
		at            time.Duration
		asked, passed int
	}{
		{0, 25, 10},                      // a second's worth at once
		{99 * time.Millisecond, 5, 0},    // none is worked off
		{100 * time.Millisecond, 5, 1},   // one is
		{450 * time.Millisecond, 5, 3},   // three more
		{time.Hour, 25, 10},              // no more than a second's worth is saved up
		{time.Hour - time.Minute, 3, 3},  // a clock that was set back does not shut it
		{time.Hour - time.Minute, 20, 7}, // nor open it
	} {
		if got := let(m, step.at, step.asked); got != step.passed {
			t.Errorf("after %s: %d of %d, want %d", step.at, got, step.asked, step.passed)
		}
	}
	for rate, want := range map[int64]int{0: 0, unlimited: 50, 1: 1, largestLimit: 50} {
		m := &meter{}
		m.setRate(rate)
		if got := let(m, 0, 50); got != want {
			t.Errorf("rate %d: %d of 50, want %d", rate, got, want)
		}
	}
}

// TestMeterLetsNoMoreThroughToMany: a thousand at one instant, from eight sides.
func TestMeterLetsNoMoreThroughToMany(t *testing.T) {
	m := &meter{}
	m.setRate(100)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var through atomic.Int64
	var sides sync.WaitGroup
	for range 8 {
		sides.Go(func() {
			for range 125 {
				if m.take(at) {
					through.Add(1)
				}
			}
		})
	}
	sides.Wait()
	if through.Load() != 100 {
		t.Errorf("%d, want 100", through.Load())
	}
}

// throttled returns a harness with limits, whose gateway asks Throttle.
func throttled(t *testing.T, limits ...string) *harness {
	t.Helper()
	h := newHarness(t)
	h.config.Limits = mustLimits(t, limits...)
	h.restart()
	h.gateway.Throttle = h.service.Throttle
	return h
}

func TestThrottlingByOperation(t *testing.T) {
	h := throttled(t, "aws", "symmetric=3", "DescribeKey=2", other+"/symmetric=1")
	id, arn := h.keyID()
	h.journal.taken(t)
	in := m{"KeyId": id, "Plaintext": plaintextBase64}
	for range 2 {
		h.ok(root, "DescribeKey", m{"KeyId": id})
	}
	h.fails(root, "DescribeKey", m{"KeyId": id}, ThrottlingCode, ThrottlingMessage)
	// A rate is shared by operations and by the principals of an account, and a call
	// counts whether it succeeds or not.
	h.ok(root, "Encrypt", in)
	h.ok(root, "GenerateRandom", m{"NumberOfBytes": 1})
	h.fails(user, "Encrypt", m{"KeyId": "foo", "Plaintext": plaintextBase64}, "NotFoundException", "Invalid keyId 'foo'")
	h.journal.taken(t)
	a := h.send(user, "Encrypt", in)
	if a.status != 400 || a.code != "ThrottlingException" || a.message != "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls." {
		t.Errorf("%+v", a)
	}
	record := h.only()
	if record["errorCode"] != ThrottlingCode || record["errorMessage"] != ThrottlingMessage || record["eventName"] != "Encrypt" ||
		record["requestParameters"].(m)["keyId"] != id || record["responseElements"] != nil {
		t.Errorf("the record: %v", record)
	}
	// What is not valid does not count, and is told apart.
	h.fails(root, "Encrypt", m{"KeyId": id}, "ValidationException", "1 validation error detected: Value null at 'plaintext' failed to satisfy constraint: Member must not be null")
	// Another account, with a rate of its own, and another region.
	h.fails(foreignRoot, "Encrypt", m{"KeyId": arn, "Plaintext": plaintextBase64}, "AccessDeniedException", h.send(foreignRoot, "DescribeKey", m{"KeyId": arn}).denied("Encrypt"))
	h.fails(foreignRoot, "GenerateRandom", m{"NumberOfBytes": 1}, ThrottlingCode, ThrottlingMessage)
	h.region = second
	h.ok(root, "GenerateRandom", m{"NumberOfBytes": 1})
	h.region = region
	// It passes with time.
	h.clock.Advance(334 * time.Millisecond)
	h.ok(root, "Encrypt", in)
	h.fails(root, "Encrypt", in, ThrottlingCode, ThrottlingMessage)
}

// denied is the text of a denial with another operation in it.
func (a answer) denied(operation string) string {
	return strings.ReplaceAll(a.message, "DescribeKey", operation)
}

func TestRatesByKindOfKey(t *testing.T) {
	for _, c := range []struct {
		in            any
		first, second string
	}{
		{&api.EncryptInput{}, "symmetric", ""},
		{&api.EncryptInput{EncryptionAlgorithm: "RSAES_OAEP_SHA_1"}, "rsa", ""},
		{&api.DecryptInput{EncryptionAlgorithm: "SYMMETRIC_DEFAULT"}, "symmetric", ""},
		{&api.DecryptInput{EncryptionAlgorithm: "SM2PKE"}, "ecc", ""},
		{&api.ReEncryptInput{}, "symmetric", ""},
		{&api.ReEncryptInput{DestinationEncryptionAlgorithm: "RSAES_OAEP_SHA_256"}, "symmetric", "rsa"},
		{&api.SignInput{SigningAlgorithm: "RSASSA_PSS_SHA_256"}, "rsa", ""},
		{&api.SignInput{SigningAlgorithm: "ECDSA_SHA_256"}, "ecc", ""},
		{&api.VerifyInput{SigningAlgorithm: "ED25519_SHA_512"}, "ecc", ""},
		{&api.VerifyInput{SigningAlgorithm: "ML_DSA_SHAKE_256"}, "ml-dsa", ""},
		{&api.VerifyInput{SigningAlgorithm: "SM2DSA"}, "ecc", ""},
		{&api.DeriveSharedSecretInput{}, "ecc", ""},
		{&api.DecapsulateInput{}, "ml-kem", ""},
		{&api.GenerateDataKeyPairInput{KeyPairSpec: "RSA_2048"}, "pair-rsa-2048", ""},
		{&api.GenerateDataKeyPairInput{KeyPairSpec: "RSA_3072"}, "pair-rsa-3072", ""},
		{&api.GenerateDataKeyPairInput{KeyPairSpec: "RSA_4096"}, "pair-rsa-4096", ""},
		{&api.GenerateDataKeyPairInput{KeyPairSpec: "SM2"}, "pair-sm2", ""},
		{&api.GenerateDataKeyPairInput{KeyPairSpec: "ML_KEM_768"}, "pair-ml-kem", ""},
		{&api.GenerateDataKeyPairWithoutPlaintextInput{KeyPairSpec: "ECC_NIST_EDWARDS25519"}, "pair-ecc", ""},
		{&api.CreateKeyInput{}, "", ""},
	} {
		name := func(i int) string {
			if i < 0 {
				return ""
			}
			return sharedNames[i]
		}
		if first, second := ratesOf(c.in); name(first) != c.first || name(second) != c.second {
			t.Errorf("%T %+v: %s, %s; want %s, %s", c.in, c.in, name(first), name(second), c.first, c.second)
		}
	}
}

func TestThrottlingIsSaidInTheLog(t *testing.T) {
	h := throttled(t, "ListKeys=1")
	for range 4 {
		h.send(root, "ListKeys", m{})
	}
	h.clock.Advance(59 * time.Second)
	h.ok(root, "ListKeys", m{})
	h.send(root, "ListKeys", m{})
	if n := strings.Count(h.log.String(), "\n"); n != 1 || !strings.Contains(h.log.String(), account+" us-east-1 ListKeys: 1") {
		t.Errorf("within a minute: %s", h.log)
	}
	h.clock.Advance(2 * time.Second)
	h.ok(root, "ListKeys", m{})
	h.send(root, "ListKeys", m{})
	if !strings.Contains(h.log.String(), account+" us-east-1 ListKeys: 4") {
		t.Errorf("after it: %s", h.log)
	}
}

// TestMetersAreBounded: a dev server takes any account.
func TestMetersAreBounded(t *testing.T) {
	h := throttled(t, "aws")
	many := map[payer]*meters{}
	for i := range mostPayers - 1 {
		many[payer{fmt.Sprintf("%012d", i), region}] = &meters{}
	}
	h.service.throttle.all.Store(&many)
	for i, want := range []int{mostPayers, mostPayers, 1, 2} {
		call := &authz.Call{Service: "kms", Operation: "CreateKey", Region: region, Time: h.clock.Now()}
		call.Principal.Account = fmt.Sprintf("9%011d", max(i, 1))
		if err := h.service.Throttle(call, &api.CreateKeyInput{}); err != nil {
			t.Fatal(err)
		}
		if n := len(*h.service.throttle.all.Load()); n != want {
			t.Errorf("after %d: %d, want %d", i, n, want)
		}
	}
	if err := h.service.Throttle(&authz.Call{Service: "sts", Operation: "GetCallerIdentity"}, nil); err != nil {
		t.Errorf("another service's call: %v", err)
	}
}
