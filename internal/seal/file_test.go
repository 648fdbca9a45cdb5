package seal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
)

func TestFileRootIsMadeOnceAndOpensAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	made, err := CreateFileRoot(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 || info.Size() != 32 {
		t.Errorf("the root has mode %v and %d bytes", info.Mode(), info.Size())
	}
	before, _ := os.ReadFile(path)
	_, err = CreateFileRoot(path, nil)
	wantHint(t, err, ErrRootExists)
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a second create changed the root")
	}
	opened, err := OpenFileRoot(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if opened.ID() != made.ID() || !bytes.Equal(opened.local.key[:], before) {
		t.Error("another root was opened than was made")
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("the folder holds %v", left)
	}
}

func TestCreateTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	var wg sync.WaitGroup
	made := make([]*FileRoot, 8)
	for i := range made {
		wg.Go(func() { made[i], _ = CreateFileRoot(path, nil) })
	}
	wg.Wait()
	opened, err := OpenFileRoot(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	winners := 0
	for _, r := range made {
		if r != nil {
			winners++
			if r.ID() != opened.ID() {
				t.Error("a root was returned that is not the one in the file")
			}
		}
	}
	if winners != 1 {
		t.Errorf("%d creates won", winners)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("the folder holds %v", left)
	}
}

func TestFileRootRefusals(t *testing.T) {
	good := bytes.Repeat([]byte{7}, 32)
	write := func(mode os.FileMode, b []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		put  func(*testing.T, string)
		want error
	}{
		{"missing", func(*testing.T, string) {}, ErrRootMissing},
		{"good", write(0o600, good), nil},
		{"read only", write(0o400, good), nil},
		{"group may read", write(0o640, good), ErrRootUnsafe},
		{"others may read", write(0o604, good), ErrRootUnsafe},
		{"group may write", write(0o620, good), ErrRootUnsafe},
		{"others may execute", write(0o601, good), ErrRootUnsafe},
		{"empty", write(0o600, nil), ErrRootMalformed},
		{"31 bytes", write(0o600, good[1:]), ErrRootMalformed},
		{"33 bytes", write(0o600, append([]byte{1}, good...)), ErrRootMalformed},
		{"folder", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, ErrRootUnsafe},
		{"pipe", func(t *testing.T, path string) { must(t, syscall.Mkfifo(path, 0o600)) }, ErrRootUnsafe},
		{"link", func(t *testing.T, path string) {
			write(0o600, good)(t, path+".real")
			must(t, os.Symlink(path+".real", path))
		}, ErrRootUnsafe},
		{"dangling link", func(t *testing.T, path string) { must(t, os.Symlink(path+".real", path)) }, ErrRootUnsafe},
		{"missing folder", func(t *testing.T, path string) { must(t, os.Remove(filepath.Dir(path))) }, ErrRootMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "the data", "root.key")
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			c.put(t, path)
			before, _ := os.ReadDir(filepath.Dir(path))
			_, err := OpenFileRoot(path, nil)
			if c.want == nil {
				must(t, err)
				return
			}
			wantHint(t, err, c.want)
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name %s", err, path)
			}
			if after, _ := os.ReadDir(filepath.Dir(path)); len(after) != len(before) {
				t.Errorf("opening made %v of %v", after, before)
			}
		})
	}
}

// TestFileRootOfAnotherUser gives a file away where it may, and otherwise takes
// one that belongs to root.
func TestFileRootOfAnotherUser(t *testing.T) {
	path := "/etc/passwd"
	if os.Geteuid() == 0 {
		path = filepath.Join(t.TempDir(), "root.key")
		if _, err := CreateFileRoot(path, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 1, -1); err != nil {
			t.Fatal(err)
		}
	}
	_, err := OpenFileRoot(path, nil)
	wantHint(t, err, ErrRootUnsafe)
	if err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("the refusal is not about the owner: %v", err)
	}
}

func TestCreateWithoutFolderOrRandomness(t *testing.T) {
	if _, err := CreateFileRoot(filepath.Join(t.TempDir(), "no", "root.key"), nil); err == nil {
		t.Error("a root was made in no folder")
	}
	path := filepath.Join(t.TempDir(), "root.key")
	if _, err := CreateFileRoot(path, strings.NewReader("short")); err == nil {
		t.Error("a root was made of 5 bytes")
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a file was made all the same")
	}
}

func TestWrap(t *testing.T) {
	root, other := mustFileRoot(t), mustFileRoot(t)
	ctx := context.Background()
	plaintext := secret.Bytes("thirty-two bytes of domain key!!")
	wrapped, err := root.Wrap(ctx, plaintext, Place{"d", 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := root.Unwrap(ctx, wrapped, Place{"d", 1}); err != nil || !got.Equal(plaintext) {
		t.Fatalf("Unwrap: %v", err)
	}
	again, err := root.Wrap(ctx, plaintext, Place{"d", 1})
	if err != nil || bytes.Equal(again, wrapped) {
		t.Errorf("wrapping twice gives one result (%v)", err)
	}
	refused := func(what string, r *FileRoot, wrapped []byte, place Place) {
		t.Helper()
		if _, err := r.Unwrap(ctx, wrapped, place); !errors.Is(err, ErrUnwrap) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("another aad", root, wrapped, Place{"d", 2})
	refused("another root", other, wrapped, Place{"d", 1})
	refused("extended", root, append(bytes.Clone(wrapped), 0), Place{"d", 1})
	for i := range wrapped {
		refused("cut", root, wrapped[:i], Place{"d", 1})
		for bit := range 8 {
			changed := bytes.Clone(wrapped)
			changed[i] ^= 1 << bit
			refused("changed", root, changed, Place{"d", 1})
		}
	}
	short := &FileRoot{local: LocalKey{id: root.local.id, kind: KindFile, key: root.local.key, rand: strings.NewReader("")}}
	if _, err := short.Wrap(ctx, plaintext, Place{"d", 1}); err == nil {
		t.Error("Wrap went without a salt")
	}
}

func TestQuote(t *testing.T) {
	for path, want := range map[string]string{"/a b": "'/a b'", "/it's": `'/it'\''s'`, "": "''"} {
		if got := quote(path); got != want {
			t.Errorf("quote(%q) = %s, want %s", path, got, want)
		}
	}
}
