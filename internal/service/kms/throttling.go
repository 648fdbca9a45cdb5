package kms

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/clock"
)

// The error of a request that comes too soon.
const (
	ThrottlingCode    = "ThrottlingException"
	ThrottlingMessage = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
)

var errThrottled = awserr.New(ThrottlingCode, ThrottlingMessage)

// Throttle counts a call against the caller's rates and refuses it when it comes
// too soon: it is for the gateway to ask before the operation runs, when
// Limits.Throttle says that there is a rate at all. The caller's account is
// charged, whosever key it uses.
func (s *Service) Throttle(call *authz.Call, in any) error {
	if call.Service != signingName {
		return nil
	}
	m := s.throttle.meters(call.Principal.Account, call.Region)
	first, second := ratesOf(in)
	name := ""
	switch {
	case first < 0 && !m.own[call.Operation].take(call.Time):
		name = call.Operation
	case first >= 0 && !m.shared[first].take(call.Time):
		name = sharedNames[first]
	case second >= 0 && !m.shared[second].take(call.Time):
		name = sharedNames[second]
	default:
		return nil
	}
	s.throttle.count(call.Principal.Account + " " + call.Region + " " + name)
	return errThrottled
}

// ratesOf returns the shared rates that a request counts against: none (below 0),
// one, or two for ReEncrypt across kinds of keys.
func ratesOf(in any) (first, second int) {
	switch in := in.(type) {
	case *api.GenerateDataKeyInput, *api.GenerateDataKeyWithoutPlaintextInput, *api.GenerateRandomInput,
		*api.GenerateMacInput, *api.VerifyMacInput:
		return rateSymmetric, -1
	case *api.EncryptInput:
		return rateOf(string(in.EncryptionAlgorithm)), -1
	case *api.DecryptInput:
		return rateOf(string(in.EncryptionAlgorithm)), -1
	case *api.ReEncryptInput:
		first, second = rateOf(string(in.SourceEncryptionAlgorithm)), rateOf(string(in.DestinationEncryptionAlgorithm))
		if second == first {
			second = -1
		}
		return first, second
	case *api.SignInput:
		return rateOf(string(in.SigningAlgorithm)), -1
	case *api.VerifyInput:
		return rateOf(string(in.SigningAlgorithm)), -1
	case *api.DeriveSharedSecretInput:
		return rateECC, -1
	case *api.EncapsulateInput, *api.DecapsulateInput:
		return rateMLKEM, -1
	case *api.GenerateDataKeyPairInput:
		return pairRate(in.KeyPairSpec), -1
	case *api.GenerateDataKeyPairWithoutPlaintextInput:
		return pairRate(in.KeyPairSpec), -1
	}
	return -1, -1
}

// rateOf is the rate of an algorithm's keys.
func rateOf(algorithm string) int {
	switch {
	case strings.HasPrefix(algorithm, "RSA"):
		return rateRSA
	case strings.HasPrefix(algorithm, "EC"), strings.HasPrefix(algorithm, "ED"), strings.HasPrefix(algorithm, "SM2"):
		return rateECC
	case strings.HasPrefix(algorithm, "ML_DSA"):
		return rateMLDSA
	}
	return rateSymmetric
}

func pairRate(spec api.DataKeyPairSpec) int {
	switch spec {
	case api.DataKeyPairSpecRsa2048:
		return ratePairRSA2048
	case api.DataKeyPairSpecRsa3072:
		return ratePairRSA3072
	case api.DataKeyPairSpecRsa4096:
		return ratePairRSA4096
	case api.DataKeyPairSpecSm2:
		return ratePairSM2
	}
	if strings.HasPrefix(string(spec), "ML_KEM") {
		return ratePairMLKEM
	}
	return ratePairECC
}

// meter lets through so many requests a second, and as many at once after a second
// without any. It is a generic cell rate algorithm: one word, changed without a
// lock, says at which time all that was let through is worked off.
type meter struct {
	interval time.Duration // between requests; 0 lets everything through
	none     bool          // lets nothing through
	worked   atomic.Int64  // Unix time in nanoseconds
}

const (
	meterBurst = time.Second
	// meterSlack is how far a clock that was set back can keep a meter shut.
	meterSlack = time.Second
)

func (m *meter) setRate(perSecond int64) {
	switch {
	case perSecond == 0:
		m.none = true
	case perSecond > 0:
		m.interval = time.Second / time.Duration(perSecond)
	}
}

// take lets a request through or refuses it.
func (m *meter) take(at time.Time) bool {
	if m.none {
		return false
	}
	if m.interval == 0 {
		return true
	}
	now := at.UnixNano()
	for {
		worked := m.worked.Load()
		next := max(worked, now)
		if worked-now > int64(meterBurst+meterSlack) {
			next = now // the clock was set back
		}
		next += int64(m.interval)
		if next-now > int64(meterBurst) {
			return false
		}
		if m.worked.CompareAndSwap(worked, next) {
			return true
		}
	}
}

// meters are those of an account in a Region.
type meters struct {
	shared [sharedRates]meter
	own    map[string]*meter // by operation; never changed
}

// payer is whom meters are kept for.
type payer struct{ account, region string }

// throttle holds the meters of those who call, and says in the log who was refused.
type throttle struct {
	limits *Limits
	log    *slog.Logger
	clock  clock.Clock

	// all is replaced, never changed: finding meters takes no lock.
	all atomic.Pointer[map[payer]*meters]

	mu      sync.Mutex
	stores  map[string]*meter // by the ids of custom key stores
	refused map[string]int
	said    time.Time
}

// mostPayers bounds the meters in memory. Only a dev server, which takes any
// account id, comes near it; then all of them start afresh.
const mostPayers = 4096

func (t *throttle) meters(account, region string) *meters {
	at := payer{account, region}
	if all := t.all.Load(); all != nil {
		if m := (*all)[at]; m != nil {
			return m
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[payer]*meters{}
	if old := t.all.Load(); old != nil {
		if m := (*old)[at]; m != nil {
			return m
		}
		if len(*old) < mostPayers {
			maps.Copy(all, *old)
		}
	}
	m := &meters{own: make(map[string]*meter, len(ownRates))}
	for i, name := range sharedNames {
		m.shared[i].setRate(t.limits.rate(account, region, name))
	}
	for name := range ownRates {
		own := &meter{}
		own.setRate(t.limits.rate(account, region, name))
		m.own[name] = own
	}
	all[at] = m
	t.all.Store(&all)
	return m
}

// forget starts all meters afresh.
func (t *throttle) forget() {
	t.all.Store(nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stores = nil
}

// ofStore is the meter of a custom key store; nil if there are no rates at all.
func (t *throttle) ofStore(ks *keyStore) *meter {
	if !t.limits.Throttle() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.stores[ks.ID]
	if m == nil {
		if t.stores == nil || len(t.stores) >= mostPayers {
			t.stores = map[string]*meter{}
		}
		m = &meter{}
		m.setRate(t.limits.rate(ks.Account, ks.Region, limitStore))
		t.stores[ks.ID] = m
	}
	return m
}

// storeRate counts a use of a key in a custom key store, or of its randomness, against
// the store's own rate.
func (s *Service) storeRate(call *authz.Call, ks *keyStore) error {
	m := s.throttle.ofStore(ks)
	if m == nil || m.take(call.Time) {
		return nil
	}
	s.throttle.count(ks.Account + " " + ks.Region + " " + limitStore + " " + ks.ID)
	return errThrottled
}

const (
	throttledEvery = time.Minute
	// mostNamed bounds what one line of the log names.
	mostNamed = 100
)

// count says in the log, at most once a minute, who was refused how often.
func (t *throttle) count(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused == nil {
		t.refused = map[string]int{}
	}
	if _, known := t.refused[what]; !known && len(t.refused) >= mostNamed {
		what = "others"
	}
	t.refused[what]++
	now := t.clock.Now()
	if now.Sub(t.said) < throttledEvery && !now.Before(t.said) {
		return
	}
	list := make([]string, 0, len(t.refused))
	for _, what := range slices.Sorted(maps.Keys(t.refused)) {
		list = append(list, fmt.Sprintf("%s: %d", what, t.refused[what]))
	}
	t.log.Warn("calls came faster than --limits allows and were refused", "refused", list)
	t.said = now
	clear(t.refused)
}
