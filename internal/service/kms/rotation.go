package kms

import (
	"context"
	"errors"
	"strconv"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	// usualPeriod is the rotation period of those who name none, in days.
	usualPeriod = 365
	// maxOnDemand is the quota of rotations on demand in a key's life.
	maxOnDemand = 25
	// tooNear is how long before an automatic rotation none on demand begins.
	tooNear = 20 * time.Minute
)

// rotation is what is planned for a key's material (kms.md §11).
type rotation struct {
	// PeriodInDays and Next are of automatic rotation; 0 and nil while it is off.
	PeriodInDays int32      `json:"periodInDays,omitempty"`
	Next         *time.Time `json:"next,omitempty"`
	// OnDemand is when the rotation on demand that is under way was asked for.
	OnDemand *time.Time `json:"onDemand,omitempty"`
}

// enable turns automatic rotation on. A schedule that is there stays unless it
// gets another period.
func (r *rotation) enable(period *int32, now time.Time) {
	if r.Next != nil && (period == nil || *period == r.PeriodInDays) {
		return
	}
	r.PeriodInDays = usualPeriod
	if period != nil {
		r.PeriodInDays = *period
	}
	next := r.after(now)
	r.Next = &next
}

// after returns the date one period after t.
func (r *rotation) after(t time.Time) time.Time {
	return t.Add(time.Duration(r.PeriodInDays) * 24 * time.Hour).Truncate(time.Millisecond)
}

// done moves the schedule on after the automatic rotation that was due at its
// Next. One that could not be made for longer than a period counts from now.
func (r *rotation) done(now time.Time) {
	next := r.after(*r.Next)
	if !next.After(now) {
		next = r.after(now)
	}
	r.Next = &next
}

// EnableKeyRotation lets the key's material be rotated automatically, or changes
// the period.
func (s *Service) EnableKeyRotation(ctx context.Context, call *authz.Call, in *api.EnableKeyRotationInput) (*api.EnableKeyRotationOutput, error) {
	period := usualPeriod
	if in.RotationPeriodInDays != nil {
		period = int(*in.RotationPeriodInDays)
	}
	events, err := s.newEvents()
	if err != nil {
		return nil, err
	}
	return changeKey(ctx, s, call, change[*api.EnableKeyRotationOutput]{
		keyID:      in.KeyId,
		group:      scheduling,
		conditions: conditionMap{"rotationperiodindays": {strconv.Itoa(period)}},
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.EnableKeyRotationOutput, error) {
			if k.spec.family != symmetricKey {
				return nil, api.UnsupportedOperationException("")
			}
			if err := k.schedulable(call.Operation); err != nil {
				return nil, err
			}
			call.Audit.SetResponse("keyId", k.ARN)
			if err := deleteRotation(tx, record); err != nil {
				return nil, err
			}
			record.Rotation.enable(in.RotationPeriodInDays, call.Time)
			if err := putRotation(tx, record); err != nil {
				return nil, err
			}
			return &api.EnableKeyRotationOutput{}, shareRotation(tx, record, events)
		},
	})
}

// DisableKeyRotation turns automatic rotation off. Of keys that never rotate it
// asks nothing, and succeeds.
func (s *Service) DisableKeyRotation(ctx context.Context, call *authz.Call, in *api.DisableKeyRotationInput) (*api.DisableKeyRotationOutput, error) {
	events, err := s.newEvents()
	if err != nil {
		return nil, err
	}
	return changeKey(ctx, s, call, change[*api.DisableKeyRotationOutput]{
		keyID: in.KeyId,
		group: scheduling,
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.DisableKeyRotationOutput, error) {
			call.Audit.SetResponse("keyId", k.ARN)
			if k.spec.family != symmetricKey {
				return &api.DisableKeyRotationOutput{}, nil
			}
			if err := k.schedulable(call.Operation); err != nil {
				return nil, err
			}
			if err := deleteRotation(tx, record); err != nil {
				return nil, err
			}
			record.Rotation.PeriodInDays, record.Rotation.Next = 0, nil
			return &api.DisableKeyRotationOutput{}, shareRotation(tx, record, events)
		},
	})
}

// schedulable refuses symmetric keys whose material is not made here, or whose
// primary key decides.
func (k *key) schedulable(operation string) error {
	if k.isReplica() {
		return errReplica(k, operation)
	}
	if k.Origin != api.OriginTypeAwsKms {
		return api.UnsupportedOperationException(k.ARN + " origin is " + string(k.Origin) + " which is not valid for this operation.")
	}
	return nil
}

// RotateKeyOnDemand asks for new material now. The worker makes it; asking again
// until it has is one rotation.
func (s *Service) RotateKeyOnDemand(ctx context.Context, call *authz.Call, in *api.RotateKeyOnDemandInput) (*api.RotateKeyOnDemandOutput, error) {
	return changeKey(ctx, s, call, change[*api.RotateKeyOnDemandOutput]{
		keyID: in.KeyId,
		group: rotating,
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.RotateKeyOnDemandOutput, error) {
			out := &api.RotateKeyOnDemandOutput{KeyId: k.ARN}
			if k.isReplica() {
				return nil, errReplica(k, call.Operation)
			}
			if k.Rotation.OnDemand != nil {
				return out, nil
			}
			if err := k.rotatable(call.Time); err != nil {
				return nil, err
			}
			start := call.Time.Truncate(time.Millisecond)
			record.Rotation.OnDemand = &start
			if err := putRotation(tx, record); err != nil {
				return nil, err
			}
			return out, inSiblings(tx, record, func(sibling *keyRecord) error {
				sibling.Rotation = record.Rotation
				return nil
			})
		},
	})
}

// rotatable tells whether the key can be rotated on demand now.
func (k *key) rotatable(now time.Time) error {
	external := k.Origin == api.OriginTypeExternal
	if k.spec.family != symmetricKey || k.Origin != api.OriginTypeAwsKms && !external {
		return api.UnsupportedOperationException("")
	}
	used := 0
	for i := range k.Materials {
		if k.Materials[i].RotationType == api.RotationTypeOnDemand {
			used++
		}
	}
	if used >= maxOnDemand {
		return api.LimitExceededException("The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: " + k.ARN)
	}
	if next := k.Rotation.Next; next != nil && next.Sub(now) <= tooNear {
		return api.ConflictException("The key " + k.ARN + " is being rotated automatically, or will be within 20 minutes.")
	}
	if external && !k.Pending.ready() {
		return api.KMSInvalidStateException("No available key material pending rotation for the key: " + k.ARN + ".")
	}
	return nil
}

// planned are the tasks of a key's rotation. Those of a multi-Region key belong to
// its primary.
func (r *keyRecord) planned() []dueRecord {
	var tasks []dueRecord
	if r.isReplica() {
		return nil
	}
	if r.Rotation.Next != nil {
		tasks = append(tasks, dueRecord{At: *r.Rotation.Next, Account: r.Account, Key: r.ID, Task: rotateKey})
	}
	if r.Rotation.OnDemand != nil {
		tasks = append(tasks, dueRecord{At: *r.Rotation.OnDemand, Account: r.Account, Key: r.ID, Task: rotateOnDemand})
	}
	return tasks
}

// putRotation puts a key's planned rotations before the worker, which strikes one
// off when it finds that the key cannot be rotated then: whatever makes a key
// usable again calls it.
func putRotation(tx *store.Tx, record *keyRecord) error {
	for _, due := range record.planned() {
		if err := dueRecords.Put(tx, regionScope(record.Region), due.id(), due); err != nil {
			return err
		}
	}
	return nil
}

// deleteRotation takes them back.
func deleteRotation(tx *store.Tx, record *keyRecord) error {
	for _, due := range record.planned() {
		if err := strike(tx, record.Region, due); err != nil {
			return err
		}
	}
	return nil
}

// rotation is the worker's task: it makes new material the current one, or of a key
// with imported material the one that waits for it. An automatic rotation waits
// while the key is disabled or about to be deleted; one on demand that has begun is
// finished whatever has become of the key.
func (s *Service) rotation(ctx context.Context, region string, due dueRecord, events *serviceEvents) (job, error) {
	var found *key
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		found, err = readKey(r, due.Account, region, due.Key)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return func(*store.Tx, *key) error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	var fresh *generation
	if found.Origin == api.OriginTypeAwsKms {
		made, err := s.Keyring.Generate(ctx, due.Key, keyring.Spec(found.Spec))
		if err != nil {
			return nil, err
		}
		fresh = &generation{Material: made}
	}
	return func(tx *store.Tx, k *key) error {
		how, wanted := k.wants(due)
		if !wanted {
			return nil
		}
		record := k.keyRecord
		rotated := fresh != nil || record.Pending.ready()
		if how == api.RotationTypeOnDemand {
			record.Rotation.OnDemand = nil
		} else {
			record.Rotation.done(events.at)
		}
		turn := func(r *keyRecord) error {
			if rotated {
				r.turnTo(fresh, events.at, how)
			}
			r.Rotation = record.Rotation
			return nil
		}
		if err := inSiblings(tx, &record, turn); err != nil {
			return err
		}
		if err := turn(&record); err != nil {
			return err
		}
		if err := putRotation(tx, &record); err != nil {
			return err
		}
		if err := keyRecords.Put(tx, scope(k.Account, k.Region), k.ID, record); err != nil {
			return err
		}
		if !rotated {
			return nil // the material was deleted meanwhile
		}
		if err := events.add(tx, 0, k, "RotateKey", `{"rotationType":"`+string(how)+`","keyId":"`+k.ID+`"}`); err != nil {
			return err
		}
		return events.addSynchronization(tx, &record)
	}, nil
}

// wants tells whether a rotation that is due is still to be made, and which kind
// it is.
func (k *key) wants(due dueRecord) (api.RotationType, bool) {
	if due.Task == rotateOnDemand {
		return api.RotationTypeOnDemand, k.Rotation.OnDemand != nil && k.Rotation.OnDemand.Equal(due.At)
	}
	usable := k.State == api.KeyStateEnabled || k.State == api.KeyStateUpdating
	return api.RotationTypeAutomatic, usable && !k.isReplica() && k.Rotation.Next != nil && k.Rotation.Next.Equal(due.At)
}
