package server

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// movable is a deployment that is moved to and fro.
type movable struct {
	*testing.T
	db  *postgrestest.Server
	dir string
	// store is where its records are, as Folder.Store.
	store string
	root  signIn
	key   string
	blob  string
}

// newMovable makes a deployment with some records in a folder.
func newMovable(t *testing.T, db *postgrestest.Server) *movable {
	t.Helper()
	m := &movable{T: t, db: db, dir: filepath.Join(t.TempDir(), "data")}
	m.serve(func(s *Server) {
		m.root = rootOf(t, s)
		for range 3 {
			_, body := kmsCall(t, s, m.root, "CreateKey", map[string]any{})
			m.key = member(t, body, "KeyMetadata", "KeyId")
		}
		_, body := kmsCall(t, s, m.root, "Encrypt", map[string]any{"KeyId": m.key, "Plaintext": "aGVsbG8="})
		m.blob = member(t, body, "CiphertextBlob")
	})
	return m
}

func (m *movable) folder() Folder {
	return Folder{Dir: m.dir, Seal: "file", Store: m.store, Database: DatabaseSettings{NotDurable: true}}
}

func (m *movable) config() Config {
	cfg := config(m.T, m.dir)
	cfg.Store, cfg.Database = m.store, DatabaseSettings{NotDurable: true}
	if m.store == "" {
		cfg.Store = embedded
	}
	return cfg
}

// serve starts a server, lets use it, and stops it.
func (m *movable) serve(use func(*Server)) {
	m.Helper()
	s := mustStart(m.T, m.config())
	use(s)
	mustStop(m.T, s)
}

// other is the place that the records are not at.
func (m *movable) other() string {
	m.Helper()
	if m.folder().shared() {
		return embedded
	}
	return m.db.URL(m.T)
}

func (m *movable) copy(to string, change func(*CopyConfig)) (Copied, error) {
	cfg := CopyConfig{From: m.folder(), To: to, Log: config(m.T, m.dir).Log}
	if change != nil {
		change(&cfg)
	}
	return CopyStore(m.Context(), cfg)
}

// mustCopy copies, and goes on where the records are then.
func (m *movable) mustCopy(to string) Copied {
	m.Helper()
	out, err := m.copy(to, nil)
	if err != nil {
		m.Fatal(err)
	}
	m.store = to
	return out
}

// node is the same deployment with the folder of another node.
func (m *movable) node() *movable {
	m.Helper()
	node := *m
	node.dir = filepath.Join(m.TempDir(), "node")
	if err := os.Mkdir(node.dir, 0o700); err != nil {
		m.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(m.dir, rootFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(node.dir, rootFile), root, 0o600)
	}
	if err != nil {
		m.Fatal(err)
	}
	return &node
}

// check uses what the deployment holds.
func (m *movable) check() {
	m.Helper()
	m.serve(func(s *Server) {
		status, body := kmsCall(m.T, s, m.root, "Decrypt", map[string]any{"CiphertextBlob": m.blob})
		if status != 200 || member(m.T, body, "Plaintext") != "aGVsbG8=" {
			m.Errorf("Decrypt: %d %s", status, body)
		}
		if status, body := kmsCall(m.T, s, m.root, "UpdateKeyDescription", map[string]any{"KeyId": m.key, "Description": m.store}); status != 200 {
			m.Errorf("UpdateKeyDescription: %d %s", status, body)
		}
	})
	report, _ := m.trail()
	if report.Fault != nil || len(report.Changed) > 0 || report.Unanchored > 0 {
		m.Errorf("audit verify: %+v", report)
	}
}

// trail verifies the trail, and counts its records by their operation.
func (m *movable) trail() (admin.Report, map[string]int) {
	m.Helper()
	trail, err := OpenAudit(m.Context(), m.folder())
	if err != nil {
		m.Fatal(err)
	}
	report, err := trail.Verify(m.Context(), admin.VerifyOptions{}, nil)
	counts := map[string]int{}
	searchErr := trail.Search(m.Context(), admin.Filter{}, func(record []byte) error {
		counts[member(m.T, string(record), "eventName")]++
		return nil
	})
	if err := errors.Join(err, searchErr, trail.Close()); err != nil {
		m.Fatal(err)
	}
	return report, counts
}

// refused fails the test unless err says so.
func (m *movable) refused(err error, want string) {
	m.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		m.Errorf("the error is %v; want one with %q", err, want)
	}
}

// notServed fails the test when a server starts there.
func (m *movable) notServed(in, want string) {
	m.Helper()
	cfg := m.config()
	cfg.Store = in
	s, err := Start(m.Context(), cfg)
	if err == nil {
		mustStop(m.T, s)
	}
	m.refused(err, want)
}

func TestStoreCopy(t *testing.T) {
	db := postgrestest.Start(t, "fsync=off")
	t.Run("both ways", func(t *testing.T) {
		m := newMovable(t, db)
		there := m.other()
		out := m.mustCopy(there)
		if out.Records < 5 || out.AuditRecords != 5 || out.Frames == 0 || out.Kept == "" || out.Finished {
			t.Errorf("%+v", out)
		}
		m.notServed(embedded, "were moved to the database")
		m.check()
		m.notServed(embedded, "were moved to the database") // now a node's folder
		out = m.mustCopy(embedded)
		if out.AuditRecords != 5+1+2+1 || out.Kept != "" {
			t.Errorf("%+v", out)
		}
		m.notServed(there, "has records of its own")
		m.check()
		_, counts := m.trail()
		if counts["StartStoreCopy"] != 2 || counts["FinishStoreCopy"] != 2 || counts["CreateKey"] != 3 || counts["Decrypt"] != 2 {
			t.Errorf("the trail has %v", counts)
		}
		_, err := m.copy(there, nil)
		m.refused(err, "which was moved away from it, and a copy replaces nothing")
		m.mustCopy(m.other())
		m.check()
	})
	t.Run("interrupted", func(t *testing.T) { testInterrupted(t, db) })
	t.Run("changed on the way", func(t *testing.T) { testChangedOnTheWay(t, db) })
	t.Run("refusals", func(t *testing.T) { testCopyRefusals(t, db) })
	t.Run("nodes", func(t *testing.T) { testCopyWithNodes(t, db) })
	t.Run("reclaim", func(t *testing.T) { testReclaim(t, db) })
}

// faults is a target at which something goes wrong.
type faults struct {
	copyTarget
	// fail is called before each step, and at the end; what it returns ends the copy there.
	fail func(step string) error
	// load, if not nil, changes what is loaded.
	load func(records []store.Write, frames []store.Frame) ([]store.Write, []store.Frame)
}

func (f *faults) step(name string, do func() error) error {
	if err := f.fail("before " + name); err != nil {
		return err
	}
	return do()
}

func (f *faults) free(ctx context.Context) error {
	return f.step("free", func() error { return f.copyTarget.free(ctx) })
}

func (f *faults) vacate(ctx context.Context, n moveNote) error {
	return f.step("vacate", func() error { return f.copyTarget.vacate(ctx, n) })
}

func (f *faults) settle(ctx context.Context, n moveNote, meta map[string][]byte) error {
	return f.step("settle", func() error { return f.copyTarget.settle(ctx, n, meta) })
}

func (f *faults) name(ctx context.Context, id string, meta map[string][]byte) error {
	err := f.step("name", func() error { return f.copyTarget.name(ctx, id, meta) })
	if err == nil {
		err = f.fail("after name")
	}
	return err
}

func (f *faults) open(ctx context.Context) (copyBackend, error) {
	if err := f.fail("before open"); err != nil {
		return nil, err
	}
	b, err := f.copyTarget.open(ctx)
	return &faultyLoader{b, f}, err
}

type faultyLoader struct {
	copyBackend
	f *faults
}

func (l *faultyLoader) Load(ctx context.Context, epoch uint64, records []store.Write, frames []store.Frame) error {
	return l.f.step("load", func() error {
		if l.f.load != nil {
			records, frames = l.f.load(records, frames)
		}
		return l.copyBackend.Load(ctx, epoch, records, frames)
	})
}

// testInterrupted ends copies before each of their steps, and at the end, and runs them
// again.
func testInterrupted(t *testing.T, db *postgrestest.Server) {
	m := newMovable(t, db)
	for at, ended := 1, 0; ended < 2; at++ {
		ended = 0
		for range 2 {
			if m.interrupt(at) {
				ended++
			}
		}
		if ended > 0 && at < 9 {
			t.Errorf("there are only %d steps", at-1)
		}
	}
	m.check()
	_, counts := m.trail()
	if counts["CreateKey"] != 3 || counts["FinishStoreCopy"] < 16 {
		t.Errorf("the trail has %v", counts)
	}
}

// interrupt begins to copy to the other place, ends before a step and then copies for
// good. It returns whether there is no such step.
func (m *movable) interrupt(at int) (none bool) {
	m.Helper()
	errFault := errors.New("interrupted")
	from, to := m.folder().place(), m.other()
	n, where := 0, ""
	_, err := m.copy(to, func(c *CopyConfig) {
		c.through = func(target copyTarget) copyTarget {
			return &faults{copyTarget: target, fail: func(step string) error {
				if n++; n == at {
					where = step
					return errFault
				}
				return nil
			}}
		}
	})
	if err == nil {
		m.store = to
		return true
	}
	if !errors.Is(err, errFault) {
		m.Fatalf("from %s, %s: %v", from, where, err)
	}
	// Never both: before the mark the old place is served, behind it neither is until
	// the copy has been run again.
	meta, err := m.described()
	if err == nil {
		err = refuseMoved(m.folder(), meta)
	}
	marked := strings.HasSuffix(where, " name")
	if (err != nil) != marked {
		m.Errorf("from %s, %s: the old place says %v", from, where, err)
	}
	if where == "before settle" && !m.folder().shared() {
		elsewhere := config(m.T, filepath.Join(m.TempDir(), "other"))
		elsewhere.Store, elsewhere.Database = to, DatabaseSettings{NotDurable: true}
		_, err := Start(m.Context(), elsewhere)
		m.refused(err, "was not finished")
	}
	if where == "after name" && m.folder().shared() {
		_, err := m.copy(to, nil)
		m.refused(err, "has records of its own")
		m.store = to
		return false
	}
	if out := m.mustCopy(to); out.Finished != marked {
		m.Errorf("from %s, %s: %+v", from, where, out)
	}
	return false
}

// described looks at where the records are.
func (m *movable) described() (meta map[string][]byte, err error) {
	in := m.folder()
	if _, err := os.Stat(filepath.Join(m.dir, storeFolder)); err == nil && in.shared() {
		// It has been named: the database is asked with another folder.
		in.Dir = filepath.Join(m.TempDir(), "node")
		if err := os.MkdirAll(filepath.Join(in.Dir, nodeFolder), 0o700); err != nil {
			return nil, err
		}
	}
	f, meta, err := openDescribed(m.Context(), in)
	if err != nil {
		return nil, err
	}
	return meta, f.close()
}

func testChangedOnTheWay(t *testing.T, db *postgrestest.Server) {
	flip := func(b []byte) { b[len(b)/2] ^= 1 }
	changes := map[string]func(records []store.Write, frames []store.Frame) ([]store.Write, []store.Frame){
		"a value": func(r []store.Write, f []store.Frame) ([]store.Write, []store.Frame) {
			if len(r) > 0 {
				flip(r[len(r)/2].Value)
			}
			return r, f
		},
		"a key": func(r []store.Write, f []store.Frame) ([]store.Write, []store.Frame) {
			if len(r) > 0 {
				flip(r[len(r)/2].Key)
			}
			return r, f
		},
		"a record that is missing": func(r []store.Write, f []store.Frame) ([]store.Write, []store.Frame) {
			return r[:max(len(r), 1)-1], f
		},
		"a record too many": func(r []store.Write, f []store.Frame) ([]store.Write, []store.Frame) {
			if len(r) > 0 {
				last := r[len(r)-1]
				r = append(r, store.Write{Key: append(bytes.Clone(last.Key), 'x'), Value: last.Value})
			}
			return r, f
		},
		"a frame": func(r []store.Write, f []store.Frame) ([]store.Write, []store.Frame) {
			if len(f) > 0 {
				flip(f[len(f)/2].Bytes)
			}
			return r, f
		},
		"a frame that is missing": func(r []store.Write, f []store.Frame) ([]store.Write, []store.Frame) {
			return r, f[min(len(f), 1):]
		},
		"a frame too many": func(r []store.Write, f []store.Frame) ([]store.Write, []store.Frame) {
			if len(f) > 0 {
				last := f[len(f)-1]
				f = append(f, store.Frame{Seq: last.Seq + 1, Bytes: last.Bytes})
			}
			return r, f
		},
	}
	m := newMovable(t, db)
	for range 2 {
		for name, change := range changes {
			_, err := m.copy(m.other(), func(c *CopyConfig) {
				c.through = func(target copyTarget) copyTarget {
					return &faults{copyTarget: target, fail: func(string) error { return nil }, load: change}
				}
			})
			if err == nil || !strings.Contains(err.Error(), "does not hold what was copied into it") {
				t.Errorf("%s was changed on the way, from %s: %v", name, m.folder().place(), err)
			}
		}
		m.check()
		m.mustCopy(m.other())
	}
}

func testCopyRefusals(t *testing.T, db *postgrestest.Server) {
	m := newMovable(t, db)
	there := m.other()
	s := mustStart(t, m.config())
	_, err := m.copy(there, nil)
	m.refused(err, "another process has the data folder")
	mustStop(t, s)
	_, err = m.copy(embedded, nil)
	m.refused(err, "are to come from the data folder and to go there")
	_, err = m.copy("mysql://x", nil)
	m.refused(err, "there is no such store")
	_, err = m.copy("postgres://db.example.com/x", nil)
	m.refused(err, "without TLS")
	_, err = m.copy(there, func(c *CopyConfig) { c.From.Store = m.db.URL(t) })
	m.refused(err, "from a data folder to a database, or back")
	_, err = m.copy(there, func(c *CopyConfig) { c.From.Dir = t.TempDir() })
	m.refused(err, "is no data folder")
	// Another root, or none.
	root := filepath.Join(m.dir, rootFile)
	text, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text []byte
		want string
	}{{bytes.Repeat([]byte{7}, 32), "root"}, {nil, "root of this deployment is missing"}} {
		err := os.Remove(root)
		if err == nil && c.text != nil {
			err = os.WriteFile(root, c.text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.copy(there, nil)
		m.refused(err, c.want)
		if c.text == nil {
			break
		}
	}
	if err := os.WriteFile(root, text, 0o600); err != nil {
		t.Fatal(err)
	}
	m.check() // the folder is as it was
	// A database that has a deployment.
	other := newMovable(t, db)
	taken := other.other()
	other.mustCopy(taken)
	_, err = m.copy(taken, nil)
	m.refused(err, "already, and a copy replaces nothing")
	other.check()
	// A restore goes to a folder.
	_, err = Restore(t.Context(), RestoreConfig{BackupFile: BackupFile{In: Folder{Dir: filepath.Join(t.TempDir(), "new"), Seal: "file", Store: there}}})
	m.refused(err, "a backup is restored into a data folder")
	// What a copy to a folder may be made in.
	_, err = other.copy(embedded, func(c *CopyConfig) { c.From.Dir = t.TempDir() })
	m.refused(err, "may be used by others")
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = other.copy(embedded, func(c *CopyConfig) { c.From.Dir = foreign })
	m.refused(err, "holds files that are not Strongroom's, such as x")
	_, err = other.copy(embedded, func(c *CopyConfig) { c.From.Dir = filepath.Join(t.TempDir(), "new") })
	m.refused(err, "whose root this node does not have")
}

// testCopyWithNodes: no node may serve, and none may have records on its disk alone.
func testCopyWithNodes(t *testing.T, db *postgrestest.Server) {
	m := newMovable(t, db)
	m.mustCopy(m.other())
	node := m.node()
	s := mustStart(t, node.config())
	_, err := m.copy(embedded, nil)
	m.refused(err, "nodes serve from the database: node-")
	m.refused(err, "("+node.dir+" on ")
	name := s.spool.Node
	mustStop(t, s)
	// One that was killed has said that it takes records, and not that it has sent them.
	kill := func() {
		m.serve(func(s *Server) {
			if err := s.noteNode(t.Context(), name, nodeRecord{Host: "h", Folder: node.dir, Sending: true}); err != nil {
				t.Fatal(err)
			}
		})
	}
	kill()
	_, err = m.copy(embedded, nil)
	m.refused(err, "may have audit records on their disks alone: "+name)
	// It comes back, and sends them.
	mustStop(t, mustStart(t, node.config()))
	// A node that starts meanwhile, and changes something.
	_, err = m.copy(embedded, func(c *CopyConfig) {
		c.through = func(target copyTarget) copyTarget {
			return &faults{copyTarget: target, fail: func(step string) error {
				if step == "before settle" {
					node.check()
				}
				return nil
			}}
		}
	})
	m.refused(err, "a node was started while the records were copied")
	m.check()
	// One that is lost.
	kill()
	_, err = m.copy(embedded, func(c *CopyConfig) { c.Lost = []string{name, "node-x"} })
	m.refused(err, `there was no node "node-x"`)
	if _, err = m.copy(embedded, func(c *CopyConfig) { c.Lost = []string{name} }); err != nil {
		t.Fatal(err)
	}
	there := m.store
	m.store = ""
	m.check()
	trail, err := OpenAudit(t.Context(), m.folder())
	if err != nil {
		t.Fatal(err)
	}
	said := false
	err = trail.Search(t.Context(), admin.Filter{Operation: "StartStoreCopy"}, func(record []byte) error {
		said = said || member(t, string(record), "requestParameters", "lostNodes") == name
		return nil
	})
	if err := errors.Join(err, trail.Close()); err != nil || !said {
		t.Errorf("the lost node is not in the trail: %v", err)
	}
	node.notServed(there, "were moved to the data folder "+m.dir)
}
