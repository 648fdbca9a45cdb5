//go:build !linux

package clock

import "time"

func elapsed() time.Duration { return time.Since(began) }
