package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
)

// retained is a running dev server whose trail grows old.
type retained struct {
	*testing.T
	*Server
}

func startRetained(t *testing.T, change func(*Config)) *retained {
	t.Helper()
	cfg := Config{
		DataDir: t.TempDir() + "/data", Listen: "127.0.0.1:0", Account: "000000000000", Regions: []string{"us-east-1"},
		Seal: "file", Store: "pebble", Dev: true, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &retained{t, s}
}

// another starts a retention beside the server's own, which is at work already.
func (r *retained) another(change func(*retention)) *retention {
	r.Helper()
	retain := must(r.newRetention())
	change(retain)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); retain.run(ctx) }()
	r.Cleanup(func() { stop(); <-ended })
	return retain
}

// uses puts records of uses of a key into the trail, each in a frame with a checkpoint,
// and lets days pass.
func (r *retained) uses(n, days int) {
	r.Helper()
	for i := range n {
		record := journal.Record{
			EventTime: r.clock.Now(), EventSource: "kms.amazonaws.com", EventName: "Encrypt", AWSRegion: "us-east-1",
			RecipientAccountID: "000000000000", RequestID: fmt.Sprint(i), Resources: []journal.Resource{{Type: "AWS::KMS::Key", ARN: "arn:aws:kms:us-east-1:000000000000:key/k"}},
		}
		if err := r.store.Append(r.Context(), record.AppendJSON(nil)); err != nil {
			r.Fatal(err)
		}
		if err := r.store.Checkpoint(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
	// The trail's last frame is never removed.
	if err := r.store.Checkpoint(r.Context()); err != nil {
		r.Fatal(err)
	}
	r.clock.Advance(time.Duration(days) * 24 * time.Hour)
}

// remove asks for a removal and returns how many records went.
func (r *retained) remove(days int) uint64 {
	r.Helper()
	removed, err := r.retain.RemoveRecords(r.Context(), admin.Peer{UID: 12, PID: 34}, admin.Removal{Days: days, Reason: "because"})
	if err != nil {
		r.Fatal(err)
	}
	r.whole()
	return removed.Records
}

// whole checks the trail.
func (r *retained) whole() admin.Report {
	r.Helper()
	t, err := newTrail(r.folder)
	if err != nil {
		r.Fatal(err)
	}
	report, err := t.Verify(r.Context(), admin.VerifyOptions{}, nil)
	if err != nil || report.Fault != nil {
		r.Fatalf("%+v, %v", report, err)
	}
	return report
}

func (r *retained) records(operation string) (found []string) {
	r.Helper()
	reader, err := r.folder.journalReader()
	if err != nil {
		r.Fatal(err)
	}
	err = reader.All(r.Context(), func(e journal.Entry) error {
		if strings.Contains(string(e.Record), `"eventName":"`+operation+`"`) {
			found = append(found, string(e.Record))
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return found
}

func TestRemovingOnDemand(t *testing.T) {
	r := startRetained(t, nil)
	for _, days := range []int{-1, 0, 89, mostRetention + 1} {
		if _, err := r.retain.RemoveRecords(t.Context(), admin.Peer{}, admin.Removal{Days: days}); err == nil || !strings.Contains(err.Error(), "90 to") {
			t.Errorf("%d days: %v", days, err)
		}
	}
	r.uses(5, 95)
	if n := r.remove(100); n != 0 {
		t.Errorf("%d records that are not old enough were removed", n)
	}
	r.uses(4, 5)
	if n := r.remove(100); n < 5 || len(r.records("Encrypt")) != 4 {
		t.Errorf("%d records were removed, %d uses are left", n, len(r.records("Encrypt")))
	}
	if n := r.remove(100); n != 0 {
		t.Errorf("another %d records were removed", n)
	}
	if report := r.whole(); report.Removed < 5 {
		t.Errorf("the report says %+v", report)
	}
	// What was asked for is recorded: once without an effect, once with, once without.
	records := r.records("RemoveAuditRecords")
	if len(records) != 3 {
		t.Fatalf("%d records of removals: %q", len(records), records)
	}
	var said struct {
		UserIdentity      struct{ PrincipalID string }
		ReadOnly          bool
		RequestParameters map[string]string
	}
	if err := json.Unmarshal([]byte(records[1]), &said); err != nil {
		t.Fatal(err)
	}
	p := said.RequestParameters
	from, errFrom := time.Parse(time.RFC3339Nano, p["from"])
	until, errUntil := time.Parse(time.RFC3339Nano, p["until"])
	if said.UserIdentity.PrincipalID != "uid:12" || said.ReadOnly || p["firstFrame"] != "1" || p["records"] == "0" || len(p["lastFrameHash"]) != 64 ||
		p["days"] != "100" || p["reason"] != "because" || errFrom != nil || errUntil != nil || from.After(until) {
		t.Errorf("the record says %s", records[1])
	}
}

// TestRetentionWaitsForDeliveries: what a trail or a shipper has not taken yet stays.
func TestRetentionWaitsForDeliveries(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.Mkdir(file, 0o700); err != nil { // a folder in its place
		t.Fatal(err)
	}
	r := startRetained(t, func(c *Config) { c.AuditShip = []string{"file:" + file} })
	for shipped := false; !shipped; { // wait until the shipper knows where it begins
		needed, err := r.ship.Needed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		shipped = needed < 1<<62
	}
	r.uses(5, 200)
	if r.remove(90); len(r.records("Encrypt")) != 5 {
		t.Error("records that were not shipped are gone")
	}
	r.ship.Sinks = nil
	if r.remove(90); len(r.records("Encrypt")) != 0 {
		t.Error("records that nobody needs stay")
	}

	trail := delivery.Trail{Account: "000000000000", Region: "us-east-1", Name: "main", ID: strings.Repeat("ab", 16), Bucket: "nobody.knows/it", Created: r.clock.Now()}
	err := r.store.Update(t.Context(), func(tx *store.Tx) error {
		if err := trail.Start(tx, r.clock.Now()); err != nil {
			return err
		}
		return delivery.Trails.Put(tx, trail.Scope(), trail.Name, trail)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.uses(5, 200)
	if r.remove(90); len(r.records("Encrypt")) != 5 {
		t.Error("records that were not delivered are gone")
	}
	err = r.store.Update(t.Context(), func(tx *store.Tx) error { return delivery.Trails.Delete(tx, trail.Scope(), trail.Name) })
	if err != nil {
		t.Fatal(err)
	}
	if r.remove(90); len(r.records("Encrypt")) != 0 {
		t.Error("records of a trail that is gone stay")
	}
}

// TestRemovalIsFinishedAfterACrash: what was announced and not removed goes at the
// next start, or the next round.
func TestRemovalIsFinishedAfterACrash(t *testing.T) {
	r := startRetained(t, nil)
	r.uses(5, 200)
	stubborn := r.another(func(retain *retention) {
		retain.remove = func(context.Context, uint64) error { return errors.New("stubborn") }
	})
	_, err := stubborn.RemoveRecords(t.Context(), admin.Peer{}, admin.Removal{Days: 90})
	if err == nil || !strings.Contains(err.Error(), "stubborn") {
		t.Fatalf("%v", err)
	}
	first := func() (seq uint64) {
		err := r.folder.backend.Frames(t.Context(), 0, func(at uint64, _ []byte) error { seq = at; return errEnough })
		if err != errEnough {
			t.Fatal(err)
		}
		return seq
	}
	if first() != 1 || len(r.records("Encrypt")) != 0 {
		t.Errorf("the journal begins at frame %d", first())
	}
	r.whole()
	if r.remove(90); first() <= 5 {
		t.Errorf("the journal begins at frame %d still", first())
	}
}

// TestNothingIsRemovedOfATrailThatWasChanged: what cannot be verified stays, for
// somebody to look at.
func TestNothingIsRemovedOfATrailThatWasChanged(t *testing.T) {
	r := startRetained(t, nil)
	r.uses(5, 200)
	retain := r.another(func(retain *retention) {
		retain.reader = must(journal.NewReader(journal.ReaderConfig{
			Deployment: r.domain.Deployment(), Stream: streamName, Frames: changed{r.folder.backend}, NotFound: store.ErrNotFound, Key: journalKey(r.domain),
		}))
	})
	_, err := retain.RemoveRecords(t.Context(), admin.Peer{}, admin.Removal{Days: 90})
	if err == nil || !strings.Contains(err.Error(), "frame 3: ") || len(r.records("Encrypt")) != 5 {
		t.Errorf("%v, and %d records are left", err, len(r.records("Encrypt")))
	}
	if refused := r.records("RemoveAuditRecords"); len(refused) != 1 || !strings.Contains(refused[0], `"errorCode":"Refused"`) {
		t.Errorf("recorded as %s", refused)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// changed is a backend whose third frame was changed.
type changed struct{ store.Backend }

func (c changed) Frames(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	return c.Backend.Frames(ctx, from, func(seq uint64, frame []byte) error {
		if seq == 3 {
			frame = append([]byte{}, frame...)
			frame[60] ^= 1
		}
		return fn(seq, frame)
	})
}

// TestLastUseOfTwoRecords: of a call that stands in the trails of two accounts, the
// key's own record is kept; of others, the later one.
func TestLastUseOfTwoRecords(t *testing.T) {
	record := func(event, account, shared, at, code string) []byte {
		return fmt.Appendf(nil, `{"eventTime":%q,"eventSource":"kms.amazonaws.com","eventName":"Encrypt","eventID":%q,"recipientAccountId":%q,"sharedEventID":%q,"errorCode":%q,`+
			`"resources":[{"ARN":"arn:aws:kms:us-east-1:111111111111:key/k"}]}`, at, event, account, shared, code)
	}
	for _, test := range []struct {
		records [][]byte
		want    string
	}{
		{[][]byte{record("a", "111111111111", "", "2026-01-01T00:00:00Z", ""), record("b", "111111111111", "", "2026-01-01T00:00:01Z", "")}, "b"},
		{[][]byte{record("own", "111111111111", "s", "2026-01-01T00:00:00Z", ""), record("other", "222222222222", "s", "2026-01-01T00:00:00Z", "")}, "own"},
		{[][]byte{record("other", "222222222222", "s", "2026-01-01T00:00:00Z", ""), record("own", "111111111111", "s", "2026-01-01T00:00:00Z", "")}, "own"},
		{[][]byte{record("a", "111111111111", "", "2026-01-01T00:00:00Z", ""), record("refused", "111111111111", "", "2026-01-01T00:00:01Z", "X")}, "a"},
	} {
		uses := keptUses{}
		for _, r := range test.records {
			if err := uses.add(r); err != nil {
				t.Fatal(err)
			}
		}
		use := uses["arn:aws:kms:us-east-1:111111111111:key/k"]
		if len(uses) != 1 || use == nil || use.EventID != test.want {
			t.Errorf("kept %+v, want %s", uses, test.want)
		}
	}
	if keptUses.add(nil, []byte("{")) == nil {
		t.Error("what is no record was taken")
	}
}
