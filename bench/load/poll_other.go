//go:build !linux

package load

import (
	"context"
	"errors"
	"time"
)

const polls = false

func (r *run) poll(context.Context) error { return errors.ErrUnsupported }

// ProcessorTime is not known here.
func ProcessorTime() time.Duration { return 0 }
