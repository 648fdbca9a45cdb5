package kms

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// maxRuns bounds how often an operation starts over because its key kept
// changing under it. Each run waits for the commit of the change that came before
// it, so that a call's deadline ends most before.
const maxRuns = 100

// again runs an operation once more when the key that it was authorised on has
// changed before its effect was made. What an earlier run noted for the audit
// record goes: it was about another state of things. An operation that never comes
// before others ends with a DependencyTimeoutException, which SDKs retry.
func again[T any](call *authz.Call, operation func() (T, error)) (T, error) {
	var out T
	err := errChanged
	for run := 0; run < maxRuns && errors.Is(err, errChanged); run++ {
		call.Audit = authz.Audit{}
		out, err = operation()
	}
	if errors.Is(err, errChanged) {
		err = timedOut()
	}
	return out, err
}

// timedOut answers a call that nothing is wrong with, and that may go well later.
func timedOut() error {
	return api.DependencyTimeoutException("The system timed out while trying to fulfill the request. You can retry the request.")
}

// change is an operation on one existing key of the caller's account, named by
// key id or ARN.
type change[T any] struct {
	keyID      string
	group      group
	conditions conditions
	// check looks at the parameters, after the authorisation and before the
	// key's state; may be nil.
	check func(k *key) error
	// prepare does what needs the keyring, once the key's state is known to be
	// right and outside of the commit; may be nil.
	prepare func(k *key) error
	// edit changes the record; it runs inside the commit and may run twice.
	edit func(tx *store.Tx, k *key, record *keyRecord) (T, error)
}

// changeKey finds the key, asks for permission, checks its state, and commits
// what edit makes of its record.
func changeKey[T any](ctx context.Context, s *Service, call *authz.Call, c change[T]) (T, error) {
	return again(call, func() (T, error) {
		ctx := call.Context(ctx) // prepare may have worked in the run before
		var none T
		k, err := s.find(ctx, call, c.keyID, keysOnly)
		if err != nil {
			return none, err
		}
		if err := s.mayOwn(ctx, call, need{key: k, conditions: c.conditions}); err != nil {
			return none, err
		}
		if c.check != nil {
			if err := c.check(k.key); err != nil {
				return none, err
			}
		}
		if refused := k.admits(c.group); refused != nil {
			return none, refused
		}
		if c.prepare != nil {
			if err := c.prepare(k.key); err != nil {
				return none, err
			}
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (T, error) {
			var none T
			now, err := unchanged(tx, k.key)
			if err != nil {
				return none, err
			}
			record := now.keyRecord
			out, err := c.edit(tx, now, &record)
			if err != nil {
				return none, err
			}
			return out, keyRecords.Put(tx, scope(record.Account, record.Region), record.ID, record)
		})
	})
}
