package server

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/seal/recovery"
	"github.com/strongroom/strongroom/internal/store"
)

// recoveryOf returns the public half of the recovery key; nil where there is none.
func recoveryOf(info seal.Info) (*recovery.Root, error) {
	for _, r := range info.Roots {
		if r.Kind == seal.KindRecovery {
			return recovery.Open(r)
		}
	}
	return nil, nil
}

func shownSet(s recovery.Set) admin.Recovery {
	return admin.Recovery{Set: s.Name(), Needed: s.Needed, Shares: s.Shares, Made: s.Made}
}

// InitRecovery implements [admin.Seals].
func (o *operator) InitRecovery(ctx context.Context, by admin.Peer, in admin.NewRecovery) (admin.RecoveryShares, error) {
	o.changes.Lock()
	defer o.changes.Unlock()
	made := admin.RecoveryShares{Deployment: o.domain.Deployment()}
	params := map[string]string{"needed": strconv.Itoa(in.Needed), "shares": strconv.Itoa(in.Shares), "replace": strconv.FormatBool(in.Replace)}
	_, err := o.changeRoot(ctx, by, "InitRecovery", params, nil, func(record []byte) error {
		was, err := recoveryOf(o.domain.Info())
		if err != nil {
			return err
		}
		if was != nil && !in.Replace {
			return problem("there is a recovery key already, of set "+was.Set().Name(), "To end it, and its shares with it, add --replace.", nil)
		}
		key, shares, err := recovery.New(o.domain.Deployment(), in.Needed, in.Shares, o.clock.Now(), o.cfg.rand())
		if err != nil {
			return err
		}
		root := o.folder.currentRoot()
		if err := o.putSlots(ctx, newSlots{root: root, recovery: key, record: record}); err != nil {
			return err
		}
		made.Recovery = shownSet(key.Set())
		for _, s := range shares {
			made.Texts = append(made.Texts, s.Text())
		}
		return nil
	})
	switch {
	case err == nil:
	case len(made.Texts) > 0: // nobody would ever have the shares that are in force
		made.Problem = err.Error()
	case errors.Is(err, store.ErrUnknown):
		return admin.RecoveryShares{}, problem("whether there is a new recovery key is not known: if there is, nobody has its shares, and those of before open nothing",
			"Make another as soon as the database answers: strongroom recovery init --replace", err)
	default:
		return admin.RecoveryShares{}, err
	}
	return made, nil
}

// VerifyRecovery implements [admin.Seals].
func (o *operator) VerifyRecovery(ctx context.Context, by admin.Peer, in admin.RecoveryProof) (admin.Seal, error) {
	o.changes.Lock()
	defer o.changes.Unlock()
	record, refused, err := o.record(ctx, by, "VerifyRecovery", map[string]string{"shares": strconv.Itoa(len(in.Texts))})
	if err != nil {
		return admin.Seal{}, err
	}
	root, err := combine(o.domain.Info(), in.Texts)
	if err == nil {
		err = o.domain.Proves(ctx, root)
	}
	if err != nil {
		return admin.Seal{}, refused(err)
	}
	return o.sealNow(), o.store.Append(ctx, record)
}

// combine makes the recovery key of its shares.
func combine(info seal.Info, texts []string) (*recovery.Root, error) {
	if len(texts) > recovery.MaxShares {
		return nil, problem(fmt.Sprintf("%d shares are too many: no set has more than %d", len(texts), recovery.MaxShares), "", nil)
	}
	shares := make([]recovery.Share, len(texts))
	for i, text := range texts {
		var err error
		if shares[i], err = recovery.ParseShare(text); err != nil {
			return nil, problem(fmt.Sprintf("share %d cannot be used", i+1), "Compare it with what is on the paper, group by group.", err)
		}
	}
	for _, r := range info.Roots {
		if r.Kind == seal.KindRecovery {
			return recovery.Combine(r, info.Deployment, shares)
		}
	}
	return nil, problem("this deployment has no recovery key", "To make one while the root opens it: strongroom recovery init", nil)
}

// Recovered is a deployment that was opened with its recovery key.
type Recovered interface {
	// VerifyRecovery is that of [admin.Seals].
	VerifyRecovery(ctx context.Context, by admin.Peer, in admin.RecoveryProof) (admin.Seal, error)
	// Reseal puts the root that the settings name, a new one, in the place of the one
	// that is gone.
	Reseal(ctx context.Context, by admin.Peer) (admin.Seal, error)
	// EndTwoPeople ends the two-person rule, if there is one: the holders of the shares
	// are several people.
	EndTwoPeople(ctx context.Context, by admin.Peer) error
	io.Closer
}

// OpenRecovered opens a data folder with shares of its recovery key, whatever has
// become of its root. in names the root that is to be. It is refused while a server
// has the folder.
func OpenRecovered(ctx context.Context, in Folder, texts []string) (Recovered, error) {
	f, err := openWith(ctx, in, unsealWith(ctx, texts))
	if err != nil {
		return nil, err
	}
	o, err := newOperator(ctx, in, f)
	if err != nil {
		return nil, err
	}
	return &recovered{o, in}, nil
}

// unsealWith opens the domain key with shares.
func unsealWith(ctx context.Context, texts []string) func(*folder, map[string][]byte) error {
	return func(f *folder, meta map[string][]byte) error {
		known, err := seal.Read(meta[metaSlots])
		if err != nil {
			return err
		}
		root, err := combine(known, texts)
		if err != nil {
			return err
		}
		f.root, f.slots = root, meta[metaSlots]
		if f.domain, err = seal.Open(ctx, root, f.slots); err != nil {
			return err
		}
		return f.checkVouched(ctx, meta)
	}
}

// checkVouched refuses a version of the domain key that this deployment has not made. The
// recovery key wraps with its public half, which lies in the folder: who can write there
// could add a version that he knows, with a keyslot that the shares open, and wait until
// what is sealed anew is sealed under it. The other roots take nobody's slots but their
// own. So the newest version must be one that the audit trail was sealed under when it
// was signed, for which one needs the first; or the record of its making must still wait
// beside the keyslots, sealed under a version before.
func (f *folder) checkVouched(ctx context.Context, meta map[string][]byte) error {
	current := f.domain.Current()
	if current == firstVersion {
		return nil // another key in its place opens nothing that there is
	}
	if pending := meta[metaPending]; seal.BoxVersion(pending) < current {
		box, err := f.domain.Box(seal.LabelPendingRecord)
		if err != nil {
			return err
		}
		if _, err := box.Open(pending, meta[metaSlots]); err == nil {
			return nil
		}
	}
	signer, err := journalSigner(f.domain)
	if err != nil {
		return err
	}
	reader, err := f.journalReader()
	if err != nil {
		return err
	}
	vouched, err := reader.SignedKeyVersion(ctx, signer.Public().(ed25519.PublicKey))
	if err == nil && vouched == current {
		return nil
	}
	return problem(fmt.Sprintf("the audit trail does not know version %d of the domain key, which the keyslots have: somebody may have added it", current),
		"Nothing was changed. Keep the folder as it is, and restore a backup into another one: strongroom backup restore FILE --recovery --history "+f.dir, errors.Join(seal.ErrSlotsCorrupt, err))
}

type recovered struct {
	*operator
	in Folder
}

// Reseal implements [Recovered].
func (r *recovered) Reseal(ctx context.Context, by admin.Peer) (admin.Seal, error) {
	r.changes.Lock()
	defer r.changes.Unlock()
	params := map[string]string{"to": r.in.Seal, "set": shownSetOf(r.domain.Info())}
	return r.changeSeal(ctx, by, "RecoverSeal", params, func(record []byte) error {
		root, err := r.in.make(ctx, r.cfg.rand())
		if err != nil {
			return err
		}
		return r.putSlotsOf(ctx, newSlots{root: root, place: r.in, record: record})
	})
}

// EndTwoPeople implements [Recovered].
func (r *recovered) EndTwoPeople(ctx context.Context, by admin.Peer) error {
	r.changes.Lock()
	defer r.changes.Unlock()
	service, err := r.approvals(by)
	if err != nil {
		return err
	}
	return service.EndRule(ctx)
}

func shownSetOf(info seal.Info) string {
	if key, err := recoveryOf(info); err == nil && key != nil {
		return key.Set().Name()
	}
	return ""
}

// CheckShare says what is wrong with the text of a share by itself.
func CheckShare(text string) error {
	if _, err := recovery.ParseShare(text); err != nil {
		return problem("this share cannot be used", "Compare it with what is on the paper, group by group.", err)
	}
	return nil
}
