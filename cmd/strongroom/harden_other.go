//go:build !linux

package main

import "errors"

// harden does nothing: only Linux is built for yet.
func harden() error { return nil }

func lockMemory() error { return errors.New("only Linux is built for yet") }
