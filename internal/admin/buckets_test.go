package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
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
}

func (f *fakeBuckets) PutBucket(_ context.Context, b Bucket, secretKey secret.Bytes) error {
	if b.Name == "bad" {
		return errors.New("the name is bad")
	}
	f.known, f.secrets = append(f.known, b), append(f.secrets, string(secretKey))
	return nil
}

func (f *fakeBuckets) RemoveBucket(_ context.Context, name string) error {
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
	if err := errors.Join(client.PutBucket(t.Context(), remote, secret.Bytes("canary")), client.PutBucket(t.Context(), local, nil)); err != nil {
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
	if err := client.RemoveBucket(t.Context(), "audit"); err != nil || !reflect.DeepEqual(known.known, []Bucket{local}) {
		t.Errorf("%+v, %v", known.known, err)
	}
	if err := client.PutBucket(t.Context(), Bucket{Name: "bad"}, nil); err == nil || err.Error() != "the name is bad" {
		t.Errorf("got %v", err)
	}
	var names []string
	for _, e := range events {
		names = append(names, e.Name)
		if e.ReadOnly != (e.Name == "ListTrailBuckets") {
			t.Errorf("%s: read-only %v", e.Name, e.ReadOnly)
		}
		for _, v := range e.Params {
			if strings.Contains(v, "canary") {
				t.Errorf("%s is recorded with the secret", e.Name)
			}
		}
	}
	if want := []string{"PutTrailBucket", "PutTrailBucket", "ListTrailBuckets", "RemoveTrailBucket", "PutTrailBucket"}; !slices.Equal(names, want) {
		t.Errorf("recorded %q", names)
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
