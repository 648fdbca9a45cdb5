package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/backup"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
)

// restoringFolder is the store of a folder whose restore is not finished. No server
// starts on it; another restore begins anew.
const restoringFolder = "store.restoring"

// RestoreConfig says what to restore, and where.
type RestoreConfig struct {
	// BackupFile is what to restore; it must be set. Its folder is where to: absent,
	// empty, or holding the root alone. A root file that is named is copied there;
	// after shares, the folder gets a new root of the kind that it names. Progress is
	// called for the check of the backup, and again for the restore.
	BackupFile
	// History, if not empty, is the data folder that the backup is of, or an export of
	// its audit trail: what was changed after the backup is made again from it.
	History string
	// KeepKeys leaves the keys in the states that they had when the backup was made.
	// Otherwise those that were enabled come back disabled, unless the whole of what
	// came after the backup was made again from a data folder.
	KeepKeys bool
	// Checkpoint, if not empty, is the text of a later checkpoint of the same trail,
	// kept elsewhere: the record of the restore says what is lost up to there.
	Checkpoint []byte
	// Approvals are operators' signatures, where a two-person rule asks for them; see
	// [ApprovalMissing].
	Approvals [][]byte
	// Log must be set.
	Log *slog.Logger
}

// Restored is what a restore has done.
type Restored struct {
	BackupInfo
	// Epoch counts on from here.
	NewEpoch     uint64 `json:"newEpoch"`
	KeysDisabled int    `json:"keysDisabled"`
	// Replayed is how many changes were made again from the history, Gone how many
	// were of things that only the lost records held, and Refused how many could not
	// be made again: the trail names them, and their keys are disabled.
	Replayed int `json:"replayed"`
	Gone     int `json:"gone"`
	Refused  int `json:"refused"`
	// LostRecords is how many audit records are known to be missing; 0 when no later
	// checkpoint was given.
	LostRecords uint64 `json:"lostRecords"`
}

// restoreRecord is kept for each restore of a deployment.
type restoreRecord struct {
	Backup   string    `json:"backup"`
	Made     time.Time `json:"made"`
	Restored time.Time `json:"restored"`
	Epoch    uint64    `json:"epoch"`
	Frame    uint64    `json:"frame"`
}

var restoreRecords = store.NewCollection[restoreRecord]("restore", 1)

// Restore checks a backup as [VerifyBackup] does and then makes a data folder of it.
// The folder can be served when Restore has returned nil and not before: whatever
// interrupts it leaves nothing that a server takes for a deployment.
//
// The records keep their versions and go on from a much higher epoch, and the trail
// goes on behind the backup's with a record of the restore, so that nothing that was
// written after the backup can be taken for a part of what comes now.
func Restore(ctx context.Context, cfg RestoreConfig) (Restored, error) {
	dir := cfg.In.Dir
	if cfg.In.shared() {
		return Restored{}, problem("a backup is restored into a data folder, and --store names a database",
			"Leave --store (STRONGROOM_STORE) out, and then copy what was restored into the database:\n  strongroom store copy --data "+dir+" --to …", nil)
	}
	if err := checkRestorable(dir); err != nil {
		return Restored{}, err
	}
	c, err := checkBackup(ctx, cfg.BackupFile)
	if err != nil {
		return Restored{}, err
	}
	out := Restored{BackupInfo: c.info}
	if out.LostRecords, err = c.lost(cfg.Checkpoint); err != nil {
		return Restored{}, err
	}
	past := &history{}
	if cfg.History != "" {
		if past, err = c.readHistory(ctx, cfg.History, cfg.Checkpoint); err != nil {
			return Restored{}, err
		}
	}
	if err := cfg.placeRoot(); err != nil {
		return Restored{}, err
	}
	unlock, err := lockRestore(dir)
	if err != nil {
		return Restored{}, err
	}
	defer unlock()
	staged := filepath.Join(dir, restoringFolder)
	if err := os.RemoveAll(staged); err != nil {
		return Restored{}, err
	}
	if err := c.load(ctx, cfg, staged); err != nil {
		return Restored{}, err
	}
	if err := c.settle(ctx, cfg, staged, past, &out); err != nil {
		return Restored{}, err
	}
	if err := os.Rename(staged, filepath.Join(dir, storeFolder)); err != nil {
		return Restored{}, err
	}
	return out, syncFolder(dir)
}

// checkRestorable refuses a folder that holds anything.
func checkRestorable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, storeFolder)); err == nil {
		return problem(fmt.Sprintf("%s holds a deployment, which a restore would roll back", dir),
			"Restore into a new folder with --data. To give this deployment up, move its folder away yourself first.", nil)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == rootFile, name == restoringFolder, name == publicKeyFile:
		case strings.HasPrefix(name, "."+rootFile+"-"), strings.HasPrefix(name, "."+publicKeyFile+"-"):
			// writeFile was interrupted
		default:
			return problem(fmt.Sprintf("%s is not empty: it holds %s", dir, e.Name()),
				"Restore into a new folder with --data. It may hold "+rootFile+" and nothing else.", nil)
		}
	}
	return nil
}

// lockRestore lets one restore at a time into a folder.
func lockRestore(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(problem("another restore into "+dir+" is under way", "Wait for it to end.", err), d.Close())
	}
	return func() { _ = d.Close() }, nil // nothing was written to it
}

// placeRoot makes the folder, and copies the root into it if that is a file.
func (cfg *RestoreConfig) placeRoot() error {
	dir := cfg.In.Dir
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := makeFolder(dir); err != nil {
			return err
		}
	}
	if err := private(dir); err != nil {
		return err
	}
	to := filepath.Join(dir, rootFile)
	if len(cfg.Shares) > 0 || cfg.In.Seal != string(seal.KindFile) || cfg.In.rootPath() == to {
		return nil
	}
	text, err := os.ReadFile(cfg.In.rootPath())
	if err != nil {
		return err
	}
	key := secret.Bytes(text)
	defer key.Wipe()
	there, err := os.ReadFile(to)
	switch {
	case err == nil && key.Equal(there):
		return nil
	case err == nil:
		return problem("there is another root in "+dir, "Leave --root out to use that one, or restore into a new folder.", nil)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return writeFile(to, text, 0o600)
}

// private refuses a folder that others may use.
func private(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = problem(fmt.Sprintf("the data folder %s may be used by others (mode %04o)", dir, info.Mode().Perm()), "chmod 700 "+dir, nil)
	}
	return err
}

// lost compares a later checkpoint with the backup's.
func (c *checkedBackup) lost(later []byte) (uint64, error) {
	if len(later) == 0 {
		return 0, nil
	}
	signer, err := journalSigner(c.domain)
	if err != nil {
		return 0, err
	}
	public := signer.Public().(ed25519.PublicKey)
	_, checkpoints, err := verifyWith(admin.VerifyOptions{Checkpoint: later}, public)
	if err != nil {
		return 0, err
	}
	at := checkpoints[0]
	if err := at.Verify(public); err != nil || at.Deployment != c.header.Deployment || at.Stream != streamName {
		return 0, problem("the checkpoint is not of this deployment", "Leave --checkpoint out, or give one that this deployment signed.", err)
	}
	return at.Records - min(at.Records, c.info.AuditRecords), nil
}

// load writes the file into a new store.
func (c *checkedBackup) load(ctx context.Context, cfg RestoreConfig, staged string) (err error) {
	backend, err := pebble.Open(pebble.Config{Dir: staged, Log: cfg.Log, Fatal: store.Exit})
	switch {
	case errors.Is(err, store.ErrFull):
		return fullDisk(cfg.In.Dir, err)
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	var records []store.Write
	var frames []store.Frame
	_, _, err = c.read(backup.Visitor{
		Key:    func(backup.Header) (secret.Bytes, error) { return backupKey(c.domain) },
		Expect: &c.manifest,
		Record: func(key, value []byte) error {
			records = append(records, store.Write{Key: bytes.Clone(key), Value: append([]byte{}, value...)})
			return nil
		},
		Frame: func(seq uint64, frame []byte) error {
			frames = append(frames, store.Frame{Seq: seq, Bytes: bytes.Clone(frame)})
			return ctx.Err()
		},
		Block: func() error {
			err := backend.Load(ctx, c.header.Epoch, records, frames)
			records, frames = nil, nil
			return err
		},
	}, cfg.Progress)
	if errors.Is(err, store.ErrFull) {
		return fullDisk(cfg.In.Dir, err)
	}
	if err != nil {
		return c.explain(err)
	}
	return backend.SetMeta(ctx, c.header.Meta)
}

// settle opens what was loaded, as a start would, records the restore, makes again
// what came after the backup and disables the keys.
func (c *checkedBackup) settle(ctx context.Context, cfg RestoreConfig, staged string, past *history, out *Restored) (err error) {
	backend, err := pebble.Open(pebble.Config{Dir: staged, Log: cfg.Log, Fatal: store.Exit})
	if err != nil {
		return err
	}
	f := &folder{dir: cfg.In.Dir, backend: backend, domain: c.domain, root: c.root, mode: string(c.header.Meta[metaMode]), account: string(c.header.Meta[metaAccount])}
	if regions := string(c.header.Meta[metaRegions]); regions != "" {
		f.regions = strings.Split(regions, ",")
	}
	if f.skipEpochs, err = skip(); err != nil {
		return errors.Join(err, backend.Close())
	}
	o, err := newOperator(ctx, cfg.In, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	params := map[string]string{
		"backup": c.header.ID, "made": c.header.Made.Format(time.RFC3339), "epoch": strconv.FormatUint(c.header.Epoch, 10),
		"frame": strconv.FormatUint(c.header.Frame, 10), "keysKeptAsTheyWere": strconv.FormatBool(cfg.KeepKeys),
	}
	if cfg.History != "" {
		params["history"] = cfg.History
	}
	if len(cfg.Checkpoint) > 0 {
		params["lostRecords"] = strconv.FormatUint(out.LostRecords, 10)
		params["laterCheckpoint"] = string(bytes.TrimSpace(cfg.Checkpoint))
	}
	if params, err = o.approveRestore(ctx, cfg, params); err != nil {
		return err
	}
	record, err := o.adminRecord(o.ownEvent("RestoreBackup", params), nil)
	if err != nil {
		return err
	}
	now := o.clock.Now().UTC()
	err = o.store.Update(ctx, func(tx *store.Tx) error {
		err := restoreRecords.Put(tx, store.Deployment, store.TimeValue(now), restoreRecord{
			Backup: c.header.ID, Made: c.header.Made, Restored: now, Epoch: c.header.Epoch, Frame: c.header.Frame,
		})
		return errors.Join(err, tx.Append(record))
	})
	r := newReplay(o)
	if err == nil {
		err = r.run(ctx, past)
	}
	out.Replayed, out.Gone, out.Refused = r.made, r.lost, r.refused
	if err == nil && !cfg.KeepKeys && (!past.whole || r.unnamed) {
		out.KeysDisabled, err = o.kms.DisableAll(ctx, func(arns []string) ([]byte, error) {
			return o.adminRecord(o.ownEvent("DisableRestoredKeys", map[string]string{"keys": strings.Join(arns, " ")}), nil)
		})
	}
	if err == nil && len(cfg.Shares) > 0 {
		own := o.ownEvent("", nil).Peer
		_, err = (&recovered{o, cfg.In}).Reseal(ctx, own)
	}
	out.NewEpoch = o.store.Epoch()
	return err
}

// skip draws how far the epoch of a restored store jumps: beyond what the lost part
// may have counted, and not as far as another restore of the same backup.
func skip() (uint64, error) {
	var cfg Config
	var b [4]byte
	if _, err := io.ReadFull(cfg.rand(), b[:]); err != nil {
		return 0, err
	}
	return (uint64(binary.BigEndian.Uint32(b[:])>>12) + 1) << 32, nil
}
