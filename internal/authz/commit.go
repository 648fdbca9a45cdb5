package authz

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/store"
)

// ErrCommittedTwice is returned when a handler commits a second time: one call
// has one effect and one record.
var ErrCommittedTwice = errors.New("authz: a call commits once")

// ErrUnasked is returned when a handler answers, or commits, without having asked
// for permission.
var ErrUnasked = errors.New("authz: the handler has not asked for permission")

// Commit makes the effect of a call: fn's writes and the audit record that is
// built from its output, or one for each account that it concerns, go into one commit, and Commit returns when that is
// durable.
//
// fn may run again after a conflict, so it computes everything from tx and its
// inputs: keyrings, other services, the clock and randomness stay outside. It
// must check again what the authorisation was based on. When fn returns an
// error, nothing is written and the pipeline records the failure by itself. An
// error of the store that leaves the outcome unknown is returned as it is.
func Commit[T any](ctx context.Context, c *Call, s *store.Store, fn func(tx *store.Tx) (T, error)) (T, error) {
	var out, none T
	if c.recorded {
		return none, ErrCommittedTwice
	}
	if !c.authorized {
		return none, ErrUnasked
	}
	noted := c.Audit
	err := s.Update(c.Context(ctx), func(tx *store.Tx) error {
		c.Audit = noted.clone()
		var err error
		if out, err = fn(tx); err != nil {
			return err
		}
		if err := tx.Append(c.pipe.Record(c, out)); err != nil {
			return err
		}
		for _, account := range c.Owners() {
			if err := tx.Append(c.pipe.RecordFor(c, out, account)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return none, err
	}
	c.recorded = true
	return out, nil
}

func (a Audit) clone() Audit {
	return Audit{
		Resources:  append([]Resource(nil), a.Resources...),
		Request:    append([]Field(nil), a.Request...),
		Response:   append([]Field(nil), a.Response...),
		Additional: append([]Field(nil), a.Additional...),
	}
}
