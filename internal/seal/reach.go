package seal

import (
	"context"
	"fmt"
)

// Checker is a root of which this process keeps a copy, so that unwrapping says
// nothing of whether it is still where a start would look for it.
type Checker interface {
	// Check says what is wrong with the root where it is.
	Check(ctx context.Context) error
}

// Reaches says whether a start could open the domain key with root now. It changes
// nothing, and asks for the current version alone.
func (d *Domain) Reaches(ctx context.Context, root Root) error {
	if c, ok := root.(Checker); ok {
		return c.Check(ctx)
	}
	s := d.state.Load()
	wrapped, ok := s.slots.slot(s.current, root.ID())
	if !ok {
		return noSlot(root, s.current)
	}
	key, err := root.Unwrap(ctx, wrapped, Place{d.deployment, s.current})
	if err != nil {
		return err
	}
	key.Wipe()
	return nil
}

var _ Checker = (*FileRoot)(nil)

// Check implements [Checker]: the file is there and holds this root.
func (r *FileRoot) Check(context.Context) error {
	there, err := OpenFileRoot(r.path, r.local.rand)
	if err != nil {
		return err
	}
	defer there.local.Wipe()
	if there.ID() != r.ID() {
		return &Error{
			problem: fmt.Sprintf("%s holds another root than the one that this deployment was opened with", r.path),
			hint:    "Put the right one back while the server still runs, or make a new one: strongroom seal migrate --to file, once this one is moved away.",
			err:     ErrWrongRoot,
		}
	}
	return nil
}
