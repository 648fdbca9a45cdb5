package index

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/journal"
)

// all is a limit that no test reaches.
const all = 1 << 30

// TestFindsWhatARecordHolds looks for one record among others by each thing that
// stands in it, in memory and in a segment.
func TestFindsWhatARecordHolds(t *testing.T) {
	r := newRig(t, 4)
	wanted := r.event("Decrypt", "alice", "k1")
	wanted.EventSource, wanted.ReadOnly, wanted.ErrorCode = "other.amazonaws.com", false, "AccessDeniedException"
	wanted.Resources[0].Type = "AWS::IAM::Role"
	r.commit(r.event("Encrypt", "bob", "k2"), wanted)
	terms := map[string]Term{
		"event id": {Kind: EventID, Value: wanted.EventID.String()}, "operation": {Kind: Operation, Value: "decrypt"},
		"source": {Kind: Source, Value: "other.amazonaws.com"}, "read only": {Kind: ReadOnly, Value: "false"},
		"user": {Kind: Caller, Value: "alice"}, "user name": {Kind: UserName, Value: "alice"}, "event name": {Kind: EventName, Value: "Decrypt"}, "user's ARN": {Kind: Caller, Value: "arn:aws:iam::111122223333:user/alice"},
		"principal id": {Kind: Caller, Value: "AIDAalice"}, "access key": {Kind: Caller, Value: "AKIAalice"},
		"type": {Kind: ResourceType, Value: "AWS::IAM::Role"}, "key's ARN": {Kind: Name, Value: keyARN("k1")},
		"key's id": {Kind: Name, Value: "k1"}, "resource": {Kind: Name, Value: "key/k1"}, "name sent": {Kind: Sent, Value: "alias/k1"},
		"error": {Kind: Error, Value: "accessdeniedexception"}, "any error": {Kind: Error, Value: "any"},
	}
	look := func(where string) {
		for name, term := range terms {
			term.Scope = Scope{account, region}
			if got := r.find(Query{Terms: []Term{term}}, true, all); !slices.Equal(got, []uint64{2}) {
				t.Errorf("%s, by its %s: found %v", where, name, got)
			}
			term.Scope.Region = "eu-west-1"
			if got := r.find(Query{Terms: []Term{term}}, true, all); len(got) != 0 {
				t.Errorf("%s, by its %s in another Region: found %v", where, name, got)
			}
		}
	}
	look("in memory")
	r.commit(r.event("Encrypt", "bob", "k2"), r.event("Encrypt", "bob", "k2"))
	r.commit(r.event("Encrypt", "bob", "k2"))
	look("in a segment")
	if size := r.index.Size(); size.Records != 4 || size.Tail != 1 {
		t.Errorf("the index holds %+v", size)
	}
}

func TestUses(t *testing.T) {
	r := newRig(t, 4)
	failed, listed, service := r.event("Encrypt", "a", "k"), r.event("DescribeKey", "a", "k"), r.event("Encrypt", "a", "k")
	failed.ErrorCode = "DisabledException"
	service.EventType = journal.AwsServiceEvent
	foreign := r.event("Encrypt", "a", "k")
	foreign.RecipientAccountID, foreign.UserIdentity.AccountID = "444455556666", "444455556666"
	r.commit(failed, listed, service)
	use := Query{Terms: []Term{{Kind: Use, Value: keyARN("k")}}}
	if got := r.find(use, true, all); len(got) != 0 {
		t.Errorf("uses are %v", got)
	}
	r.commit(r.event("Sign", "a", "k"), foreign, listed)
	if got := r.find(use, true, all); !slices.Equal(got, []uint64{5, 4}) {
		t.Errorf("uses are %v", got)
	}
}

// TestAccess: what a user or a role did with a service is found by its unique id,
// whatever the session and the Region; roots have none.
func TestAccess(t *testing.T) {
	r := newRig(t, 4)
	session, elsewhere, other, root := r.event("Sign", "a", "k"), r.event("Sign", "b", "k"), r.event("GetUser", "b", "k"), r.event("Sign", "c", "k")
	session.UserIdentity.Type, session.UserIdentity.PrincipalID = "AssumedRole", "AROAworker:day"
	elsewhere.AWSRegion = "eu-west-1"
	other.EventSource = "iam.amazonaws.com"
	root.UserIdentity.PrincipalID = account
	r.commit(session, elsewhere, other, root)
	for _, test := range []struct {
		account, id, source string
		want                []uint64
	}{
		{account, "AROAworker", "kms.amazonaws.com", []uint64{1}},
		{account, "AROAworker:day", "kms.amazonaws.com", nil},
		{account, "AIDAb", "kms.amazonaws.com", []uint64{2}},
		{account, "AIDAb", "iam.amazonaws.com", []uint64{3}},
		{account, "AROAworker", "iam.amazonaws.com", nil},
		{account, account, "kms.amazonaws.com", nil},
		{"444455556666", "AIDAb", "kms.amazonaws.com", nil},
	} {
		got := r.find(Query{Terms: []Term{{Kind: Access, Scope: Scope{test.account, test.source}, Value: test.id}}}, true, all)
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: found %v", test, got)
		}
	}
}

// TestAnswersAsAScanDoes compares queries with a walk over all records, over
// frames and segments of random sizes, through restarts.
func TestAnswersAsAScanDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := newRig(t, 50)
	operations, users, keys := []string{"Encrypt", "Decrypt", "CreateKey"}, []string{"a", "b", "c"}, []string{"k1", "k2", "k3", "k4", "k5"}
	var made []journal.Record
	for range 200 {
		var frame []journal.Record
		for range random.IntN(6) {
			if random.IntN(10) == 0 {
				r.clock.Advance(time.Duration(random.IntN(5)-1) * time.Second) // and back, now and then
			}
			frame = append(frame, r.event(operations[random.IntN(3)], users[random.IntN(3)], keys[random.IntN(5)]))
		}
		made = append(made, frame...)
		r.commit(frame...)
		if random.IntN(20) == 0 {
			r.find(inScope(All, ""), true, 1)
		}
		if random.IntN(40) == 0 {
			r.start()
		}
	}
	for range 300 {
		q := Query{Before: uint64(random.IntN(len(made) + 2))}
		match := []func(journal.Record) bool{}
		for range 1 + random.IntN(2) {
			var term Term
			switch random.IntN(4) {
			case 0:
				op := operations[random.IntN(3)]
				term = Term{Kind: Operation, Value: strings.ToLower(op)}
				match = append(match, func(x journal.Record) bool { return x.EventName == op })
			case 1:
				user := users[random.IntN(3)]
				term = Term{Kind: Caller, Value: user}
				match = append(match, func(x journal.Record) bool { return x.UserIdentity.UserName == user })
			case 2:
				key := keys[random.IntN(5)]
				term = Term{Kind: Name, Value: key}
				match = append(match, func(x journal.Record) bool { return x.Resources[0].ARN == keyARN(key) })
			case 3:
				term = Term{Kind: All}
				match = append(match, func(journal.Record) bool { return true })
			}
			term.Scope = Scope{account, region}
			q.Terms = append(q.Terms, term)
		}
		if random.IntN(2) == 0 {
			q.Since = began.Add(time.Duration(random.IntN(100)) * time.Second)
		}
		if random.IntN(2) == 0 {
			q.Until = began.Add(time.Duration(random.IntN(100)) * time.Second)
		}
		var want []uint64
		for i, x := range made {
			at := x.EventTime.Truncate(time.Second)
			if q.Before != 0 && uint64(i+1) >= q.Before || !q.Since.IsZero() && at.Before(q.Since) || !q.Until.IsZero() && at.After(q.Until) {
				continue
			}
			if slices.ContainsFunc(match, func(f func(journal.Record) bool) bool { return f(x) }) {
				want = append(want, uint64(i+1))
			}
		}
		if got := r.find(q, false, all); !slices.Equal(got, want) {
			t.Fatalf("%+v, oldest first: %v, want %v", q, got, want)
		}
		slices.Reverse(want)
		limit := 1 + random.IntN(10)
		if got := r.find(q, true, limit); !slices.Equal(got, want[:min(limit, len(want))]) {
			t.Fatalf("%+v, newest first: %v, want %v", q, got, want[:min(limit, len(want))])
		}
	}
	if r.index.Size().Records == 0 || strings.Contains(r.log.String(), "made again") {
		t.Errorf("%+v; the log says %s", r.index.Size(), r.log.String())
	}
}

// fill commits n records, ten to a frame. Their names are too long to occur in sealed
// pages by chance.
func (r *rig) fill(n int) {
	for ; n > 0; n -= 10 {
		var frame []journal.Record
		for range 10 {
			frame = append(frame, r.event("Encrypt", "alexandrina", "secret-key"))
		}
		r.commit(frame...)
	}
	if err := r.index.CatchUp(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) files() []string {
	files, err := filepath.Glob(filepath.Join(r.config.Dir, "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}

func TestNoNameStandsOnDisk(t *testing.T) {
	r := newRig(t, 100)
	r.fill(250)
	files := r.files()
	if len(files) != 2 {
		t.Fatalf("%d files", len(files))
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"alexandrina", "secret-key", account, region, "ncrypt", "amazonaws"} {
			if bytes.Contains(content, []byte(name)) {
				t.Errorf("%s holds %q", path, name)
			}
		}
	}
}

// TestDamageIsMadeGood damages files in the ways that a crash, a restore or an
// intruder can: what cannot be used is made again, and the answers are the same.
func TestDamageIsMadeGood(t *testing.T) {
	flip := func(at int64) func(*rig, string) error {
		return func(_ *rig, path string) error {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content[at] ^= 1
			return os.WriteFile(path, content, 0o600)
		}
	}
	for name, damage := range map[string]func(r *rig, path string) error{
		"removed":   func(_ *rig, path string) error { return os.Remove(path) },
		"emptied":   func(_ *rig, path string) error { return os.Truncate(path, 0) },
		"cut":       func(_ *rig, path string) error { return os.Truncate(path, 5000) },
		"magic":     flip(0),
		"length":    flip(8),
		"head":      flip(60),
		"renamed":   func(r *rig, path string) error { return os.Rename(path, filepath.Join(r.config.Dir, segmentName(9))) },
		"exchanged": func(r *rig, path string) error { return os.Rename(r.files()[2], path) },
		"half made": func(_ *rig, path string) error { return os.WriteFile(path+unfinished, []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 100)
			r.fill(450)
			if err := damage(r, r.files()[1]); err != nil {
				t.Fatal(err)
			}
			r.start()
			if got := r.find(inScope(Caller, "alexandrina"), true, all); len(got) != 450 {
				t.Errorf("%d records are found", len(got))
			}
			if n := len(r.files()); n != 4 {
				t.Errorf("there are %d files", n)
			}
		})
	}
}

// TestAPageThatWasChangedIsMadeAgain: a page is opened when it is needed, so that
// damage to it is met by a query. The next one finds everything.
func TestAPageThatWasChangedIsMadeAgain(t *testing.T) {
	r := newRig(t, 100)
	r.fill(150)
	path, s := r.files()[0], r.index.segments[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := range (len(content) - int(s.offset)) / s.Page {
		s := r.index.segments[0]
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[int(s.offset)+page*s.Page+100] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		err = r.index.Newest(context.Background(), inScope(Caller, "alexandrina"), func(Found) (bool, error) { return true, nil })
		if !errors.Is(err, ErrGone) {
			t.Errorf("page %d: %v", page, err)
		}
		if got := r.find(inScope(Caller, "alexandrina"), true, all); len(got) != 150 {
			t.Errorf("page %d: then %d records are found", page, len(got))
		}
	}
}

// TestAnotherJournalsIndexIsThrownAway: the data folder is put back to an older
// state and goes on, while the index is of the state that was lost.
func TestAnotherJournalsIndexIsThrownAway(t *testing.T) {
	r := newRig(t, 100)
	r.fill(120)
	kept, records := slices.Clone(r.stream.frames), slices.Clone(r.records)
	r.fill(300)
	r.stream.frames, r.records = kept, records
	r.open()
	r.start() // the journal is shorter than the index
	if got := r.find(inScope(Caller, "alexandrina"), true, all); len(got) != 120 {
		t.Errorf("%d records are found", len(got))
	}
	r.fill(500)
	r.stream.frames, r.records = kept, records
	r.open()
	for range 500 {
		r.commit(r.event("Decrypt", "bob", "k"))
	}
	r.start() // it has other frames under the same numbers
	if got := r.find(inScope(Caller, "alexandrina"), true, all); len(got) != 120 {
		t.Errorf("%d records are found", len(got))
	}
	if got := r.find(inScope(Caller, "bob"), true, all); len(got) != 500 {
		t.Errorf("%d records are found", len(got))
	}
}

// TestBytesPerRecord keeps the figure of docs/design.md true.
func TestBytesPerRecord(t *testing.T) {
	r := newRig(t, 20_000)
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var frame []journal.Record
		for range 50 {
			user := string(rune('a' + random.IntN(20)))
			frame = append(frame, r.event([]string{"Encrypt", "Decrypt", "GenerateDataKey"}[random.IntN(3)], user, keyARN(user)))
		}
		r.commit(frame...)
	}
	if err := r.index.CatchUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	size := r.index.Size()
	if each := size.Bytes / size.Records; each > 30 {
		t.Errorf("%d bytes for each record of the index", each)
	}
	t.Logf("%.1f bytes for each record", float64(size.Bytes)/float64(size.Records))
}
