package e2e

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestFewArenas counts the arenas that the GNU C library's malloc has made in a server
// under load: one beside the main one, whatever the number of threads and processors.
func TestFewArenas(t *testing.T) {
	t.Parallel()
	s := start(t, "--dev")
	c := devClient(s, "test", defaultRegion)
	var calls sync.WaitGroup
	for range 32 {
		calls.Go(func() {
			for range 10 {
				createKey(t, c, nil)
			}
		})
	}
	calls.Wait()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if n := arenas(t, string(maps)); n > 1 {
		t.Errorf("malloc has made %d arenas beside the main one", n)
	}
}

// arenas counts the mappings of 64 MiB, at a multiple of it, of which malloc makes the
// beginning usable as it needs it.
func arenas(t *testing.T, maps string) (n int) {
	t.Helper()
	const size = 64 << 20
	var begin uint64
	for line := range strings.Lines(maps) {
		var from, to uint64
		var access string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &access); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		switch {
		case access == "rw-p" && from%size == 0:
			begin = from
		case access == "---p" && begin != 0 && to == begin+size:
			n++
			begin = 0
		default:
			begin = 0
		}
	}
	return n
}
