package tpm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// DefaultDevice is the TPM with the kernel's resource manager.
const DefaultDevice = "/dev/tpmrm0"

// patience is how long a TPM may take for all that is asked of it at a time. Slow ones
// need up to a second for each of half a dozen commands.
const patience = 30 * time.Second

// device is a TPM: a device file, or the Unix socket of an emulator.
type device struct {
	path string
	// busy has room for one: a TPM does one thing at a time, and one that hangs must
	// not gather goroutines.
	busy chan struct{}
}

func newDevice(path string) *device { return &device{path: path, busy: make(chan struct{}, 1)} }

// errNoAnswer says that a TPM took too long.
var errNoAnswer = errors.New("it does not answer")

// ask opens the TPM and runs conversation with it. It returns when that is done or ctx
// ends, but no later than patience: nothing interrupts a device that hangs, and what is
// under way goes on unseen.
func ask[T any](ctx context.Context, d *device, conversation func(transport.TPM) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	var none T
	select {
	case d.busy <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", errNoAnswer, ctx.Err())
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-d.busy }()
		var o outcome
		defer func() {
			// What a TPM answers is parsed by a library; a bad answer is not to end the process.
			if p := recover(); p != nil {
				o.err = fmt.Errorf("its answer makes no sense: %v", p)
			}
			done <- o
		}()
		o.value, o.err = converse(d.path, conversation)
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", errNoAnswer, ctx.Err())
	}
}

func converse[T any](path string, conversation func(transport.TPM) (T, error)) (value T, err error) {
	t, err := open(path)
	if err != nil {
		return value, err
	}
	value, err = conversation(t)
	return value, errors.Join(err, t.Close())
}

func open(path string) (transport.TPMCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeSocket != 0 {
		return linuxudstpm.Open(path)
	}
	return linuxtpm.Open(path)
}
