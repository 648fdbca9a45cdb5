// Command planted is the test of the tests: it plants one bug after another into a
// copy of one file, and runs the test that must find it. A bug that no test finds
// ends it with 1.
//
//	go run ./e2e/planted            all
//	go run ./e2e/planted -run cache those whose name has "cache"
//	go run ./e2e/planted -list      what there is
//
// Nothing in the work tree is touched: the compiler is handed the copy (-overlay).
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	run := flag.String("run", "", "only bugs whose name has this")
	from := flag.Int("from", 1, "begin with the bug of this number")
	list := flag.Bool("list", false, "list the bugs")
	flag.Parse()
	log.SetFlags(0)
	missed := 0
	for i, b := range bugs {
		if i+1 < *from || !strings.Contains(b.name, *run) {
			continue
		}
		if *list {
			fmt.Printf("%2d  %s (%s): %s %s\n", i+1, b.name, b.file, b.pkg, b.run)
			continue
		}
		by, err := b.plant(".")
		if err != nil {
			missed++
			by = "NOT FOUND: " + err.Error()
		}
		fmt.Printf("%2d  %s: %s\n", i+1, b.name, by)
	}
	if missed > 0 {
		log.Fatalf("%d bugs were not found", missed)
	}
}

// planted returns the file with the bug in it.
func (b bug) planted(top string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(top, b.file))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), b.old); n != 1 {
		return nil, fmt.Errorf("%s has the place for %q %d times, not once", b.file, b.name, n)
	}
	return []byte(strings.Replace(string(text), b.old, b.new, 1)), nil
}

// plant returns which tests found the bug.
func (b bug) plant(top string) (string, error) {
	text, err := b.planted(top)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "strongroom-planted-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	file, err := filepath.Abs(filepath.Join(top, b.file))
	if err != nil {
		return "", err
	}
	copied, overlay := filepath.Join(dir, "bug.go"), filepath.Join(dir, "overlay.json")
	spec, err := json.Marshal(map[string]map[string]string{"Replace": {file: copied}})
	if err == nil {
		err = errors.Join(os.WriteFile(copied, text, 0o600), os.WriteFile(overlay, spec, 0o600))
	}
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-overlay", overlay, "./"+b.pkg)
	build.Dir = top
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not build: %s", out)
	}
	args := []string{"test", "-count=1", "-timeout", "2m", "-overlay", overlay, "-run", b.run, "./" + b.pkg}
	if len(b.args) > 0 {
		args = append(append(args, "-args"), b.args...)
	}
	test := exec.Command("go", args...)
	test.Dir = top
	out, err := test.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return "", fmt.Errorf("%s %s passes: %s", b.pkg, b.run, bytes.TrimSpace(out))
	case !errors.As(err, &failed):
		return "", err
	case bytes.Contains(out, []byte("[build failed]")):
		return "", fmt.Errorf("its test does not build: %s", out)
	}
	return found(out), nil
}

// found names the tests that failed.
func found(out []byte) string {
	var names []string
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, name)
		}
	}
	switch {
	case len(names) > 0:
		return "found by " + strings.Join(names, ", ")
	case bytes.Contains(out, []byte("panic: test timed out")):
		return "found by a test that does not end"
	}
	return "found by the end of the test's process"
}
