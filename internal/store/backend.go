package store

import "context"

// Backend keeps raw bytes durably and in order. It knows nothing of what they
// mean: keys are built and values are sealed above it. One Store uses a Backend
// at a time; several Stores on several machines may use backends over one
// database, each of which is [Shared]: then Prepare tells them that another was
// faster.
//
// All methods are safe for concurrent use unless they say otherwise.
// Implementations are proved by package storetest.
type Backend interface {
	JournalReader

	// Meta returns all entries of the unsealed area: the little that must be
	// known before any key is, such as the deployment's id, the mark that tells a
	// dev from a production folder and the slots of the domain keys.
	Meta(ctx context.Context) (map[string][]byte, error)

	// SetMeta changes entries of the unsealed area, all of them or none, and
	// returns when they are durable. A nil value deletes. Names that begin with
	// "backend/" are the backend's own: they are not listed and are refused.
	SetMeta(ctx context.Context, changes map[string][]byte) error

	// Snapshot returns the state as the last successful Commit left it: never
	// anything of a commit that is under way, and after a restart never less than
	// what was acknowledged before it. The caller closes it.
	Snapshot(ctx context.Context) (Snapshot, error)

	// Ready returns nil when a commit could begin now: ErrFull when there is too
	// little space, and why after a failed Commit. It waits for no commit.
	Ready(ctx context.Context) error

	// Prepare is called before each Commit, by the goroutine that will commit.
	// base is the epoch of the state that the commit builds upon. It returns
	// ErrConflict when the stored epoch is another, and ErrFull when there is too
	// little space; then, as after any other error, nothing is changed and the
	// commit is not made. Between a nil answer and the Commit no other node can
	// change the epoch.
	Prepare(ctx context.Context, base uint64) error

	// Commit writes a batch, all or nothing, and returns when it is durable.
	// Calls are serial and each follows a successful Prepare. After an error it
	// is unknown whether the batch is durable; the Backend must then refuse every
	// later Prepare and Commit. A [Shared] one may instead find out that nothing was
	// written, and return ErrConflict.
	Commit(ctx context.Context, batch Batch) error

	// RemoveFrames removes the journal frames with a number of through or lower and
	// returns when that is durable. It may be called while a commit is made. A
	// through that is not lower than the last frame's number is refused, with nothing
	// changed: the stream goes on from there. After a crash or another error any of
	// the frames may be left, and the call may be made again; nothing but those
	// frames is changed by it.
	RemoveFrames(ctx context.Context, through uint64) error

	// Close gives the backend's resources back. Snapshots are closed before.
	Close() error
}

// Reserver is a Backend that refuses commits while there is still some space.
type Reserver interface {
	// PrepareUrgent is Prepare for a commit that may use half of what is kept in
	// reserve.
	PrepareUrgent(ctx context.Context, base uint64) error
}

// Snapshot is an unchanging state of a backend. It is safe for concurrent use.
type Snapshot interface {
	// Epoch returns the epoch of the last batch in this state; 0 when there is
	// none.
	Epoch() uint64

	// Get returns a copy of the value under key, or ErrNotFound.
	Get(key []byte) ([]byte, error)

	// Scan calls fn in byte order of the keys with from <= key < to until it
	// returns false. The slices are valid during the call only.
	Scan(from, to []byte, fn func(key, value []byte) bool) error

	// Close gives the snapshot back. Nothing is called afterwards.
	Close() error
}

// SeveralReader is a [Snapshot] that reads several records for less than one at a time.
type SeveralReader interface {
	// GetSeveral returns copies of the values under those keys that there are.
	GetSeveral(keys [][]byte) (map[string][]byte, error)
}

// Batch is what one commit writes.
type Batch struct {
	// Epoch is the epoch after this batch; it is not less than before.
	Epoch uint64
	// Writes are in the order in which they take effect: of two to one key the
	// later one holds.
	Writes []Write
	// Frame is the journal frame to keep under Seq; nil when the batch has none.
	// Seq is anything for the first frame, and the one before plus one for every
	// other; a backend refuses, and stops at, a frame that leaves a gap.
	Frame []byte
	Seq   uint64
}

// Write sets a key, or deletes it when Value is nil.
type Write struct {
	Key, Value []byte

	// What the write replaces, if the Update that made it has read that.
	before []byte // nil for nothing
	read   bool
}

// Journal frames the audit records of one commit. Package journal implements it.
type Journal interface {
	// Frame chains records, oldest first and possibly none (a checkpoint), onto
	// the stream and returns the frame that the backend writes under seq in the
	// same atomic commit. Calls are serial and in commit order; after an error or
	// a failed commit the process does not go on. records are valid during the call
	// only.
	Frame(records [][]byte) (seq uint64, frame []byte, err error)
}

// JournalReader reads the frames back. Every Backend is one.
type JournalReader interface {
	// LastFrame returns the frame with the highest number, or ErrNotFound.
	LastFrame(ctx context.Context) (seq uint64, frame []byte, err error)

	// Frames calls fn for each durable frame with a number of from or higher, in
	// order, until fn returns an error, which it returns. Frames committed or removed
	// after the call began may be left out. The slice is valid during the call only.
	Frames(ctx context.Context, from uint64, fn func(seq uint64, frame []byte) error) error
}
