package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/journal"
)

// TestSearchFindsTheSameWithTheIndex compares a running server's search, which
// asks the index, with a walk over the trail, for filters of every kind.
func TestSearchFindsTheSameWithTheIndex(t *testing.T) {
	s, err := Start(t.Context(), Config{
		DataDir: t.TempDir() + "/data", Listen: "127.0.0.1:0", Account: "000000000000", Regions: []string{"us-east-1"},
		Seal: "file", Store: "pebble", Dev: true, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	random := rand.New(rand.NewPCG(1, 1))
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one := func(list ...string) string { return list[random.IntN(len(list))] }
	key := func() string { return "arn:aws:kms:us-east-1:000000000000:key/" + one("k1", "k2", "k3") }
	for i := range 300 {
		r := journal.Record{
			UserIdentity: journal.UserIdentity{
				Type: "IAMUser", ARN: "arn:aws:iam::000000000000:user/" + one("a", "b"), AccountID: one("000000000000", "111111111111"), UserName: one("a", "b"),
			},
			EventTime: began.Add(time.Duration(i) * time.Second), EventSource: one("kms", "iam") + ".amazonaws.com", EventName: one("Encrypt", "GetUser"),
			AWSRegion: one("us-east-1", "eu-west-1"), ErrorCode: one("", "", "AccessDenied", "NotFoundException"),
			RequestParameters: fmt.Appendf(nil, `{"keyId":%q}`, one("alias/x", "k1", key())), RecipientAccountID: one("000000000000", "111111111111"),
			Resources: []journal.Resource{{Type: "AWS::KMS::Key", ARN: key()}},
		}
		if err := s.store.Append(t.Context(), r.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
	}
	walk, err := newTrail(s.folder)
	if err != nil {
		t.Fatal(err)
	}
	fast := *walk
	fast.records = s.records
	search := func(trail *trail, f admin.Filter) (out [][]byte) {
		t.Helper()
		err := trail.Search(t.Context(), f, func(line []byte) error { out = append(out, bytes.Clone(line)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	some := 0
	for range 100 {
		f := admin.Filter{
			Key:       one("", "", "k1", "key/k2", "arn:aws:kms:us-east-1:000000000000:key/k3", "alias/x", "none"),
			Principal: one("", "", "a", "arn:aws:iam::000000000000:user/b", "111111111111"),
			Operation: one("", "", "encrypt", "kms:Encrypt", "IAM:getuser"), Error: one("", "", "any", "none", "accessdenied"),
		}
		if random.IntN(2) == 0 {
			f.Since = began.Add(time.Duration(random.IntN(300)) * time.Second)
		}
		if random.IntN(2) == 0 {
			f.Until = began.Add(time.Duration(random.IntN(300)) * time.Second)
		}
		want, got := search(walk, f), search(&fast, f)
		if !slices.EqualFunc(want, got, bytes.Equal) {
			t.Errorf("%+v: %d records, want %d", f, len(got), len(want))
		}
		some += len(want)
	}
	if some == 0 {
		t.Error("no filter found anything")
	}
}
