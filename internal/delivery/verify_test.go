package delivery

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

func TestVerifyFolder(t *testing.T) {
	h := kit(t, t)
	dir := t.TempDir()
	if err := h.PutDestination(t.Context(), Destination{Bucket: "a-folder", Folder: dir}, nil, nil); err != nil {
		t.Fatal(err)
	}
	h.change(func(_ *store.Tx, trail *Trail) error { trail.Bucket, trail.MultiRegion = "a-folder", false; return nil })
	h.start()
	for range 3 {
		h.event(home, nil)
		h.round()
		h.clock.Advance(time.Hour)
		h.round()
	}
	h.event(home, nil)
	h.round() // in no digest yet
	published, err := h.PublicKeys(t.Context(), home)
	if err != nil || len(published) != 1 {
		t.Fatalf("%v, %v", published, err)
	}
	public := map[string][]byte{published[0].Fingerprint: published[0].Value}
	whole := fstest.MapFS{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var body []byte
			body, err = os.ReadFile(filepath.Join(dir, path))
			whole[path] = &fstest.MapFile{Data: body}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := VerifyFolder(whole, public); err != nil || got != (Verified{Digests: 3, Files: 3, Undigested: 1}) {
		t.Fatalf("%+v, %v", got, err)
	}
	var digests, files []string
	for _, key := range slices.Sorted(maps.Keys(whole)) {
		switch {
		case strings.HasSuffix(key, metadataSuffix):
		case strings.Contains(key, "Digest"):
			digests = append(digests, key)
		default:
			files = append(files, key)
		}
	}
	other := func(key string) *fstest.MapFile {
		text := unzip(t, whole[key].Data)
		text[len(text)/2] ^= 1
		zipped, err := compress(text)
		if err != nil {
			t.Fatal(err)
		}
		return &fstest.MapFile{Data: zipped}
	}
	// The last file is in no digest; what happens to it shows nowhere.
	for name, tamper := range map[string]func(f fstest.MapFS){
		"a file changed":             func(f fstest.MapFS) { f[files[1]] = other(files[1]) },
		"a file removed":             func(f fstest.MapFS) { delete(f, files[0]) },
		"two files swapped":          func(f fstest.MapFS) { f[files[0]], f[files[2]] = f[files[2]], f[files[0]] },
		"no gzip":                    func(f fstest.MapFS) { f[files[0]] = &fstest.MapFile{Data: []byte("x")} },
		"a digest changed":           func(f fstest.MapFS) { f[digests[2]] = other(digests[2]) },
		"a digest dropped":           func(f fstest.MapFS) { delete(f, digests[1]) },
		"the first digest dropped":   func(f fstest.MapFS) { delete(f, digests[0]) },
		"two digests swapped":        func(f fstest.MapFS) { f[digests[0]], f[digests[1]] = f[digests[1]], f[digests[0]] },
		"a signature removed":        func(f fstest.MapFS) { delete(f, digests[1]+metadataSuffix) },
		"another digest's signature": func(f fstest.MapFS) { f[digests[2]+metadataSuffix] = f[digests[1]+metadataSuffix] },
		"a digest put between": func(f fstest.MapFS) {
			added := strings.Replace(digests[1], "Z.json", "Y.json", 1)
			f[added], f[added+metadataSuffix] = f[digests[1]], f[digests[1]+metadataSuffix]
		},
	} {
		changed := maps.Clone(whole)
		tamper(changed)
		var fault *FaultError
		if got, err := VerifyFolder(changed, public); !errors.As(err, &fault) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	var fault *FaultError
	if _, err := VerifyFolder(whole, nil); !errors.As(err, &fault) || !strings.Contains(fault.Problem, "a key that was not given") {
		t.Errorf("without a key: %v", err)
	}
}
