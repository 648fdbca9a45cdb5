package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"unicode"
)

// problem is an error made for a person: what happened and why, and what to do.
type problem struct {
	what string
	hint string // may be empty
}

func (p *problem) Error() string { return p.what }

func (p *problem) Hint() string { return p.hint }

// report prints an error as this program prints them all: what happened, then a
// hint on a line of its own.
func report(w io.Writer, err error) {
	// If stderr is gone, there is nobody left to tell.
	_, _ = fmt.Fprintf(w, "strongroom: %s\n", printable(err.Error()))
	if hint := hintFor(err); hint != "" {
		_, _ = fmt.Fprintf(w, "hint: %s\n", printable(hint))
	}
}

// hintFor returns the error's own hint or, for errors of the system that arrive
// without one, the usual remedy.
func hintFor(err error) string {
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		return hinter.Hint()
	}
	var network *net.OpError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has this address (ss -ltnp shows which); to take any free port: strongroom serve --listen 127.0.0.1:0"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have that address (ip addr shows those it has)"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full (df -h shows which)"
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &network) && network.Op == "listen":
		return "ports below 1024 want a right of their own (CAP_NET_BIND_SERVICE); take a higher one with --listen"
	case errors.Is(err, fs.ErrPermission):
		return "this wants the user that owns it (ls -ld shows who that is)"
	}
	return ""
}

// printable replaces what could move a terminal's cursor or reorder its text;
// names of files and answers of servers can hold anything.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
