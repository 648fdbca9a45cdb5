//go:build !linux

package binary

import "time"

// CPU returns 0: the processor time of another process is not known here.
func (s *Server) CPU() (time.Duration, error) { return 0, nil }

// ProcessorTime is CPU of any process.
func ProcessorTime(int) (time.Duration, error) { return 0, nil }

// MachineTime is what all programs have taken of the processors; 0 where that is not
// known.
func MachineTime() time.Duration { return 0 }
