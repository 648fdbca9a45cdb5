package server

import "fmt"

// Problem is an error that a person should act on.
type Problem struct {
	what, hint string
	err        error
}

func problem(what, hint string, err error) error { return &Problem{what, hint, err} }

func (p *Problem) Error() string {
	if p.err == nil {
		return p.what
	}
	return fmt.Sprintf("%s: %v", p.what, p.err)
}

// Hint says what to do, or which command to type next.
func (p *Problem) Hint() string { return p.hint }

func (p *Problem) Unwrap() error { return p.err }
