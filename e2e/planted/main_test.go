package main

import (
	"go/parser"
	"go/token"
	"testing"
)

// TestEveryBugHasItsPlace: the list follows the code. What finds them is run by
// `make planted`.
func TestEveryBugHasItsPlace(t *testing.T) {
	names := map[string]bool{}
	for _, b := range bugs {
		text, err := b.planted("../..")
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), b.file, text, 0); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
		if names[b.name] {
			t.Errorf("%q is there twice", b.name)
		}
		names[b.name] = true
	}
	if len(bugs) < 20 {
		t.Errorf("%d bugs, fewer than 20", len(bugs))
	}
}
