package server

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/service/kms"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	// leastRetention is for how many days LookupEvents answers.
	leastRetention = 90
	mostRetention  = 100 * 365
	// retainBatch is about how many records one commit removes.
	retainBatch = 10_000
	// retainEvery is how often the worker looks for what is old enough; between two
	// batches it rests for retainRest.
	retainEvery = time.Hour
	retainRest  = time.Second
	maxReason   = 1000
)

// retention removes audit records that are older than they are to be kept: in
// batches, each checked before, announced in the chain together with its audit
// record, and removed then. It removes nothing that a trail or a shipper has still to
// deliver or that the index has not read; of what it removes, the last use of each
// key is kept.
type retention struct {
	*Server
	reader *journal.Reader
	public ed25519.PublicKey
	asked  chan *removal
	// remove is the backend's RemoveFrames.
	remove func(ctx context.Context, through uint64) error

	mu      sync.Mutex
	failing bool
	removed uint64
}

// removal is a command's wish.
type removal struct {
	admin.Removal
	by   admin.Peer
	done chan struct{}
	out  admin.Removed
	err  error
}

func (c Config) checkRetention() error {
	if c.AuditRetention != 0 {
		if err := retentionDays(c.AuditRetention); err != nil {
			return refuse("audit-retention", "leave it out to keep every record", "%v", err)
		}
	}
	return nil
}

func retentionDays(days int) error {
	if days < leastRetention || days > mostRetention {
		return fmt.Errorf("audit records are kept for %d to %d days, not %d: LookupEvents answers for %d",
			leastRetention, mostRetention, days, leastRetention)
	}
	return nil
}

func (s *Server) newRetention() (*retention, error) {
	reader, err := s.folder.journalReader()
	if err != nil {
		return nil, err
	}
	signer, err := journalSigner(s.domain)
	if err != nil {
		return nil, err
	}
	return &retention{Server: s, reader: reader, public: signer.Public().(ed25519.PublicKey), asked: make(chan *removal), remove: s.folder.backend.RemoveFrames}, nil
}

// run removes what is old enough until ctx ends.
func (r *retention) run(ctx context.Context) {
	own := &removal{by: admin.Peer{UID: uint32(os.Geteuid()), PID: int32(os.Getpid())}}
	own.Days, own.Reason = r.cfg.AuditRetention, "--audit-retention"
	for ctx.Err() == nil {
		rest := retainEvery
		err := r.finish(ctx)
		if err == nil && own.Days > 0 {
			var removed *journal.Removal
			if removed, err = r.batch(ctx, own); removed != nil {
				rest = retainRest
			}
		}
		r.note(ctx, err)
		wake, stop := r.clock.Wake(r.clock.Now().Add(rest))
		select {
		case <-wake:
		case asked := <-r.asked:
			asked.err = r.all(ctx, asked)
			close(asked.done)
		case <-ctx.Done():
		}
		stop()
	}
}

// all removes all that was asked for.
func (r *retention) all(ctx context.Context, w *removal) error {
	if err := r.finish(ctx); err != nil {
		return err
	}
	for {
		removed, err := r.batch(ctx, w)
		if err != nil || removed == nil {
			return err
		}
		if w.out.FirstFrame == 0 {
			w.out.FirstFrame = removed.First
		}
		w.out.LastFrame = removed.Last
		w.out.Records += removed.Records
	}
}

// RemoveRecords implements [admin.Retention].
func (r *retention) RemoveRecords(ctx context.Context, by admin.Peer, in admin.Removal) (admin.Removed, error) {
	if err := retentionDays(in.Days); err != nil {
		return admin.Removed{}, err
	}
	if len(in.Reason) > maxReason {
		return admin.Removed{}, fmt.Errorf("a reason has at most %d bytes", maxReason)
	}
	w := &removal{Removal: in, by: by, done: make(chan struct{})}
	select {
	case r.asked <- w:
	case <-r.stopped:
		return admin.Removed{}, store.ErrStopped
	case <-ctx.Done():
		return admin.Removed{}, ctx.Err()
	}
	<-w.done
	if w.out.Records > 0 {
		return w.out, w.err // and recorded, each batch
	}
	record, err := r.removalRecord(w, &journal.Removal{}, w.err)
	if err == nil {
		err = r.store.Append(ctx, record)
	}
	return w.out, errors.Join(w.err, err)
}

// removalRecord is the audit record of a removal, or of one that was refused or had
// nothing to remove.
func (r *retention) removalRecord(w *removal, found *journal.Removal, refused error) ([]byte, error) {
	params := map[string]string{"days": strconv.Itoa(w.Days), "reason": w.Reason, "records": strconv.FormatUint(found.Records, 10)}
	if found.Last > 0 {
		params["firstFrame"], params["lastFrame"] = strconv.FormatUint(found.First, 10), strconv.FormatUint(found.Last, 10)
		params["from"], params["until"] = found.From.Format(time.RFC3339Nano), found.Until.Format(time.RFC3339Nano)
		params["lastFrameHash"] = fmt.Sprintf("%x", found.Hash)
	}
	return r.adminRecord(admin.AdminEvent{Name: "RemoveAuditRecords", Peer: w.by, Time: r.clock.Now(), Params: params}, refused)
}

// finish removes what was announced and is still there, as after a crash.
func (r *retention) finish(ctx context.Context) error {
	first, err := r.reader.First(ctx)
	if err != nil || first == 1 {
		return err
	}
	left := false
	err = r.folder.backend.Frames(ctx, 0, func(seq uint64, _ []byte) error {
		left = seq < first
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if !left {
		return nil
	}
	return r.drop(ctx, first)
}

var errEnough = errors.New("enough")

// drop removes the frames below first, which is announced.
func (r *retention) drop(ctx context.Context, first uint64) error {
	r.oldest.Lock() // a backup copies the frames that it has found announced, or all
	defer r.oldest.Unlock()
	if err := r.records.Forget(ctx, first); err != nil {
		return err
	}
	return r.remove(ctx, first-1)
}

// batch removes one stretch; nil when there is none to remove.
func (r *retention) batch(ctx context.Context, w *removal) (*journal.Removal, error) {
	below, err := r.needed(ctx)
	if err != nil {
		return nil, err
	}
	uses := keptUses{}
	found, err := r.reader.Removable(ctx, journal.RemovalConfig{
		PublicKeys: []ed25519.PublicKey{r.public}, Below: below, Enough: retainBatch,
		Before: r.clock.Now().Add(-time.Duration(w.Days) * 24 * time.Hour),
	}, uses.add)
	if found == nil || err != nil {
		return nil, err
	}
	record, err := r.removalRecord(w, found, nil)
	if err != nil {
		return nil, err
	}
	if err := r.journal.Announce(found, record); err != nil {
		return nil, err
	}
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		for arn, use := range uses {
			if err := kms.KeepUse(tx, arn, use.use()); err != nil {
				return err
			}
		}
		return tx.Append(record)
	})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.removed += found.Records
	r.mu.Unlock()
	return found, r.drop(ctx, found.Last+1)
}

// needed returns the first frame that somebody has still to read.
func (r *retention) needed(ctx context.Context) (uint64, error) {
	if err := r.records.CatchUp(ctx); err != nil {
		return 0, err
	}
	trails, err := r.delivery.Needed(ctx)
	if err != nil {
		return 0, err
	}
	shipped, err := r.ship.Needed(ctx)
	return min(trails, shipped, r.records.Indexed()), err
}

// note says in the log when removing begins to fail, and when it works again.
func (r *retention) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && !r.failing {
		r.cfg.Log.Error("old audit records cannot be removed; nothing is lost, and it will be tried again",
			"error", err, "next", "strongroom audit verify")
	}
	if err == nil && r.failing {
		r.cfg.Log.Info("old audit records are removed again")
	}
	r.failing = err != nil
}

// Failing reports whether the last attempt has failed.
func (r *retention) Failing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failing
}

// keptUses are the last uses of keys in a stretch, by the key's ARN.
type keptUses map[string]*useRecord

func (k keptUses) add(record []byte) error {
	var r useRecord
	if err := json.Unmarshal(record, &r); err != nil {
		return fmt.Errorf("an audit record is not one: %w", err)
	}
	if r.ErrorCode != "" || !index.Used(r.EventSource, r.EventName) {
		return nil
	}
	for _, resource := range r.Resources {
		// Of a call that is recorded in two accounts, the record of the key's own.
		before, own := k[resource.ARN], strings.Contains(resource.ARN, ":"+r.RecipientAccountID+":")
		if before == nil || own || r.SharedEventID == "" || r.SharedEventID != before.SharedEventID {
			k[resource.ARN] = &r
		}
	}
	return nil
}
