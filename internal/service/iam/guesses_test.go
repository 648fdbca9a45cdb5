package iam

import (
	"strconv"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestGuesses(t *testing.T) {
	var g guesses
	now := start
	for range freeGuesses {
		if !g.take("a", "x", now) {
			t.Fatal("a free guess is not taken")
		}
	}
	// Each pause is twice as long as the one before, up to an hour.
	for pause := firstPause; pause < 4*longPause; pause *= 2 {
		long := min(pause, longPause)
		if g.take("a", "x", now.Add(long-time.Second)) {
			t.Fatalf("a guess is taken %v after the last", long-time.Second)
		}
		if now = now.Add(long); !g.take("a", "x", now) {
			t.Fatalf("no guess is taken %v after the last", long)
		}
	}
	if !g.take("a", "y", now) || !g.take("b", "x", now) {
		t.Error("something else is closed, too")
	}
	g.right("a", "x")
	if !g.take("a", "x", now) {
		t.Error("a right guess forgives nothing")
	}
}

// TestGuessesAreBounded: whoever fills a table opens nothing that is closed, neither
// in the account nor elsewhere.
func TestGuessesAreBounded(t *testing.T) {
	var g guesses
	for range freeGuesses {
		g.take("victim", "x", start)
		g.take("guesser", "x", start)
	}
	for i := range 2 * maxGuessed {
		g.take("guesser", strconv.Itoa(i), start)
	}
	if n := len(g.accounts["guesser"].of); n != maxGuessed {
		t.Errorf("%d are remembered", n)
	}
	for _, account := range []string{"victim", "guesser"} {
		if g.take(account, "x", start) {
			t.Errorf("what was closed in %s is open", account)
		}
	}
	if g.take("guesser", "new", start) || !g.take("victim", "new", start) {
		t.Error("a full table takes new guesses, or closes another account")
	}
	if !g.take("guesser", "new", start.Add(longPause)) {
		t.Error("a table that is full stays full")
	}
	g.right("victim", "x")
	g.right("victim", "new")
	if _, there := g.accounts["victim"]; there {
		t.Error("an account without guesses is remembered")
	}
}
