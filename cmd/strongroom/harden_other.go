//go:build !linux

package main

// harden does nothing: only Linux is built for yet.
func harden() error { return nil }
