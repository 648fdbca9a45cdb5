package server

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/deadline"
)

// hangingDisk is the machine's disk, whose reads or writes hang while they are told to.
type hangingDisk struct {
	reads, writes atomic.Bool
	hung          atomic.Int64
	resume        chan struct{}
	once          sync.Once
}

func (d *hangingDisk) files() vfs.FS {
	return errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch write := op.Kind.ReadOrWrite() == errorfs.OpIsWrite; {
		case write && d.writes.Load(), !write && d.reads.Load():
			d.hung.Add(1)
			<-d.resume
		}
		return nil
	}))
}

func (d *hangingDisk) letGo() {
	d.reads.Store(false)
	d.writes.Store(false)
	d.once.Do(func() { close(d.resume) })
}

// TestADiskThatHangs: whoever calls is answered with an error that may be retried when
// the time is over, whether the disk hangs in what a call reads or in what it writes;
// and when it wakes up, all goes on. With deadline.Waiting, which the test makes shorter,
// that time is 5 seconds.
func TestADiskThatHangs(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	first := mustStart(t, cfg)
	_, created := post(t, first, "CreateKey", "{}")
	_, rest, _ := strings.Cut(created, `"KeyId":"`)
	id := rest[:36]
	mustStop(t, first)

	for name, hang := range map[string]func(*hangingDisk){
		"reading": func(d *hangingDisk) { d.reads.Store(true) },
		"writing": func(d *hangingDisk) { d.writes.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := &hangingDisk{resume: make(chan struct{})}
			cfg := cfg
			cfg.files, cfg.patience = disk.files(), deadline.SharedFor+50*time.Millisecond
			s := mustStart(t, cfg) // nothing is cached yet
			defer disk.letGo()
			hang(disk)
			status, answer := post(t, s, "DescribeKey", `{"KeyId":"`+id+`"}`)
			if status != http.StatusServiceUnavailable || !strings.Contains(answer, "ServiceUnavailableException") || disk.hung.Load() == 0 {
				t.Errorf("while it hangs (%d times): %d %s", disk.hung.Load(), status, answer)
			}
			disk.letGo()
			for status != http.StatusOK {
				status, answer = post(t, s, "DescribeKey", `{"KeyId":"`+id+`"}`)
				if status != http.StatusOK && status != http.StatusServiceUnavailable {
					t.Fatalf("afterwards: %d %s", status, answer)
				}
			}
		})
	}
}

// TestReadyzWhileTheDiskHangs tells a load balancer to go elsewhere, also before the
// watch has counted its ticks: the question after free space is not answered.
func TestReadyzWhileTheDiskHangs(t *testing.T) {
	disk := &hangingDisk{resume: make(chan struct{})}
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	cfg.files, cfg.patience = disk.files(), deadline.SharedFor+50*time.Millisecond
	s := mustStart(t, cfg)
	defer disk.letGo()
	disk.reads.Store(true)
	resp, err := http.Get(s.URL() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || string(body) != "not ready: the disk does not answer\n" {
		t.Errorf("%s %q, %v", resp.Status, body, err)
	}
}

// fullDiskFS is the machine's disk with as much free space as a test says.
type fullDiskFS struct {
	vfs.FS
	free atomic.Uint64
}

func (d *fullDiskFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load()}, nil
}

func (d *fullDiskFS) Unwrap() vfs.FS { return d.FS }

// TestAuditOnAFullDisk: calls are refused then, and what the operator asks is answered
// and recorded, until half of the reserve is gone.
func TestAuditOnAFullDisk(t *testing.T) {
	disk := &fullDiskFS{FS: vfs.Default}
	disk.free.Store(1 << 40)
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	cfg.files = disk
	s := mustStart(t, cfg)
	client, err := admin.Connect(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	tail := func() (records int, err error) {
		err = client.Tail(t.Context(), 10, false, func([]byte) error { records++; return nil })
		return records, err
	}
	disk.free.Store(200 << 20)
	if status, answer := post(t, s, "CreateKey", "{}"); status != http.StatusServiceUnavailable {
		t.Errorf("a call: %d %s", status, answer)
	}
	if n, err := tail(); err != nil || n == 0 {
		t.Errorf("%d records, %v", n, err)
	}
	if report, err := client.Verify(t.Context(), admin.VerifyOptions{}, nil); err != nil || report.Fault != nil {
		t.Errorf("%+v, %v", report, err)
	}
	if found, err := client.Examine(t.Context()); err != nil || levels(found)["ready"] != admin.Wrong {
		t.Errorf("%v, %v", levels(found)["ready"], err)
	}
	disk.free.Store(100 << 20)
	if _, err := tail(); err == nil {
		t.Error("with less than half of the reserve, something is recorded")
	}
	disk.free.Store(1 << 40)
	if n := len(recordsOf(t, s, "AuditTail")); n != 1 {
		t.Errorf("%d records of what was asked on the full disk, want 1", n)
	}
}
