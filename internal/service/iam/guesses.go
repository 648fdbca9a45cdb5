package iam

import (
	"sync"
	"time"
)

// guesses slows down whoever guesses codes or passwords. It lives in memory: a restart
// forgives, but nobody restarts the server by guessing. Accounts have tables of their
// own, so that whoever may guess in one changes nothing in another.
type guesses struct {
	mu       sync.Mutex
	accounts map[string]*guessed
}

// guessed is what was guessed of one account.
type guessed struct {
	of map[string]guess
	// looked is when there was last looked for something to forget.
	looked time.Time
}

// guess is how often in a row something was guessed wrong.
type guess struct {
	wrong        int
	last, closed time.Time // no guess is taken before closed
}

const (
	// freeGuesses may be wrong in a row before no more are taken for a while: half a
	// minute, and twice as long each time, up to an hour.
	freeGuesses = 5
	firstPause  = 30 * time.Second
	longPause   = time.Hour
	// maxGuessed bounds what is remembered of an account. When it is used up, what was
	// not guessed for [longPause] is forgotten, and nothing else: until then nothing new
	// may be guessed.
	maxGuessed = 10_000
	// lookAgain is how often at most it is looked for something to forget.
	lookAgain = time.Minute
)

// take counts a guess of what belongs to an account, as a wrong one until it is found
// to be right, so that many at once are no more than many in a row. It returns false
// when no guess is taken.
func (g *guesses) take(account, what string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	table := g.accounts[account]
	if table == nil {
		table = &guessed{of: map[string]guess{}}
		if g.accounts == nil {
			g.accounts = map[string]*guessed{}
		}
		g.accounts[account] = table
	}
	one, known := table.of[what]
	if now.Before(one.closed) || !known && !table.room(now) {
		return false
	}
	one.wrong++
	one.last = now
	if n := one.wrong - freeGuesses; n >= 0 {
		one.closed = now.Add(min(firstPause<<min(n, 10), longPause))
	}
	table.of[what] = one
	return true
}

// room reports whether there is room for one more, and makes some if it can.
func (g *guessed) room(now time.Time) bool {
	if len(g.of) < maxGuessed {
		return true
	}
	if since := now.Sub(g.looked); since >= 0 && since < lookAgain {
		return false
	}
	g.looked = now
	for what, one := range g.of {
		if now.Sub(one.last) >= longPause {
			delete(g.of, what)
		}
	}
	return len(g.of) < maxGuessed
}

// right takes back what was counted, after a right guess.
func (g *guesses) right(account, what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	table := g.accounts[account]
	if table == nil {
		return
	}
	delete(table.of, what)
	if len(table.of) == 0 {
		delete(g.accounts, account)
	}
}
