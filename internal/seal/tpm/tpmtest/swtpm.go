// Package tpmtest is a TPM 2.0 for tests: the emulator swtpm, on a Unix socket.
package tpmtest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// TPM is a running emulator.
type TPM struct {
	// Path is its socket.
	Path string

	tb    testing.TB
	state string
	cmd   *exec.Cmd
}

// Start starts a TPM that has its own seeds. It is gone when the test ends. Without
// swtpm the test is skipped, and fails in CI.
func Start(tb testing.TB) *TPM {
	tb.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		if os.Getenv("CI") != "" {
			tb.Fatal("needs swtpm on the PATH")
		}
		tb.Skip("needs swtpm on the PATH; install it with: sudo apt-get install swtpm")
	}
	dir, err := os.MkdirTemp("", "tpm") // t.TempDir may be too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	t := &TPM{Path: filepath.Join(dir, "socket"), tb: tb, state: dir}
	tb.Cleanup(func() {
		t.Remove()
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	t.start()
	return t
}

// start hands a socket that listens already to the emulator, so that nobody waits for
// it to be ready.
func (t *TPM) start() {
	t.tb.Helper()
	listener, err := net.Listen("unix", t.Path)
	if err != nil {
		t.tb.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	defer listener.Close()
	file, err := listener.(*net.UnixListener).File()
	if err != nil {
		t.tb.Fatal(err)
	}
	defer file.Close()
	t.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+t.state, "--server", "type=unixio,fd=3",
		"--flags", "not-need-init,startup-clear", "--log", "file="+filepath.Join(t.state, "log"))
	t.cmd.ExtraFiles = []*os.File{file}
	if err := t.cmd.Start(); err != nil {
		t.tb.Fatal(err)
	}
}

// Remove takes the TPM away.
func (t *TPM) Remove() {
	t.tb.Helper()
	if t.cmd == nil {
		return
	}
	if err := t.cmd.Process.Kill(); err != nil {
		t.tb.Error(err)
	}
	_ = t.cmd.Wait() // it was killed
	t.cmd = nil
	if err := os.Remove(t.Path); err != nil {
		t.tb.Error(err)
	}
}

// Reboot restarts it: its registers have their first values again, its seeds stay.
func (t *TPM) Reboot() {
	t.tb.Helper()
	if t.cmd != nil {
		t.Do(func(tpm transport.TPM) error {
			_, err := tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}.Execute(tpm)
			return err
		})
		t.Remove()
	}
	t.start()
}

// Pause lets it hang until Resume.
func (t *TPM) Pause() { t.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (t *TPM) Resume() { t.signal(syscall.SIGCONT) }

func (t *TPM) signal(s os.Signal) {
	t.tb.Helper()
	if err := t.cmd.Process.Signal(s); err != nil {
		t.tb.Fatal(err)
	}
}

// Do runs commands.
func (t *TPM) Do(commands func(transport.TPM) error) {
	t.tb.Helper()
	tpm, err := linuxudstpm.Open(t.Path)
	if err != nil {
		t.tb.Fatal(err)
	}
	if err := commands(tpm); err != nil {
		t.tb.Fatal(err)
	}
	if err := tpm.Close(); err != nil {
		t.tb.Error(err)
	}
}

// Clear makes its owner's seed anew, as its firmware's menu does.
func (t *TPM) Clear() {
	t.tb.Helper()
	t.Do(func(tpm transport.TPM) error {
		_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}.Execute(tpm)
		return err
	})
}

// Extend changes a register.
func (t *TPM) Extend(pcr int) {
	t.tb.Helper()
	t.Do(func(tpm transport.TPM) error {
		_, err := tpm2.PCRExtend{
			PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
			Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}},
		}.Execute(tpm)
		return err
	})
}

// Unlock ends a lockout after wrong auth values. The library has no such command
// (TPM2_DictionaryAttackLockReset, part 3, section 25.2).
func (t *TPM) Unlock() {
	t.tb.Helper()
	t.Do(func(tpm transport.TPM) error {
		_, err := tpm.Send([]byte{
			0x80, 0x02, 0, 0, 0, 27, 0, 0, 0x01, 0x39, // with sessions; size; command
			0x40, 0, 0, 0x0a, // the lockout hierarchy
			0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, // an empty password
		})
		return err
	})
}
