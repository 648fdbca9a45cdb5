package hsm_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/secret"
)

// mustBuild compiles a PKCS #11 library whose first function does that.
func mustBuild(t *testing.T, does string) (module string) {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "vendor.c")
	text := "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nunsigned long C_GetFunctionList(void **list) { " + does + "; return 5; }\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	module = filepath.Join(dir, "vendor.so")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O0", "-o", module, source).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cc: %v\n%s", err, out)
		}
		t.Skip("no C compiler here; to run this: sudo apt-get install gcc")
	}
	return module
}

func vendorConfig(module string) hsm.Config {
	soft := hsmtest.SoftHSM{Module: module, Env: []string{"PATH=" + os.Getenv("PATH")}}
	return soft.Config("token")
}

// TestLibraryThatEndsItsProcess: a library that crashes, exits or aborts takes its
// helper along and nothing else, and the error says what happened.
func TestLibraryThatEndsItsProcess(t *testing.T) {
	for does, says := range map[string]string{
		"*(volatile int *)0 = 1": "SIGSEGV", "abort()": "SIGABRT", "exit(7)": "exit status 7",
		// What it prints goes nowhere.
		`puts("secret"); fputs("secret\n", stderr); fflush(0); _exit(3)`: "exit status 3",
	} {
		t.Run(says, func(t *testing.T) {
			cfg := vendorConfig(mustBuild(t, does))
			slot, err := hsm.Open(t.Context(), cfg)
			if slot != nil || !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
			if _, err := hsm.ProbeModule(t.Context(), cfg); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), says) {
				t.Errorf("probe: %v", err)
			}
		})
	}
}

// TestLibraryThatHangs: nobody waits for it longer than they want to.
func TestLibraryThatHangs(t *testing.T) {
	cfg := vendorConfig(mustBuild(t, "for (;;) pause()"))
	c, err := hsm.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Random(ctx, 1); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Random: %v", err)
	}
	if _, err := hsm.ProbeModule(ctx, cfg); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("probe: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestHelperEndsWithItsServer: also one that hangs in its library.
func TestHelperEndsWithItsServer(t *testing.T) {
	soft := hsmtest.MustSoftHSM(t)
	soft.MustToken(t, "token")
	for name, cfg := range map[string]hsm.Config{"answering": soft.Config("token"), "hanging": vendorConfig(mustBuild(t, "for (;;) pause()"))} {
		t.Run(name, func(t *testing.T) {
			requests, to, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			from, answers, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := errors.Join(requests.Close(), from.Close(), answers.Close()); err != nil {
					t.Error(err)
				}
			}()
			helper := exec.CommandContext(t.Context(), cfg.Helper[0], cfg.Helper[1:]...)
			helper.Env, helper.ExtraFiles = cfg.Env, []*os.File{requests, answers}
			if err := helper.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Write(hsm.OpenRequestOf(cfg.Module, "token", hsmtest.PIN)); err != nil {
				t.Fatal(err)
			}
			if name == "answering" {
				if _, err := from.Read(make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
			}
			// The end of the server, as a helper sees it.
			if err := to.Close(); err != nil {
				t.Fatal(err)
			}
			if err := helper.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPINFile: who may read it, and what is in it.
func TestPINFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for text, want := range map[string]string{"1234": "1234", "1234\n": "1234", "1234\r\n": "1234", " 1 \n": " 1 ", "a:b\n": "a:b"} {
		if pin, err := hsm.PINFile(write("good", text, 0o640))(); err != nil || !pin.Equal([]byte(want)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for name, path := range map[string]string{
		"readable by all": write("open", "pin-canary", 0o644), "empty": write("empty", "", 0o600), "a line's end alone": write("line", "\n", 0o600),
		"too long": write("long", strings.Repeat("1", 257), 0o600), "a folder": dir, "missing": filepath.Join(dir, "none"),
	} {
		if pin, err := hsm.PINFile(path)(); err == nil || strings.Contains(err.Error(), "pin-canary") {
			t.Errorf("%s: %d bytes, %v", name, len(pin), err)
		}
	}
	fixed := hsm.FixedPIN(secret.Bytes("1234"))
	first, err := fixed()
	if err != nil {
		t.Fatal(err)
	}
	first.Wipe()
	if again, err := fixed(); err != nil || !again.Equal([]byte("1234")) {
		t.Errorf("wiping what was given wipes what is kept: %v", err)
	}
}
