// Package pebble is the store's embedded backend: one folder, one process, on
// Pebble, a log-structured merge tree in Go.
//
// It promises what [store.Backend] asks for: a commit is one Pebble batch,
// written to the write-ahead log and synced before it is acknowledged; snapshots
// show whole commits only, and only synced ones; bytes that do not match their
// checksum are store.ErrCorrupt.
//
// It answers a failing disk so: when space runs out, commits are refused while
// the folder can still be written to (Config.Reserve); when a write or a sync
// fails, nothing is acknowledged any more and Config.Fatal ends the process,
// because what a disk holds after a failed sync can't be known. The next start
// finds every commit that was acknowledged, and of the last one all or nothing.
//
// It does not keep its contents from whoever can read the folder: sealing is done
// above it. Nor does it notice when the whole folder is put back to an older
// state; for that the journal's checkpoints are kept elsewhere.
package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strongroom/strongroom/internal/store"
)

// Config says where a backend is and what it may use.
type Config struct {
	// Dir must be set: the folder, made with mode 0700 if it isn't there.
	Dir string

	// FS is the file system; if nil, the machine's.
	FS vfs.FS

	// Cache bounds the memory for blocks read from disk, in bytes; if 0, 8 MiB.
	// About 20 MiB more are used for recent writes under load.
	Cache int64

	// Reserve is the free space, in bytes, below which commits are refused with
	// store.ErrFull; if 0, 256 MiB. It must leave room for merging files in the
	// background, which needs space before it frees some: a delete is refused
	// like any other commit. With less than a quarter of it free the folder is not
	// opened either, because opening writes, and what it cannot write ends the
	// process. A file system that can't tell its free space is not
	// watched.
	Reserve uint64

	// Fatal is called once when Pebble finds that it can't go on, such as after a
	// failed sync; see store.Config.Fatal, which should be the same. If nil,
	// store.Exit.
	Fatal func(error)

	// Log receives Pebble's own messages, which name files and sizes only; if
	// nil, slog.Default.
	Log *slog.Logger
}

// format is the number of the layout of keys and values within the folder.
const format = 1

// The areas of the key space.
const (
	areaJournal = 'j' // then the frame's number, 8 bytes big-endian
	areaMeta    = 'm' // then the name
	areaRecord  = 'r' // then the store's key
)

const (
	reserved   = "backend/"
	metaFormat = reserved + "format"
	metaEpoch  = reserved + "epoch"
)

// Backend is an open folder. It implements store.Backend.
type Backend struct {
	cfg  Config
	db   *pebble.DB
	lock *pebble.Lock

	failure failure

	mu        sync.Mutex // held while something is written, so that no one sees it before it is synced
	committed uint64     // the folder's epoch; nobody else writes to it

	frames frames
}

var _ store.Backend = (*Backend)(nil)

// Open opens a folder, or makes it. It returns store.ErrLocked when another
// process has it open, store.ErrFull when there is no room for what opening it
// writes, store.ErrNewerFormat when a newer Strongroom wrote it, and
// store.ErrCorrupt when it can't be read back.
func Open(cfg Config) (_ *Backend, err error) {
	if cfg.Dir == "" {
		return nil, errors.New("pebble: Config.Dir must be set")
	}
	if cfg.FS == nil {
		cfg.FS = machine
	}
	if cfg.Cache == 0 {
		cfg.Cache = 8 << 20
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = 256 << 20
	}
	if cfg.Fatal == nil {
		cfg.Fatal = store.Exit
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("pebble: making the folder: %w", err)
	}
	b := &Backend{cfg: cfg}
	if b.lock, err = lockFolder(cfg); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.lock.Close())
		}
	}()
	if err = cfg.room(cfg.Reserve / 4); err != nil {
		return nil, err
	}
	if err = b.openOrMake(); err != nil {
		return nil, fmt.Errorf("pebble: opening %s: %w", cfg.Dir, corruption(err))
	}
	if err := errors.Join(b.checkFormat(), b.findEpoch(), b.findLastFrame(), b.failure.get()); err != nil {
		return nil, errors.Join(err, b.db.Close())
	}
	return b, nil
}

// openDB turns the panics that Pebble answers some failures of the disk with into
// errors.
func openDB(dir string, opts *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%v", p)
		}
	}()
	return pebble.Open(dir, opts)
}

func lockFolder(cfg Config) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.FS)
	var path *fs.PathError
	switch {
	case errors.As(err, &path): // the lock file can't be made
		return nil, fmt.Errorf("pebble: locking %s: %w", cfg.Dir, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %v", store.ErrLocked, cfg.Dir, err)
	}
	return lock, nil
}

// memTable is the size of what Pebble keeps in memory before it writes a table. It
// counts those that it fills, writes and has ready against its cache, so that a cache
// of their size would hold no block.
const memTable = 8 << 20

func (b *Backend) options() *pebble.Options {
	opts := &pebble.Options{
		FS:                          b.cfg.FS,
		Lock:                        b.lock,
		Logger:                      logger{b},
		CacheSize:                   b.cfg.Cache + 3*memTable,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                256,
		// A block that can't be read is an error of the read that met it, not the
		// end of the process.
		EventListener: &pebble.EventListener{
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				b.cfg.Log.Error("pebble: corrupt file", "path", info.Path, "details", info.Details)
			},
			BackgroundError: func(err error) {
				b.cfg.Log.Error("pebble: work in the background failed and is tried again", "error", err)
			},
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	// Sealed bytes can't be compressed.
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return opts
}

// checkFormat marks a new folder and refuses a newer or foreign one.
func (b *Backend) checkFormat() error {
	raw, err := b.read(b.db, metaKey(metaFormat))
	if errors.Is(err, store.ErrNotFound) {
		it, err := b.db.NewIter(nil)
		if err != nil {
			return corruption(err)
		}
		foreign := it.First()
		if err := it.Close(); err != nil {
			return corruption(err)
		}
		if foreign {
			return fmt.Errorf("pebble: %s holds a database that is not Strongroom's", b.cfg.Dir)
		}
		return b.db.Set(metaKey(metaFormat), binary.BigEndian.AppendUint64(nil, format), pebble.Sync)
	}
	if err != nil {
		return err
	}
	if len(raw) != 8 {
		return fmt.Errorf("%w: the format number of %s", store.ErrCorrupt, b.cfg.Dir)
	}
	if found := binary.BigEndian.Uint64(raw); found != format {
		return fmt.Errorf("%w: %s has format %d, this version knows %d", store.ErrNewerFormat, b.cfg.Dir, found, format)
	}
	return nil
}

// Close implements store.Backend. After a failure it leaves the folder as it is:
// the next start recovers it.
func (b *Backend) Close() error {
	if err := b.failure.get(); err != nil {
		return err
	}
	return errors.Join(b.db.Close(), b.lock.Close())
}

// read returns a copy of the value under a Pebble key.
func (b *Backend) read(from pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, corruption(err)
	}
	out := append(make([]byte, 0, len(value)), value...)
	return out, closer.Close()
}

// scan calls fn for the entries under from <= key < to until it returns false.
func scan(in pebble.Reader, from, to []byte, fn func(key, value []byte) bool) (err error) {
	it, err := in.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return corruption(err)
	}
	defer func() { err = errors.Join(err, closeIter(it)) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return corruption(err)
		}
		if !fn(it.Key(), value) {
			return nil
		}
	}
	return nil // closing reports what ended the loop
}

func closeIter(it io.Closer) error {
	if err := it.Close(); err != nil {
		return corruption(err)
	}
	return nil
}

// corruption turns Pebble's word for damaged bytes into the store's.
func corruption(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %v", store.ErrCorrupt, err)
	}
	return err
}

func metaKey(name string) []byte { return append([]byte{areaMeta}, name...) }

func frameKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{areaJournal}, seq)
}

// afterFrames is above every frame's key.
var afterFrames = append(frameKey(math.MaxUint64), 0)
