package seal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/strongroom/strongroom/internal/secret"
)

// FileRoot is a root of trust in a file: 32 random bytes and nothing else, owned
// by the user that runs the process, readable and writable by nobody else. It is
// safe for concurrent use.
type FileRoot struct {
	path  string
	local LocalKey
}

var _ Root = (*FileRoot)(nil)

// CreateFileRoot makes a new root at path, whose folder must exist, and returns
// once it is on stable storage. The file appears whole or not at all, and one
// that is there is never replaced: ErrRootExists. A first start that finds one,
// because an earlier one was stopped before it had stored its slots, opens that.
// randomness gives the root and the salts, and must be safe for concurrent use; if
// nil, crypto/rand.Reader.
func CreateFileRoot(path string, randomness io.Reader) (*FileRoot, error) {
	if randomness == nil {
		randomness = rand.Reader
	}
	key := make(secret.Bytes, keySize)
	if _, err := io.ReadFull(randomness, key); err != nil {
		return nil, fmt.Errorf("seal: making a root: %w", err)
	}
	// The root is written under a name of its own and linked into place, so that a
	// crash leaves no half of it and of two creates one wins. What a crash leaves
	// under the other name is harmless: nothing was ever wrapped with it.
	unfinished, err := writeSynced(path, key)
	if err == nil {
		err = os.Link(unfinished, path)
	}
	if unfinished != "" {
		if removeErr := os.Remove(unfinished); err == nil {
			err = removeErr
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, &Error{
			problem: fmt.Sprintf("%s exists already, and a root is never overwritten", path),
			hint:    "Start on the data that belongs to it, or choose another place for the new root.",
			err:     ErrRootExists,
		}
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("seal: making the root: %w", err)
	}
	return newFileRoot(path, key, randomness)
}

// OpenFileRoot opens the root at path. It creates nothing. Errors:
// ErrRootMissing, ErrRootUnsafe (a symbolic link or another special file, another
// owner, any permission for group or others) and ErrRootMalformed (not 32 bytes),
// each with a hint, or the system's. randomness gives the salts, and must be safe
// for concurrent use; if nil, crypto/rand.Reader.
func OpenFileRoot(path string, randomness io.Reader) (*FileRoot, error) {
	if randomness == nil {
		randomness = rand.Reader
	}
	// O_NOFOLLOW refuses a link, O_NONBLOCK keeps a pipe from hanging the start.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{
			problem: fmt.Sprintf("the root of this deployment is missing: there is no file %s", path),
			hint:    "Put the root back from where you keep its copy, and make it yours alone:\n  chmod 600 " + quote(path) + "\nWithout it this deployment's keys cannot be opened. Nothing was created.",
			err:     ErrRootMissing,
		}
	case errors.Is(err, syscall.ELOOP):
		return nil, &Error{
			problem: fmt.Sprintf("%s is a symbolic link, and a root must be a file", path),
			hint:    "Name the file that it points to, or move that file here:\n  ls -l " + quote(path),
			err:     ErrRootUnsafe,
		}
	case errors.Is(err, fs.ErrPermission):
		return nil, &Error{
			problem: fmt.Sprintf("this user may not read the root %s", path),
			hint:    "Start as the user that owns it:\n  ls -l " + quote(path),
			err:     ErrRootUnsafe,
		}
	case err != nil:
		return nil, fmt.Errorf("seal: opening the root: %w", err)
	}
	defer f.Close()
	if err := checkFile(f, path); err != nil {
		return nil, err
	}
	key := make(secret.Bytes, keySize+1)
	n, err := io.ReadFull(f, key)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("seal: reading the root: %w", err)
	}
	if n != keySize {
		return nil, malformed(path)
	}
	return newFileRoot(path, key[:keySize], randomness)
}

// checkFile refuses a file that others could read or replace. It looks at the
// opened file, so that there is no moment between check and use.
func checkFile(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("seal: looking at the root: %w", err)
	}
	if !info.Mode().IsRegular() {
		return &Error{
			problem: fmt.Sprintf("%s is not a plain file, and a root must be one", path),
			hint:    "Look at what is there:\n  ls -ld " + quote(path),
			err:     ErrRootUnsafe,
		}
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return &Error{
			problem: fmt.Sprintf("the root %s belongs to user %d, but this process runs as user %d", path, st.Uid, os.Geteuid()),
			hint:    "Start as the user that owns it, or hand it over:\n  chown " + fmt.Sprint(os.Geteuid()) + " " + quote(path),
			err:     ErrRootUnsafe,
		}
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return &Error{
			problem: fmt.Sprintf("the root %s has mode %04o: others than its owner may use it", path, perm),
			hint:    "If nobody can have read it, make it yours alone:\n  chmod 600 " + quote(path),
			err:     ErrRootUnsafe,
		}
	}
	if info.Size() != keySize {
		return malformed(path)
	}
	return nil
}

func malformed(path string) error {
	return &Error{
		problem: fmt.Sprintf("%s is not a root: a root has exactly %d bytes", path, keySize),
		hint:    "Put the root back from where you keep its copy:\n  wc -c " + quote(path),
		err:     ErrRootMalformed,
	}
}

func newFileRoot(path string, key secret.Bytes, randomness io.Reader) (*FileRoot, error) {
	local, err := NewLocalKey(KindFile, key, randomness)
	if err != nil {
		return nil, err
	}
	return &FileRoot{path: path, local: local}, nil
}

// ID implements [Root]: "file:" and 32 hex digits that are derived from the root,
// so that it may be moved and is recognised.
func (r *FileRoot) ID() string { return r.local.id }

// Describe implements [Root].
func (r *FileRoot) Describe() string { return "the file " + r.path }

// Wrap implements [Root].
func (r *FileRoot) Wrap(_ context.Context, plaintext secret.Bytes, place Place) ([]byte, error) {
	return r.local.Wrap(plaintext, place)
}

// Unwrap implements [Root]. Its only error is ErrUnwrap.
func (r *FileRoot) Unwrap(_ context.Context, wrapped []byte, place Place) (secret.Bytes, error) {
	return r.local.Unwrap(wrapped, place)
}

// Format implements fmt.Formatter: fmt would print unexported fields raw.
func (r *FileRoot) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.Describe()) }

// writeSynced writes b to a new file beside path, which only this user may use,
// and returns its name as soon as there is such a file.
func writeSynced(path string, b []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return f.Name(), err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// quote returns path as a shell takes it.
func quote(path string) string {
	quoted := []byte{'\''}
	for i := range len(path) {
		if path[i] == '\'' {
			quoted = append(quoted, `'\''`...)
		} else {
			quoted = append(quoted, path[i])
		}
	}
	return string(append(quoted, '\''))
}
