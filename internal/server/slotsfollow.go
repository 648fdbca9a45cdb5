package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

// openTime is how long a node tries to open keyslots that are in force.
const openTime = 20 * time.Second

// followSlots lets this node hear of keyslots that others change, until stop is called.
func (s *Server) followSlots(ctx context.Context, shared *postgres.Backend) (stop func()) {
	s.slots.mu.Lock()
	if s.slots.inForce == nil {
		s.slots.inForce = s.folder.slots
	}
	s.slots.mu.Unlock()
	unwatch := s.store.Watch(sealChanges.Name(), func(store.Change) { s.slots.stale.Store(true) })
	s.domain.OnUnknown(func(version uint32) { s.lookForVersion(ctx, shared, version) })
	return unwatch
}

// refresh brings this node up to date. The epoch that it returns is confirmed to the
// others: by then this node goes by the keyslots of that epoch, too. What takes long goes
// on behind it, until life ends.
func (s *Server) refresh(ctx, life context.Context) (uint64, error) {
	epoch, err := s.store.Refresh(ctx)
	if err != nil {
		return 0, err
	}
	shared := s.folder.backend.(*postgres.Backend)
	version := shared.MetaVersion()
	stale := s.slots.stale.Swap(false)
	if !stale && version == s.slots.seen {
		return epoch, nil
	}
	meta, err := s.goByStored(ctx, shared)
	if err != nil {
		s.slots.stale.Store(true)
		return 0, err
	}
	s.slots.seen = version
	s.answerOffer(life, shared, meta)
	return epoch, nil
}

// lookForVersion looks whether another node has made a version of the domain key.
func (s *Server) lookForVersion(ctx context.Context, shared *postgres.Backend, version uint32) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	steady := clock.Boot()
	s.slots.mu.Lock()
	if failed := s.slots.failed; failed != 0 && steady.Elapsed()-failed < time.Second {
		s.slots.mu.Unlock()
		return // a version that nobody made is asked for, by who has changed the database
	}
	s.slots.mu.Unlock()
	_, err := s.goByStored(ctx, shared)
	if s.domain.Current() < version {
		s.slots.mu.Lock()
		s.slots.failed = steady.Elapsed()
		s.slots.mu.Unlock()
		s.cfg.Log.Warn("something is sealed under a version of the domain key that the keyslots do not have", "version", version, "error", err)
	}
}

// goByStored lets this node go by the keyslots that the database has, and returns the
// unsealed area with them. They are read and taken in one step: those that were read
// before this node went over to its own would be older than what it goes by.
func (s *Server) goByStored(ctx context.Context, shared *postgres.Backend) (map[string][]byte, error) {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	meta, err := shared.Meta(ctx)
	if err == nil {
		err = s.goBySlots(ctx, meta[metaSlots])
	}
	return meta, err
}

// goBySlots lets this node go by keyslots that are in force. s.slots.mu is held.
func (s *Server) goBySlots(ctx context.Context, slots []byte) error {
	if bytes.Equal(slots, s.slots.inForce) {
		return nil
	}
	opened := s.slots.ahead
	if opened == nil || !bytes.Equal(opened.slots, slots) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTime)
		defer cancel()
		var err error
		if opened, err = s.openSlots(ctx, slots); err != nil {
			return s.cannotOpen(err)
		}
	}
	if err := s.takeSlots(opened); err != nil {
		return s.cannotOpen(err)
	}
	if opened.next {
		if _, err := s.folder.takeNextRoot(filepath.Join(s.cfg.DataDir, rootFile), s.cfg.rand()); err != nil {
			s.cfg.Log.Error("the new root file could not be put in the place of the old one; the next start tries again", "error", err)
		}
	}
	s.cfg.Log.Info("the seal was changed; this node goes by it", "version", s.domain.Current(), "root", s.folder.currentRoot().Describe())
	return nil
}

// openSlots opens keyslots with a root that this node has, or else with the one that
// its settings name. s.slots.mu is held.
func (s *Server) openSlots(ctx context.Context, slots []byte) (*openedSlots, error) {
	known, err := seal.Read(slots)
	if err != nil {
		return nil, err
	}
	roots := []seal.Root{s.folder.currentRoot()}
	if s.slots.ahead != nil { // slots that were in force, if only until others took their place
		roots = append(roots, s.slots.ahead.root)
	}
	for _, root := range roots {
		if known.Has(root.ID()) {
			domain, err := seal.Open(ctx, root, slots)
			return &openedSlots{slots: slots, root: root, domain: domain}, err
		}
	}
	in := s.cfg.folder()
	in.Root.Ask = nil // nobody is there to answer
	root, err := in.open(ctx, known, s.cfg.rand())
	if err != nil {
		return nil, err
	}
	domain, err := seal.Open(ctx, root, slots)
	return &openedSlots{slots: slots, root: root, domain: domain}, err
}

// cannotOpen ends this node when what is wrong with the keyslots in force does not mend
// itself. Otherwise it is tried again; meanwhile nothing is confirmed to the other
// nodes, and the lease runs out.
func (s *Server) cannotOpen(err error) error {
	for _, final := range []error{seal.ErrWrongRoot, seal.ErrRootMissing, seal.ErrRootUnsafe, seal.ErrRootMalformed, seal.ErrSlotsCorrupt} {
		if errors.Is(err, final) {
			cause := problem("another node has changed the seal, and this one cannot open the keyslots", "Give this node the new root, or the settings that name it, and start it again.", err)
			select {
			case s.slots.ended <- cause:
			default:
			}
			return cause
		}
	}
	return fmt.Errorf("opening the keyslots that another node has stored: %w", err)
}

// endWithSeal ends the server when it must not go on by its keyslots.
func (s *Server) endWithSeal(ctx context.Context) {
	select {
	case cause := <-s.slots.ended:
		go s.abort(cause) // which waits for this function
	case <-ctx.Done():
	}
}

// answerOffer says to the node that offers keyslots whether this one can open them. That
// may take long, and the lease goes on meanwhile.
func (s *Server) answerOffer(ctx context.Context, shared *postgres.Backend, meta map[string][]byte) {
	sealed, upon := meta[metaOffer], meta[metaSlots]
	if sealed == nil {
		return
	}
	sum := sha256.Sum256(sealed)
	s.slots.answerT.Lock()
	again := s.slots.offered == sum
	s.slots.offered = sum
	s.slots.answerT.Unlock()
	if again {
		return
	}
	s.slots.answers.Go(func() {
		if err := s.answer(ctx, shared, sealed, upon); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("another node wants to change the seal, and could not be answered", "error", err)
			s.slots.answerT.Lock()
			if s.slots.offered == sum {
				s.slots.offered = [sha256.Size]byte{}
				s.slots.stale.Store(true) // it is looked at again
			}
			s.slots.answerT.Unlock()
		}
	})
}

func (s *Server) answer(ctx context.Context, shared *postgres.Backend, sealed, upon []byte) error {
	box, err := s.domain.Box(seal.LabelOfferedSlots)
	if err != nil {
		return err
	}
	text, err := box.Open(sealed, upon)
	if err != nil {
		return nil // none of a node's, or upon slots that are not in force any more
	}
	var offer slotsOffer
	if err := json.Unmarshal(text, &offer); err != nil {
		return nil
	}
	sum := sha256.Sum256(sealed)
	host, _ := os.Hostname() // shown to a person; empty where there is none
	answer := slotsAnswer{Offer: sum[:], Where: strings.TrimSpace(host + " " + s.cfg.DataDir)}
	openCtx, cancel := context.WithTimeout(ctx, offerTime)
	opened, err := s.tryOffer(openCtx, offer)
	cancel()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		answer.Problem = fmt.Sprintf("%.500s", err)
		s.cfg.Log.Warn("another node wants to change the seal, and this one could not open the new keyslots", "error", err)
	} else {
		s.slots.mu.Lock()
		s.slots.ahead = opened
		s.slots.mu.Unlock()
	}
	if text, err = json.Marshal(answer); err != nil {
		return err
	}
	self := shared.Self()
	reply, err := box.Seal(s.cfg.rand(), text, bindingOf(self))
	if err != nil {
		return err
	}
	err = shared.SetMetaIf(ctx, map[string][]byte{metaAnswer + self.ID: reply}, func(meta map[string][]byte, _ []postgres.Node) error {
		if !bytes.Equal(meta[metaOffer], sealed) {
			return errOfferReplaced
		}
		return nil
	})
	if errors.Is(err, errOfferReplaced) {
		return nil
	}
	return err
}

// tryOffer opens offered keyslots with the root that they are for, as this machine has
// it.
func (s *Server) tryOffer(ctx context.Context, offer slotsOffer) (*openedSlots, error) {
	known, err := seal.Read(offer.Slots)
	if err != nil {
		return nil, err
	}
	opened := &openedSlots{slots: offer.Slots}
	var stored seal.RootInfo
	for _, r := range known.Roots {
		if r.ID == offer.Root {
			stored = r
		}
	}
	switch root := s.folder.currentRoot(); {
	case stored.ID == "":
		return nil, errors.New("they have no slot for the root that they are for")
	case stored.ID == root.ID():
		// What is in memory is not enough: this node must be able to start again.
		if c, ok := root.(seal.Checker); ok {
			err = c.Check(ctx)
		}
		if err == nil {
			opened.root = root
			opened.domain, err = seal.Open(ctx, root, offer.Slots)
		}
	case stored.Kind == seal.KindFile:
		err = s.openNextFile(ctx, opened, stored)
	default:
		err = s.openOffered(ctx, opened, stored, offer)
	}
	if err == nil {
		err = s.domain.MayBecome(opened.domain)
	}
	return opened, err
}

// openNextFile opens slots with a root file that was copied to this node.
func (s *Server) openNextFile(ctx context.Context, opened *openedSlots, stored seal.RootInfo) error {
	path := filepath.Join(s.cfg.DataDir, rootFile)
	for _, opened.next = range []bool{false, true} {
		at := path
		if opened.next {
			at += nextRoot
		}
		root, err := seal.OpenFileRoot(at, s.cfg.rand())
		if err != nil || root.ID() != stored.ID {
			continue
		}
		opened.root = root
		opened.domain, err = seal.Open(ctx, root, opened.slots)
		return err
	}
	return fmt.Errorf("the new root, %s, is neither in %s nor in %s", stored.ID, path, path+nextRoot)
}

// openOffered opens slots with a root that this node's settings name, or else where the
// node has it that offers them. What the settings say of that kind of root holds, also
// while the root in force is of another kind: that is how this node is told before a
// migration where it finds its PIN.
func (s *Server) openOffered(ctx context.Context, opened *openedSlots, stored seal.RootInfo, offer slotsOffer) error {
	there := s.cfg.folder()
	there.Seal = string(stored.Kind)
	there.Root.Ask = nil // nobody is there to answer
	own := there.Root
	there.Root.KMSKey, there.Root.KMSEndpoint, there.Root.KMSRegion = offer.KMSKey, offer.KMSAt, offer.KMSIn
	there.Root.PKCS11 = offer.PKCS11
	if offer.Device != "" {
		there.Root.TPM.Device = offer.Device
	}
	here := there
	here.Root.KMSKey, here.Root.KMSEndpoint, here.Root.KMSRegion = cmp.Or(own.KMSKey, offer.KMSKey), cmp.Or(own.KMSEndpoint, offer.KMSAt), cmp.Or(own.KMSRegion, offer.KMSIn)
	here.Root.PKCS11 = PKCS11Settings{
		Module: cmp.Or(own.PKCS11.Module, offer.PKCS11.Module), PINFile: cmp.Or(own.PKCS11.PINFile, offer.PKCS11.PINFile),
		Token: offer.PKCS11.Token, Serial: offer.PKCS11.Serial,
	}
	if own.PKCS11.Token != "" || own.PKCS11.Serial != "" {
		here.Root.PKCS11.Token, here.Root.PKCS11.Serial = own.PKCS11.Token, own.PKCS11.Serial
	}
	here.Root.TPM = own.TPM
	err := s.tryRoot(ctx, opened, stored, here)
	// A token locks after some wrong PINs: each is shown to it once.
	if err == nil || errors.Is(err, hsm.ErrPIN) || sameRoot(stored.Kind, here.Root, there.Root) {
		return err
	}
	if failed := s.tryRoot(ctx, opened, stored, there); failed != nil {
		return errors.Join(err, failed)
	}
	return nil
}

// sameRoot tells whether two settings of a kind of root lead to the same.
func sameRoot(kind seal.Kind, a, b RootSettings) bool {
	switch kind {
	case seal.KindAWSKMS:
		return a.kms() == b.kms()
	case seal.KindPKCS11:
		return a.PKCS11 == b.PKCS11
	case seal.KindTPM:
		return a.TPM.Device == b.TPM.Device
	}
	return true
}

func (s *Server) tryRoot(ctx context.Context, opened *openedSlots, stored seal.RootInfo, in Folder) error {
	if err := in.Root.check(in.Seal); err != nil {
		return err
	}
	root, err := in.open(ctx, seal.Info{Roots: []seal.RootInfo{stored}}, s.cfg.rand())
	if err != nil {
		return err
	}
	domain, err := seal.Open(ctx, root, opened.slots)
	if err != nil {
		return err
	}
	opened.root, opened.domain = root, domain
	return nil
}
