package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/internal/secret"
)

// Change is a change of the domain key or of the roots that open it, made ready.
// The caller stores Slots durably, whole, in place of those that there are, and
// then calls Apply. A process that ends in between opens with whichever slots are
// stored; one that fails to store them forgets the Change. Changes are made one at
// a time: one that was prepared before another was applied must not be used.
type Change struct {
	// Slots is the new stored form.
	Slots []byte

	domain *Domain
	next   *state
}

// Apply puts the change into effect in this process.
func (c *Change) Apply() { c.domain.state.Store(c.next) }

// Prepare makes slots for exactly these roots, in every version of the domain key,
// and with rotate a version more, under which everything is sealed from then on.
// What an earlier version sealed still opens. Each new slot has been opened again
// with its root before Prepare returns, but for roots that can only wrap; a root
// that fails, or cannot be reached, fails it. randomness gives the key; if nil,
// crypto/rand.Reader.
func (d *Domain) Prepare(ctx context.Context, roots []Root, rotate bool, randomness io.Reader) (*Change, error) {
	if randomness == nil {
		randomness = rand.Reader
	}
	roots = slices.SortedFunc(slices.Values(roots), func(a, b Root) int { return strings.Compare(a.ID(), b.ID()) })
	s, err := newSlots(d.deployment, roots)
	if err != nil {
		return nil, err
	}
	was := d.state.Load()
	next := &state{current: was.current, keys: maps.Clone(was.keys)}
	if rotate {
		key := new([keySize]byte)
		if _, err := io.ReadFull(randomness, key[:]); err != nil {
			return nil, fmt.Errorf("seal: making a domain key: %w", err)
		}
		if next.keys == nil {
			next.keys = map[uint32]*[keySize]byte{}
		}
		next.current++
		next.keys[next.current] = key
	}
	s.Current = next.current
	// A root that keeps all its slots is not asked: it may be gone.
	held := map[string]bool{}
	for _, n := range slices.Sorted(maps.Keys(next.keys)) {
		v := version{Version: n}
		for _, root := range roots {
			wrapped, kept := was.slots.slot(n, root.ID())
			if !kept && !held[root.ID()] {
				release, err := hold(ctx, root)
				if err != nil {
					return nil, err
				}
				defer release()
				held[root.ID()] = true
			}
			if !kept {
				if wrapped, err = wrapChecked(ctx, root, next.keys[n], Place{d.deployment, n}); err != nil {
					return nil, err
				}
			}
			v.Slots = append(v.Slots, slot{Root: root.ID(), Wrapped: wrapped})
		}
		s.Versions = append(s.Versions, v)
	}
	if s.MAC, err = macOf(next.keys[s.Current], s); err != nil {
		return nil, err
	}
	stored, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	// What could not be read again must not be written.
	if next.slots, err = parseSlots(stored); err != nil {
		return nil, fmt.Errorf("seal: the new keyslots are not used: %w", err)
	}
	return &Change{Slots: stored, domain: d, next: next}, nil
}

// newSlots begins the stored form for roots, which are in order.
func newSlots(deployment string, roots []Root) (keyslots, error) {
	s := keyslots{Format: plainFormat, Deployment: deployment}
	if len(roots) == 0 {
		return s, fmt.Errorf("seal: a domain key without a root would be lost")
	}
	for i, root := range roots {
		if !printable(root.ID()) {
			return s, fmt.Errorf("seal: a root id has 1 to %d printable ASCII characters", maxName)
		}
		if i > 0 && roots[i-1].ID() == root.ID() {
			return s, fmt.Errorf("seal: %s is there twice", root.Describe())
		}
		if p, ok := root.(Parameterised); ok {
			s.Format = parameterisedFormat
			s.Roots = append(s.Roots, rootEntry{root.ID(), p.Parameters()})
		}
	}
	return s, nil
}

func wrapChecked(ctx context.Context, root Root, key *[keySize]byte, place Place) ([]byte, error) {
	wrapped, err := root.Wrap(ctx, key[:], place)
	if err != nil {
		return nil, fmt.Errorf("seal: asking %s to wrap version %d of the domain key: %w", root.Describe(), place.Version, err)
	}
	if w, ok := root.(WrapOnly); ok && w.WrapOnly() {
		return wrapped, nil
	}
	again, err := root.Unwrap(ctx, bytes.Clone(wrapped), place)
	if err != nil {
		return nil, fmt.Errorf("seal: %s has wrapped version %d of the domain key, and does not unwrap it: %w", root.Describe(), place.Version, err)
	}
	defer again.Wipe()
	if subtle.ConstantTimeCompare(again, key[:]) != 1 {
		return nil, fmt.Errorf("seal: %s unwraps version %d of the domain key to something else", root.Describe(), place.Version)
	}
	return wrapped, nil
}

// slot returns what root wrapped of a version.
func (s keyslots) slot(version uint32, root string) ([]byte, bool) {
	if version == 0 || uint64(version) > uint64(len(s.Versions)) {
		return nil, false
	}
	found, ok := s.Versions[version-1].slot(root)
	return found.Wrapped, ok
}

// RootInfo is what the keyslots say of a root.
type RootInfo struct {
	ID         string
	Kind       Kind
	Parameters []byte // nil for a root without
}

// Info is what keyslots say without being opened.
type Info struct {
	Deployment string
	// Current is the version under which new things are sealed; there are all from 1.
	Current uint32
	// Roots are those that open the current version, ascending by id.
	Roots []RootInfo
}

// Has tells whether there is a root with this id.
func (i Info) Has(id string) bool {
	return slices.ContainsFunc(i.Roots, func(r RootInfo) bool { return r.ID == id })
}

// Read reads keyslots. What it returns is well formed and, until Open has
// succeeded, possibly forged. Its only error is ErrSlotsCorrupt.
func Read(slots []byte) (Info, error) {
	s, err := parseSlots(slots)
	if err != nil {
		return Info{}, err
	}
	return s.info(), nil
}

// Info returns what the domain key's slots say.
func (d *Domain) Info() Info { return d.state.Load().slots.info() }

func (s keyslots) info() Info {
	info := Info{Deployment: s.Deployment, Current: s.Current}
	for _, slot := range s.Versions[s.Current-1].Slots {
		kind, _, _ := strings.Cut(slot.Root, ":")
		r := RootInfo{ID: slot.Root, Kind: Kind(kind)}
		for _, entry := range s.Roots {
			if entry.ID == slot.Root {
				r.Parameters = bytes.Clone(entry.Parameters)
			}
		}
		info.Roots = append(info.Roots, r)
	}
	return info
}

// Proves reports whether root opens every version of the domain key: as much as a
// root can show before it is needed.
func (d *Domain) Proves(ctx context.Context, root Root) error {
	release, err := hold(ctx, root)
	if err != nil {
		return err
	}
	defer release()
	s := d.state.Load()
	for n, key := range s.keys {
		wrapped, ok := s.slots.slot(n, root.ID())
		if !ok {
			return fmt.Errorf("%w: version %d of the domain key has no slot for %s", ErrWrongRoot, n, root.Describe())
		}
		opened, err := root.Unwrap(ctx, wrapped, Place{d.deployment, n})
		if err != nil {
			return fmt.Errorf("seal: version %d of the domain key, with %s: %w", n, root.Describe(), err)
		}
		same := secret.Bytes(key[:]).Equal(opened)
		opened.Wipe()
		if !same {
			return fmt.Errorf("%w: %s opens another key than version %d of the domain key", ErrSlotsCorrupt, root.Describe(), n)
		}
	}
	return nil
}
