package store

import (
	"errors"
	"fmt"
)

// What a call to a store may be refused with. Compare with errors.Is: each is
// wrapped in what happened.
var (
	// ErrNotFound says that there is no such record, frame or entry.
	ErrNotFound = errors.New("store: not found")

	// ErrCorrupt says that stored bytes are not what was stored: flipped, cut,
	// put under another key, or forged. The error names where, never what.
	ErrCorrupt = errors.New("store: corrupt")

	// ErrNewerSchema says that a record was written by a newer Strongroom than
	// this one, whose meaning this one cannot know.
	ErrNewerSchema = errors.New("store: record of a newer schema")

	// ErrNewerFormat says that a whole data folder was written by a newer
	// Strongroom than this one.
	ErrNewerFormat = errors.New("store: made by a newer version of Strongroom")

	// ErrLocked says that another process has the data folder open.
	ErrLocked = errors.New("store: in use by another process")

	// ErrFull says that space runs out, so that nothing was done. It goes away by
	// itself when there is space again; the call may be retried as it is.
	ErrFull = errors.New("store: not enough free space")

	// ErrUnavailable says that the database that the records are in can't be reached,
	// or that this node has been without it for so long that it may not answer by
	// what it knows. Nothing was done; the call may be retried as it is.
	ErrUnavailable = errors.New("store: the database is not available")

	// ErrOutrun says that this node was away for so long that the database no longer
	// remembers all that changed meanwhile. The process must not go on with what it
	// has in memory.
	ErrOutrun = errors.New("store: too much has changed while this node was away")

	// ErrUnknown says that the caller stopped waiting, or the commit failed,
	// after the call had joined a commit: its effect may or may not be durable.
	// The call may be retried, and looked up by its request id, but never be
	// answered as done or as refused.
	ErrUnknown = errors.New("store: outcome unknown")

	// ErrStopped says that the store was closed, or that an earlier commit
	// failed; this call did nothing, and no later one will.
	ErrStopped = errors.New("store: stopped")

	// ErrConflict says that another node has committed since the state that a
	// commit was built upon. Backends return it from Prepare, and Shared ones from a
	// Commit that is known to have come to nothing; the store then runs its Update
	// functions again, so that callers never see it.
	ErrConflict = errors.New("store: conflict")

	// ErrNoJournal says that a record was appended to a store without a journal.
	ErrNoJournal = errors.New("store: no journal")

	// ErrTooLarge says that a transaction, a value or an audit record is beyond
	// the store's limits.
	ErrTooLarge = errors.New("store: too large")

	// ErrKey says that a scope, an id or an index value cannot be part of a key:
	// empty or too long, by itself or together with the others.
	ErrKey = errors.New("store: invalid key")

	// ErrLimit says that a scan was asked for less than one item.
	ErrLimit = errors.New("store: a scan's limit must be at least 1")

	// ErrFinished says that a Reader or Tx was used after the function that it
	// was handed to had returned.
	ErrFinished = errors.New("store: used after its function returned")
)

// corrupt returns an ErrCorrupt that says what is wrong with which key.
func corrupt(key []byte, what string) error {
	return fmt.Errorf("%w: %s: %s", ErrCorrupt, describeKey(key), what)
}
