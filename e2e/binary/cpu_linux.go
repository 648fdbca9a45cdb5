package binary

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the processor time that the process has taken so far, to the
// nanosecond; that of threads that have ended included.
func (s *Server) CPU() (time.Duration, error) { return ProcessorTime(s.pid) }

// ProcessorTime is CPU of any process.
func ProcessorTime(pid int) (time.Duration, error) {
	// The clock of a process, as clock_getcpuclockid(3) makes its number: the
	// complement of the process id, and CPUCLOCK_SCHED.
	const sched = 2
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &spent); err != nil {
		return 0, fmt.Errorf("the processor time of process %d: %w", pid, err)
	}
	return time.Duration(spent.Nano()), nil
}
