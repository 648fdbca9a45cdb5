package trail

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

const region = "us-east-1"

var errNone = errors.New("no frames")

// trailRig is the service over a journal in memory.
type trailRig struct {
	t       *testing.T
	clock   *clock.Fake
	service *Service
	writer  *journal.Writer
	frames  [][]byte
	denied  bool
	n       int
}

func (r *trailRig) LastFrame(context.Context) (uint64, []byte, error) {
	if len(r.frames) == 0 {
		return 0, nil, errNone
	}
	return uint64(len(r.frames)), r.frames[len(r.frames)-1], nil
}

func (r *trailRig) Frames(_ context.Context, from uint64, fn func(uint64, []byte) error) error {
	for i := from - 1; i < uint64(len(r.frames)); i++ {
		if err := fn(i+1, r.frames[i]); err != nil {
			return err
		}
	}
	return nil
}

// Policies implements authz.Directory.
func (r *trailRig) Policies(_ context.Context, _ *authz.Principal, set *policy.Policies) error {
	if r.denied {
		return nil
	}
	document, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"cloudtrail:LookupEvents","Resource":"*"}}`), policy.IdentityPolicy)
	set.Identity = []policy.Source{{Name: "p", Document: document}}
	return err
}

// Record implements authz.Pipe; LookupEvents commits nothing.
func (r *trailRig) RecordFor(*authz.Call, any, string) []byte { return nil }

func (r *trailRig) Record(*authz.Call, any) []byte { panic("LookupEvents has an effect") }

// newTrailRig returns the service over an index whose segments have so many records.
func newTrailRig(t *testing.T, segmentRecords int) *trailRig {
	t.Helper()
	r := &trailRig{t: t, clock: clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	key := secret.Bytes(bytes.Repeat([]byte{7}, 32))
	var err error
	r.writer, err = journal.Open(t.Context(), journal.Config{
		Deployment: "test", Stream: "store", Key: key, KeyVersion: 1, Signer: ed25519.NewKeyFromSeed(make([]byte, 32)),
		Clock: r.clock, Frames: r, NotFound: errNone,
	})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := journal.NewReader(journal.ReaderConfig{
		Deployment: "test", Stream: "store", Frames: r, NotFound: errNone, Key: func(uint32) (secret.Bytes, error) { return key, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	domain, _, err := seal.Create(t.Context(), root, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	box, err := domain.Box(seal.LabelLookupTokens)
	if err != nil {
		t.Fatal(err)
	}
	records, err := index.Open(t.Context(), index.Config{
		Dir: filepath.Join(t.TempDir(), "index"), Reader: reader, Box: box, TermKey: key, Rand: rand.Reader,
		Log: slog.New(slog.DiscardHandler), SegmentRecords: segmentRecords,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.service = New(Config{Records: records, Tokens: box, Rand: rand.Reader, Clock: r.clock, Regions: []string{region}})
	return r
}

// event commits a record after change has been made to it, and returns its id.
func (r *trailRig) event(change func(*journal.Record)) string {
	r.t.Helper()
	r.n++
	record := journal.Record{
		UserIdentity: journal.UserIdentity{
			Type: "IAMUser", PrincipalID: "AIDAALICE", ARN: "arn:aws:iam::" + account + ":user/alice", AccountID: account,
			AccessKeyID: "AKIAALICE", UserName: "alice",
		},
		EventTime: r.clock.Now(), EventSource: "kms.amazonaws.com", EventName: "Encrypt", AWSRegion: region,
		RequestID: "r", EventID: journal.NewUUID([16]byte{byte(r.n >> 8), byte(r.n)}), ReadOnly: true,
		Resources: []journal.Resource{{AccountID: account, Type: "AWS::KMS::Key", ARN: "arn:aws:kms:us-east-1:111122223333:key/k1"}},
		EventType: journal.AwsApiCall, RecipientAccountID: account,
	}
	if change != nil {
		change(&record)
	}
	_, frame, err := r.writer.Frame([][]byte{record.AppendJSON(nil)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.frames = append(r.frames, frame)
	return record.EventID.String()
}

func (r *trailRig) call(in *api.LookupEventsInput) (*api.LookupEventsOutput, error) {
	call := &authz.Call{
		Service: "cloudtrail", Operation: "LookupEvents", Action: "cloudtrail:LookupEvents", Partition: "aws", Region: region, Time: r.clock.Now(),
		Principal: authz.Principal{Principal: policy.Principal{Type: policy.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/bob", ID: "AIDABOB"}},
	}
	call.Attach(r)
	return r.service.LookupEvents(r.t.Context(), call, in)
}

// ids returns the event ids of all pages of in.
func (r *trailRig) ids(in api.LookupEventsInput) []string {
	r.t.Helper()
	var out []string
	for {
		page, err := r.call(&in)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range page.Events {
			out = append(out, e.EventId)
		}
		if page.NextToken == "" {
			return out
		}
		in.NextToken = &page.NextToken
	}
}

func by(key api.LookupAttributeKey, value string) api.LookupEventsInput {
	return api.LookupEventsInput{LookupAttributes: []api.LookupAttribute{{AttributeKey: key, AttributeValue: value}}}
}

func TestLookupByEachAttribute(t *testing.T) {
	r := newTrailRig(t, 40)
	plain := r.event(nil)
	odd := r.event(func(x *journal.Record) {
		x.UserIdentity = journal.UserIdentity{Type: "AssumedRole", PrincipalID: "AROAX:session", ARN: "arn:aws:sts::1:x", AccountID: account, AccessKeyID: "ASIAX"}
		x.EventSource, x.EventName, x.ReadOnly = "iam.amazonaws.com", "CreateRole", false
		x.Resources[0] = journal.Resource{AccountID: account, Type: "AWS::IAM::Role", ARN: "arn:aws:iam::111122223333:role/x"}
	})
	root := r.event(func(x *journal.Record) {
		x.UserIdentity = journal.UserIdentity{Type: "Root", PrincipalID: account, ARN: "arn:aws:iam::111122223333:root", AccountID: account}
		x.RequestParameters = []byte(`{"keyId":"k2"}`)
		x.Resources = nil
	})
	// What is for another account or of another Region is not shown.
	r.event(func(x *journal.Record) { x.RecipientAccountID = other })
	r.event(func(x *journal.Record) { x.AWSRegion = "eu-west-1" })
	for _, c := range []struct {
		key   api.LookupAttributeKey
		value string
		want  []string
	}{
		{"EventId", plain, []string{plain}}, {"EventId", "00000000-0000-0000-0000-000000000000", nil},
		{"EventName", "CreateRole", []string{odd}}, {"EventName", "createrole", nil},
		{"ReadOnly", "false", []string{odd}}, {"ReadOnly", "true", []string{root, plain}}, {"ReadOnly", "TRUE", nil},
		{"Username", "alice", []string{plain}}, {"Username", "session", []string{odd}}, {"Username", "root", []string{root}}, {"Username", account, nil},
		{"ResourceType", "AWS::KMS::Key", []string{plain}},
		{"ResourceName", "arn:aws:kms:us-east-1:111122223333:key/k1", []string{plain}}, {"ResourceName", "k1", []string{plain}},
		{"ResourceName", "role/x", []string{odd}}, {"ResourceName", "k2", nil},
		{"EventSource", "iam.amazonaws.com", []string{odd}},
		{"AccessKeyId", "ASIAX", []string{odd}}, {"AccessKeyId", "alice", nil}, {"AccessKeyId", account, nil},
	} {
		if got := r.ids(by(c.key, c.value)); !slices.Equal(got, c.want) {
			t.Errorf("%s %s: %v, want %v", c.key, c.value, got, c.want)
		}
	}
	if got, want := r.ids(api.LookupEventsInput{}), []string{root, odd, plain}; !slices.Equal(got, want) {
		t.Errorf("without an attribute: %v, want %v", got, want)
	}
	if got := r.ids(api.LookupEventsInput{EventCategory: "insight"}); len(got) != 0 {
		t.Errorf("Insights events: %v", got)
	}
	if out, err := r.call(&api.LookupEventsInput{EventCategory: "insight"}); err != nil || out.Events == nil {
		t.Errorf("an empty answer has no list of events: %v %v", out, err)
	}
	out, err := r.call(&api.LookupEventsInput{LookupAttributes: by("EventId", odd).LookupAttributes})
	if err != nil || len(out.Events) != 1 {
		t.Fatalf("%v %v", out, err)
	}
	e := out.Events[0]
	if e.EventName != "CreateRole" || e.ReadOnly != "false" || e.AccessKeyId != "ASIAX" || !e.EventTime.Equal(r.clock.Now()) ||
		e.EventSource != "iam.amazonaws.com" || e.Username != "session" || !strings.Contains(e.CloudTrailEvent, `"eventID":"`+odd+`"`) ||
		len(e.Resources) != 1 || e.Resources[0] != (api.Resource{ResourceType: "AWS::IAM::Role", ResourceName: "arn:aws:iam::111122223333:role/x"}) {
		t.Errorf("the event is %+v", e)
	}
}

// TestLookupPages reads pages while events are added: each event that was there
// when the first page was read is shown once.
func TestLookupPages(t *testing.T) {
	r := newTrailRig(t, 40)
	var want []string
	for range 130 {
		want = append(want, r.event(nil))
		r.clock.Advance(time.Second)
	}
	slices.Reverse(want)
	limit := int32(7)
	in := api.LookupEventsInput{MaxResults: &limit}
	var got []string
	for {
		out, err := r.call(&in)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Events) > 7 {
			t.Fatalf("%d events on a page", len(out.Events))
		}
		for _, e := range out.Events {
			got = append(got, e.EventId)
		}
		r.event(nil)
		if out.NextToken == "" {
			break
		}
		in.NextToken = &out.NextToken
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d events, want %d: %v", len(got), len(want), got)
	}
	first, err := r.call(&api.LookupEventsInput{})
	if err != nil || len(first.Events) != 50 {
		t.Errorf("the usual page has %d events, %v", len(first.Events), err)
	}
	// What exactly fills a page has no page behind it.
	limit = 1
	out, err := r.call(&api.LookupEventsInput{LookupAttributes: by("EventId", want[0]).LookupAttributes, MaxResults: &limit})
	if err != nil || len(out.Events) != 1 || out.NextToken != "" {
		t.Errorf("%v %v", out, err)
	}
}

func TestLookupTimes(t *testing.T) {
	r := newTrailRig(t, 40)
	start := r.clock.Now()
	var ids []string
	for range 10 {
		ids = append(ids, r.event(nil))
		r.clock.Advance(10 * 24 * time.Hour)
	}
	at := func(days int) *time.Time { t := start.Add(time.Duration(days) * 24 * time.Hour); return &t }
	for name, c := range map[string]struct {
		from, to *time.Time
		want     []string
	}{
		"90 days are seen":              {nil, nil, []string{ids[9], ids[8], ids[7], ids[6], ids[5], ids[4], ids[3], ids[2], ids[1]}},
		"also when more are asked for":  {at(0), at(20), []string{ids[2], ids[1]}},
		"both bounds are within":        {at(30), at(50), []string{ids[5], ids[4], ids[3]}},
		"nothing is there":              {at(31), at(39), nil},
		"nothing is there before it":    {nil, at(5), nil},
		"one moment":                    {at(30), at(30), []string{ids[3]}},
		"the future has nothing":        {at(1000), nil, nil},
		"a start without an end":        {at(80), nil, []string{ids[9], ids[8]}},
		"long before anything was kept": {at(-100000), at(-99999), nil},
	} {
		if got := r.ids(api.LookupEventsInput{StartTime: c.from, EndTime: c.to}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	// A call that took long is recorded behind a later one.
	r.event(func(x *journal.Record) { x.EventTime = x.EventTime.Add(-5 * time.Second) })
	out, err := r.call(&api.LookupEventsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(out.Events, func(a, b api.Event) int { return b.EventTime.Compare(*a.EventTime) }) {
		t.Error("a page is not sorted by time")
	}
}

func TestLookupRefusals(t *testing.T) {
	r := newTrailRig(t, 40)
	for range 3 {
		r.event(nil)
	}
	n := func(n int32) *int32 { return &n }
	now, before := r.clock.Now(), r.clock.Now().Add(-time.Second)
	page, err := r.call(&api.LookupEventsInput{MaxResults: n(1)})
	if err != nil || page.NextToken == "" {
		t.Fatalf("%v %v", page, err)
	}
	text := func(s string) *string { return &s }
	for code, inputs := range map[string][]api.LookupEventsInput{
		"InvalidMaxResultsException":       {{MaxResults: n(0)}, {MaxResults: n(51)}, {MaxResults: n(-1)}},
		"InvalidTimeRangeException":        {{StartTime: &now, EndTime: &before}},
		"InvalidLookupAttributesException": {{LookupAttributes: slices.Concat(by("EventName", "a").LookupAttributes, by("EventId", "b").LookupAttributes)}},
		"InvalidNextTokenException": {
			{NextToken: text("")}, {NextToken: text("x")}, {NextToken: text(page.NextToken[1:])},
			{NextToken: text(page.NextToken[:len(page.NextToken)-4] + "AAAA")},
			{NextToken: &page.NextToken, StartTime: &before},
			{NextToken: &page.NextToken, LookupAttributes: by("EventName", "Encrypt").LookupAttributes},
		},
	} {
		for _, in := range inputs {
			_, err := r.call(&in)
			var refused *awserr.Error
			if !errors.As(err, &refused) || refused.Code != code {
				t.Errorf("%+v: %v, want %s", in, err, code)
			}
		}
	}
	r.denied = true
	if _, err := r.call(&api.LookupEventsInput{MaxResults: n(0)}); !errors.Is(err, authz.ErrDenied) && !strings.Contains(fmt.Sprint(err), "not authorized") {
		t.Errorf("without permission: %v", err)
	}
}

// TestLookupIsBounded: large records and values that stand elsewhere end a page
// early, and the token goes on.
func TestLookupIsBounded(t *testing.T) {
	r := newTrailRig(t, 1500)
	for range 30 {
		r.event(func(x *journal.Record) {
			x.RequestParameters = []byte(`{"a":"` + strings.Repeat("x", 90<<10) + `"}`)
		})
	}
	out, err := r.call(&api.LookupEventsInput{})
	if err != nil || len(out.Events) >= 30 || out.NextToken == "" {
		t.Errorf("a page of large records has %d events, %v", len(out.Events), err)
	}
	if got := r.ids(api.LookupEventsInput{}); len(got) != 30 {
		t.Errorf("%d events on all pages", len(got))
	}
	for range mostRead + 10 {
		r.event(func(x *journal.Record) { x.UserIdentity.AccountID = "AKIATWICE" })
	}
	wanted := r.event(func(x *journal.Record) { x.UserIdentity.AccessKeyID = "AKIATWICE" })
	for range mostRead + 10 {
		r.event(func(x *journal.Record) { x.UserIdentity.AccountID = "AKIATWICE" })
	}
	in := by("AccessKeyId", "AKIATWICE")
	if out, err = r.call(&in); err != nil || len(out.Events) != 0 || out.NextToken == "" {
		t.Errorf("%v %v", out, err)
	}
	if got := r.ids(in); !slices.Equal(got, []string{wanted}) {
		t.Errorf("found %v, want %s", got, wanted)
	}
}
