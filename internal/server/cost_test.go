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
// detector allocates for itself. There is one connection, so that no call shares the
// cost of a commit with others, however fast the machine is: under load each costs
// about half of this.
const (
	encryptAllocations = 85
	encryptGarbage     = 14 << 10 // bytes
)

// TestCostOfEncrypt counts what the whole process allocates for an Encrypt, from
// the socket to the disk and back. The client allocates nothing.
func TestCostOfEncrypt(t *testing.T) {
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	_, created := post(t, s, "CreateKey", "{}")
	_, rest, _ := strings.Cut(created, `"KeyId":"`)
	body := fmt.Sprintf(`{"KeyId":%q,"Plaintext":"c2l4dGVlbiBieXRlcyAh"}`, rest[:36])
	raw := rawRequest(t, s, "Encrypt", body)

	const connections, warm, each = 1, 200, 2000
	var readied, calling sync.WaitGroup
	begin := make(chan struct{})
	for range connections {
		conn, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		reader := bufio.NewReaderSize(conn, 16<<10)
		readied.Add(1)
		calling.Go(func() {
			for i := range warm + each {
				if i == warm {
					readied.Done()
					<-begin
				}
				if err := exchangeRaw(conn, reader, raw); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	readied.Wait()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	close(begin)
	calling.Wait()
	runtime.ReadMemStats(&after)
	allocations := float64(after.Mallocs-before.Mallocs) / (connections * each)
	garbage := float64(after.TotalAlloc-before.TotalAlloc) / (connections * each)
	t.Logf("an Encrypt allocates %.1f times, %.0f bytes", allocations, garbage)
	if allocations > encryptAllocations || garbage > encryptGarbage {
		t.Errorf("an Encrypt allocates %.1f times, %.0f bytes; it may %d times, %d bytes", allocations, garbage, encryptAllocations, encryptGarbage)
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
