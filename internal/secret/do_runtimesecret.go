//go:build goexperiment.runtimesecret

package secret

import "runtime/secret"

// Do calls f and erases the registers and the stack that f used, and the memory
// that f allocated once nothing refers to it. That costs, so what need not be
// erased is better allocated by the caller. Go has this on linux/amd64 and
// linux/arm64; elsewhere, and in a build without GOEXPERIMENT=runtimesecret, Do
// only calls f.
func Do(f func()) { secret.Do(f) }
