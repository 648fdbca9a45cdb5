package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

// ReclaimConfig says whose records are to be served again after they were moved away.
type ReclaimConfig struct {
	// In names the folder, or the database with the folder of a node, that the records
	// were moved away from.
	In Folder
	// KeepKeys leaves the keys in the states that they had at the time of the move.
	// Otherwise those that were enabled come back disabled.
	KeepKeys bool
	// Approvals are operators' signatures, where a two-person rule asks for them; see
	// [ApprovalMissing].
	Approvals [][]byte
	// Log must be set.
	Log *slog.Logger
}

// Reclaimed is what a reclaim has done.
type Reclaimed struct {
	Deployment string    `json:"deployment"`
	Copy       string    `json:"copy"`
	MovedTo    string    `json:"movedTo"`
	Moved      time.Time `json:"moved"`
	// NewEpoch is where the epoch counts on.
	NewEpoch     uint64 `json:"newEpoch"`
	KeysDisabled int    `json:"keysDisabled"`
}

// Reclaim takes the mark of a move away, so that the records can be served from where
// they were before it. That goes back to the time of the move, and is recorded: the
// epoch jumps, so that nothing that was written at the other place fits in here, and
// keys come back disabled. Run again after an interruption, it does all of it again.
func Reclaim(ctx context.Context, cfg ReclaimConfig) (out Reclaimed, err error) {
	in := cfg.In
	if err := errors.Join(in.Root.check(in.Seal), in.checkStore()); err != nil {
		return out, err
	}
	if !in.shared() {
		if err := takeBack(in); err != nil {
			return out, err
		}
	}
	if err := prepareFolder(in); err != nil {
		return out, err
	}
	f, meta, err := describe(ctx, in)
	if err != nil {
		return out, err
	}
	note, err := reclaimable(in, meta)
	if err == nil {
		err = f.unseal(ctx, in, (&Config{}).rand(), meta)
	}
	var before uint64
	if err == nil {
		before, err = f.epoch(ctx)
	}
	if err == nil {
		f.skipEpochs, err = skip()
	}
	if err == nil {
		err = f.writeNewest(ctx) // that the trail has gone on elsewhere is known
	}
	if err != nil {
		return out, errors.Join(err, f.close())
	}
	if local := f.local; local != nil {
		// Here nobody is a node: nothing is to be committed before it is approved.
		f.local = nil
		defer func() { err = errors.Join(err, local.Close()) }()
	}
	out = Reclaimed{Deployment: f.domain.Deployment(), Copy: note.Copy, MovedTo: note.Place, Moved: note.Time}
	o, err := newOperator(ctx, in, f)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	params := map[string]string{
		"copy": note.Copy, "movedTo": note.Place, "moved": note.Time.Format(time.RFC3339), "epoch": strconv.FormatUint(before, 10),
		"keysKeptAsTheyWere": strconv.FormatBool(cfg.KeepKeys),
	}
	if params, err = o.approveRollback(ctx, "ReclaimStore", note.Copy, in.Dir, params, cfg.Approvals); err != nil {
		return out, err
	}
	record, err := o.adminRecord(o.ownEvent("ReclaimStore", params), nil)
	if err != nil {
		return out, err
	}
	now := o.clock.Now().UTC()
	err = o.store.Update(ctx, func(tx *store.Tx) error {
		err := restoreRecords.Put(tx, store.Deployment, store.TimeValue(now), restoreRecord{Backup: "copy " + note.Copy, Made: note.Time, Restored: now, Epoch: before})
		return errors.Join(err, tx.Append(record))
	})
	if err == nil && o.store.Epoch() < before+f.skipEpochs {
		err = errors.New("server: the epoch did not jump")
	}
	if err == nil && !cfg.KeepKeys {
		out.KeysDisabled, err = o.kms.DisableAll(ctx, func(arns []string) ([]byte, error) {
			return o.adminRecord(o.ownEvent("DisableRestoredKeys", map[string]string{"keys": strings.Join(arns, " ")}), nil)
		})
	}
	if err == nil {
		out.NewEpoch = o.store.Epoch()
		err = f.backend.SetMeta(ctx, map[string][]byte{metaMoved: nil})
	}
	return out, err
}

func reclaimable(in Folder, meta map[string][]byte) (moveNote, error) {
	if len(meta[metaMoved]) == 0 {
		if err := refuseMoved(in, meta); err != nil {
			return moveNote{}, err
		}
		return moveNote{}, problem(fmt.Sprintf("the records of %s were not moved away", in.place()), "Serve them: strongroom serve", nil)
	}
	return readNote(meta[metaMoved])
}

// takeBack gives the store that was moved away last its name again. The mark in it
// stays, so that nobody serves from it yet. What the folder has as a node is put aside.
func takeBack(in Folder) error {
	to := filepath.Join(in.Dir, storeFolder)
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var newest moveNote
	from := ""
	for _, path := range movedStores(in.Dir) {
		note, err := noteIn(path)
		if err != nil {
			return err
		}
		if from == "" || note.Time.After(newest.Time) {
			from, newest = path, note
		}
	}
	if from == "" {
		return nil // what follows says that there is nothing
	}
	node := filepath.Join(in.Dir, nodeFolder)
	if err := os.Rename(node, node+".left-"+newest.Copy[:8]); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(in.Dir)
}

// epoch is that of the records.
func (f *folder) epoch(ctx context.Context) (uint64, error) {
	state, err := f.backend.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	return state.Epoch(), state.Close()
}
