package seal

import "crypto/subtle"

// OnUnknown lets look be called when a version is asked for that is newer than all that
// this process knows: where several processes share the keyslots, another may have made
// it. look adopts it, if it is there; it may be called often and at once, with versions
// that never were, and who asked waits for it.
func (d *Domain) OnUnknown(look func(version uint32)) { d.look.Store(&look) }

// MayBecome says whether next, as keyslots have it that another process has stored or
// is about to, can take d's place: everything that is sealed under any version that this
// process knows must go on to open. Its only error is ErrSlotsCorrupt: next is of
// another deployment, lacks a version, has another key for one, or goes back.
func (d *Domain) MayBecome(next *Domain) error {
	if next.deployment != d.deployment {
		return corrupt("they are those of another deployment")
	}
	was, is := d.state.Load(), next.state.Load()
	for version, key := range was.keys {
		now, ok := is.keys[version]
		switch {
		case !ok:
			return corrupt("version %d of the domain key, which is in use, is not in them", version)
		case subtle.ConstantTimeCompare(now[:], key[:]) != 1:
			return corrupt("they have another key for version %d of the domain key than the one in use", version)
		}
	}
	if is.current < was.current {
		return corrupt("they go back from version %d of the domain key to version %d", was.current, is.current)
	}
	return nil
}

// Adopt puts next into effect in this process, if MayBecome lets it. Changes of a Domain
// are made one at a time.
func (d *Domain) Adopt(next *Domain) error {
	if err := d.MayBecome(next); err != nil {
		return err
	}
	d.state.Store(next.state.Load())
	return nil
}

// Opened is the domain key as it will be when the change is in effect, for [Domain.Adopt].
func (c *Change) Opened() *Domain {
	d := &Domain{deployment: c.domain.deployment}
	d.state.Store(c.next)
	return d
}
