// Package binary builds the strongroom command and runs it as its users do: as a
// process with a data folder, an address and two streams. Everything that proves
// Strongroom from outside (the tests of package e2e, the crash harness, the
// bench) goes through it, so that a process is started, found ready, stopped and
// killed in one way only.
//
// It promises that a process it started never outlives the one that started it
// (on Linux, even when that one is killed), that a server is known by its process
// id and by nothing else, and that every wait has an end.
package binary

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Package is the import path of the command.
const Package = "github.com/strongroom/strongroom/cmd/strongroom"

// Build compiles the command into dir and returns the path of the executable.
// tags are build tags; args are further arguments of go build, such as "-race".
// The working directory must be inside the module.
func Build(dir string, tags []string, args ...string) (string, error) {
	name := strings.Join(append([]string{"strongroom"}, tags...), "-")
	path := filepath.Join(dir, name)
	arguments := append([]string{"build", "-o", path}, args...)
	if len(tags) > 0 {
		arguments = append(arguments, "-tags", strings.Join(tags, ","))
	}
	out, err := exec.Command("go", append(arguments, Package)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", Package, err, out)
	}
	return path, nil
}

// Result is how a command that was run to its end went.
type Result struct {
	// Code is the exit code; -1 when a signal ended the process.
	Code           int
	Stdout, Stderr []byte
}

// Run runs the executable at path with args to its end. The error is about not
// being able to run it; an exit code other than 0 is in the result.
func Run(path string, args ...string) (*Result, error) { return RunWith(path, nil, args...) }

// RunWith is Run with more variables in the environment, as "NAME=value".
func RunWith(path string, env []string, args ...string) (*Result, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Env = Environment(env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return &Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}, nil
}

// Environment returns this process's environment without what would steer a
// server or an AWS client: STRONGROOM_* is the server's own settings, where an
// unknown name is an error, and AWS_* the clients'. extra is added, as
// "NAME=value".
func Environment(extra ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "STRONGROOM_") && !strings.HasPrefix(entry, "AWS_") {
			env = append(env, entry)
		}
	}
	return append(env, extra...)
}
