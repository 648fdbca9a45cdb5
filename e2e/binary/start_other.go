//go:build !linux

package binary

import (
	"os"
	"os/exec"
)

// start starts cmd; wait reaps it.
func start(cmd *exec.Cmd) (wait func() *os.ProcessState, err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() *os.ProcessState {
		_ = cmd.Wait() // its outcome is in ProcessState
		return cmd.ProcessState
	}, nil
}
