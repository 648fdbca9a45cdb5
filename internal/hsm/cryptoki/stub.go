//go:build !cgo

package cryptoki

import (
	"context"
	"fmt"

	"github.com/strongroom/strongroom/internal/hsm"
)

var errStub = fmt.Errorf("%w: this build has no cgo, which loading a library takes; build with CGO_ENABLED=1 and a C compiler", hsm.ErrNoModule)

// Open is an [hsm.Opener] that can only say that this build has no PKCS #11.
func Open(context.Context, hsm.Config) (hsm.Slot, error) { return nil, errStub }

// Probe can only say that this build has no PKCS #11.
func Probe(context.Context, hsm.ProbeRequest) (hsm.Report, error) { return hsm.Report{}, errStub }
