package delivery

import (
	"context"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

func TestFilesAndDigestsHaveCloudTrailsNames(t *testing.T) {
	h := kit(t, t)
	h.change(func(_ *store.Tx, trail *Trail) error { trail.Prefix = "bank/audit"; return nil })
	h.start()
	h.round()
	h.clock.Advance(time.Minute)
	h.event(home, nil)
	h.event(second, nil)
	h.round()
	h.clock.Advance(time.Hour)
	h.round()
	wants := []*regexp.Regexp{
		regexp.MustCompile(`^bank/audit/AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/01/02/111122223333_CloudTrail-Digest_eu-west-1_main_us-east-1_20260102T040405Z\.json\.gz$`),
		regexp.MustCompile(`^bank/audit/AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/01/02/111122223333_CloudTrail-Digest_us-east-1_main_us-east-1_20260102T040405Z\.json\.gz$`),
		regexp.MustCompile(`^bank/audit/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/01/02/111122223333_CloudTrail_eu-west-1_20260102T0305Z_[0-9A-Za-z]{16}\.json\.gz$`),
		regexp.MustCompile(`^bank/audit/AWSLogs/111122223333/CloudTrail/us-east-1/2026/01/02/111122223333_CloudTrail_us-east-1_20260102T0305Z_[0-9A-Za-z]{16}\.json\.gz$`),
	}
	var keys []string
	for key := range h.server.objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if len(keys) != len(wants) {
		t.Fatalf("%q", keys)
	}
	for i, want := range wants {
		if !want.MatchString(keys[i]) {
			t.Errorf("%s\nwant %s", keys[i], want)
		}
	}
}

// TestEverythingArrivesOnceWhateverFails plays calls, faults of the bucket, ends
// of the process, and the passing of time. In the end each record that was to be
// logged is in the chain of digests, once and in order, and nothing else is in the
// bucket.
func TestEverythingArrivesOnceWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := kit(t, rt)
		lost := 0
		h.server.refuse = func(string) (fail, after bool) {
			if lost == 0 {
				return false, false
			}
			lost--
			return true, rapid.Bool().Draw(rt, "written, and the answer lost")
		}
		want := map[string][]string{}
		h.start()
		logging := true
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"event", "event", "event", "time", "round", "fault", "restart", "toggle", "hours"}).Draw(rt, "step") {
			case "event":
				region := rapid.SampledFrom([]string{home, second}).Draw(rt, "region")
				id := h.event(region, nil)
				if logging {
					want[region] = append(want[region], id)
				}
			case "time":
				h.clock.Advance(time.Duration(rapid.IntRange(1, 40).Draw(rt, "minutes")) * time.Minute)
			case "hours":
				h.clock.Advance(time.Duration(rapid.IntRange(1, 50).Draw(rt, "hours")) * time.Hour)
			case "round":
				h.round()
			case "fault":
				lost = rapid.IntRange(1, 5).Draw(rt, "lost")
			case "restart":
				h.restart()
			case "toggle":
				// The bounds of a span are whole seconds.
				h.clock.Advance(2 * time.Second)
				if logging = !logging; logging {
					h.start()
				} else {
					h.stop()
				}
				h.clock.Advance(2 * time.Second)
			}
		}
		lost = 0
		h.round()
		h.clock.Advance(time.Hour)
		h.round()
		h.clock.Advance(time.Hour)
		h.round()
		for _, region := range h.Regions {
			if got := h.everything(region); !slices.Equal(got, want[region]) {
				rt.Fatalf("%s: delivered %q\nwant %q\nlog: %s", region, got, want[region], h.log)
			}
		}
		if h.Failing() {
			rt.Fatalf("it still fails: %s", h.log)
		}
	})
}

// everything is what all chains of digests of a region name: a chain that ended
// when logging stopped begins anew with the next start.
func (h *harness) everything(region string) (ids []string) {
	h.Helper()
	h.server.mu.Lock()
	rest := map[string]*object{}
	for key, o := range h.server.objects {
		rest[key] = o
	}
	h.server.mu.Unlock()
	var heads []string
	for key := range rest {
		if strings.Contains(key, "/CloudTrail-Digest/"+region+"/") {
			heads = append(heads, key)
		}
	}
	if len(heads) == 0 {
		for key := range rest {
			if strings.Contains(key, "/"+region+"/") {
				h.Fatalf("%s is in no digest", key)
			}
		}
		return nil
	}
	slices.Sort(heads)
	// Files are named after their time and place, but not in order within a minute;
	// the digests say the order, and nothing may be in two.
	for _, head := range heads {
		ids = append(ids, h.digest(head, region)...)
	}
	named := 0
	for key := range rest {
		if strings.Contains(key, "/CloudTrail/"+region+"/") {
			named += len(recordIDs(h, unzip(h, rest[key].body), region))
		}
	}
	if named != len(ids) {
		h.Fatalf("%s: %d records in the bucket, %d in digests", region, named, len(ids))
	}
	return ids
}

// digest returns the records that one digest names.
func (h *harness) digest(key, region string) (ids []string) {
	h.Helper()
	for _, name := range regexp.MustCompile(`"s3Object":"([^"]+)"`).FindAllSubmatch(unzip(h, h.server.objects[key].body), -1) {
		o := h.server.objects[string(name[1])]
		if o == nil {
			h.Fatalf("%s is missing", name[1])
		}
		ids = append(ids, recordIDs(h, unzip(h, o.body), region)...)
	}
	return ids
}

func TestDigestsAreSignedAndChained(t *testing.T) {
	h := kit(t, t)
	h.start()
	var want []string
	for range 4 {
		want = append(want, h.event(home, nil), h.event(home, nil))
		h.round()
		h.clock.Advance(time.Hour)
		h.round()
	}
	h.clock.Advance(30 * time.Hour) // the server was off
	want = append(want, h.event(home, nil))
	h.round()
	h.clock.Advance(time.Hour)
	h.round()
	got, digests := h.audited(home)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if digests != 6 {
		t.Errorf("%d digests, want one for each hour and one for the time that the server was off: 6", digests)
	}
	if _, digests := h.audited(second); digests != 6 {
		t.Errorf("%d digests of a region without events, want as many", digests)
	}
}

func TestDigestKeysEnd(t *testing.T) {
	h := kit(t, t)
	h.start()
	h.round()
	h.clock.Advance(time.Hour)
	h.round()
	h.clock.Advance(366 * 24 * time.Hour)
	h.round()
	if _, digests := h.audited(home); digests != 2 {
		t.Errorf("%d digests, want 2", digests)
	}
	keys, err := h.PublicKeys(t.Context(), home)
	if err != nil || len(keys) != 2 || keys[0].Fingerprint == keys[1].Fingerprint {
		t.Errorf("%v, %v", keys, err)
	}
}

func TestATrailThatFailsRestsAndSaysSo(t *testing.T) {
	h := kit(t, t)
	trail := h.start()
	broken := true
	h.server.refuse = func(string) (bool, bool) { return broken, false }
	h.event(home, nil)
	h.round()
	status, err := h.Status(t.Context(), &trail)
	if err != nil || status.Error != "SlowDown" || status.DigestError != "" || status.Delivered != nil || !status.Attempted.Equal(epoch) {
		t.Errorf("%+v, %v", status, err)
	}
	if !h.Failing() || strings.Count(h.log.String(), "cannot be delivered") != 1 {
		t.Errorf("log: %s", h.log)
	}
	for _, rest := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		next := h.Service.round(t.Context(), false)
		if want := h.clock.Now().Add(rest * time.Second); !next.Equal(want) {
			t.Errorf("the next round is at %s, want %s", next, want)
		}
		h.clock.Advance(rest * time.Second)
		h.Service.round(t.Context(), false)
	}
	if strings.Count(h.log.String(), "cannot be delivered") != 1 {
		t.Errorf("it is said again and again: %s", h.log)
	}
	broken = false
	h.round()
	status, err = h.Status(t.Context(), &trail)
	if err != nil || status.Error != "" || status.Delivered == nil || h.Failing() {
		t.Errorf("%+v, %v", status, err)
	}
	broken = true
	h.clock.Advance(time.Hour)
	h.round()
	if status, _ = h.Status(t.Context(), &trail); status.DigestError != "SlowDown" {
		t.Errorf("%+v", status)
	}
}

func TestWithoutValidationThereAreNoDigests(t *testing.T) {
	h := kit(t, t)
	h.change(func(_ *store.Tx, trail *Trail) error { trail.Validation = false; return nil })
	h.start()
	h.event(home, nil)
	h.round()
	h.clock.Advance(2 * time.Hour)
	h.round()
	if len(h.server.objects) != 1 {
		t.Errorf("%d objects, want the one file", len(h.server.objects))
	}
}

func TestADeletedTrailIsDeliveredNoMore(t *testing.T) {
	h := kit(t, t)
	trail := h.start()
	h.round()
	h.event(home, nil)
	// The trail goes while its batch is written.
	h.server.refuse = func(string) (bool, bool) {
		err := h.config.Store.Update(context.Background(), func(tx *store.Tx) error {
			if err := Forget(tx, &trail, h.Regions); err != nil {
				return err
			}
			return Trails.Delete(tx, trail.Scope(), trail.Name)
		})
		return err != nil, false
	}
	h.round()
	err := h.config.Store.View(t.Context(), func(r store.Reader) error {
		list, _, err := positions.Scan(r, trail.Scope(), "", 10)
		more, _, err2 := chains.Scan(r, trail.Scope(), "", 10)
		if err != nil || err2 != nil || len(list)+len(more) != 0 {
			t.Errorf("left behind: %v %v %v %v", list, more, err, err2)
		}
		return nil
	})
	if err != nil || h.Failing() || strings.Contains(h.log.String(), "WARN") {
		t.Errorf("%v: %s", err, h.log)
	}
}

func TestABigBacklogComesInSeveralFiles(t *testing.T) {
	h := kit(t, t)
	h.start()
	var want []string
	for range 12 {
		want = append(want, h.event(home, map[string]any{"requestParameters": strings.Repeat("x", maxBatch/8)}))
	}
	h.round()
	h.clock.Advance(time.Hour)
	h.round()
	if got, _ := h.audited(home); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(h.server.objects) < 4 {
		t.Errorf("%d objects, want several files", len(h.server.objects))
	}
}

func TestRunWakesWhenATrailIsMade(t *testing.T) {
	h := kit(t, t)
	written := make(chan string, 8)
	h.server.refuse = func(key string) (bool, bool) { written <- key; return false, false }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { h.Run(ctx); close(done) }()
	h.event(home, nil)
	h.start()
	if key := <-written; !strings.Contains(key, "/CloudTrail/us-east-1/") {
		t.Errorf("%s was written first", key)
	}
	cancel()
	<-done
}

func TestPutDestinationRefuses(t *testing.T) {
	h := kit(t, t)
	ok := h.server.destination()
	for name, change := range map[string]func(*Destination, *secret.Bytes){
		"bucket":      func(d *Destination, _ *secret.Bytes) { d.Bucket = "../etc" },
		"no endpoint": func(d *Destination, _ *secret.Bytes) { d.Endpoint = "" },
		"scheme":      func(d *Destination, _ *secret.Bytes) { d.Endpoint = "ftp://x" },
		"user":        func(d *Destination, _ *secret.Bytes) { d.Endpoint = "https://a:b@x" },
		"no secret":   func(_ *Destination, s *secret.Bytes) { *s = nil },
		"no key id":   func(d *Destination, _ *secret.Bytes) { d.AccessKeyID = "" },
		"no region":   func(d *Destination, _ *secret.Bytes) { d.Region = "" },
		"both":        func(d *Destination, _ *secret.Bytes) { d.Folder = "/x" },
		"relative":    func(d *Destination, s *secret.Bytes) { *d, *s = Destination{Bucket: bucketX, Folder: "x"}, nil },
	} {
		d, s := ok, secret.Bytes("s")
		change(&d, &s)
		if err := h.PutDestination(t.Context(), d, s, nil); err == nil || !strings.Contains(err.Error(), ErrDestination.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := h.Destinations(t.Context())
	if err != nil || len(list) != 1 || list[0].Secret != nil || list[0].Bucket != bucketX {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestNeededFrames: the journal keeps what a trail has still to deliver.
func TestNeededFrames(t *testing.T) {
	h := kit(t, t)
	needed := func(what string, want uint64) {
		t.Helper()
		if got, err := h.Needed(t.Context()); err != nil || got != want {
			t.Errorf("%s: frame %d is needed, %v; want %d", what, got, err, want)
		}
	}
	h.event(home, nil) // in frame 1
	h.clock.Advance(time.Minute)
	needed("without a trail", math.MaxUint64)
	h.change(func(*store.Tx, *Trail) error { return nil })
	needed("of a trail that does not log", math.MaxUint64)
	h.start()
	needed("before anything happened", math.MaxUint64)
	h.event(home, nil) // in frame 3
	h.clock.Advance(time.Minute)
	h.event(home, nil) // in frame 5
	needed("before the first delivery", 3)
	h.round()
	needed("after it", 5)
	h.server.refuse = func(string) (bool, bool) { return true, false }
	h.clock.Advance(time.Minute)
	h.event(home, nil) // in frame 7
	h.round()
	needed("while the bucket fails", 5)
	h.server.refuse = nil
	h.stop()
	needed("stopped, with something left", 5)
	h.clock.Advance(time.Minute)
	h.round()
	h.event(home, nil) // in frame 9
	h.round()
	needed("stopped and delivered", math.MaxUint64)
}
