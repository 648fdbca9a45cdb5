package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/secret"
)

// fakeBuckets keeps what it is told.
type fakeBuckets struct {
	known   []Bucket
	secrets []string
	by      []Peer
}

func (f *fakeBuckets) PutBucket(_ context.Context, by Peer, b Bucket, secretKey secret.Bytes) error {
	if b.Name == "bad" {
		return errors.New("the name is bad")
	}
	f.by = append(f.by, by)
	f.known, f.secrets = append(f.known, b), append(f.secrets, string(secretKey))
	return nil
}

func (f *fakeBuckets) RemoveBucket(_ context.Context, _ Peer, name string) error {
	f.known = slices.DeleteFunc(f.known, func(b Bucket) bool { return b.Name == name })
	return nil
}

func (f *fakeBuckets) ListBuckets(_ context.Context, emit func(Bucket) error) error {
	for _, b := range f.known {
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

func TestBuckets(t *testing.T) {
	dir := t.TempDir()
	known := &fakeBuckets{}
	var events []AdminEvent
	server, err := Listen(Config{
		SocketDir: dir, Log: slog.New(slog.DiscardHandler), Clock: clock.NewFake(epoch), Audit: &fakeSource{}, Operator: fakeOperator{}, Buckets: known,
		Record: func(_ context.Context, e AdminEvent) error { events = append(events, e); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	client, err := Connect(dir)
	if err != nil {
		t.Fatal(err)
	}
	remote := Bucket{Name: "audit", Endpoint: "https://s3.example.com", Region: "here", PathStyle: true, AccessKeyID: "AKID"}
	local := Bucket{Name: "other", Folder: "/srv/audit"}
	if err := errors.Join(client.PutBucket(t.Context(), Peer{}, remote, secret.Bytes("canary")), client.PutBucket(t.Context(), Peer{}, local, nil)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(known.secrets, []string{"canary", ""}) {
		t.Errorf("secrets %q", known.secrets)
	}
	var got []Bucket
	list := func(b Bucket) error { got = append(got, b); return nil }
	if err := client.ListBuckets(t.Context(), list); err != nil || !reflect.DeepEqual(got, []Bucket{remote, local}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := client.RemoveBucket(t.Context(), Peer{}, "audit"); err != nil || !reflect.DeepEqual(known.known, []Bucket{local}) {
		t.Errorf("%+v, %v", known.known, err)
	}
	if err := client.PutBucket(t.Context(), Peer{}, Bucket{Name: "bad"}, nil); err == nil || err.Error() != "the name is bad" {
		t.Errorf("got %v", err)
	}
	// Changes are recorded by whoever makes them, who is told who asks.
	if len(events) != 1 || events[0].Name != "ListTrailBuckets" || !events[0].ReadOnly {
		t.Errorf("recorded %+v", events)
	}
	for _, by := range known.by {
		if by.UID != uint32(os.Getuid()) || by.PID == 0 {
			t.Errorf("asked by %+v", by)
		}
	}
	for _, v := range remote.Params() {
		if strings.Contains(v, "canary") {
			t.Error("a bucket is recorded with its secret")
		}
	}
	for _, test := range []struct{ method, path, body string }{
		{"PUT", "/v1/trail/buckets", "[]"}, {"PUT", "/v1/trail/buckets", `{"colour":"red"}`}, {"DELETE", "/v1/trail/buckets", ""},
		{"PUT", "/v1/trail/buckets", `{"name":"` + strings.Repeat("a", maxBucketBody) + `"}`},
	} {
		req, err := http.NewRequest(test.method, "http://strongroom"+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s %.40s: %s", test.method, test.body, resp.Status)
		}
	}
}
