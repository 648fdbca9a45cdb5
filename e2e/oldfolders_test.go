package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/cockroachdb/pebble/v2"
)

// oldFolders are data folders that earlier versions have made, each with a root of its
// own that is nobody else's. They are named after the commit. To make another:
//
//	git worktree add ../old COMMIT && (cd ../old && go build -o strongroom ./cmd/strongroom)
//	go test ./e2e -run '^TestOldFolders$' -binary ../old/strongroom -make-old-folder COMMIT
const oldFolders = "testdata/folders"

var makeOldFolder = flag.String("make-old-folder", "", "make the data folder of a `commit` with the binary, instead of testing those that there are")

// kept is what a folder in [oldFolders] is expected to hold.
type kept struct {
	Proofs []keptProof
	// Disabled is a ciphertext of a key that was disabled, Alias leads to the first
	// key.
	Disabled []byte
	Alias    string
	// Records is how many audit records there are at least.
	Records int
}

type keptProof struct {
	Key, Region                     string
	Ciphertext, RSA, MAC, Signature []byte
}

// TestOldFolders: this version opens what earlier ones have left, and everything that
// their keys have made.
func TestOldFolders(t *testing.T) {
	if *makeOldFolder != "" {
		makeFolder(t, filepath.Join(oldFolders, *makeOldFolder+".tar.gz"))
		return
	}
	archives, err := filepath.Glob(filepath.Join(oldFolders, "*.tar.gz"))
	if err != nil || len(archives) < 2 {
		t.Fatalf("there are %d folders of earlier versions, %v", len(archives), err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".tar.gz"), func(t *testing.T) { openOldFolder(t, archive) })
	}
	t.Run("of a newer version", func(t *testing.T) { refuseNewerFolder(t, archives[0]) })
}

func openOldFolder(t *testing.T, archive string) {
	dir := t.TempDir()
	has := unpack(t, archive, dir)
	data := filepath.Join(dir, "data")
	// As the upgrade of docs/operations.md has it: the trail is checked before and
	// after, and while the server runs.
	mustRun(t, "audit", "verify", "--data", data)
	s := startIn(t, data, "--regions", defaultRegion+","+secondRegion)
	for _, k := range has.Proofs {
		p := proof{key: k.Key, region: k.Region, ciphertext: k.Ciphertext, rsa: k.RSA, mac: k.MAC, signature: k.Signature}
		if err := p.check(t, s); err != nil {
			t.Errorf("key %s: %v", k.Key, err)
		}
	}
	c := kmsClient(t, s, defaultRegion)
	_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: has.Disabled})
	wantError(t, err, "DisabledException", "*")
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &has.Alias})
	if err != nil || *out.KeyMetadata.KeyId != has.Proofs[0].Key {
		t.Errorf("DescribeKey of %s: %v", has.Alias, err)
	}
	made := makeProofs(t, s, 1)
	verify(t, s)
	records, _ := export(t, s)
	if len(records) < has.Records+len(has.Proofs)+len(made) {
		t.Errorf("there are %d audit records; the folder came with %d", len(records), has.Records)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "audit", "verify", "--data", data)
	backup := filepath.Join(dir, "backup")
	mustRun(t, "backup", "create", backup, "--data", data)
	mustRun(t, "backup", "verify", backup, "--data", data)
	s = startIn(t, data, "--regions", defaultRegion+","+secondRegion)
	for _, p := range made {
		if err := p.check(t, s); err != nil {
			t.Error(err)
		}
	}
}

// refuseNewerFolder: a folder whose format this version does not know is refused by
// name, and left as it is.
func refuseNewerFolder(t *testing.T, archive string) {
	dir := t.TempDir()
	unpack(t, archive, dir)
	data := filepath.Join(dir, "data")
	format := func(n uint64) {
		t.Helper()
		db, err := pebble.Open(filepath.Join(data, "store"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
		if err != nil {
			t.Fatal(err)
		}
		key := []byte("mbackend/format")
		was, closer, err := db.Get(key)
		if err != nil || len(was) != 8 {
			t.Fatalf("the folder's format is %x, %v", was, err)
		}
		if err := errors.Join(closer.Close(), db.Set(key, binary.BigEndian.AppendUint64(nil, n), pebble.Sync), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	format(2)
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"audit", "verify"}, {"backup", "create", filepath.Join(dir, "backup")}, {"seal", "rotate"}} {
		result := strongroom(t, append(args, "--data", data)...)
		said := string(result.Stderr)
		if result.Code != 1 || !strings.Contains(said, "was written by a newer version of Strongroom") || !strings.Contains(said, "has format 2, this version knows 1") ||
			!strings.Contains(said, "hint: Start that version, or a newer one.") {
			t.Errorf("strongroom %s ended with %d: %s", args[0], result.Code, said)
		}
	}
	format(1)
	mustRun(t, "audit", "verify", "--data", data)
}

// quiet keeps Pebble's messages to itself.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, _ ...any) { panic(format) }

// makeFolder lets the binary, of an earlier version, make a folder. What it does not
// know yet is left out.
func makeFolder(t *testing.T, archive string) {
	s := start(t, "--regions", defaultRegion+","+secondRegion)
	var has kept
	for _, region := range []string{defaultRegion, secondRegion} {
		c := kmsClient(t, s, region)
		for i, make := range makers {
			p, err := make(t, c)
			if refusal := smithy.APIError(nil); i > 0 && errors.As(err, &refusal) {
				t.Logf("left out: %v", err)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			has.Proofs = append(has.Proofs, keptProof{p.key, region, p.ciphertext, p.rsa, p.mac, p.signature})
		}
	}
	c := kmsClient(t, s, defaultRegion)
	has.Alias = "alias/kept"
	if _, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &has.Alias, TargetKeyId: &has.Proofs[0].Key}); err != nil {
		t.Fatal(err)
	}
	disabled, err := makers[0](t, c)
	if err == nil {
		_, err = c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: aws.String(disabled.key)})
	}
	if err != nil {
		t.Fatal(err)
	}
	has.Disabled = disabled.ciphertext
	records, _ := export(t, s)
	has.Records = len(records)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	pack(t, archive, s.Data, has)
}

func pack(t *testing.T, archive, data string, has kept) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(has, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	squeezed, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(squeezed)
	add := func(name string, mode fs.FileMode, text []byte) error {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: int64(mode.Perm()), Size: int64(len(text))})
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	}
	err = add("kept.json", 0o644, text)
	if err == nil {
		err = fs.WalkDir(os.DirFS(data), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			text, err := os.ReadFile(filepath.Join(data, path))
			if err != nil {
				return err
			}
			return add("data/"+path, info.Mode(), text)
		})
	}
	if err := errors.Join(err, w.Close(), squeezed.Close(), os.WriteFile(archive, out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s has %d keys in %d bytes", archive, len(has.Proofs), out.Len())
}

func unpack(t *testing.T, archive, dir string) (has kept) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	squeezed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(squeezed); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return has
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err == nil && h.Name == "kept.json" {
			err = json.Unmarshal(text, &has)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, fs.FileMode(h.Mode))); err != nil {
			t.Fatal(err)
		}
	}
}
