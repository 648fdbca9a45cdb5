package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

// CopyConfig says which records are copied, and where to.
type CopyConfig struct {
	// From is how the deployment is opened now; its folder is the one that holds the
	// records before or after, and a node's as long as they are in the database.
	From Folder
	// To is what holds the records afterwards, as [Folder.Store].
	To string
	// Lost are nodes whose disks are lost, with the audit records that they had not
	// sent.
	Lost []string
	// Progress, if not nil, is called with what is done, and how much of it is; total
	// is 0 while that is not known.
	Progress func(doing string, done, total uint64)
	// Log must be set.
	Log *slog.Logger

	// Of tests: what stands before the target.
	through func(copyTarget) copyTarget
}

// Copied is what a copy has done.
type Copied struct {
	ID         string `json:"id"`
	Deployment string `json:"deployment"`
	// From and To say where the records were and are.
	From string `json:"from"`
	To   string `json:"to"`
	// Records, Frames and AuditRecords are how many there were, all compared one by one.
	// They are 0 when an interrupted copy was finished that had compared all before.
	Records      uint64 `json:"records"`
	Frames       uint64 `json:"frames"`
	AuditRecords uint64 `json:"auditRecords"`
	// Checkpoint is the last checkpoint before the copy, of the same trail.
	Checkpoint string `json:"checkpoint"`
	// Finished says that an earlier copy was finished, whose end was missing.
	Finished bool `json:"finished"`
	// Kept is the path of the folder's store as it was, if it was one.
	Kept string `json:"kept,omitempty"`
}

// copyTarget is where records are copied to. Until name has begun, no server takes what
// is there for a deployment.
type copyTarget interface {
	// found tells what is there of the copy with this id: whole, for all of it, and
	// named, when it is a deployment.
	found(ctx context.Context, id string) (whole, named bool, err error)
	// free refuses a target that holds anything but what an unfinished copy has left.
	free(ctx context.Context) error
	// vacate removes what an unfinished copy has left, and begins another, if the
	// target is free.
	vacate(ctx context.Context, note moveNote) error
	// open opens what is there, for the copy alone.
	open(ctx context.Context) (copyBackend, error)
	// settle says that all is there, with what describes the deployment.
	settle(ctx context.Context, note moveNote, meta map[string][]byte) error
	// name makes a deployment of it. It may be called again.
	name(ctx context.Context, id string, meta map[string][]byte) error
}

type copyBackend interface {
	store.Backend
	store.Loader
}

// storeCopy is a copy under way.
type storeCopy struct {
	CopyConfig
	to     Folder // the same folder, after the copy
	target copyTarget
	out    Copied
}

// CopyStore moves the records and the audit trail of a deployment from its folder to a
// database, or back. Nobody may serve from them meanwhile. All that was written is
// read back and compared before anything else happens; then the source is marked, so
// that no server starts on it any more, and then the target becomes the deployment. A
// copy that was interrupted before the mark leaves the source as it was, and is begun
// anew by the next; behind the mark, the next does what is left.
func CopyStore(ctx context.Context, cfg CopyConfig) (Copied, error) {
	c := &storeCopy{CopyConfig: cfg, to: cfg.From}
	c.to.Store = cfg.To
	if c.Progress == nil {
		c.Progress = func(string, uint64, uint64) {}
	}
	if err := errors.Join(cfg.From.Root.check(cfg.From.Seal), cfg.From.checkStore()); err != nil {
		return Copied{}, err
	}
	if err := c.to.checkStore(); err != nil {
		if setting := new(SettingError); errors.As(err, &setting) && setting.Setting == "store" {
			return Copied{}, refuse("to", setting.Advice, "%s", setting.Problem)
		}
		return Copied{}, err
	}
	switch {
	case cfg.From.shared() && c.to.shared():
		return Copied{}, problem("records are copied from a data folder to a database, or back", "Leave --store (STRONGROOM_STORE) out to copy from the folder, or say --to pebble to copy to it.", nil)
	case !cfg.From.shared() && !c.to.shared():
		return Copied{}, problem("the records are to come from the data folder and to go there", "Name the database: with --to to copy into it, with --store (STRONGROOM_STORE) to copy from it.", nil)
	}
	c.out.From, c.out.To = cfg.From.place(), c.to.place()
	if err := prepareFolder(cfg.From); err != nil {
		return Copied{}, err
	}
	f, meta, err := describe(ctx, cfg.From)
	if err != nil {
		return Copied{}, err
	}
	c.out.Deployment = string(meta[metaDeployment])
	if c.to.shared() {
		c.target = &databaseTarget{in: c.to, log: cfg.Log, deployment: c.out.Deployment}
	} else {
		c.target = &folderTarget{dir: c.to.Dir, log: cfg.Log}
	}
	if cfg.through != nil {
		c.target = cfg.through(c.target)
	}
	if len(meta[metaMoved]) > 0 {
		err = c.finish(ctx, f, meta)
	} else {
		err = c.begin(ctx, f, meta)
	}
	if known := new(Problem); (errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)) && !errors.As(err, &known) {
		err = problem("the copy has come to no end", "Run the same command again when the database answers. As long as not everything was compared, the old place can be served as it was.", err)
	}
	return c.out, err
}

// prepareFolder checks the folder of a source, and makes that of a node which there is
// not yet.
func prepareFolder(in Folder) error {
	dir := in.Dir
	if !in.shared() {
		if holdsStore(dir) {
			return nil
		}
		if err := movedFolder(in); err != nil {
			return err
		}
		return problem(dir+" is no data folder of Strongroom", "Name the data folder with --data.", nil)
	}
	if _, err := os.Stat(filepath.Join(dir, storeFolder)); err == nil {
		return problem(dir+" has records of its own, and nothing replaces them",
			"If they have come by an earlier run of this command, it is done: serve them, without --store. Otherwise choose another folder with --data.", nil)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return makeFolder(dir)
	}
	if err != nil {
		return err
	}
	if !holdsStore(dir) && len(movedStores(dir)) == 0 {
		for _, e := range entries {
			if name := e.Name(); name != copyingFolder && name != publicKeyFile && name != credentialsFile && !strings.HasPrefix(name, rootFile) {
				return problem(fmt.Sprintf("the folder %s holds files that are not Strongroom's, such as %s", dir, name), "Choose the folder of a node, an empty one or a new one with --data.", nil)
			}
		}
	}
	return private(dir)
}

// begin copies everything.
func (c *storeCopy) begin(ctx context.Context, f *folder, meta map[string][]byte) (err error) {
	closed := false
	closeFolder := f.close
	defer func() {
		if !closed {
			err = errors.Join(err, closeFolder())
		}
	}()
	if err := refuseMoved(c.From, meta); err != nil {
		return err
	}
	if err := f.unseal(ctx, c.From, (&Config{}).rand(), meta); err != nil {
		return err
	}
	var id [16]byte
	if _, err := io.ReadFull((&Config{}).rand(), id[:]); err != nil {
		return err
	}
	c.out.ID = hex.EncodeToString(id[:])
	// What the records were found to be by a server that ran is looked at again.
	o, err := newOperator(ctx, c.From, f)
	if err != nil {
		closed = true // by newOperator
		return err
	}
	closeFolder = o.Close
	if err := o.quiet(ctx, c); err != nil {
		return err
	}
	if err := c.target.free(ctx); err != nil {
		return err
	}
	if err := c.announce(ctx, o); err != nil {
		return err
	}
	note := moveNote{Copy: c.out.ID, Place: c.out.From, Time: o.clock.Now().UTC().Truncate(time.Second)}
	var image [2]uint64
	err = o.store.Image(ctx, func(i *store.Image) error {
		image = [2]uint64{i.Epoch, i.Frame}
		return c.copyImage(ctx, o, i, note)
	})
	if err != nil {
		return err
	}
	if err := c.record(ctx, o, image); err != nil {
		return err
	}
	if meta, err = o.folder.backend.Meta(ctx); err != nil {
		return err
	}
	if err := c.target.settle(ctx, note, described(meta)); err != nil {
		return err
	}
	note.Place, note.Whole = c.out.To, true
	if err := o.retire(ctx, image, note); err != nil {
		return err
	}
	closed = true
	if err := o.Close(); err != nil {
		return err
	}
	return c.end(ctx, meta)
}

// described is what describes the deployment of a source, and goes on to describe it.
func described(meta map[string][]byte) map[string][]byte {
	kept := map[string][]byte{}
	for name, value := range meta {
		switch name {
		case metaMoved, metaCopying, metaCopied, metaSuspect:
		default:
			kept[name] = value
		}
	}
	return kept
}

// quiet refuses a source that is not at rest: other nodes use it, or it lacks audit
// records. It sends what this node has.
func (o *operator) quiet(ctx context.Context, c *storeCopy) error {
	if err := o.recheckRecords(ctx); err != nil {
		return err
	}
	shared, ok := o.folder.backend.(*postgres.Backend)
	if !ok {
		return nil
	}
	if o.spool != nil {
		if err := o.leave(ctx); err != nil {
			return err
		}
		o.spool = nil // it has nothing any more, and comes to nothing more
	}
	nodes, err := o.nodes(ctx)
	if err != nil {
		return err
	}
	if err := c.awaitLost(ctx, shared, nodes); err != nil {
		return err
	}
	var unsent []string
	for name, at := range nodes {
		if at.Sending && !slices.Contains(c.Lost, name) {
			unsent = append(unsent, name)
		}
	}
	slices.Sort(unsent)
	if len(unsent) > 0 {
		return problem("these nodes were not stopped in order, and may have audit records on their disks alone: "+list(unsent, nodes),
			"Start each and stop it, and try again: it sends them. One whose disk is lost is left out with --lost-node NAME, which is recorded.", nil)
	}
	return nil
}

// lostGrace is how much longer than its lease a node may be registered that has ended.
const lostGrace = 30 * time.Second

// awaitLost waits until the leases of nodes that are said to be lost have run out, and
// refuses any other that there is.
func (c *storeCopy) awaitLost(ctx context.Context, shared *postgres.Backend, nodes map[string]nodeRecord) error {
	for _, name := range c.Lost {
		if _, ok := nodes[name]; !ok {
			return problem(fmt.Sprintf("there was no node %.100q", name), "Without --lost-node the refusal names those that there were.", nil)
		}
	}
	began := machineClock.Now()
	for ctx.Err() == nil {
		others, err := shared.Others(ctx)
		if err != nil || len(others) == 0 {
			return err
		}
		var names []string
		lost, expired := true, true
		for _, other := range others {
			names = append(names, other.Name)
			lost = lost && slices.Contains(c.Lost, other.Name)
			expired = expired && machineClock.Now().Sub(began) > other.Lease+other.Lease/8+lostGrace
		}
		switch {
		case !lost:
			return problem("nodes serve from the database: "+list(names, nodes),
				"Stop every node first. One that was killed: start it and stop it, so that it sends its last audit records; or, if its disk is lost, leave it out with --lost-node NAME.", nil)
		case expired:
			return problem("nodes that are said to be lost go on renewing their leases: "+list(names, nodes), "Stop them.", nil)
		}
		c.Progress("waiting until the leases of lost nodes have run out", 0, 0)
		wake, stop := machineClock.Wake(machineClock.Now().Add(time.Second))
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
	return ctx.Err()
}

// announce records in the source that a copy begins.
func (c *storeCopy) announce(ctx context.Context, o *operator) error {
	params := map[string]string{"copy": c.out.ID, "from": c.out.From, "to": c.out.To}
	if len(c.Lost) > 0 {
		params["lostNodes"] = strings.Join(c.Lost, ",")
	}
	record, err := o.adminRecord(o.ownEvent("StartStoreCopy", params), nil)
	if err != nil {
		return err
	}
	return o.store.Update(ctx, func(tx *store.Tx) error {
		for _, name := range c.Lost {
			if err := nodeRecords.Delete(tx, store.Deployment, name); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return tx.Append(record)
	})
}

// record lets the trail go on in the target with the record of the copy. It opens the
// target as a start would.
func (c *storeCopy) record(ctx context.Context, from *operator, image [2]uint64) (err error) {
	backend, err := c.target.open(ctx)
	if err != nil {
		return err
	}
	o, err := newOperator(ctx, c.to, &folder{
		dir: from.folder.dir, backend: backend, domain: from.domain, root: from.folder.root, mode: from.folder.mode,
		account: from.folder.account, regions: from.folder.regions,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	record, err := o.adminRecord(o.ownEvent("FinishStoreCopy", map[string]string{
		"copy": c.out.ID, "from": c.out.From, "to": c.out.To, "epoch": strconv.FormatUint(image[0], 10), "frame": strconv.FormatUint(image[1], 10),
		"records": strconv.FormatUint(c.out.Records, 10), "auditRecords": strconv.FormatUint(c.out.AuditRecords, 10),
	}), nil)
	if err != nil {
		return err
	}
	return o.store.Append(ctx, record)
}

// retire marks the source, if it is still what was copied.
func (o *operator) retire(ctx context.Context, image [2]uint64, note moveNote) error {
	changes := map[string][]byte{metaMoved: note.encode()}
	shared, ok := o.folder.backend.(*postgres.Backend)
	if !ok {
		return o.folder.backend.SetMeta(ctx, changes)
	}
	err := shared.Retire(ctx, image[0], image[1], changes)
	if errors.Is(err, postgres.ErrInUse) || errors.Is(err, postgres.ErrChanged) {
		return problem("a node was started while the records were copied", "Stop every node and run the copy again. Nothing was changed.", err)
	}
	return err
}

// finish does what is left of an interrupted copy, whose source is marked already.
func (c *storeCopy) finish(ctx context.Context, f *folder, meta map[string][]byte) error {
	note, err := readNote(meta[metaMoved])
	if err == nil {
		err = f.unseal(ctx, c.From, (&Config{}).rand(), meta) // nobody else is to do this
	}
	if err == nil {
		c.out.ID, c.out.Finished = note.Copy, true
		var whole, named bool
		if whole, named, err = c.target.found(ctx, note.Copy); err == nil && !whole && !named {
			err = movedAway(c.From, note)
		}
	}
	if err := errors.Join(err, f.close()); err != nil {
		return err
	}
	return c.end(ctx, meta)
}

// end makes the target the deployment, and puts the source aside. The source is
// closed.
func (c *storeCopy) end(ctx context.Context, meta map[string][]byte) error {
	if err := c.target.name(ctx, c.out.ID, described(meta)); err != nil {
		return err
	}
	if !c.to.shared() {
		return nil
	}
	c.out.Kept = filepath.Join(c.From.Dir, movedPrefix+c.out.ID[:8])
	if err := os.Rename(filepath.Join(c.From.Dir, storeFolder), c.out.Kept); err != nil {
		return err
	}
	return syncFolder(c.From.Dir)
}

// checkTrail verifies the source's audit trail: what is copied is to be right.
func (c *storeCopy) checkTrail(ctx context.Context, o *operator, through uint64) (*journal.Report, error) {
	signer, err := journalSigner(o.domain)
	if err != nil {
		return nil, err
	}
	report, err := journal.Verify(ctx, journal.VerifyConfig{
		Deployment: o.domain.Deployment(), Stream: streamName, PublicKeys: publicKeys(signer),
		Frames: watched{o.folder.backend, through, c.Progress}, Key: journalKey(o.domain),
	})
	var wrong *journal.Problem
	switch {
	case errors.As(err, &wrong):
		return nil, problem("the audit trail is not whole, and is not copied like that", "strongroom audit verify; docs/operations.md says what to do.", err)
	case err == nil && (report.Checkpoint == nil || report.Last != through || report.UnsignedFrames > 0):
		err = fmt.Errorf("%w: the audit trail does not end with its checkpoint", store.ErrCorrupt)
	}
	return report, err
}

// watched tells how far frames were read.
type watched struct {
	store.Backend
	through  uint64
	progress func(string, uint64, uint64)
}

func (w watched) Frames(ctx context.Context, from uint64, fn func(seq uint64, frame []byte) error) error {
	return w.Backend.Frames(ctx, from, func(seq uint64, frame []byte) error {
		w.progress("frames of the audit trail checked", seq, w.through)
		return fn(seq, frame)
	})
}
