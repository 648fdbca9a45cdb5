package pebble

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// making marks a folder that is being made: its name is on stable storage before
// Pebble's first file and gone from there before the first commit. A loss of power in
// between can leave some of Pebble's files and not those that they name.
const making = "MAKING"

// openOrMake opens the database, and makes it where there is none. What an interrupted
// making left, and does not open, is thrown away: nothing was ever committed to it.
func (b *Backend) openOrMake() (err error) {
	fs, mark := b.cfg.FS, b.cfg.FS.PathJoin(b.cfg.Dir, making)
	marked, err := exists(fs, mark)
	if err != nil {
		return err
	}
	if !marked {
		there, err := pebble.Peek(b.cfg.Dir, fs)
		if err != nil {
			return err
		}
		if there.Exists {
			b.db, err = openDB(b.cfg.Dir, b.options())
			return err
		}
		if err := b.mark(mark); err != nil {
			return err
		}
	}
	if b.db, err = openDB(b.cfg.Dir, b.options()); err != nil {
		if !marked || b.failure.get() != nil {
			return err
		}
		if err := b.throwAway(); err != nil {
			return err
		}
		if b.db, err = openDB(b.cfg.Dir, b.options()); err != nil {
			return err
		}
	}
	if err = errors.Join(b.checkFormat(), fs.Remove(mark), syncDir(fs, b.cfg.Dir)); err != nil {
		err = errors.Join(err, b.db.Close())
	}
	return err
}

func exists(fs vfs.FS, path string) (bool, error) {
	names, err := fs.List(fs.PathDir(path))
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if name == fs.PathBase(path) {
			return true, nil
		}
	}
	return false, nil
}

func (b *Backend) mark(path string) error {
	f, err := b.cfg.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("pebble: making the folder: %w", err)
	}
	return errors.Join(f.Close(), syncDir(b.cfg.FS, b.cfg.Dir))
}

// throwAway removes what Pebble has made, but for the lock, which this process holds.
func (b *Backend) throwAway() error {
	names, err := b.cfg.FS.List(b.cfg.Dir)
	for _, name := range names {
		if name != making && name != "LOCK" {
			err = errors.Join(err, b.cfg.FS.RemoveAll(b.cfg.FS.PathJoin(b.cfg.Dir, name)))
		}
	}
	return err
}

func syncDir(fs vfs.FS, path string) error {
	d, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
