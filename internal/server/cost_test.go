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
const (
	encryptAllocations = 75
	encryptGarbage     = 14 << 10 // bytes
)

// What it may cost where 64 share commits: eight allocations are the call's own, and how
// many calls share the some thirty of a commit is up to the machine.
const (
	sharedAllocations = 12
	sharedGarbage     = 7 << 10 // bytes
)

// TestCostOfEncrypt counts what the whole process allocates for an Encrypt, from
// the socket to the disk and back. The client allocates nothing.
func TestCostOfEncrypt(t *testing.T) {
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	_, created := post(t, s, "CreateKey", "{}")
	_, rest, _ := strings.Cut(created, `"KeyId":"`)
	body := fmt.Sprintf(`{"KeyId":%q,"Plaintext":"c2l4dGVlbiBieXRlcyAh"}`, rest[:36])
	raw := rawRequest(t, s, "Encrypt", body)

	allocations, garbage := costOf(t, s, 200, 2000, func(int) []byte { return raw })
	t.Logf("an Encrypt allocates %.1f times, %.0f bytes", allocations, garbage)
	if allocations > encryptAllocations || garbage > encryptGarbage {
		t.Errorf("an Encrypt allocates %.1f times, %.0f bytes; it may %d times, %d bytes", allocations, garbage, encryptAllocations, encryptGarbage)
	}
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
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	calls(each)
	runtime.ReadMemStats(&after)
	allocations := float64(after.Mallocs-before.Mallocs) / (connections * each)
	garbage := float64(after.TotalAlloc-before.TotalAlloc) / (connections * each)
	t.Logf("an Encrypt of 64 allocates %.1f times, %.0f bytes", allocations, garbage)
	if allocations > sharedAllocations || garbage > sharedGarbage {
		t.Errorf("an Encrypt of 64 allocates %.1f times, %.0f bytes; it may %d times, %d bytes", allocations, garbage, sharedAllocations, sharedGarbage)
	}
}

// What it may cost with a key that is read from the store.
const (
	readAllocations = 200
	readGarbage     = 31 << 10 // bytes
)

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
	allocations, garbage := costOf(t, s, keys, 2*keys, func(i int) []byte { return requests[i%keys] })
	t.Logf("an Encrypt whose key is read allocates %.1f times, %.0f bytes", allocations, garbage)
	if allocations > readAllocations || garbage > readGarbage {
		t.Errorf("an Encrypt whose key is read allocates %.1f times, %.0f bytes; it may %d times, %d bytes", allocations, garbage, readAllocations, readGarbage)
	}
}

// costOf makes calls one after another, over one connection, and returns what the
// process allocates for each, without the first few.
func costOf(t *testing.T, s *Server, warm, each int, request func(i int) []byte) (allocations, garbage float64) {
	t.Helper()
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 16<<10)
	var before, after runtime.MemStats
	for i := range warm + each {
		if i == warm {
			runtime.ReadMemStats(&before)
		}
		if err := exchangeRaw(conn, reader, request(i)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(each), float64(after.TotalAlloc-before.TotalAlloc) / float64(each)
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
