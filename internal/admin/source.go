package admin

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Source is the audit trail as it can be asked. A server answers from its open
// journal, the command line from a stopped server's folder; [Client] is a Source
// that asks a server over its socket.
//
// Implementations are safe for concurrent use. They show no record that is not
// on stable storage, and hold no lock while they call emit: a reader behind a
// pager may let emit wait for as long as it likes. When emit fails, the method
// stops and returns emit's error. The line handed to emit is one JSON object
// without a newline and belongs to the Source again when emit returns. A method
// whose ctx ends returns its error.
type Source interface {
	// Tail emits the newest n records, oldest first. With follow it then emits
	// each further record when it is durable, and returns only when ctx ends.
	Tail(ctx context.Context, n int, follow bool, emit func(line []byte) error) error
	// Search emits the records that f lets through, oldest first.
	Search(ctx context.Context, f Filter, emit func(line []byte) error) error
	// Export emits the records that f lets through, oldest first, in the form
	// that Verify of an export takes: each with what proves its place.
	Export(ctx context.Context, f Filter, emit func(line []byte) error) error
	// Verify checks the whole trail. A trail that is not whole is no error: it is
	// a Report whose Fault says what is wrong. progress is called now and then,
	// from one goroutine, and may be nil.
	Verify(ctx context.Context, opts VerifyOptions, progress func(Progress)) (Report, error)
	// KeyReport emits a [KeyFinding] for each key that was not used in the last so
	// many days, that is not rotated and could be, or that is about to be deleted
	// and still used.
	KeyReport(ctx context.Context, days int, emit func(line []byte) error) error
}

// VerifyOptions are what a trail is checked against beyond what lies beside it.
type VerifyOptions struct {
	// PublicKey is a PEM block; if empty, the key that lies in the data folder.
	PublicKey []byte
	// Checkpoint is a signed checkpoint that was kept elsewhere. A trail that
	// ends before it has been cut. If empty, only the folder's own are used.
	Checkpoint []byte
}

// Progress says how far a verification has come, in records.
type Progress struct {
	Done uint64 `json:"done"`
	// Total is 0 when it is not known.
	Total uint64 `json:"total"`
}

// Report is the outcome of a verification.
type Report struct {
	Records     uint64 `json:"records"`
	Frames      uint64 `json:"frames"`
	Checkpoints uint64 `json:"checkpoints"`
	// Unanchored counts the records after the newest checkpoint: chained, and
	// not yet signed for.
	Unanchored uint64 `json:"unanchored"`
	// Removed counts the records that retention has removed before these, as the
	// trail itself says.
	Removed uint64 `json:"removed,omitempty"`
	// Checkpoint is the newest checkpoint, in the form that VerifyOptions takes.
	Checkpoint string `json:"checkpoint,omitempty"`
	// Fault is the first thing that is wrong; nil when nothing is missing or
	// changed.
	Fault *Fault `json:"fault,omitempty"`
	// Stored is how many records and index entries the database holds; 0 for an
	// export. Changed says which of them were changed, removed or put back behind
	// the server's back; empty when none was.
	Stored  uint64   `json:"stored,omitempty"`
	Changed []string `json:"changed,omitempty"`
}

// Fault is the first thing that is wrong with a trail.
type Fault struct {
	// Record is the 1-based place of the first bad record in its stream; 0 when
	// the fault is not in a record.
	Record uint64 `json:"record,omitempty"`
	// EventID is that record's eventID when it can be read.
	EventID string `json:"eventID,omitempty"`
	// Problem says what is wrong, as the end of "record 12 …".
	Problem string `json:"problem"`
}

// AdminEvent is one request over the admin socket, as it is to be recorded.
type AdminEvent struct {
	// Name is the command's: AuditTail, CreateAccount, PutTrailBucket.
	Name string
	// Peer is who asks, as the kernel states it.
	Peer
	Time     time.Time
	ReadOnly bool
	// Params are the request's parameters with lowerCamelCase names. They hold no
	// secret.
	Params map[string]string
}

// MaxTail is the most records that one Tail is asked for.
const MaxTail = 100_000

// ErrNotRunning says that no server answers on a data folder's socket.
var ErrNotRunning = errors.New("no server is running on this data folder")

// Error is an answer of the server that refuses or breaks off a request.
type Error struct {
	Message string `json:"error"`
	Advice  string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Hint says what to do about it; it may be empty.
func (e *Error) Hint() string { return e.Advice }

// checkTail refuses a count that Tail does not take.
func checkTail(n int) error {
	if n < 0 || n > MaxTail {
		return fmt.Errorf("tail of %d records: want 0 to %d; for more, use export", n, MaxTail)
	}
	return nil
}
