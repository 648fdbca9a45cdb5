//go:build !goexperiment.runtimesecret

package secret

// Do calls f. In a build with GOEXPERIMENT=runtimesecret it also erases the
// registers and the stack that f used, and the memory that f allocated once
// nothing refers to it. That costs, so what need not be erased is better
// allocated by the caller.
func Do(f func()) { f() }
