package server

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/store"
)

// tamper writes into the database of a stopped folder.
func tamper(t *testing.T, dir string, change func(all map[string][]byte) []store.Write) {
	t.Helper()
	f, err := openExisting(t.Context(), Folder{Dir: dir, Seal: "file"})
	if err != nil {
		t.Fatal(err)
	}
	writes := change(storedIn(t, f.backend))
	snap, err := f.backend.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	epoch := snap.Epoch()
	for _, err := range []error{
		snap.Close(), f.backend.Prepare(t.Context(), epoch), f.backend.Commit(t.Context(), store.Batch{Epoch: epoch, Writes: writes}), f.backend.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func storedIn(t *testing.T, b store.Backend) map[string][]byte {
	t.Helper()
	snap, err := b.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	all := map[string][]byte{}
	if err := snap.Scan(nil, []byte{0xff}, func(key, value []byte) bool {
		all[string(key)] = bytes.Clone(value)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// stopped is a data folder with one key that was disabled last, and the record of
// that key as it was while it was enabled.
func stoppedWithDisabledKey(t *testing.T) (dir, keyID, recordKey string, enabled []byte) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := mustStart(t, config(t, dir))
	_, body := post(t, s, "CreateKey", "{}")
	var made struct{ KeyMetadata struct{ KeyId string } }
	if err := json.Unmarshal([]byte(body), &made); err != nil {
		t.Fatal(err)
	}
	keyID = made.KeyMetadata.KeyId
	for key, value := range storedIn(t, s.folder.backend) {
		if strings.Contains(key, "kms-key\x00\x01r"+keyID+"\x00") {
			recordKey, enabled = key, value
		}
	}
	if recordKey == "" {
		t.Fatal("the record of the key is not where the test looks for it")
	}
	if status, body := post(t, s, "DisableKey", `{"KeyId":"`+keyID+`"}`); status != 200 {
		t.Fatal(body)
	}
	mustStop(t, s)
	return dir, keyID, recordKey, enabled
}

func verifyOffline(t *testing.T, dir string) admin.Report {
	t.Helper()
	trail, err := OpenAudit(t.Context(), Folder{Dir: dir, Seal: "file"})
	if err != nil {
		t.Fatal(err)
	}
	report, err := trail.Verify(t.Context(), admin.VerifyOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	return report
}

// TestAKeyThatIsEnabledBehindItsBack: the server finds it by itself, ends, and
// stays down until somebody has decided.
func TestAKeyThatIsEnabledBehindItsBack(t *testing.T) {
	dir, keyID, recordKey, enabled := stoppedWithDisabledKey(t)
	if report := verifyOffline(t, dir); report.Fault != nil || len(report.Changed) > 0 || report.Stored == 0 {
		t.Fatalf("an untouched folder: %+v", report)
	}
	tamper(t, dir, func(map[string][]byte) []store.Write { return []store.Write{{Key: []byte(recordKey), Value: enabled}} })
	if report := verifyOffline(t, dir); len(report.Changed) != 1 || !strings.Contains(report.Changed[0], keyID) {
		t.Errorf("audit verify finds %q", report.Changed)
	}
	s, err := Start(t.Context(), config(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), keyID) || !strings.Contains(err.Error(), "put back") {
		t.Errorf("the server ended with %v", err)
	}
	if s, err = Start(t.Context(), config(t, dir)); err == nil {
		mustStop(t, s)
		t.Fatal("the next start serves")
	} else if !strings.Contains(err.Error(), keyID) {
		t.Errorf("the next start: %v", err)
	}
	cfg := config(t, dir)
	cfg.AcceptChangedRecords = true
	s = mustStart(t, cfg)
	mustStop(t, s)
	s = mustStart(t, config(t, dir))
	var names []string
	trail, err := newTrail(s.folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := trail.Tail(t.Context(), 100, false, func(line []byte) error {
		var r struct{ EventName string }
		names = append(names, r.EventName)
		err := json.Unmarshal(line, &r)
		names[len(names)-1] = r.EventName
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names, " "); !strings.Contains(got, "FindChangedRecords AcceptChangedRecords") {
		t.Errorf("the trail has %s", got)
	}
}

// TestAnUndoneChangeIsServedAgain: what was put right needs nobody's acceptance.
func TestAnUndoneChangeIsServedAgain(t *testing.T) {
	dir, keyID, recordKey, enabled := stoppedWithDisabledKey(t)
	var disabled []byte
	tamper(t, dir, func(all map[string][]byte) []store.Write {
		disabled = all[recordKey]
		return []store.Write{{Key: []byte(recordKey), Value: enabled}}
	})
	s, err := Start(t.Context(), config(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil {
		t.Error("nothing was found")
	}
	tamper(t, dir, func(map[string][]byte) []store.Write { return []store.Write{{Key: []byte(recordKey), Value: disabled}} })
	s = mustStart(t, config(t, dir))
	if _, body := post(t, s, "DescribeKey", `{"KeyId":"`+keyID+`"}`); !strings.Contains(body, `"Disabled"`) {
		t.Error(body)
	}
}

// TestAnOlderDatabaseUnderANewerTrail puts all records back, their hash with them.
func TestAnOlderDatabaseUnderANewerTrail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustStart(t, config(t, dir))
	post(t, s, "CreateKey", "{}")
	before := storedIn(t, s.folder.backend)
	post(t, s, "CreateKey", "{}")
	mustStop(t, s)
	tamper(t, dir, func(all map[string][]byte) []store.Write {
		var writes []store.Write
		for key := range all {
			writes = append(writes, store.Write{Key: []byte(key), Value: before[key]})
		}
		return writes
	})
	if s, err := Start(context.WithoutCancel(t.Context()), config(t, dir)); err == nil {
		mustStop(t, s)
		t.Error("it is served")
	} else if !strings.Contains(err.Error(), "not those that this server left") {
		t.Error(err)
	}
	if report := verifyOffline(t, dir); len(report.Changed) == 0 {
		t.Error("audit verify finds nothing")
	}
	if _, err := os.Stat(filepath.Join(dir, credentialsFile)); err != nil {
		t.Error(err)
	}
}
