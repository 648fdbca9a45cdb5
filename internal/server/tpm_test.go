package server

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/seal/tpm/tpmtest"
)

func tpmConfig(t *testing.T, tpm *tpmtest.TPM) Config {
	t.Helper()
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	cfg.Seal, cfg.Root.TPM.Device = "tpm", tpm.Path
	return cfg
}

// listener is a log that tells when it hears a text.
type listener struct {
	text  string
	heard chan struct{}
	once  sync.Once
}

func (l *listener) Write(line []byte) (int, error) {
	if strings.Contains(string(line), l.text) {
		l.once.Do(func() { close(l.heard) })
	}
	return len(line), nil
}

func readyz(t *testing.T, s *Server) string {
	t.Helper()
	resp, err := http.Get(s.URL() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	return string(text)
}

// TestTPMIsGoneWhileServing: calls are answered, everybody is told, and there are two
// ways out as long as the server runs.
func TestTPMIsGoneWhileServing(t *testing.T) {
	tpm := tpmtest.Start(t)
	cfg := tpmConfig(t, tpm)
	log := &listener{text: "the root of the keys cannot be had", heard: make(chan struct{})}
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	s := mustStart(t, cfg)
	o := &operator{s}
	id, key := keysIn(t, s, credentialsFile)
	if is, err := o.Seal(t.Context()); err != nil || is.Roots[0].Kind != "tpm" || is.Roots[0].Problem != "" || is.Roots[0].Where != "the TPM "+tpm.Path {
		t.Errorf("%+v, %v", is, err)
	}
	tpm.Remove()
	s.Clock().Advance(rootCheckInterval)
	<-log.heard
	if text := readyz(t, s); !strings.Contains(text, "warning: the root of the keys cannot be had") {
		t.Errorf("readyz: %s", text)
	}
	if status := listKeys(t, s, id, key); status != http.StatusOK {
		t.Errorf("a call is answered %d", status)
	}
	if is, err := o.Seal(t.Context()); err != nil || !strings.Contains(is.Roots[0].Problem, "there is no TPM at") {
		t.Errorf("%+v, %v", is, err)
	}
	if _, err := o.RotateDomainKey(t.Context(), someone); !errors.Is(err, seal.ErrRootUnreachable) {
		t.Errorf("rotated: %v", err)
	}
	shares, err := o.InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 2, Shares: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "file"}); err != nil {
		t.Fatal(err)
	}
	if is, err := o.Seal(t.Context()); err != nil || is.Version != 1 || is.Roots[0].Problem != "" {
		t.Errorf("%+v, %v", is, err)
	}
	if text := readyz(t, s); text != "ok\n" {
		t.Errorf("readyz: %s", text)
	}
	mustStop(t, s)
	if _, err := Start(t.Context(), cfg); !errors.Is(err, seal.ErrWrongRoot) {
		t.Errorf("started with the TPM's settings: %v", err)
	}
	file := cfg
	file.Seal = "file"
	s = mustStart(t, file)
	if status := listKeys(t, s, id, key); status != http.StatusOK {
		t.Errorf("a call is answered %d", status)
	}
	mustStop(t, s)
	// And the shares open it too.
	r, err := OpenRecovered(t.Context(), file.folder(), shares.Texts[1:])
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestTPMIsGoneAtStart: a start is refused and creates nothing; the shares open the
// folder, and a new TPM takes the old one's place.
func TestTPMIsGoneAtStart(t *testing.T) {
	tpm := tpmtest.Start(t)
	cfg := tpmConfig(t, tpm)
	missing := cfg
	missing.Root.TPM.Device = filepath.Join(t.TempDir(), "none")
	if _, err := Start(t.Context(), missing); !errors.Is(err, seal.ErrRootUnreachable) {
		t.Errorf("started without a TPM: %v", err)
	}
	if _, err := os.Stat(cfg.DataDir); err == nil {
		t.Error("a refused start has made the data folder")
	}
	s := mustStart(t, cfg)
	id, key := keysIn(t, s, credentialsFile)
	shares, err := (&operator{s}).InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 2, Shares: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&operator{s}).RotateDomainKey(t.Context(), someone); err != nil {
		t.Fatal(err)
	}
	mustStop(t, s)
	before := filesIn(t, cfg.DataDir)
	tpm.Clear()
	for range 2 {
		if _, err := Start(t.Context(), cfg); !errors.Is(err, seal.ErrWrongRoot) {
			t.Errorf("started with a TPM that was cleared: %v", err)
		}
	}
	for _, name := range filesIn(t, cfg.DataDir) {
		if strings.HasPrefix(name, rootFile) {
			t.Errorf("a refused start has made %s; before there were %v", name, before)
		}
	}
	next := tpmtest.Start(t)
	in := cfg.folder()
	in.Root.TPM = TPMSettings{Device: next.Path, Auth: []byte("1234"), PCRs: "0,7"}
	if _, err := OpenRecovered(t.Context(), in, shares.Texts[:1]); err == nil {
		t.Error("one share opens")
	}
	r, err := OpenRecovered(t.Context(), in, shares.Texts[1:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reseal(t.Context(), someone); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	next.Reboot()
	cfg.Root.TPM = in.Root.TPM
	s = mustStart(t, cfg)
	if status := listKeys(t, s, id, key); status != http.StatusOK {
		t.Errorf("a call is answered %d", status)
	}
	mustStop(t, s)
	cfg.Root.TPM.Auth = nil
	if _, err := Start(t.Context(), cfg); !errors.Is(err, seal.ErrWrongRoot) {
		t.Errorf("started without the auth value: %v", err)
	}
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestRootFileIsGoneWhileServing: the same for the default seal.
func TestRootFileIsGoneWhileServing(t *testing.T) {
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	o := &operator{s}
	path := filepath.Join(s.cfg.DataDir, rootFile)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if is, err := o.Seal(t.Context()); err != nil || !strings.Contains(is.Roots[0].Problem, "is missing") {
		t.Errorf("%+v, %v", is, err)
	}
	if text := readyz(t, s); !strings.Contains(text, "the root of the keys cannot be had") {
		t.Errorf("readyz: %s", text)
	}
	if _, err := seal.CreateFileRoot(path, nil); err != nil {
		t.Fatal(err)
	}
	if is, err := o.Seal(t.Context()); err != nil || !strings.Contains(is.Roots[0].Problem, "holds another root") {
		t.Errorf("%+v, %v", is, err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if is, err := o.Seal(t.Context()); err != nil || is.Roots[0].Problem != "" {
		t.Errorf("%+v, %v", is, err)
	}
	if text := readyz(t, s); text != "ok\n" {
		t.Errorf("readyz: %s", text)
	}
}
