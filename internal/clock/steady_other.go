//go:build !linux

package clock

import "time"

var began = time.Now()

func elapsed() time.Duration { return time.Since(began) }
