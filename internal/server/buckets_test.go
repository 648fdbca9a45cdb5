package server

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
)

// TestBucketsAreRecordedWithTheirEffect: a change and its record are one commit, and a
// refusal is recorded as one.
func TestBucketsAreRecordedWithTheirEffect(t *testing.T) {
	r := startRetained(t, nil)
	b, by := buckets{&operator{Server: r.Server}}, admin.Peer{UID: 12, PID: 34}
	good := admin.Bucket{Name: "audit", Folder: "/srv/audit"}
	for _, step := range []struct {
		do      func() error
		name    string
		refused bool
	}{
		{func() error { return b.PutBucket(t.Context(), by, good, nil) }, "PutTrailBucket", false},
		{func() error { return b.PutBucket(t.Context(), by, admin.Bucket{Name: "Bad"}, nil) }, "PutTrailBucket", true},
		{func() error { return b.RemoveBucket(t.Context(), by, "none") }, "RemoveTrailBucket", true},
		{func() error { return b.RemoveBucket(t.Context(), by, "audit") }, "RemoveTrailBucket", false},
	} {
		before := len(r.records(step.name))
		err := step.do()
		records := r.records(step.name)
		if (err != nil) != step.refused || len(records) != before+1 {
			t.Fatalf("%s: %v, and %d records more", step.name, err, len(records)-before)
		}
		last := records[before]
		if strings.Contains(last, `"errorCode":"Refused"`) != step.refused || !strings.Contains(last, `"uid:12 pid:34"`) || strings.Contains(last, `"readOnly":true`) {
			t.Errorf("%s is recorded as %s", step.name, last)
		}
	}
}
