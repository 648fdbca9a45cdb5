package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/wire"
)

func config(t *testing.T, dir string) Config {
	t.Helper()
	return Config{DataDir: dir, Listen: "127.0.0.1:0", Account: "111122223333", Regions: []string{"us-east-1", "eu-west-1"},
		Seal: "file", Store: "pebble", patience: time.Minute, catchUp: time.Minute, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func mustStart(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustStop(t, s) })
	return s
}

func mustStop(t *testing.T, s *Server) {
	t.Helper()
	select {
	case <-s.stopped:
		return
	default:
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

var credentialsForm = regexp.MustCompile(`^\[default\]\naws_access_key_id = (AKIA[A-Z2-7]{16})\naws_secret_access_key = ([A-Za-z0-9+/]{40})\nregion = us-east-1\n$`)

// post makes a signed call with the credentials of the file.
func post(t *testing.T, s *Server, target, body string) (int, string) {
	t.Helper()
	text, err := os.ReadFile(s.CredentialsFile())
	if err != nil {
		t.Fatal(err)
	}
	found := credentialsForm.FindSubmatch(text)
	if found == nil {
		t.Fatalf("the credentials file has another form (%d bytes)", len(text))
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.ContentTypeJSON11)
	req.Header.Set("X-Amz-Target", "TrentService."+target)
	sigv4test.Signer{AccessKeyID: string(found[1]), SecretKey: string(found[2]), Region: "us-east-1", Service: "kms"}.SignHTTP(req, []byte(body), machineClock.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestFirstAndSecondStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	s := mustStart(t, config(t, dir))
	if !s.FirstStart() {
		t.Error("the first start says that it is not")
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, rootFile: 0o600, credentialsFile: 0o600, publicKeyFile: 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v; want mode %o", name, info, err, mode)
		}
	}
	if status, body := post(t, s, "CreateKey", "{}"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	_, keys := post(t, s, "ListKeys", "{}")
	before, _ := os.ReadFile(s.CredentialsFile())
	mustStop(t, s)

	// A server that was stopped in order leaves nothing unsigned.
	trail, err := OpenAudit(t.Context(), Folder{Dir: dir, Seal: "file"})
	if err != nil {
		t.Fatal(err)
	}
	report, err := trail.Verify(t.Context(), admin.VerifyOptions{}, nil)
	if err := errors.Join(err, trail.Close()); err != nil {
		t.Fatal(err)
	}
	if report.Fault != nil || report.Records != 2 || report.Unanchored != 0 {
		t.Errorf("the trail: %+v", report)
	}

	s = mustStart(t, config(t, dir))
	if s.FirstStart() {
		t.Error("the second start says that it is the first")
	}
	if after, _ := os.ReadFile(s.CredentialsFile()); !bytes.Equal(before, after) {
		t.Error("the credentials changed")
	}
	if _, again := post(t, s, "ListKeys", "{}"); again != keys || !strings.Contains(keys, "KeyArn") {
		t.Errorf("%s, then %s", keys, again)
	}
	// Credentials that were moved away are not made anew.
	mustStop(t, s)
	if err := os.Remove(s.CredentialsFile()); err != nil {
		t.Fatal(err)
	}
	s = mustStart(t, config(t, dir))
	if _, err := os.Stat(s.CredentialsFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestInterruptedFirstStart begins at each state that a first start can have been
// interrupted in.
func TestInterruptedFirstStart(t *testing.T) {
	write := func(dir, name, text string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	for name, prepare := range map[string]func(cfg *Config) error{
		"an empty folder": func(*Config) error { return nil },
		"half a root":     func(cfg *Config) error { return write(cfg.DataDir, rootFile+".new-123", "half") },
		"the root alone": func(cfg *Config) error {
			_, err := seal.CreateFileRoot(filepath.Join(cfg.DataDir, rootFile), nil)
			return err
		},
		"an empty store folder": func(cfg *Config) error { return os.Mkdir(filepath.Join(cfg.DataDir, storeFolder), 0o700) },
		"a store without a deployment": func(cfg *Config) error {
			backend, err := openStore(cfg.Log, cfg.DataDir)
			if err != nil {
				return err
			}
			return backend.Close()
		},
		"no credentials": func(cfg *Config) error {
			f, err := openFolder(context.Background(), cfg)
			if err != nil {
				return err
			}
			return f.backend.Close()
		},
		"credentials that were never stored": func(cfg *Config) error {
			f, err := openFolder(context.Background(), cfg)
			if err != nil {
				return err
			}
			return errors.Join(f.backend.Close(), write(cfg.DataDir, credentialsFile, "[default]\naws_access_key_id = AKIANEVERSTORED\n"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, t.TempDir()+"/data")
			if err := os.Mkdir(cfg.DataDir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := prepare(&cfg); err != nil {
				t.Fatal(err)
			}
			s := mustStart(t, cfg)
			if status, body := post(t, s, "CreateKey", "{}"); status != 200 {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

// TestRefusedStarts: what keeps a server from starting, what it says, and what it
// advises.
func TestRefusedStarts(t *testing.T) {
	made := t.TempDir() + "/made"
	mustStop(t, mustStart(t, config(t, made)))
	dev := config(t, t.TempDir()+"/dev")
	dev.Dev = true
	mustStop(t, mustStart(t, dev))
	busy := config(t, t.TempDir()+"/busy")
	running := mustStart(t, busy)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	foreign := t.TempDir()
	if err := os.WriteFile(foreign+"/thesis.txt", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(made, rootFile)
	key, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	restore := func() error { return errors.Join(os.Remove(root), os.WriteFile(root, key, 0o600)) }
	for _, test := range []struct {
		name       string
		dir        string
		edit       func(*Config)
		spoil      func() error
		mend       func() error
		says, hint string
	}{
		{name: "dev folder without --dev", dir: dev.DataDir, says: "is the data folder of a dev server", hint: "Start with --dev, or choose another folder with --data."},
		{name: "production folder with --dev", dir: made, edit: func(c *Config) { c.Dev = true }, says: "is a production data folder", hint: "Start without --dev, or choose another folder with --data."},
		{name: "another account", dir: made, edit: func(c *Config) { c.Account = "444455556666" }, says: "belongs to account 111122223333, not 444455556666", hint: "Start with --account 111122223333."},
		{name: "foreign folder", dir: foreign, says: "holds files that are not Strongroom's", hint: "Choose an empty or a new folder with --data."},
		{name: "a folder for all", dir: made, spoil: func() error { return os.Chmod(made, 0o750) }, mend: func() error { return os.Chmod(made, 0o700) }, says: "may be used by others (mode 0750)", hint: "chmod 700 " + made},
		{name: "a file", dir: root, says: "cannot be read", hint: "choose another with --data."},
		{name: "a second server", dir: busy.DataDir, says: "another process has the data folder " + busy.DataDir + " open", hint: "Stop it first, or choose another folder with --data."},
		{name: "port taken", dir: t.TempDir() + "/never", edit: func(c *Config) { c.Listen = port.Addr().String() }, says: "is taken by another program", hint: "--listen 127.0.0.1:0"},
		{name: "root missing", dir: made, spoil: func() error { return os.Rename(root, root+".away") }, mend: func() error { return os.Rename(root+".away", root) }, says: "the root of this deployment is missing", hint: "chmod 600"},
		{name: "root for all", dir: made, spoil: func() error { return os.Chmod(root, 0o644) }, mend: restore, says: "root.key", hint: "chmod 600"},
		{name: "root cut", dir: made, spoil: func() error { return os.Truncate(root, 31) }, mend: restore, says: "root.key", hint: " "},
		{name: "another root", dir: made, spoil: func() error { return os.WriteFile(root, bytes.Repeat([]byte{7}, 32), 0o600) }, mend: restore, says: "is not the root of this deployment", hint: "Start with the root that this deployment was made with"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t, test.dir)
			if test.edit != nil {
				test.edit(&cfg)
			}
			if test.spoil != nil {
				if err := test.spoil(); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Start(t.Context(), cfg)
			if test.mend != nil {
				if err := test.mend(); err != nil {
					t.Fatal(err)
				}
			}
			if err == nil {
				mustStop(t, s)
				t.Fatal("it started")
			}
			var advice interface{ Hint() string }
			if !strings.Contains(err.Error(), test.says) || !errors.As(err, &advice) || !strings.Contains(advice.Hint(), test.hint) {
				t.Errorf("%v\nwant … %s …\nhint: %v", err, test.says, advice)
			}
			if _, err := os.Stat(filepath.Join(foreign, storeFolder)); err == nil {
				t.Error("something was put into the foreign folder")
			}
			if test.name == "port taken" {
				if _, err := os.Stat(test.dir); err == nil {
					t.Error("a folder was left behind")
				}
			}
		})
	}
	// None of it did any harm.
	for _, s := range []*Server{running, mustStart(t, config(t, made))} {
		if status, body := post(t, s, "CreateKey", "{}"); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	}
}

// TestShutdownFinishesWhatIsUnderWay: every request that is answered at all is
// answered whole.
func TestFolderBelowMissingOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "data")
	mustStart(t, config(t, dir))
	for _, at := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(at); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", at, info, err)
		}
	}
}

func TestCheckpointsThatAreNone(t *testing.T) {
	_, _, err := verifyWith(admin.VerifyOptions{Checkpoint: []byte("{}\n")}, nil)
	var p *Problem
	if !errors.As(err, &p) || !strings.Contains(p.Hint(), "audit verify --json") {
		t.Errorf("%v", err)
	}
}

func TestReadyzAsksTheStore(t *testing.T) {
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	ask := func() (int, string) {
		resp, err := http.Get(s.URL() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, body := ask(); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if status, body := ask(); status != 503 || body != "not ready: the store has stopped\n" {
		t.Errorf("after the store has stopped: %d %s", status, body)
	}
}

func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	cfg := config(t, t.TempDir()+"/data")
	cfg.Dev = true
	s := mustStart(t, cfg)
	http.DefaultClient.CloseIdleConnections()
	var group sync.WaitGroup
	begun := make(chan struct{}, 100)
	for range 4 {
		group.Go(func() {
			for {
				req, _ := http.NewRequest("POST", s.URL()+"/", strings.NewReader(`{}`))
				req.Header.Set("X-Amz-Target", "TrentService.CreateKey")
				sigv4test.Signer{AccessKeyID: "test", SecretKey: "test", Region: "us-east-1", Service: "kms"}.SignHTTP(req, []byte(`{}`), machineClock.Now())
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return // refused or closed: nothing was answered
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || !bytes.Contains(body, []byte("KeyMetadata")) {
					t.Errorf("%d %s %v", resp.StatusCode, body, err)
				}
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 20 {
		<-begun
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	group.Wait()
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

// TestLenientAccountOutlivesTheRequest: a dev server's account is a string over the
// request's bytes no more.
func TestLenientAccountOutlivesTheRequest(t *testing.T) {
	buffer := []byte("444455556666")
	a := &lenient{partition: "aws", account: "111122223333"}
	who, err := a.Authenticate(t.Context(), &wire.Request{}, &sigv4.Signature{AccessKeyID: unsafe.String(&buffer[0], len(buffer))})
	if err != nil {
		t.Fatal(err)
	}
	copy(buffer, "xxxxxxxxxxxx")
	if who.Account != "444455556666" || who.ID != "444455556666" || who.AccessKeyID != "444455556666" || !strings.Contains(who.ARN, "444455556666") {
		t.Errorf("%+v", who)
	}
}
