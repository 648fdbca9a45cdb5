package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

func elapsed() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("clock: the system has no CLOCK_BOOTTIME: " + err.Error()) // every Linux since 2.6.39 has
	}
	return time.Duration(t.Nano())
}
