package iam

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// identity is a user, group or role as a call finds it.
type identity struct {
	identityRecord
	ARN     string
	version uint64
}

// idPrefixes begin the unique ids (IAM User Guide, "Understanding unique ID
// prefixes").
var idPrefixes = map[kind]string{userKind: "AIDA", groupKind: "AGPA", roleKind: "AROA"}

// newID returns a unique id or an access key id: the prefix and 80 random bits.
func (s *Service) newID(prefix string) (string, error) {
	var random [10]byte
	if _, err := io.ReadFull(s.Rand, random[:]); err != nil {
		return "", err
	}
	return prefix + base32.StdEncoding.EncodeToString(random[:]), nil
}

// arn returns an ARN of IAM; path begins and ends with a slash.
func (s *Service) arn(account, typ, path, name string) string {
	return "arn:" + s.Partition + ":iam::" + account + ":" + typ + path + name
}

func (s *Service) identityOf(account string, item store.Item[identityRecord]) *identity {
	r := item.Value
	return &identity{identityRecord: r, ARN: s.arn(account, string(r.Kind), r.Path, r.Name), version: item.Version}
}

// find returns the identity with that name, or store.ErrNotFound.
func (s *Service) find(r store.Reader, account string, k kind, name string) (*identity, error) {
	items, _, err := identityRecords.ScanIndex(r, scopeOf(account), byName, nameValue(k, name), "", 1)
	if errors.Is(err, store.ErrKey) { // longer than any name
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if len(items) == 0 || items[0].Value.Name != name {
		return nil, store.ErrNotFound
	}
	return s.identityOf(account, items[0]), nil
}

// lookup finds an identity of the caller's account and asks for permission to do
// the call's operation on it. That it is missing is told to those who may.
func (s *Service) lookup(ctx context.Context, call *authz.Call, k kind, name string, more conditions) (*identity, error) {
	var found *identity
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		found, err = s.find(r, call.Principal.Account, k, name)
		return err
	})
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return nil, err
	}
	if missing {
		found = &identity{ARN: s.arn(call.Principal.Account, string(k), "/", name)}
	}
	if err := s.authorize(ctx, call, "", found.ARN, resourceTags(found.Tags).with(boundaryARN(found.Boundary)).with(linkedName(found)).with(more)); err != nil {
		return nil, err
	}
	if missing {
		return nil, noSuchIdentity(k, name)
	}
	return found, nil
}

// authorize asks for an action, the call's own if empty, on something of the
// caller's account.
func (s *Service) authorize(ctx context.Context, call *authz.Call, action, resource string, c policy.Context) error {
	return authorizeAccess(ctx, call, authz.Access{Action: action, Resource: resource, Context: c})
}

func authorizeAccess(ctx context.Context, call *authz.Call, access authz.Access) error {
	// Credentials of GetFederationToken never reach IAM, those of GetSessionToken only
	// with MFA (STS API Reference).
	if call.Principal.Session != nil && call.Principal.Type != policy.AssumedRole &&
		(call.Principal.Type == policy.FederatedUser || call.Principal.MFA.IsZero()) {
		return awserr.New("UnrecognizedClientException", "The security token included in the request is invalid")
	}
	return call.Authorize(ctx, access)
}

// identityChange is an operation on one existing identity.
type identityChange[T any] struct {
	kind kind
	name string
	// conditions are those that the request answers.
	conditions conditions
	// check looks at the parameters, after the authorisation; may be nil.
	check func(i *identity) error
	// edit changes the record; it runs inside the commit and may run twice.
	edit func(tx *store.Tx, i *identity) (T, error)
	// delete deletes the record instead of writing it.
	delete bool
	// linked lets the operation change service-linked roles too.
	linked bool
}

// changeIdentity finds the identity, asks for permission and commits what edit
// makes of it.
func changeIdentity[T any](ctx context.Context, s *Service, call *authz.Call, c identityChange[T]) (T, error) {
	return again(func() (T, error) {
		ctx := call.Context(ctx) // check may have worked in the run before
		var none T
		before, err := s.lookup(ctx, call, c.kind, c.name, c.conditions)
		if err != nil {
			return none, err
		}
		if !c.linked {
			if err := protected(before); err != nil {
				return none, err
			}
		}
		if c.check != nil {
			if err := c.check(before); err != nil {
				return none, err
			}
		}
		in := scopeOf(call.Principal.Account)
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (T, error) {
			var none T
			item, err := identityRecords.GetItem(tx, in, before.ID)
			if errors.Is(err, store.ErrNotFound) || err == nil && item.Version != before.version {
				return none, errChanged
			}
			if err != nil {
				return none, err
			}
			now := s.identityOf(call.Principal.Account, item)
			out, err := c.edit(tx, now)
			if err != nil {
				return none, err
			}
			if c.delete {
				return out, identityRecords.Delete(tx, in, before.ID)
			}
			return out, identityRecords.Put(tx, in, before.ID, now.identityRecord)
		})
	})
}

// create commits a new identity. edit completes it inside the commit; may be nil.
func create[T any](ctx context.Context, s *Service, call *authz.Call, record identityRecord, answer func(*identity) T) (T, error) {
	in := scopeOf(call.Principal.Account)
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (T, error) {
		var none T
		if err := nameFree(tx, in, record.Kind, record.Name, ""); err != nil {
			return none, err
		}
		if record.Boundary != "" {
			if err := s.attachable(tx, call.Principal.Account, record.Boundary); err != nil {
				return none, err
			}
		}
		if err := identityRecords.Put(tx, in, record.ID, record); err != nil {
			return none, err
		}
		return answer(s.identityOf(call.Principal.Account, store.Item[identityRecord]{Value: record})), nil
	})
}

// nameFree refuses a name that another identity of its kind has; own is the
// unique id that may have it already.
func nameFree(r store.Reader, in store.Scope, k kind, name, own string) error {
	items, _, err := identityRecords.ScanIndex(r, in, byName, nameValue(k, name), "", 1)
	if err != nil || len(items) == 0 || items[0].ID == own {
		return err
	}
	word := strings.ToUpper(string(k[:1])) + string(k[1:])
	return api.EntityAlreadyExistsException(fmt.Sprintf("%s with name %s already exists.", word, name))
}

// pathOr returns a path, "/" when none is given.
func pathOr(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// list returns the page of an account's identities of one kind, by name, whose
// path begins with prefix.
func (s *Service) list(ctx context.Context, account string, k kind, prefix string, p page) (found []*identity, truncated bool, marker string, err error) {
	prefix = pathOr(prefix)
	from, to := string(k)+"/", string(k)+"0" // '0' follows '/'
	var after store.Cursor
	if p.after != "" {
		after.Value, after.ID, _ = strings.Cut(p.after, "\x00")
	}
	err = s.Store.View(ctx, func(r store.Reader) error {
		for {
			items, more, err := identityRecords.ScanIndexRange(r, scopeOf(account), byName, from, to, after, p.limit+1)
			if err != nil {
				return err
			}
			for _, item := range items {
				if strings.HasPrefix(item.Value.Path, prefix) {
					if len(found) == p.limit {
						last := found[p.limit-1]
						truncated, marker = true, p.marker(nameValue(k, last.Name)+"\x00"+last.ID)
						return nil
					}
					found = append(found, s.identityOf(account, item))
				}
				after = store.Cursor{Value: item.Index, ID: item.ID}
			}
			if !more {
				return nil
			}
		}
	})
	return found, truncated, marker, err
}

// edited is the answer of operations that answer nothing.
func edited[T any](edit func(tx *store.Tx, i *identity) error) func(*store.Tx, *identity) (*T, error) {
	return func(tx *store.Tx, i *identity) (*T, error) {
		if err := edit(tx, i); err != nil {
			return nil, err
		}
		return new(T), nil
	}
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// compareNames orders names as the index of names does.
func compareNames(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }
