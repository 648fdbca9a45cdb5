package hsm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

// defaultPatience is how long one member of a Group is waited for before the next
// is asked.
const defaultPatience = 2 * time.Second

// Group is several HSMs that hold the same keys: a cluster. A key is made in all of
// them; using it takes one, and goes on to the next when one does not answer, so
// that a caller sees an error only when none does. Uses are spread over the members.
//
// Members change by making another Group. A member that joins later does not hold
// the keys that were made before, unless the vendor's own replication put them
// there: keys that cannot be extracted cannot be copied. The others go on to serve
// those.
type Group struct {
	slots    []Slot
	patience time.Duration
	turn     atomic.Uint32
}

var _ Keys = (*Group)(nil)

// NewGroup returns the group of these slots, at least one, which it does not own.
// patience is how long one of several is waited for; if 0, 2 s.
func NewGroup(patience time.Duration, slots ...Slot) (*Group, error) {
	if len(slots) == 0 {
		return nil, errors.New("hsm: a group has at least one slot")
	}
	if patience <= 0 {
		patience = defaultPatience
	}
	return &Group{slots: slots, patience: patience}, nil
}

// GenerateAES256 implements [Keys]. The key is in every member when it returns nil,
// and in none that could be reached when it does not. With several members it was
// shared while it was made; see [Sharer].
func (g *Group) GenerateAES256(ctx context.Context, id []byte, label string) error {
	if len(g.slots) == 1 {
		return g.slots[0].GenerateAES256(ctx, id, label)
	}
	for _, s := range g.slots { // before the clean-up below could destroy it
		if _, err := s.Find(ctx, id); err == nil {
			return ErrKeyExists
		} else if !errors.Is(err, ErrNoKey) {
			return err
		}
	}
	err := g.share(ctx, id, label)
	if err == nil {
		return nil
	}
	// What was made must not stay behind, also when ctx is what has ended.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.patience)
	defer cancel()
	if left := g.Destroy(clean, id); left != nil && !errors.Is(left, ErrNoKey) {
		err = fmt.Errorf("%w (and what was made of it may be left behind: %v)", err, left)
	}
	return err
}

func (g *Group) share(ctx context.Context, id []byte, label string) error {
	first, others := g.slots[0], g.slots[1:]
	if err := first.GenerateShareable(ctx, id, label); err != nil {
		return err
	}
	for _, to := range others {
		pair, err := to.TransportKey(ctx)
		if err != nil {
			return err
		}
		wrapped, err := first.WrapFor(ctx, id, pair.Public)
		if err != nil {
			return err
		}
		if err := to.Receive(ctx, pair.Number, id, label, wrapped); err != nil {
			return err
		}
	}
	return first.Lock(ctx, id)
}

// Destroy implements [Keys]: in every member. ErrNoKey says that none held it. After
// ErrUnavailable some may still hold it.
func (g *Group) Destroy(ctx context.Context, id []byte) error {
	found := false
	var failed error
	for _, s := range g.slots {
		switch err := s.Destroy(ctx, id); {
		case err == nil:
			found = true
		case !errors.Is(err, ErrNoKey):
			failed = errors.Join(failed, err)
		}
	}
	if failed == nil && !found {
		return ErrNoKey
	}
	return failed
}

// each asks members, from the one whose turn it is, until one has an answer.
func (g *Group) each(ctx context.Context, ask func(ctx context.Context, s Slot) error) error {
	start := int(g.turn.Add(1) % uint32(len(g.slots)))
	var away, missing error
	for i := range g.slots {
		err := g.one(ctx, g.slots[(start+i)%len(g.slots)], i == len(g.slots)-1, ask)
		switch {
		case errors.Is(err, ErrNoKey):
			missing = err
		case errors.Is(err, ErrUnavailable), errors.Is(err, ErrClosed):
			away = err
		default:
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if away != nil { // it may be the one that holds the key
		return away
	}
	return missing
}

func (g *Group) one(ctx context.Context, s Slot, last bool, ask func(context.Context, Slot) error) error {
	if last {
		return ask(ctx, s)
	}
	ctx, cancel := context.WithTimeout(ctx, g.patience)
	defer cancel()
	return ask(ctx, s)
}

// Find implements [Keys].
func (g *Group) Find(ctx context.Context, id []byte) (key Key, err error) {
	err = g.each(ctx, func(ctx context.Context, s Slot) (err error) {
		key, err = s.Find(ctx, id)
		return err
	})
	return key, err
}

// EncryptGCM implements [Keys].
func (g *Group) EncryptGCM(ctx context.Context, id, aad []byte, plaintext secret.Bytes) (sealed []byte, err error) {
	err = g.each(ctx, func(ctx context.Context, s Slot) (err error) {
		sealed, err = s.EncryptGCM(ctx, id, aad, plaintext)
		return err
	})
	return sealed, err
}

// DecryptGCM implements [Keys].
func (g *Group) DecryptGCM(ctx context.Context, id, aad, sealed []byte) (plaintext secret.Bytes, err error) {
	err = g.each(ctx, func(ctx context.Context, s Slot) (err error) {
		plaintext, err = s.DecryptGCM(ctx, id, aad, sealed)
		return err
	})
	return plaintext, err
}

// Random implements [Keys].
func (g *Group) Random(ctx context.Context, n int) (random secret.Bytes, err error) {
	err = g.each(ctx, func(ctx context.Context, s Slot) (err error) {
		random, err = s.Random(ctx, n)
		return err
	})
	return random, err
}

// Health implements [Keys]: one member that answers is enough.
func (g *Group) Health(ctx context.Context) error {
	return g.each(ctx, func(ctx context.Context, s Slot) error { return s.Health(ctx) })
}
