package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
)

// What lies in a data folder.
const (
	rootFile        = "root.key"
	credentialsFile = "credentials"
	publicKeyFile   = "journal.pub"
	storeFolder     = "store"
)

// Entries of the store's unsealed area that describe the folder.
const (
	metaDeployment = "deployment" // its random id
	metaMode       = "mode"       // "dev" or "production"; never changes
	metaAccount    = "account"    // the account that it was made for
	metaSlots      = "slots"      // the domain key's keyslots
	metaRegions    = "regions"    // those of the last start, with commas
	metaPending    = "pending"    // sealed: the audit record of the last change of the slots, until it is in the journal
	metaSuspect    = "suspect"    // what a check of the records found; the next start looks again
)

const (
	modeDev        = "dev"
	modeProduction = "production"
)

// folder is an open data folder.
type folder struct {
	dir     string
	backend store.Backend
	// local is what a node of a database keeps to itself; nil for the embedded store.
	local  *pebble.Backend
	domain *seal.Domain
	slots  []byte // that the domain was opened with
	// root opens it. Once the folder is open it is asked for with currentRoot.
	root   seal.Root
	rootMu sync.Mutex
	// fresh says that this start made it.
	fresh bool
	mode  string
	// account is the one that it was made for; regions are those of the last start,
	// none if that start did not know of this yet.
	account string
	regions []string
	// skipEpochs is how far the epoch jumps: the folder is being restored.
	skipEpochs uint64

	recent journal.RecentKeys // of the frames of all its streams
}

func (f *folder) currentRoot() seal.Root {
	f.rootMu.Lock()
	defer f.rootMu.Unlock()
	return f.root
}

func (f *folder) setRoot(root seal.Root) {
	f.rootMu.Lock()
	defer f.rootMu.Unlock()
	f.root = root
}

// openFolder opens the data folder, or makes it where there is none. The mark
// that a folder is made is its deployment id in the store: whatever an
// interrupted first start left before that is used again.
func openFolder(ctx context.Context, cfg *Config) (*folder, error) {
	dir := cfg.DataDir
	// A root that cannot be had leaves no folder behind. The file is in the folder.
	var root seal.Root
	if _, err := os.Stat(filepath.Join(dir, storeFolder)); errors.Is(err, os.ErrNotExist) && cfg.Seal != string(seal.KindFile) && !cfg.folder().shared() {
		if root, err = cfg.folder().first(ctx, cfg.rand()); err != nil {
			return nil, err
		}
	}
	if err := claimFolder(cfg.folder()); err != nil {
		return nil, err
	}
	backend, local, err := cfg.openBackends(ctx, cfg.folder())
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir, backend: backend, local: local, mode: modeOf(cfg)}
	meta, err := backend.Meta(ctx)
	if err == nil {
		err = refuseMoved(cfg.folder(), meta)
	}
	if err == nil {
		if len(meta[metaDeployment]) == 0 {
			if err = neverMade(dir); err == nil {
				err = f.create(ctx, cfg, root)
			}
		} else {
			err = f.open(ctx, cfg, meta)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// neverMade refuses to make a deployment in a folder that held one: the journal's public
// key is written when there is a deployment. A store that is empty then has lost it, and
// a new one in its place would hide that.
func neverMade(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, publicKeyFile)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return problem(fmt.Sprintf("the data folder %s held a deployment, and its store is empty now: files of it are missing", dir),
		"Put the whole folder back from a copy, or restore a backup into another one: strongroom backup restore. Nothing was created.", store.ErrCorrupt)
}

// claimFolder makes the folder, or checks that an existing one is ours to use.
func claimFolder(in Folder) error {
	dir := in.Dir
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		if err := makeFolder(dir); err != nil {
			return problem(fmt.Sprintf("the data folder %s cannot be made", dir), "Choose a folder that you may write to with --data.", err)
		}
		return nil
	}
	if err != nil {
		return problem(fmt.Sprintf("the data folder %s cannot be read", dir), "Start as the user that owns it, or choose another with --data.", err)
	}
	if len(entries) > 0 && !holdsStore(dir) {
		if err := claimable(in, entries); err != nil {
			return err
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return problem(fmt.Sprintf("the data folder %s may be used by others (mode %04o)", dir, perm),
			"chmod 700 "+dir, nil)
	}
	return nil
}

// claimable refuses a folder without a store that is not one for a first start.
func claimable(in Folder, entries []os.DirEntry) error {
	dir := in.Dir
	if _, err := os.Stat(filepath.Join(dir, restoringFolder)); err == nil {
		return problem(fmt.Sprintf("a restore into %s was not finished", dir), "Run it again: strongroom backup restore FILE --data "+dir, nil)
	}
	if _, err := os.Stat(filepath.Join(dir, copyingFolder)); err == nil {
		return problem(fmt.Sprintf("a copy into %s was not finished", dir), "Run it again: strongroom store copy --data "+dir+" --to pebble, with the database as --store.", nil)
	}
	moved := movedFolder(in)
	switch {
	case moved == nil && !onlyUnfinished(entries):
		return problem(fmt.Sprintf("the folder %s holds files that are not Strongroom's", dir),
			"Choose an empty or a new folder with --data.", nil)
	case moved != nil && !in.shared(): // with a database, the folder becomes a node's
		return moved
	}
	return nil
}

// holdsStore tells whether a folder has records of its own, or is a node's.
func holdsStore(dir string) bool {
	for _, name := range []string{storeFolder, nodeFolder} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// makeFolder makes dir, and what is missing above it, so that a loss of power does
// not take the whole folder away again: a new folder is on stable storage when the
// folder that it is in is. Those that this user may not read are left to the system.
func makeFolder(dir string) error {
	made := []string{}
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, at := range made {
		if err := syncFolder(filepath.Dir(at)); err != nil && !errors.Is(err, os.ErrPermission) {
			return err
		}
	}
	return nil
}

// onlyUnfinished tells whether a folder holds nothing but what a first start
// writes before the store is there.
func onlyUnfinished(entries []os.DirEntry) bool {
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), rootFile) {
			return false
		}
	}
	return true
}

func openStore(log *slog.Logger, dir string) (store.Backend, error) {
	return openStoreOn(nil, log, dir)
}

// openStoreOn is openStore on another file system than the machine's.
func openStoreOn(files vfs.FS, log *slog.Logger, dir string) (store.Backend, error) {
	return openLocal(dir, pebble.Config{Dir: filepath.Join(dir, storeFolder), FS: files, Log: log, Fatal: store.Exit})
}

// openLocal opens a store within the data folder dir.
func openLocal(dir string, cfg pebble.Config) (*pebble.Backend, error) {
	backend, err := pebble.Open(cfg)
	switch {
	case errors.Is(err, store.ErrLocked):
		return nil, problem(fmt.Sprintf("another process has the data folder %s open", dir),
			"Stop it first, or choose another folder with --data.", err)
	case errors.Is(err, store.ErrFull):
		return nil, fullDisk(dir, err)
	case errors.Is(err, store.ErrNewerFormat):
		return nil, problem(fmt.Sprintf("the data folder %s was written by a newer version of Strongroom", dir),
			"Start that version, or a newer one.", err)
	}
	return backend, err
}

// fullDisk is the problem of a folder that cannot be opened or made for want of
// space.
func fullDisk(dir string, err error) error {
	return problem(fmt.Sprintf("there is too little space for the data folder %s", dir),
		"Make space there (df -h "+dir+" shows how much there is) and start again, or choose another folder with --data.", err)
}

// create makes a deployment. root is its root, if there is one already.
func (f *folder) create(ctx context.Context, cfg *Config, root seal.Root) (err error) {
	if root == nil {
		if root, err = cfg.folder().first(ctx, cfg.rand()); err != nil {
			return err
		}
	}
	deployment, err := newDeployment(cfg.rand())
	if err != nil {
		return err
	}
	domain, slots, err := seal.Create(ctx, root, deployment, cfg.rand())
	if err != nil {
		return err
	}
	f.domain, f.slots, f.root, f.fresh = domain, slots, root, true
	return f.createMeta(ctx, map[string][]byte{
		metaDeployment: []byte(deployment),
		metaMode:       []byte(f.mode),
		metaAccount:    []byte(cfg.Account),
		metaSlots:      slots,
		metaRegions:    []byte(strings.Join(cfg.Regions, ",")),
	})
}

func modeOf(cfg *Config) string {
	if cfg.Dev {
		return modeDev
	}
	return modeProduction
}

// openExisting opens a data folder that a server has made, whatever its mode, while
// no server has it.
func openExisting(ctx context.Context, in Folder) (*folder, error) {
	return openWith(ctx, in, func(f *folder, meta map[string][]byte) error { return f.unseal(ctx, in, rand.Reader, meta) })
}

// openWith is openExisting with another way to open the domain key.
func openWith(ctx context.Context, in Folder, unseal func(*folder, map[string][]byte) error) (*folder, error) {
	f, meta, err := openDescribed(ctx, in)
	if err != nil {
		return nil, err
	}
	if err = refuseMoved(in, meta); err == nil {
		err = unseal(f, meta)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// openDescribed opens a data folder that a server has made, and returns what its
// unsealed area says. The domain key stays sealed.
func openDescribed(ctx context.Context, in Folder) (*folder, map[string][]byte, error) {
	if err := errors.Join(in.Root.check(in.Seal), in.checkStore()); err != nil {
		return nil, nil, err
	}
	if !holdsStore(in.Dir) {
		moved := movedFolder(in)
		if moved != nil && in.shared() { // it becomes a node's
			return describe(ctx, in)
		}
		if moved != nil {
			return nil, nil, moved
		}
		return nil, nil, problem(fmt.Sprintf("%s is no data folder of Strongroom", in.Dir), "Name the data folder with --data.", nil)
	}
	return describe(ctx, in)
}

// describe is openDescribed for a folder that may become a node's.
func describe(ctx context.Context, in Folder) (*folder, map[string][]byte, error) {
	dir := in.Dir
	backend, local, err := (&Config{Log: slog.Default()}).openBackends(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	f := &folder{dir: dir, backend: backend, local: local}
	meta, err := backend.Meta(ctx)
	f.mode, f.account = string(meta[metaMode]), string(meta[metaAccount])
	if regions := string(meta[metaRegions]); regions != "" {
		f.regions = strings.Split(regions, ",")
	}
	if err == nil && len(meta[metaDeployment]) == 0 && len(meta[metaCopying]) == 0 {
		if in.shared() {
			err = problem(fmt.Sprintf("the %s holds no deployment", in.database().Place()), "Check --store.", nil)
		} else {
			err = problem(fmt.Sprintf("the first start of %s was interrupted; it holds nothing yet", dir), "strongroom serve --data "+dir, nil)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.close())
	}
	return f, meta, nil
}

func (f *folder) open(ctx context.Context, cfg *Config, meta map[string][]byte) error {
	switch made := string(meta[metaMode]); {
	case made == f.mode:
	case made == modeDev:
		return problem(fmt.Sprintf("%s is the data folder of a dev server, whose keys anybody could use", f.dir),
			"Start with --dev, or choose another folder with --data.", nil)
	default:
		return problem(fmt.Sprintf("%s is a production data folder, and --dev would open it to anybody", f.dir),
			"Start without --dev, or choose another folder with --data.", nil)
	}
	if account := string(meta[metaAccount]); account != cfg.Account {
		return problem(fmt.Sprintf("the data folder %s belongs to account %s, not %s", f.dir, account, cfg.Account),
			"Start with --account "+account+".", nil)
	}
	if regions := strings.Join(cfg.Regions, ","); regions != string(meta[metaRegions]) {
		if err := f.backend.SetMeta(ctx, map[string][]byte{metaRegions: []byte(regions)}); err != nil {
			return err
		}
	}
	return f.unseal(ctx, cfg.folder(), cfg.rand(), meta)
}

func (f *folder) unseal(ctx context.Context, in Folder, rand io.Reader, meta map[string][]byte) error {
	known, err := seal.Read(meta[metaSlots])
	if err != nil {
		return err
	}
	if f.root, err = in.open(ctx, known, rand); err != nil {
		return f.rootProblem(in, err)
	}
	f.slots = meta[metaSlots]
	f.domain, err = seal.Open(ctx, f.root, f.slots)
	return err
}

// newDeployment returns the random id of a new deployment: 32 hex digits.
func newDeployment(rand io.Reader) (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", id), nil
}
