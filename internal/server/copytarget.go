package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

// folderTarget is the store of a folder that is, or is to be, a node's.
type folderTarget struct {
	dir string
	log *slog.Logger
}

func (t *folderTarget) path() string { return filepath.Join(t.dir, copyingFolder) }

func (t *folderTarget) found(ctx context.Context, id string) (whole, named bool, err error) {
	if _, err := os.Stat(t.path()); errors.Is(err, os.ErrNotExist) {
		return false, false, nil
	}
	backend, err := t.open(ctx)
	if err != nil {
		return false, false, err
	}
	meta, err := backend.Meta(ctx)
	return string(meta[metaCopied]) == id, false, errors.Join(err, backend.Close())
}

// free implements copyTarget: that there is no store was seen when the folder was
// opened as a node's.
func (t *folderTarget) free(context.Context) error { return nil }

func (t *folderTarget) vacate(context.Context, moveNote) error { return os.RemoveAll(t.path()) }

func (t *folderTarget) open(context.Context) (copyBackend, error) {
	backend, err := pebble.Open(pebble.Config{Dir: t.path(), Log: t.log, Fatal: store.Exit})
	switch {
	case errors.Is(err, store.ErrFull):
		return nil, fullDisk(t.dir, err)
	case errors.Is(err, store.ErrLocked):
		return nil, problem("another copy into "+t.dir+" is under way", "Wait for it to end.", err)
	case err != nil:
		return nil, err
	}
	return backend, nil
}

func (t *folderTarget) settle(ctx context.Context, note moveNote, meta map[string][]byte) error {
	backend, err := t.open(ctx)
	if err != nil {
		return err
	}
	meta[metaCopied] = []byte(note.Copy)
	return errors.Join(backend.SetMeta(ctx, meta), backend.Close())
}

func (t *folderTarget) name(context.Context, string, map[string][]byte) error {
	// What the folder had as a node was sent.
	if err := os.RemoveAll(filepath.Join(t.dir, nodeFolder)); err != nil {
		return err
	}
	if err := os.Rename(t.path(), filepath.Join(t.dir, storeFolder)); err != nil {
		return err
	}
	return syncFolder(t.dir)
}

// databaseTarget is a database. A node's name that comes from the deployment lets a
// copy put out one that was killed, or is run twice.
type databaseTarget struct {
	in         Folder
	log        *slog.Logger
	deployment string
}

func (t *databaseTarget) open(ctx context.Context) (copyBackend, error) { return t.connect(ctx) }

func (t *databaseTarget) connect(ctx context.Context) (*postgres.Backend, error) {
	db := t.in.database()
	db.Node, db.Rand, db.Log = fmt.Sprintf("copy-%.16s", t.deployment), (&Config{}).rand(), t.log
	backend, err := postgres.Open(ctx, db)
	return backend, databaseProblem(err)
}

func (t *databaseTarget) found(ctx context.Context, id string) (whole, named bool, err error) {
	backend, err := t.connect(ctx)
	if err != nil {
		return false, false, err
	}
	meta, err := backend.Meta(ctx)
	if err == nil && len(meta[metaCopying]) > 0 {
		var note moveNote
		note, err = readNote(meta[metaCopying])
		whole = note.Copy == id && note.Whole
	}
	return whole, string(meta[metaCopied]) == id, errors.Join(err, backend.Close())
}

func (t *databaseTarget) free(ctx context.Context) error {
	backend, err := t.connect(ctx)
	if err != nil {
		return err
	}
	meta, err := backend.Meta(ctx)
	if err == nil {
		delete(meta, metaCopying)
		if len(meta) > 0 {
			err = t.notEmpty(meta)
		}
	}
	if others, othersErr := backend.Others(ctx); err == nil && (len(others) > 0 || othersErr != nil) {
		err = errors.Join(t.inUse(), othersErr)
	}
	return errors.Join(err, backend.Close())
}

func (t *databaseTarget) notEmpty(meta map[string][]byte) error {
	what := "holds records already"
	if id := meta[metaDeployment]; len(id) > 0 {
		what = fmt.Sprintf("holds the deployment %s already", id)
	}
	if len(meta[metaMoved]) > 0 {
		what = fmt.Sprintf("still holds the deployment %s, which was moved away from it", meta[metaDeployment])
	}
	return problem(fmt.Sprintf("the %s %s, and a copy replaces nothing", t.in.database().Place(), what),
		"Name another database, or another schema of it (…?search_path=NAME). Nothing was changed.", nil)
}

func (t *databaseTarget) inUse() error {
	return problem(fmt.Sprintf("nodes, or another copy, use the %s", t.in.database().Place()),
		"Stop them. After one that was killed, wait until its lease has run out. Nothing was changed.", nil)
}

func (t *databaseTarget) vacate(ctx context.Context, note moveNote) error {
	backend, err := t.connect(ctx)
	if err != nil {
		return err
	}
	err = backend.Vacate(ctx, metaCopying, note.encode())
	switch {
	case errors.Is(err, postgres.ErrNotEmpty):
		err = t.notEmpty(nil)
	case errors.Is(err, postgres.ErrInUse):
		err = t.inUse()
	}
	return errors.Join(err, backend.Close())
}

func (t *databaseTarget) settle(ctx context.Context, note moveNote, _ map[string][]byte) error {
	note.Whole = true
	return t.setMeta(ctx, map[string][]byte{metaCopying: note.encode()})
}

func (t *databaseTarget) name(ctx context.Context, id string, meta map[string][]byte) error {
	if _, named, err := t.found(ctx, id); named || err != nil {
		return err
	}
	meta[metaCopied], meta[metaCopying] = []byte(id), nil
	return t.setMeta(ctx, meta)
}

func (t *databaseTarget) setMeta(ctx context.Context, meta map[string][]byte) error {
	backend, err := t.connect(ctx)
	if err != nil {
		return err
	}
	return errors.Join(backend.SetMeta(ctx, meta), backend.Close())
}
