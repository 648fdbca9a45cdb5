package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

var _ admin.Seals = (*operator)(nil)

// Seal implements [admin.Seals].
func (o *operator) Seal(ctx context.Context) (admin.Seal, error) {
	o.changes.Lock()
	shown, root := o.sealLocked(), o.folder.root
	o.changes.Unlock()
	if err := o.checkRoot(ctx, root); err != nil {
		for i := range shown.Roots {
			if shown.Roots[i].ID == root.ID() {
				shown.Roots[i].Problem = err.Error()
			}
		}
	}
	return shown, nil
}

func (o *operator) sealLocked() admin.Seal {
	info := o.domain.Info()
	shown := admin.Seal{Deployment: info.Deployment, Version: info.Current}
	if recovery, err := recoveryOf(info); err == nil && recovery != nil {
		set := shownSet(recovery.Set())
		shown.Recovery = &set
	}
	for _, r := range info.Roots {
		root := admin.SealRoot{ID: r.ID, Kind: string(r.Kind)}
		if r.ID == o.folder.root.ID() {
			root.Where = o.folder.root.Describe()
		}
		shown.Roots = append(shown.Roots, root)
	}
	return shown
}

// RotateDomainKey implements [admin.Seals].
func (o *operator) RotateDomainKey(ctx context.Context, by admin.Peer) (admin.Seal, error) {
	o.changes.Lock()
	defer o.changes.Unlock()
	params := map[string]string{"version": fmt.Sprint(o.domain.Current() + 1)}
	return o.changeSeal(ctx, by, "RotateDomainKey", params, func(record []byte) error {
		return o.putSlotsOf(ctx, true, record, o.folder.root)
	})
}

// MigrateSeal implements [admin.Seals].
func (o *operator) MigrateSeal(ctx context.Context, by admin.Peer, in admin.NewSeal) (admin.Seal, error) {
	o.changes.Lock()
	defer o.changes.Unlock()
	to := Folder{Dir: o.cfg.DataDir, Seal: in.Kind, Root: RootSettings{
		Ask:    func(bool) (secret.Bytes, error) { return append(secret.Bytes{}, in.Passphrase...), nil },
		KMSKey: in.KMSKey, KMSEndpoint: in.KMSEndpoint, KMSRegion: in.KMSRegion,
		TPM:       TPMSettings{Device: in.TPMDevice, Auth: in.TPMAuth, PCRs: in.TPMPCRs},
		PKCS11:    PKCS11Settings{Module: in.PKCS11Module, Token: in.PKCS11Token, Serial: in.PKCS11Serial, PINFile: in.PKCS11PINFile},
		HSMHelper: o.cfg.Root.HSMHelper,
	}}
	if err := to.Root.check(in.Kind); err != nil { // before the record: it shows these settings
		return admin.Seal{}, err
	}
	params := map[string]string{
		"from": o.folder.root.ID(), "to": in.Kind,
		"kmsKey": in.KMSKey, "kmsEndpoint": in.KMSEndpoint, "kmsRegion": in.KMSRegion,
		"tpmDevice": in.TPMDevice, "tpmPCRs": in.TPMPCRs,
		"pkcs11Module": in.PKCS11Module, "pkcs11Token": in.PKCS11Token, "pkcs11Serial": in.PKCS11Serial, "pkcs11PinFile": in.PKCS11PINFile,
	}
	hidden := slices.Concat(in.Passphrase, []byte{0}, in.TPMAuth)
	defer clear(hidden)
	return o.changeRoot(ctx, by, "MigrateSeal", params, hidden, func(record []byte) error {
		if in.Kind == string(seal.KindFile) && strings.HasPrefix(o.folder.root.ID(), string(seal.KindFile)+":") {
			return o.replaceRootFile(ctx, record)
		}
		root, err := to.make(ctx, o.cfg.rand())
		if err != nil {
			return err
		}
		if err := o.putSlotsOf(ctx, false, record, root); err != nil {
			return err
		}
		o.folder.root = root
		return nil
	})
}

// changeSeal makes a change with its record.
func (o *operator) changeSeal(ctx context.Context, by admin.Peer, name string, params map[string]string, change func(record []byte) error) (admin.Seal, error) {
	// The record of what is done must not find the disk full.
	if err := o.store.Ready(ctx); err != nil {
		return admin.Seal{}, err
	}
	if err := o.recordPending(ctx); err != nil { // of an earlier one
		return admin.Seal{}, err
	}
	record, refused, err := o.record(ctx, by, name, params)
	if err != nil {
		return admin.Seal{}, err
	}
	if err := change(record); err != nil {
		return admin.Seal{}, refused(err)
	}
	if err := o.recordPending(ctx); err != nil {
		return admin.Seal{}, problem("the seal is changed, and the change is not in the audit trail yet", "The next start records it.", err)
	}
	return o.sealLocked(), nil
}

// putSlotsOf is putSlots for these roots and the recovery key that there is.
func (o *operator) putSlotsOf(ctx context.Context, rotate bool, record []byte, roots ...seal.Root) error {
	recovery, err := recoveryOf(o.domain.Info())
	if err != nil {
		return err
	}
	if recovery != nil {
		roots = append(roots, recovery)
	}
	return o.putSlots(ctx, roots, rotate, record)
}

// putSlots gives roots, and no others, the keyslots of the domain key, with rotate
// in a new version of it. The slots and the record are stored in one step, before
// anything goes by the new ones: a process that is killed opens with the old slots
// or the new ones, and makes good for the record. record is nil when the change is
// not at its end.
func (s *Server) putSlots(ctx context.Context, roots []seal.Root, rotate bool, record []byte) error {
	change, err := s.domain.Prepare(ctx, roots, rotate, s.cfg.rand())
	if err != nil {
		return err
	}
	meta := map[string][]byte{metaSlots: change.Slots}
	if record != nil {
		box, err := s.domain.Box(seal.LabelPendingRecord)
		if err != nil {
			return err
		}
		if meta[metaPending], err = box.Seal(s.cfg.rand(), record, change.Slots); err != nil {
			return err
		}
	}
	if err := s.folder.setSlots(ctx, meta); err != nil {
		return fmt.Errorf("store the keyslots: %w", err)
	}
	change.Apply()
	if !rotate {
		return nil
	}
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

// recordPending moves the record of a change of the slots, if there is one, to the
// journal. A process that is killed between the two steps records it once more,
// under the same event id.
func (s *Server) recordPending(ctx context.Context) error {
	meta, err := s.folder.backend.Meta(ctx)
	if err != nil || meta[metaPending] == nil {
		return err
	}
	box, err := s.domain.Box(seal.LabelPendingRecord)
	if err != nil {
		return err
	}
	record, err := box.Open(meta[metaPending], meta[metaSlots])
	if err != nil {
		return problem("the audit record of the last change of the seal was altered", "Somebody has changed the data folder: compare it with a backup.", err)
	}
	if err := s.store.Append(ctx, record); err != nil {
		return err
	}
	return s.folder.backend.SetMeta(ctx, map[string][]byte{metaPending: nil})
}

// nextRoot is the end of the name of a root that is to take another's place.
const nextRoot = ".next"

// replaceRootFile puts a new root file in the place of the one in force. There is
// no moment at which the file that is there does not open: both roots have slots
// while the one takes the other's place.
func (o *operator) replaceRootFile(ctx context.Context, record []byte) error {
	path := filepath.Join(o.cfg.DataDir, rootFile)
	if err := os.Remove(path + nextRoot); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // of an attempt that did not come to its end: never in force under this name
	}
	next, err := seal.CreateFileRoot(path+nextRoot, o.cfg.rand())
	if err != nil {
		return err
	}
	if err := o.putSlotsOf(ctx, false, nil, o.folder.root, next); err != nil {
		return err
	}
	if err := os.Rename(path+nextRoot, path); err != nil {
		return err
	}
	o.folder.root = next // whatever follows: the old one is not on disk any more
	if err := syncFolder(o.cfg.DataDir); err != nil {
		return err
	}
	root, err := seal.OpenFileRoot(path, o.cfg.rand())
	if err != nil {
		return err
	}
	o.folder.root = root
	return o.putSlotsOf(ctx, false, record, root)
}
