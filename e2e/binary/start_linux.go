package binary

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// start starts cmd so that the kernel kills it when this process goes away,
// however it goes. wait reaps it.
//
// The kernel ties the death signal to the thread that forked, not to the process
// (go.dev/issue/27505): that thread is held until the child has ended.
func start(cmd *exec.Cmd) (wait func() *os.ProcessState, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	reap := make(chan struct{})
	reaped := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		<-reap
		_ = cmd.Wait() // its outcome is in ProcessState
		close(reaped)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() *os.ProcessState {
		close(reap)
		<-reaped
		return cmd.ProcessState
	}, nil
}
