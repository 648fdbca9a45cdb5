package xksproxy

import (
	"context"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Problem is a refusal that an operator has to act on.
type Problem struct{ what, hint string }

func (p *Problem) Error() string { return p.what }

// Hint says what to do, or which command to type next; it may be empty.
func (p *Problem) Hint() string { return p.hint }

func refuse(hint, format string, args ...any) error {
	return &Problem{fmt.Sprintf(format, args...), hint}
}

// Offer is a store that an operator makes.
type Offer struct {
	Name            string
	Account, Region string
	// Keys are the ids of the keys to offer.
	Keys  []string
	Rules Rules
}

// Credential is shown once, when it is made.
type Credential struct {
	AccessKeyID string
	Secret      secret.String
}

// Description is a store as operators see it.
type Description struct {
	Name, Path      string
	Account, Region string
	Created         time.Time
	Keys            []string
	Rules           Rules
	Killed          *time.Time
	Credentials     []string // access key ids
}

// Bounds of what an operator configures.
const (
	maxStores      = 1000
	maxKeys        = 1000
	maxCredentials = 5
	maxPatterns    = 100
	maxPattern     = 2048
	maxAccessKeyID = 128
)

var storeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Create makes a store with its first credential.
func (s *Service) Create(ctx context.Context, o Offer) (Description, Credential, error) {
	var none Description
	record := storeRecord{Name: o.Name, Created: s.Clock.Now(), Account: o.Account, Region: o.Region, Rules: o.Rules}
	if !storeName.MatchString(o.Name) {
		return none, Credential{}, refuse("for example: payments-eu", "%q is not the name of a store: 1 to 40 lower-case letters, digits and dashes", o.Name)
	}
	if err := o.Rules.check(); err != nil {
		return none, Credential{}, err
	}
	if err := s.offer(ctx, &record, o.Keys); err != nil {
		return none, Credential{}, err
	}
	c, sealed, err := s.newCredential(o.Name)
	if err != nil {
		return none, c, err
	}
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		items, _, err := storeRecords.Scan(tx, everywhere, "", maxStores)
		if err != nil {
			return err
		}
		if len(items) == maxStores {
			return refuse("strongroom xks delete", "there are %d stores already", maxStores)
		}
		if _, err := storeRecords.Get(tx, everywhere, o.Name); !errors.Is(err, store.ErrNotFound) {
			return errors.Join(err, refuse("strongroom xks show "+o.Name, "there is a store %s already", o.Name))
		}
		fresh := record
		return putCredential(tx, &fresh, c.AccessKeyID, sealed)
	})
	if err != nil {
		return none, Credential{}, err
	}
	record.Credentials = []string{c.AccessKeyID}
	return record.describe(), c, nil
}

// offer checks the keys that a store is to offer, and sets them.
func (s *Service) offer(ctx context.Context, r *storeRecord, ids []string) error {
	if len(ids) == 0 || len(ids) > maxKeys {
		return refuse("aws kms list-keys", "a store offers 1 to %d keys; %d were named", maxKeys, len(ids))
	}
	r.Keys = nil
	for _, id := range ids {
		_, _, _, err := s.Keys.OfferedKey(ctx, r.Account, r.Region, id)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("name keys by their ids: aws kms list-keys", "there is no key %q in account %s and region %s that can be offered: a symmetric encryption key with material in this deployment", id, r.Account, r.Region)
		}
		if err != nil {
			return err
		}
		if !slices.Contains(r.Keys, id) {
			r.Keys = append(r.Keys, id)
		}
	}
	return nil
}

// check refuses rules that let everybody in unasked, and patterns that are none.
func (r *Rules) check() error {
	if !r.TrustKMS && len(r.Principals) == 0 && len(r.KMSKeys) == 0 {
		return refuse("--allow-principal 'arn:aws:iam::111122223333:role/*'; or --trust-kms, if the policies of the other KMS are to decide",
			"nobody is named who may use the store")
	}
	for _, list := range [][]string{r.Principals, r.KMSKeys, r.Operations, r.Services, r.VPCs, r.VPCEndpoints} {
		if len(list) > maxPatterns {
			return refuse("", "a rule has at most %d patterns", maxPatterns)
		}
		for _, p := range list {
			if p == "" || len(p) > maxPattern || !utf8.ValidString(p) {
				return refuse("", "a pattern has 1 to %d bytes of UTF-8", maxPattern)
			}
		}
	}
	return nil
}

// newCredential makes a credential and seals its secret.
func (s *Service) newCredential(storeName string) (Credential, []byte, error) {
	var id [15]byte // 24 characters
	key := make(secret.Bytes, 32)
	defer key.Wipe()
	for _, b := range [][]byte{id[:], key} {
		if _, err := io.ReadFull(s.Rand, b); err != nil {
			return Credential{}, nil, err
		}
	}
	c := Credential{AccessKeyID: base32.StdEncoding.EncodeToString(id[:]), Secret: secret.String(base64.RawStdEncoding.EncodeToString(key))}
	sealed, err := s.Secrets.Seal(s.Rand, secret.Bytes(c.Secret), secretBinding(storeName, c.AccessKeyID))
	return c, sealed, err
}

func putCredential(tx *store.Tx, r *storeRecord, accessKeyID string, sealed []byte) error {
	r.Credentials = append(slices.Clone(r.Credentials), accessKeyID)
	if err := credentialRecords.Put(tx, everywhere, accessKeyID, credentialRecord{Store: r.Name, Created: r.Created, Secret: sealed}); err != nil {
		return err
	}
	return storeRecords.Put(tx, everywhere, r.Name, *r)
}

// change edits a store's record.
func (s *Service) change(ctx context.Context, name string, edit func(tx *store.Tx, r *storeRecord) error) (Description, error) {
	var out Description
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		r, err := storeRecords.Get(tx, everywhere, name)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("strongroom xks list", "there is no store %q", name)
		}
		if err != nil {
			return err
		}
		if err := edit(tx, &r); err != nil {
			return err
		}
		out = r.describe()
		return storeRecords.Put(tx, everywhere, name, r)
	})
	return out, err
}

// AddCredential gives a store one more credential. Those that it has stay good, so
// that the other side can change over.
func (s *Service) AddCredential(ctx context.Context, name string) (Description, Credential, error) {
	c, sealed, err := s.newCredential(name)
	if err != nil {
		return Description{}, c, err
	}
	now := s.Clock.Now()
	d, err := s.change(ctx, name, func(tx *store.Tx, r *storeRecord) error {
		if len(r.Credentials) >= maxCredentials {
			return refuse("strongroom xks remove-credential "+name+" ID", "the store has %d credentials already", maxCredentials)
		}
		r.Credentials = append(slices.Clone(r.Credentials), c.AccessKeyID)
		return credentialRecords.Put(tx, everywhere, c.AccessKeyID, credentialRecord{Store: name, Created: now, Secret: sealed})
	})
	if err != nil {
		return d, Credential{}, err
	}
	return d, c, nil
}

// RemoveCredential takes a credential away. Once it has returned, no request that
// is signed with it is answered. The last one cannot be removed.
func (s *Service) RemoveCredential(ctx context.Context, name, accessKeyID string) (Description, error) {
	return s.change(ctx, name, func(tx *store.Tx, r *storeRecord) error {
		at := slices.Index(r.Credentials, accessKeyID)
		switch {
		case at < 0:
			return refuse("strongroom xks show "+name, "the store %s has no credential %q", name, accessKeyID)
		case len(r.Credentials) == 1:
			return refuse("strongroom xks add-credential "+name+" first; or strongroom xks kill "+name, "this is the store's last credential")
		}
		r.Credentials = slices.Delete(slices.Clone(r.Credentials), at, at+1)
		return credentialRecords.Delete(tx, everywhere, accessKeyID)
	})
}

// Kill switches a store off. Once it has returned, no request is answered that came
// later. It is idempotent.
func (s *Service) Kill(ctx context.Context, name string) (Description, error) {
	now := s.Clock.Now()
	return s.change(ctx, name, func(_ *store.Tx, r *storeRecord) error {
		if r.Killed == nil {
			r.Killed = &now
		}
		return nil
	})
}

// Revive switches a store on again. It is idempotent.
func (s *Service) Revive(ctx context.Context, name string) (Description, error) {
	return s.change(ctx, name, func(_ *store.Tx, r *storeRecord) error {
		r.Killed = nil
		return nil
	})
}

// SetRules replaces a store's rules.
func (s *Service) SetRules(ctx context.Context, name string, rules Rules) (Description, error) {
	if err := rules.check(); err != nil {
		return Description{}, err
	}
	return s.change(ctx, name, func(_ *store.Tx, r *storeRecord) error {
		r.Rules = rules
		return nil
	})
}

// SetKeys replaces the keys that a store offers.
func (s *Service) SetKeys(ctx context.Context, name string, ids []string) (Description, error) {
	d, err := s.Describe(ctx, name)
	if err != nil {
		return d, err
	}
	checked := storeRecord{Account: d.Account, Region: d.Region}
	if err := s.offer(ctx, &checked, ids); err != nil {
		return d, err
	}
	return s.change(ctx, name, func(_ *store.Tx, r *storeRecord) error {
		r.Keys = checked.Keys
		return nil
	})
}

// Delete forgets a store that was killed, and its credentials. Its keys stay.
func (s *Service) Delete(ctx context.Context, name string) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		r, err := storeRecords.Get(tx, everywhere, name)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("strongroom xks list", "there is no store %q", name)
		}
		if err != nil {
			return err
		}
		if r.Killed == nil {
			return refuse("strongroom xks kill "+name+" first, and see that nobody misses it", "the store %s is in service", name)
		}
		for _, id := range r.Credentials {
			if err := credentialRecords.Delete(tx, everywhere, id); err != nil {
				return err
			}
		}
		return storeRecords.Delete(tx, everywhere, name)
	})
}

// Describe shows one store.
func (s *Service) Describe(ctx context.Context, name string) (Description, error) {
	var d Description
	err := s.Store.View(ctx, func(r store.Reader) error {
		record, err := storeRecords.Get(r, everywhere, name)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("strongroom xks list", "there is no store %q", name)
		}
		d = record.describe()
		return err
	})
	return d, err
}

// List shows all stores, by name.
func (s *Service) List(ctx context.Context) ([]Description, error) {
	var list []Description
	err := s.Store.View(ctx, func(r store.Reader) error {
		items, _, err := storeRecords.Scan(r, everywhere, "", maxStores)
		for _, item := range items {
			list = append(list, item.Value.describe())
		}
		return err
	})
	return list, err
}

func (r *storeRecord) describe() Description {
	return Description{
		Name: r.Name, Path: r.path(), Account: r.Account, Region: r.Region, Created: r.Created,
		Keys: r.Keys, Rules: r.Rules, Killed: r.Killed, Credentials: r.Credentials,
	}
}

// Reset deletes every store. Only dev servers offer it.
func (s *Service) Reset(ctx context.Context) error {
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		if _, err := s.Kill(ctx, d.Name); err != nil {
			return err
		}
		if err := s.Delete(ctx, d.Name); err != nil {
			return err
		}
	}
	return nil
}
