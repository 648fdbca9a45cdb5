//go:build !race

package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/wire"
)

// What an Encrypt may cost: counts do not depend on the machine, so that they say
// when the hot path has become longer, which no time measured here could. The race
// detector allocates for itself. With one connection no call shares the cost of a
// commit with others, however fast the machine is.
var encryptCost = cost{50, 13 << 10}

// What it may cost where 64 share commits: eight allocations are the call's own, and how
// many calls share the some thirty of a commit is up to the machine.
var sharedCost = cost{12, 7 << 10}

// cost is what one call allocates: how often, and how many bytes.
type cost struct{ allocations, garbage float64 }

func (c cost) String() string {
	return fmt.Sprintf("%.1f times, %.0f bytes", c.allocations, c.garbage)
}

// holds measures until a call costs no more than it may, five times at most. What a busy
// machine adds, where less than usual is shared or what is done once a second counts for
// fewer calls, differs between rounds; what a call itself has come to cost is in all.
func holds(t *testing.T, what string, most cost, measure func() cost) {
	t.Helper()
	var seen []cost
	for range 5 {
		c := measure()
		t.Logf("%s allocates %v", what, c)
		if c.allocations <= most.allocations && c.garbage <= most.garbage {
			return
		}
		seen = append(seen, c)
	}
	t.Errorf("%s allocates %v; it may %v", what, seen, most)
}

// allocated returns what the process allocates for each of n calls.
func allocated(n int, calls func()) cost {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	calls()
	runtime.ReadMemStats(&after)
	return cost{float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)}
}

// TestCostOfEncrypt counts what the whole process allocates for an Encrypt, from
// the socket to the disk and back. The client allocates nothing.
func TestCostOfEncrypt(t *testing.T) {
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	_, created := post(t, s, "CreateKey", "{}")
	_, rest, _ := strings.Cut(created, `"KeyId":"`)
	body := fmt.Sprintf(`{"KeyId":%q,"Plaintext":"c2l4dGVlbiBieXRlcyAh"}`, rest[:36])
	raw := rawRequest(t, s, "Encrypt", body)

	calls := oneAfterAnother(t, s)
	calls(200, func(int) []byte { return raw })
	holds(t, "an Encrypt", encryptCost, func() cost {
		return allocated(2000, func() { calls(2000, func(int) []byte { return raw }) })
	})
}

// TestCostOfSharedCommits is TestCostOfEncrypt with 64 connections.
func TestCostOfSharedCommits(t *testing.T) {
	const connections, warm, each = 64, 300, 1000
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	_, created := post(t, s, "CreateKey", "{}")
	_, rest, _ := strings.Cut(created, `"KeyId":"`)
	raw := rawRequest(t, s, "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"c2l4dGVlbiBieXRlcyAh"}`, rest[:36]))
	var conns [connections]net.Conn
	var readers [connections]*bufio.Reader
	for i := range conns {
		conn, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i], readers[i] = conn, bufio.NewReaderSize(conn, 16<<10)
	}
	calls := func(n int) {
		var all sync.WaitGroup
		for i := range conns {
			all.Go(func() {
				for range n {
					if err := exchangeRaw(conns[i], readers[i], raw); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	calls(warm)
	holds(t, "an Encrypt of 64", sharedCost, func() cost { return allocated(connections*each, func() { calls(each) }) })
}

// What it may cost with a key that is read from the store.
var readCost = cost{200, 31 << 10}

// TestCostOfKeysThatAreRead counts what an Encrypt allocates whose key is not in
// memory: keys take turns, six times as many as are kept.
func TestCostOfKeysThatAreRead(t *testing.T) {
	const keys = 6 * leastCachedKeys
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	cfg.CachedKeys = leastCachedKeys
	s := mustStart(t, cfg)
	requests := make([][]byte, keys)
	for i := range requests {
		_, created := post(t, s, "CreateKey", "{}")
		_, rest, _ := strings.Cut(created, `"KeyId":"`)
		requests[i] = rawRequest(t, s, "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"c2l4dGVlbiBieXRlcyAh"}`, rest[:36]))
	}
	calls := oneAfterAnother(t, s)
	request := func(i int) []byte { return requests[i%keys] }
	calls(keys, request)
	holds(t, "an Encrypt whose key is read", readCost, func() cost {
		return allocated(2*keys, func() { calls(2*keys, request) })
	})
}

// oneAfterAnother returns what makes n calls over one connection, and allocates nothing.
func oneAfterAnother(t *testing.T, s *Server) func(n int, request func(i int) []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	reader := bufio.NewReaderSize(conn, 16<<10)
	return func(n int, request func(i int) []byte) {
		for i := range n {
			if err := exchangeRaw(conn, reader, request(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// rawRequest returns a signed request as bytes.
func rawRequest(t *testing.T, s *Server, target, body string) []byte {
	t.Helper()
	text, err := os.ReadFile(s.CredentialsFile())
	if err != nil {
		t.Fatal(err)
	}
	found := credentialsForm.FindSubmatch(text)
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.ContentTypeJSON11)
	req.Header.Set("X-Amz-Target", "TrentService."+target)
	sigv4test.Signer{AccessKeyID: string(found[1]), SecretKey: string(found[2]), Region: "us-east-1", Service: "kms"}.SignHTTP(req, []byte(body), machineClock.Now())
	var raw bytes.Buffer
	if err := req.Write(&raw); err != nil {
		t.Fatal(err)
	}
	return raw.Bytes()
}

// exchangeRaw makes one call without allocating.
func exchangeRaw(conn net.Conn, reader *bufio.Reader, raw []byte) error {
	if _, err := conn.Write(raw); err != nil {
		return err
	}
	length, ok := 0, false
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first {
			ok = bytes.HasPrefix(line, []byte("HTTP/1.1 200 "))
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			for _, c := range bytes.TrimSpace(value) {
				length = length*10 + int(c-'0')
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if !ok {
		text, _ := io.ReadAll(io.LimitReader(reader, int64(length)))
		return fmt.Errorf("refused: %s", text)
	}
	_, err := reader.Discard(length)
	return err
}
