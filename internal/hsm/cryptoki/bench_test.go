//go:build cgo

package cryptoki_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/secret"
)

func TestMain(m *testing.M) { hsmtest.Main(m) }

const benchSessions = 8

// The shape of a comparison: so many calls, by so many callers, in so many rounds.
const (
	roundCalls   = 2048
	roundCallers = 64
	rounds       = 25
)

// BenchmarkAgainstBareCalls compares what callers get from the helper process with
// bare PKCS #11 calls of the same number of sessions: encryptions of 188 bytes, as a
// key in an HSM makes for a plaintext of 96. Rounds of the two take turns, so that
// whatever else the machine does concerns both; "of-bare" is the median round's rate
// through the helper divided by the median bare one's.
func BenchmarkAgainstBareCalls(b *testing.B) {
	soft := hsmtest.MustSoftHSM(b)
	soft.MustToken(b, "token")
	id, aad, text := []byte("key"), make([]byte, 32), make([]byte, 188)
	cfg := soft.Config("token")
	cfg.Sessions = benchSessions
	slot, err := hsm.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := slot.Close(); err != nil {
			b.Error(err)
		}
	}()
	if err := slot.GenerateAES256(b.Context(), id, "key"); err != nil {
		b.Fatal(err)
	}
	encrypt, done := bare(b, soft, id, aad, text)
	defer done()
	through := func() error {
		_, err := slot.EncryptGCM(b.Context(), id, aad, secret.Bytes(text))
		return err
	}
	for b.Loop() {
		var direct, helped []time.Duration
		for range rounds {
			direct = append(direct, round(b, encrypt))
			helped = append(helped, round(b, through))
		}
		slices.Sort(direct)
		slices.Sort(helped)
		b.ReportMetric(roundCalls/direct[rounds/2].Seconds(), "bare/s")
		b.ReportMetric(roundCalls/helped[rounds/2].Seconds(), "helper/s")
		b.ReportMetric(float64(direct[rounds/2])/float64(helped[rounds/2]), "of-bare")
	}
}

// round is how long the callers together take for roundCalls calls.
func round(b *testing.B, call func() error) time.Duration {
	begin := time.Now()
	var wg sync.WaitGroup
	for range roundCallers {
		wg.Go(func() {
			for range roundCalls / roundCallers {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

// bare returns a function that makes the calls that an encryption takes, and nothing
// else, in this process.
func bare(b *testing.B, soft *hsmtest.SoftHSM, id, aad, text []byte) (encrypt func() error, done func()) {
	for _, entry := range soft.Env {
		name, value, _ := strings.Cut(entry, "=")
		b.Setenv(name, value)
	}
	p := pkcs11.New(soft.Module)
	if p == nil {
		b.Fatal("the module cannot be loaded")
	}
	must(b, p.Initialize())
	slots, err := p.GetSlotList(true)
	must(b, err)
	sessions := make(chan pkcs11.SessionHandle, benchSessions)
	var key pkcs11.ObjectHandle
	for i := range benchSessions {
		sh, err := p.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		must(b, err)
		if i == 0 {
			must(b, p.Login(sh, pkcs11.CKU_USER, hsmtest.PIN))
			must(b, p.FindObjectsInit(sh, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, id)}))
			found, _, err := p.FindObjects(sh, 1)
			must(b, err)
			must(b, p.FindObjectsFinal(sh))
			key = found[0]
		}
		sessions <- sh
	}
	encrypt = func() error {
		sh := <-sessions
		defer func() { sessions <- sh }()
		nonce := make([]byte, hsm.NonceSize)
		if _, err := rand.Read(nonce); err != nil {
			return err
		}
		params := pkcs11.NewGCMParams(nonce, aad, 8*hsm.TagSize)
		defer params.Free()
		if err := p.EncryptInit(sh, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
			return err
		}
		_, err := p.Encrypt(sh, text)
		return err
	}
	return encrypt, func() {
		must(b, p.Finalize())
		p.Destroy()
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
