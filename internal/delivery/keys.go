package delivery

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	digestKeyBits = 2048
	// digestKeyLife is how long a key signs.
	digestKeyLife = 365 * 24 * time.Hour
)

// PublicKey verifies digests of a region that were signed in its time.
type PublicKey struct {
	// Value is the RSA public key in PKCS #1 DER.
	Value []byte
	// Fingerprint is 32 hexadecimal digits: the first half of Value's SHA-256.
	Fingerprint string
	// From is the beginning of the day on which it was made.
	From, To time.Time
}

// keyRecord is a key for digests, under its fingerprint in its region's scope.
type keyRecord struct {
	Public []byte    `json:"public"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	// Private is the PKCS #1 private key, sealed.
	Private []byte `json:"private"`
}

var keys = store.NewCollection[keyRecord]("cloudtrail.digestkey", 1)

type digestKey struct {
	PublicKey
	private *rsa.PrivateKey
}

func keyScope(region string) store.Scope {
	return store.Scope{Account: store.Deployment.Account, Region: region}
}

func keyBinding(region, fingerprint string) []byte {
	return []byte("digest-key\x00" + region + "\x00" + fingerprint)
}

func (s *Service) keyRecords(ctx context.Context, region string) (items []store.Item[keyRecord], err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		for after, more := "", true; more; {
			var page []store.Item[keyRecord]
			if page, more, err = keys.Scan(r, keyScope(region), after, 100); err != nil {
				return err
			}
			for _, item := range page {
				items, after = append(items, item), item.ID
			}
		}
		return nil
	})
	slices.SortFunc(items, func(a, b store.Item[keyRecord]) int { return a.Value.From.Compare(b.Value.From) })
	return items, err
}

// PublicKeys returns the keys of a region, oldest first.
func (s *Service) PublicKeys(ctx context.Context, region string) ([]PublicKey, error) {
	items, err := s.keyRecords(ctx, region)
	if err != nil {
		return nil, err
	}
	public := make([]PublicKey, len(items))
	for i, item := range items {
		public[i] = PublicKey{item.Value.Public, item.ID, item.Value.From, item.Value.To}
	}
	return public, nil
}

// digestKey returns the key that signs now in a region, and makes one when there
// is none.
func (s *Service) digestKey(ctx context.Context, region string) (*digestKey, error) {
	s.making.Lock()
	defer s.making.Unlock()
	items, err := s.keyRecords(ctx, region)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	for _, item := range slices.Backward(items) {
		r := item.Value
		if now.Before(r.From) || !now.Before(r.To) {
			continue
		}
		plain, err := s.Secrets.Open(r.Private, keyBinding(region, item.ID))
		if err != nil {
			return nil, err
		}
		defer plain.Wipe()
		private, err := x509.ParsePKCS1PrivateKey(plain)
		return &digestKey{PublicKey{r.Public, item.ID, r.From, r.To}, private}, err
	}
	return s.makeKey(ctx, region, now)
}

func (s *Service) makeKey(ctx context.Context, region string, now time.Time) (*digestKey, error) {
	private, err := rsa.GenerateKey(s.Rand, digestKeyBits)
	if err != nil {
		return nil, err
	}
	r := keyRecord{Public: x509.MarshalPKCS1PublicKey(&private.PublicKey), From: now.Truncate(24 * time.Hour)}
	r.To = r.From.Add(digestKeyLife)
	sum := sha256.Sum256(r.Public)
	fingerprint := hex.EncodeToString(sum[:16])
	plain := secret.Bytes(x509.MarshalPKCS1PrivateKey(private))
	defer plain.Wipe()
	if r.Private, err = s.Secrets.Seal(s.Rand, plain, keyBinding(region, fingerprint)); err != nil {
		return nil, err
	}
	err = s.Store.Update(ctx, func(tx *store.Tx) error { return keys.Put(tx, keyScope(region), fingerprint, r) })
	return &digestKey{PublicKey{r.Public, fingerprint, r.From, r.To}, private}, err
}
