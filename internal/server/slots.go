package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/seal/recovery"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

// keyslots is what this process knows of the domain key's keyslots.
type keyslots struct {
	mu sync.Mutex // held while this process goes over to others
	// inForce are those that it goes by; nil until it has gone over to some.
	inForce []byte
	// ahead are slots that are opened and were not in force yet.
	ahead *openedSlots
	// failed is when others were last looked for in vain.
	failed time.Duration

	// Of a node of a database.
	stale   atomic.Bool // a change of them was heard of
	seen    string      // version of the unsealed area that was looked at; of the one who follows
	answers sync.WaitGroup
	answerT sync.Mutex // held while an offer is answered
	offered [sha256.Size]byte
	ended   chan error // why this node must not go on
}

// openedSlots are keyslots with what opens them on this machine.
type openedSlots struct {
	slots  []byte
	root   seal.Root
	domain *seal.Domain
	// next says that the root is the file that is to take the place of the root file.
	next bool
}

// newSlots says what keyslots are to be.
type newSlots struct {
	// root opens them on every node, and is this node's from then on.
	root seal.Root
	// before, if there is one, opens them too: root is to take its place.
	before seal.Root
	// recovery is the recovery key; if nil, there is none.
	recovery *recovery.Root
	// rotate makes a new version of the domain key.
	rotate bool
	// place is where another node may find the root that does not know of it.
	place Folder
	// record is the audit record of the change; nil when the change is not at its end.
	record []byte
}

// putSlotsOf is putSlots with the recovery key that there is.
func (o *operator) putSlotsOf(ctx context.Context, to newSlots) (err error) {
	if to.recovery, err = recoveryOf(o.domain.Info()); err != nil {
		return err
	}
	return o.putSlots(ctx, to)
}

// putSlots makes keyslots for the roots that to names, and no others. The slots and the
// record are stored in one step, before anything goes by the new ones: a process that is
// killed opens with the old slots or the new ones, and makes good for the record. Where
// other nodes use the database, each has said before that it opens the new slots.
func (s *Server) putSlots(ctx context.Context, to newSlots) error {
	roots := []seal.Root{to.root}
	if to.before != nil {
		roots = append(roots, to.before)
	}
	if to.recovery != nil {
		roots = append(roots, to.recovery)
	}
	change, err := s.domain.Prepare(ctx, roots, to.rotate, s.cfg.rand())
	if err != nil {
		return err
	}
	meta := map[string][]byte{metaSlots: change.Slots}
	if to.record != nil {
		box, err := s.domain.Box(seal.LabelPendingRecord)
		if err != nil {
			return err
		}
		if meta[metaPending], err = box.Seal(s.cfg.rand(), to.record, change.Slots); err != nil {
			return err
		}
	}
	opened := &openedSlots{slots: change.Slots, root: to.root, domain: change.Opened()}
	if err := s.storeSlots(ctx, to, opened, meta); err != nil {
		return err
	}
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	return s.takeSlots(opened)
}

func (s *Server) storeSlots(ctx context.Context, to newSlots, opened *openedSlots, meta map[string][]byte) error {
	shared, ok := s.folder.backend.(*postgres.Backend)
	if !ok {
		if err := s.folder.backend.SetMeta(ctx, meta); err != nil {
			return fmt.Errorf("store the keyslots: %w", err)
		}
		return nil
	}
	now, err := shared.Meta(ctx)
	if err != nil {
		return err
	}
	return s.offerSlots(ctx, shared, to, opened, meta, now)
}

// takeSlots lets this process go by keyslots that are stored. s.slots.mu is held.
func (s *Server) takeSlots(opened *openedSlots) error {
	if bytes.Equal(s.slots.inForce, opened.slots) {
		return nil
	}
	version := s.domain.Current()
	if err := s.domain.Adopt(opened.domain); err != nil {
		return err
	}
	s.folder.setRoot(opened.root)
	s.slots.inForce, s.slots.ahead = opened.slots, nil
	if s.domain.Current() == version {
		return nil
	}
	return s.rekey()
}

// rekey seals what the journals frame from now on under the current version.
func (s *Server) rekey() error {
	version := s.domain.Current()
	key, err := s.domain.Derive(version, seal.LabelJournalSealing)
	if err != nil {
		return err
	}
	if s.localJournal != nil {
		if err := s.localJournal.Rekey(version, append(secret.Bytes{}, key...)); err != nil {
			return err
		}
	}
	return s.journal.Rekey(version, key)
}

// sealChange says which change of the keyslots was recorded last.
type sealChange struct {
	Slots []byte `json:"slots"` // SHA-256 of what they were then
}

// sealChanges has one record. Other nodes hear by it that the keyslots have changed, and
// no record of a change is made twice, whichever node or start makes it.
var sealChanges = store.NewCollection[sealChange]("seal-changes", 1)

const lastChange = "last"

// recordPending moves the record of a change of the slots, if there is one, to the
// journal, once. Where other nodes use the database, all go by the change when it
// returns nil.
func (s *Server) recordPending(ctx context.Context) error {
	meta, err := s.folder.backend.Meta(ctx)
	if err != nil || meta[metaPending] == nil {
		return err
	}
	box, err := s.domain.Box(seal.LabelPendingRecord)
	if err != nil {
		return err
	}
	pending := meta[metaPending]
	record, err := box.Open(pending, meta[metaSlots])
	if err != nil {
		return problem("the audit record of the last change of the seal was altered", "Somebody has changed the data folder: compare it with a backup.", err)
	}
	sum := sha256.Sum256(meta[metaSlots])
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		last, err := sealChanges.Get(tx, store.Deployment, lastChange)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case bytes.Equal(last.Slots, sum[:]):
			return nil
		}
		return errors.Join(sealChanges.Put(tx, store.Deployment, lastChange, sealChange{Slots: sum[:]}), tx.Append(record))
	})
	if err == nil {
		// From here on the trail vouches for the slots; see checkVouched.
		err = s.store.Checkpoint(ctx)
	}
	if err != nil {
		return err
	}
	shared, ok := s.folder.backend.(*postgres.Backend)
	if !ok {
		return s.folder.backend.SetMeta(ctx, map[string][]byte{metaPending: nil})
	}
	err = shared.SetMetaIf(ctx, map[string][]byte{metaPending: nil}, func(meta map[string][]byte, _ []postgres.Node) error {
		if !bytes.Equal(meta[metaPending], pending) {
			return store.ErrConflict // another node was faster
		}
		return nil
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// orphanEvery is how often the node that leads looks for the record of a change whose
// own node has ended in the middle.
const orphanEvery = time.Minute

// recordOrphans records what nodes that are gone have changed.
func (s *Server) recordOrphans(ctx context.Context) {
	for ctx.Err() == nil {
		s.changes.Lock()
		err := s.recordPending(ctx)
		s.changes.Unlock()
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("a change of the seal is not in the audit trail yet; it will be tried again", "error", err)
		}
		s.rest(ctx, orphanEvery)
	}
}
