package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

var _ admin.Seals = (*operator)(nil)

// Seal implements [admin.Seals].
func (o *operator) Seal(ctx context.Context) (admin.Seal, error) {
	shown, root := o.sealNow(), o.folder.currentRoot()
	if err := o.checkRoot(ctx, root); err != nil {
		for i := range shown.Roots {
			if shown.Roots[i].ID == root.ID() {
				shown.Roots[i].Problem = err.Error()
			}
		}
	}
	return shown, nil
}

func (o *operator) sealNow() admin.Seal {
	info, inForce := o.domain.Info(), o.folder.currentRoot()
	shown := admin.Seal{Deployment: info.Deployment, Version: info.Current}
	if recovery, err := recoveryOf(info); err == nil && recovery != nil {
		set := shownSet(recovery.Set())
		shown.Recovery = &set
	}
	for _, r := range info.Roots {
		root := admin.SealRoot{ID: r.ID, Kind: string(r.Kind)}
		if r.ID == inForce.ID() {
			root.Where = inForce.Describe()
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
		return o.putSlotsOf(ctx, newSlots{root: o.folder.currentRoot(), rotate: true, record: record})
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
		"from": o.folder.currentRoot().ID(), "to": in.Kind,
		"kmsKey": in.KMSKey, "kmsEndpoint": in.KMSEndpoint, "kmsRegion": in.KMSRegion,
		"tpmDevice": in.TPMDevice, "tpmPCRs": in.TPMPCRs,
		"pkcs11Module": in.PKCS11Module, "pkcs11Token": in.PKCS11Token, "pkcs11Serial": in.PKCS11Serial, "pkcs11PinFile": in.PKCS11PINFile,
	}
	hidden := slices.Concat(in.Passphrase, []byte{0}, in.TPMAuth)
	defer clear(hidden)
	return o.changeRoot(ctx, by, "MigrateSeal", params, hidden, func(record []byte) error {
		if in.Kind == string(seal.KindFile) && strings.HasPrefix(o.folder.currentRoot().ID(), string(seal.KindFile)+":") {
			return o.replaceRootFile(ctx, record)
		}
		root, err := to.make(ctx, o.cfg.rand())
		if err != nil {
			return err
		}
		return o.putSlotsOf(ctx, newSlots{root: root, place: to, record: record})
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
	switch err := o.recordPending(ctx); {
	case errors.Is(err, store.ErrUnknown) && o.folder.local != nil:
		return admin.Seal{}, problem("the seal is changed, and it is not known yet that every node goes by it", "A node that does not answers nothing once its lease has run out. What there is now: strongroom seal status", err)
	case err != nil:
		return admin.Seal{}, problem("the seal is changed, and the change is not in the audit trail yet", "The next start records it.", err)
	}
	return o.sealNow(), nil
}

// nextRoot is the end of the name of a root that is to take another's place.
const nextRoot = ".next"

// replaceRootFile puts a new root file in the place of the one in force. There is
// no moment at which the file that is there does not open: both roots have slots
// while the one takes the other's place, here and on every other node, which has a copy
// of the new one under the same name.
func (o *operator) replaceRootFile(ctx context.Context, record []byte) error {
	path := filepath.Join(o.cfg.DataDir, rootFile)
	next, err := o.nextRootFile(path + nextRoot)
	if err != nil {
		return err
	}
	to := Folder{Dir: o.cfg.DataDir, Seal: string(seal.KindFile)}
	if err := o.putSlotsOf(ctx, newSlots{root: next, place: to, before: o.folder.currentRoot()}); err != nil {
		return err
	}
	root, err := o.folder.takeNextRoot(path, o.cfg.rand())
	if err != nil {
		return err
	}
	return o.putSlotsOf(ctx, newSlots{root: root, place: to, record: record})
}

// nextRootFile makes the root file that is to be. One that is there already is of an
// attempt that did not come to its end: never in force under this name. It is made
// anew, unless other nodes may have been given copies of it.
func (o *operator) nextRootFile(path string) (*seal.FileRoot, error) {
	if o.folder.local != nil {
		if root, err := seal.OpenFileRoot(path, o.cfg.rand()); !errors.Is(err, seal.ErrRootMissing) {
			return root, err
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return seal.CreateFileRoot(path, o.cfg.rand())
}

// takeNextRoot puts the next root file in the place of the one at path, and makes it the
// folder's root.
func (f *folder) takeNextRoot(path string, rand io.Reader) (seal.Root, error) {
	next, err := seal.OpenFileRoot(path+nextRoot, rand)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(path+nextRoot, path); err != nil {
		return nil, err
	}
	f.setRoot(next) // whatever follows: the old one is not on disk any more
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	root, err := seal.OpenFileRoot(path, rand)
	if err != nil {
		return nil, err
	}
	f.setRoot(root)
	return root, nil
}
