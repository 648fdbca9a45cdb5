package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

// Where several nodes use a database, keyslots are offered before they are in force.
// Each other node opens them with the root as its own machine has it, keeps what it
// found, and says so; only when all that are registered have agreed are the slots
// stored, under the lock of the database, in one step with the change's record. So a
// machine that could not start again is found while nothing has changed, and whatever
// is sealed under a new version of the domain key opens everywhere at once. Offer and
// answers are sealed: who can write the database can neither make one up nor choose
// which library is loaded or which KMS is asked.

// Entries of the unsealed area.
const (
	metaOffer  = "slots.offer"
	metaAnswer = "slots.answer/" // and the node
)

// slotsOffer is what a node asks the others. It is sealed, bound to the slots in force.
type slotsOffer struct {
	Slots []byte `json:"slots"`
	// Root is the id of the root that each node must open them with.
	Root string `json:"root"`
	// Where the one who asks finds it.
	Seal   string         `json:"seal,omitempty"`
	KMSKey string         `json:"kmsKey,omitempty"`
	KMSAt  string         `json:"kmsEndpoint,omitempty"`
	KMSIn  string         `json:"kmsRegion,omitempty"`
	Device string         `json:"tpmDevice,omitempty"`
	PKCS11 PKCS11Settings `json:"pkcs11,omitzero"`
}

// slotsAnswer is what a node says to an offer. It is sealed, bound to the node.
type slotsAnswer struct {
	Offer []byte `json:"offer"` // SHA-256 of what is stored of it
	// Problem is why this node cannot open the slots; empty when it has opened them.
	Problem string `json:"problem"`
	// Where is the node's machine and data folder, for the operator.
	Where string `json:"where"`
}

func bindingOf(n postgres.Node) []byte { return []byte(n.ID + "\x00" + n.Incarnation) }

var (
	errAnswersMissing = errors.New("not every node has answered")
	errOfferReplaced  = errors.New("another change of the seal was begun")
)

// offerTime is how long a node may take to open keyslots, beyond a lease: a TPM or an
// HSM is slow, and one that has ended is waited for that long.
const offerTime = 30 * time.Second

// offering is a change of the keyslots that waits for the other nodes.
type offering struct {
	s      *Server
	shared *postgres.Backend
	box    *seal.Box
	opened *openedSlots
	upon   []byte // the slots that it changes
	sealed []byte // the offer as it is stored; nil for none
	others map[string]string
}

// offerSlots stores meta, which has the new slots, when every other node can open them.
func (s *Server) offerSlots(ctx context.Context, shared *postgres.Backend, to newSlots, opened *openedSlots, meta, now map[string][]byte) error {
	box, err := s.domain.Box(seal.LabelOfferedSlots)
	if err != nil {
		return err
	}
	o := &offering{s: s, shared: shared, box: box, opened: opened, upon: now[metaSlots]}
	s.slots.mu.Lock()
	current := bytes.Equal(o.upon, s.slots.inForce)
	s.slots.ahead = opened // which this node goes by even when it does not learn that they are stored
	s.slots.mu.Unlock()
	if !current {
		return o.explain(errOfferReplaced)
	}
	err = o.store(ctx, meta)
	if !errors.Is(err, errAnswersMissing) {
		return o.explain(err)
	}
	offer := slotsOffer{Slots: opened.slots, Root: to.root.ID(), Seal: to.place.Seal,
		KMSKey: to.place.Root.KMSKey, KMSAt: to.place.Root.KMSEndpoint, KMSIn: to.place.Root.KMSRegion,
		Device: to.place.Root.TPM.Device, PKCS11: to.place.Root.PKCS11}
	text, err := json.Marshal(offer)
	if err != nil {
		return err
	}
	if o.sealed, err = box.Seal(s.cfg.rand(), text, o.upon); err != nil {
		return err
	}
	s.slots.answerT.Lock()
	s.slots.offered = sha256.Sum256(o.sealed) // which it need not answer itself
	s.slots.answerT.Unlock()
	begin := map[string][]byte{metaOffer: o.sealed}
	for name := range now {
		if strings.HasPrefix(name, metaAnswer) {
			begin[name] = nil
		}
	}
	err = shared.SetMetaIf(ctx, begin, func(meta map[string][]byte, _ []postgres.Node) error { return o.unchanged(meta) })
	if err == nil {
		err = o.wait(ctx, meta)
	}
	if err != nil && !errors.Is(err, store.ErrUnknown) {
		o.withdraw()
	}
	return o.explain(err)
}

func (o *offering) unchanged(meta map[string][]byte) error {
	if !bytes.Equal(meta[metaSlots], o.upon) {
		return errOfferReplaced
	}
	return nil
}

// wait stores meta as soon as all have agreed.
func (o *offering) wait(ctx context.Context, meta map[string][]byte) error {
	steady := clock.Boot()
	lease := o.s.cfg.Database.Lease
	if lease == 0 {
		lease = time.Minute
	}
	until := steady.Elapsed() + lease + lease/10 + offerTime
	hurried := false
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		now, err := o.shared.Meta(ctx)
		if err != nil {
			return err
		}
		nodes, err := o.shared.Nodes(ctx)
		if err != nil {
			return err
		}
		err = o.agreed(now, nodes)
		if err == nil {
			final := map[string][]byte{metaOffer: nil}
			for name := range now {
				if strings.HasPrefix(name, metaAnswer) {
					final[name] = nil
				}
			}
			for name, value := range meta {
				final[name] = value
			}
			err = o.store(ctx, final)
		}
		if errors.Is(err, errNodesCannot) && o.silent() > 0 {
			// The operator wants to hear of all that cannot at once.
			if !hurried {
				hurried, until = true, min(until, steady.Elapsed()+silentTime)
			}
			if steady.Elapsed() < until {
				err = errAnswersMissing
			}
		}
		if !errors.Is(err, errAnswersMissing) || steady.Elapsed() > until {
			return err
		}
		after, stop := steady.After(wait)
		select {
		case <-after:
		case <-ctx.Done():
			stop()
			return ctx.Err()
		}
		stop()
	}
}

// silentTime is how long the others may take when one has said that it cannot.
const silentTime = 5 * time.Second

// silent is how many nodes have not answered.
func (o *offering) silent() (n int) {
	for _, what := range o.others {
		if what == "" {
			n++
		}
	}
	return n
}

// store stores changes if all nodes agree. It tries again until it knows whether they
// are stored.
func (o *offering) store(ctx context.Context, changes map[string][]byte) (err error) {
	steady := clock.Boot()
	for until := steady.Elapsed() + offerTime; ; {
		err = o.shared.SetMetaIf(ctx, changes, func(meta map[string][]byte, nodes []postgres.Node) error {
			if bytes.Equal(meta[metaSlots], o.opened.slots) {
				return nil // an answer was lost
			}
			return o.agreed(meta, nodes)
		})
		if !errors.Is(err, store.ErrUnknown) || steady.Elapsed() > until {
			return err
		}
		after, stop := steady.After(250 * time.Millisecond)
		select {
		case <-after:
			stop()
		case <-ctx.Done():
			stop()
			return err
		}
	}
}

// agreed returns nil when each other node that is registered has opened the slots. It
// notes what is wrong with the others.
func (o *offering) agreed(meta map[string][]byte, nodes []postgres.Node) error {
	if err := o.unchanged(meta); err != nil {
		return err
	}
	if o.sealed != nil && !bytes.Equal(meta[metaOffer], o.sealed) {
		return errOfferReplaced
	}
	self := o.shared.Self()
	if !slices.Contains(nodes, self) {
		return fmt.Errorf("%w: the other nodes have stopped waiting for this one", store.ErrUnavailable)
	}
	o.others = map[string]string{}
	refused := false
	for _, n := range nodes {
		if n == self {
			continue
		}
		answer, ok := o.answer(meta, n)
		switch {
		case !ok:
			o.others[n.ID] = ""
		case answer.Problem != "":
			o.others[n.ID], refused = fmt.Sprintf("%s (%s): %s", n.ID, answer.Where, answer.Problem), true
		}
	}
	switch {
	case refused:
		return errNodesCannot
	case len(o.others) > 0:
		return errAnswersMissing
	}
	return nil
}

var errNodesCannot = errors.New("some nodes cannot open the new keyslots")

func (o *offering) answer(meta map[string][]byte, n postgres.Node) (slotsAnswer, bool) {
	var answer slotsAnswer
	if o.sealed == nil {
		return answer, false
	}
	text, err := o.box.Open(meta[metaAnswer+n.ID], bindingOf(n))
	if err != nil || json.Unmarshal(text, &answer) != nil {
		return answer, false
	}
	sum := sha256.Sum256(o.sealed)
	return answer, bytes.Equal(answer.Offer, sum[:])
}

// withdraw takes the offer back. What is left when that fails is nobody's: the next
// offer takes its place.
func (o *offering) withdraw() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline.Waiting)
	defer cancel()
	err := o.shared.SetMetaIf(ctx, map[string][]byte{metaOffer: nil}, func(meta map[string][]byte, _ []postgres.Node) error {
		if !bytes.Equal(meta[metaOffer], o.sealed) {
			return errOfferReplaced
		}
		return nil
	})
	if err != nil && !errors.Is(err, errOfferReplaced) {
		o.s.cfg.Log.Warn("an offer of keyslots that came to nothing could not be taken back; it has no effect", "error", err)
	}
}

// explain says of an error of an offer what to do.
func (o *offering) explain(err error) error {
	switch {
	case errors.Is(err, errOfferReplaced):
		return problem("another node has just changed the seal, or is about to", "Look at it, and give the command again: strongroom seal status", nil)
	case errors.Is(err, errAnswersMissing):
		var silent []string
		for id := range o.others {
			silent = append(silent, id)
		}
		slices.Sort(silent)
		return problem("nothing was changed: these nodes do not say whether they could open the new keyslots: "+strings.Join(silent, ", "),
			"Nodes of an older version do not know how: stop or upgrade them, and give the command again.", nil)
	case errors.Is(err, errNodesCannot):
		var said []string
		for _, what := range o.others {
			if what != "" {
				said = append(said, what)
			}
		}
		slices.Sort(said)
		hint := "Give those nodes what they need to reach the root, or stop them, and give the command again."
		if strings.HasPrefix(o.opened.root.ID(), string(seal.KindFile)+":") {
			path := filepath.Join(o.s.cfg.DataDir, rootFile+nextRoot)
			hint = "Copy " + path + " from this node into the data folder of each of them, as " + rootFile + nextRoot + " with mode 0600, and give the command again. Or stop them."
		}
		return problem("nothing was changed: some nodes cannot open the new keyslots:\n  "+strings.Join(said, "\n  "), hint, nil)
	case errors.Is(err, store.ErrUnknown):
		return fmt.Errorf("whether the keyslots are changed is not known: %w", err)
	case err != nil:
		return fmt.Errorf("store the keyslots: %w", err)
	}
	return nil
}
