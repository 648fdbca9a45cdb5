package binary

import (
	"fmt"
	"os"
	"strconv"
	"strings"
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

// MachineTime is the processor time that all programs of this machine have taken so
// far, and those of others that the machine's processors are shared with, to a
// hundredth of a second; 0 if that is not known.
func MachineTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	// proc(5): cpu user nice system idle iowait irq softirq steal
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100)
}
