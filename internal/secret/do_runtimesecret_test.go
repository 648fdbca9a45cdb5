//go:build goexperiment.runtimesecret

package secret

import (
	"runtime/secret"
	"testing"
)

func TestDoErases(t *testing.T) {
	Do(func() {
		if !secret.Enabled() {
			t.Error("the runtime does not erase what Do uses")
		}
	})
}
