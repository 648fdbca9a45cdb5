package crash

// value is what a worker may find after a restart: what was acknowledged last, or
// what an unanswered call may have put in its place.
type value struct {
	acknowledged string
	pending      *string
}

// allows reports whether found may be there.
func (v *value) allows(found string) bool {
	return found == v.acknowledged || v.pending != nil && found == *v.pending
}

// settle notes what a restarted server showed: from now on it must stay so.
func (v *value) settle(found string) { v.acknowledged, v.pending = found, nil }

// change makes a call that replaces a value and keeps the ledger: until the call
// is answered, both may be there.
func change(v *value, next string, call func() error) error {
	v.pending = &next
	if err := call(); err != nil {
		return err
	}
	v.settle(next)
	return nil
}
