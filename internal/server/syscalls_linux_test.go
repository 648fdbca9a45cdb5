//go:build !race

package server

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What an Encrypt on a connection of its own may ask of the system: the request is
// read (and, since Go looks before it waits, asked for once in vain), the record is
// written and synced, and the answer is written. A second read or write of either, or a
// record that has grown, shows here and in no measurement of time. What is left over is
// for what the server does once a second, however long the calls take.
const (
	encryptReads   = 2.5
	encryptWrites  = 2.5
	encryptWritten = 1900 // bytes, of the answer and of the log
)

// TestWhatEncryptAsksOfTheSystem counts what the whole process reads and writes for an
// Encrypt, as proc(5) has it in /proc/self/io. The client's share is known: it writes
// each request and reads each answer at once, on a connection that blocks.
func TestWhatEncryptAsksOfTheSystem(t *testing.T) {
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	_, created := post(t, s, "CreateKey", "{}")
	_, rest, _ := strings.Cut(created, `"KeyId":"`)
	raw := rawRequest(t, s, "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"c2l4dGVlbiBieXRlcyAh"}`, rest[:36]))
	client := mustConnect(t, s.listener.Addr().(*net.TCPAddr))
	answer := make([]byte, 16<<10)
	call := func() {
		if _, err := unix.Write(client, raw); err != nil {
			t.Fatal(err)
		}
		n, err := unix.Read(client, answer)
		if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200 ")) {
			t.Fatalf("%q %v", answer[:n], err)
		}
	}
	const warm, each = 100, 1000
	for range warm {
		call()
	}
	before := mustReadIO(t)
	for range each {
		call()
	}
	after := mustReadIO(t)
	per := func(name string) float64 { return float64(after[name]-before[name]) / each }
	reads, writes, written := per("syscr")-1, per("syscw")-1, per("wchar")-float64(len(raw))
	t.Logf("an Encrypt takes %.2f reads and %.2f writes of %.0f bytes", reads, writes, written)
	if reads > encryptReads || writes > encryptWrites || written > encryptWritten {
		t.Errorf("an Encrypt takes %.2f reads and %.2f writes of %.0f bytes; it may %.1f, %.1f and %d", reads, writes, written, encryptReads, encryptWrites, encryptWritten)
	}
	if writes < 2 || written < 1000 {
		t.Errorf("an Encrypt takes %.2f writes of %.0f bytes: an answer and a durable record cannot be so little", writes, written)
	}
}

// mustConnect returns a connection that blocks.
func mustConnect(t *testing.T, to *net.TCPAddr) (fd int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: to.AddrPort().Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// mustReadIO returns the counters of this process.
func mustReadIO(t *testing.T) map[string]int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	counters := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		var name string
		var n int64
		if _, err := fmt.Sscanf(strings.Replace(line, ":", " ", 1), "%s %d", &name, &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		counters[name] = n
	}
	return counters
}
