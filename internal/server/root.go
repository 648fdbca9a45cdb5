package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/seal/awskms"
	"github.com/strongroom/strongroom/internal/seal/pkcs11"
	"github.com/strongroom/strongroom/internal/secret"
)

// Folder is a data folder, and how it is opened.
type Folder struct {
	Dir string
	// Seal is the kind of the root of its keys: file, passphrase, aws-kms, pkcs11 or tpm.
	Seal string
	Root RootSettings
	// Store is where the records are: in the folder itself, "pebble" or "", or in the
	// database with this URL, to which Database applies.
	Store    string
	Database DatabaseSettings
}

// RootSettings say where a root is. Those of another kind than it has are not
// looked at.
type RootSettings struct {
	// File is the root file; if empty, the one in the folder. Roots are made in the
	// folder, whatever it says.
	File string
	// PassphraseFile holds the passphrase, with or without an end of line.
	PassphraseFile string
	// Ask gives the passphrase when there is no PassphraseFile; fresh says that it is
	// a new one. If nil, there is none.
	Ask func(fresh bool) (secret.Bytes, error)
	// KMSKey is a key of another KMS, at KMSEndpoint and in KMSRegion; see
	// [awskms.Settings].
	KMSKey, KMSEndpoint, KMSRegion string
	TPM                            TPMSettings
	// PKCS11 is the token that holds the root; see [PKCS11Settings].
	PKCS11 PKCS11Settings
	// HSMHelper is the command that loads PKCS #11 libraries; see hsm.Config. Without
	// one there are no HSMs.
	HSMHelper []string
}

// seals are the kinds of roots that a deployment can be made with.
var seals = []seal.Kind{seal.KindFile, seal.KindPassphrase, seal.KindAWSKMS, seal.KindPKCS11, seal.KindTPM}

func (r RootSettings) kms() awskms.Settings {
	return awskms.Settings{Key: r.KMSKey, Endpoint: r.KMSEndpoint, Region: r.KMSRegion}
}

// check says what is wrong with the settings of a kind of root, as a
// [*SettingError].
func (r RootSettings) check(kind string) error {
	if !slices.Contains(seals, seal.Kind(kind)) {
		names := make([]string, len(seals))
		for i, s := range seals {
			names[i] = string(s)
		}
		return refuse("seal", "", "there is no seal %q; there is: %s", kind, strings.Join(names, ", "))
	}
	switch seal.Kind(kind) {
	case seal.KindTPM:
		return r.TPM.check()
	case seal.KindPKCS11:
		return r.checkPKCS11()
	case seal.KindAWSKMS:
	default:
		return nil
	}
	if r.KMSKey == "" {
		return refuse("seal-kms-key", "for one: --seal-kms-key arn:aws:kms:eu-central-1:111122223333:key/… --seal-kms-endpoint https://kms.example.com",
			"the key that holds the root is not named")
	}
	if err := r.kms().Check(); err != nil {
		return refuse("seal-kms-endpoint", "", "%v", err)
	}
	return nil
}

// first makes the root of a new deployment. A file that is there already, from a
// first start that did not come to its end, is taken.
func (f Folder) first(ctx context.Context, rand io.Reader) (seal.Root, error) {
	if seal.Kind(f.Seal) == seal.KindFile {
		if root, err := seal.OpenFileRoot(filepath.Join(f.Dir, rootFile), rand); !errors.Is(err, seal.ErrRootMissing) {
			return root, err
		}
	}
	return f.make(ctx, rand)
}

// make makes a new root.
func (f Folder) make(ctx context.Context, rand io.Reader) (seal.Root, error) {
	switch seal.Kind(f.Seal) {
	case seal.KindPassphrase:
		passphrase, err := f.Root.passphrase(true)
		if err != nil {
			return nil, err
		}
		defer passphrase.Wipe()
		return seal.CreatePassphraseRoot(passphrase, rand)
	case seal.KindAWSKMS:
		api, err := f.Root.connect(ctx)
		if err != nil {
			return nil, err
		}
		return awskms.Create(ctx, api, f.Root.KMSKey)
	case seal.KindTPM:
		return f.Root.TPM.create(ctx, rand)
	case seal.KindPKCS11:
		return pkcs11.Create(ctx, f.Root.hsm(), rand)
	}
	path := filepath.Join(f.Dir, rootFile)
	root, err := seal.CreateFileRoot(path, rand)
	if errors.Is(err, seal.ErrRootExists) {
		return nil, problem("there is a root in "+path+" already, which is not in force; it may be an old one that others have", "Move it away, and try again:\n  mv "+path+" "+path+".old", err)
	}
	return root, err
}

// open opens the root that the keyslots know. It creates nothing.
func (f Folder) open(ctx context.Context, known seal.Info, rand io.Reader) (seal.Root, error) {
	stored, err := f.pick(known)
	if err != nil {
		return nil, err
	}
	switch stored.Kind {
	case seal.KindPassphrase:
		passphrase, err := f.Root.passphrase(false)
		if err != nil {
			return nil, err
		}
		defer passphrase.Wipe()
		return seal.OpenPassphraseRoot(stored, passphrase, rand)
	case seal.KindAWSKMS:
		api, err := f.Root.connect(ctx)
		if err != nil {
			return nil, err
		}
		return awskms.Open(api, f.Root.KMSKey, stored.ID), nil
	case seal.KindTPM:
		return f.Root.TPM.open(stored, rand)
	case seal.KindPKCS11:
		return pkcs11.Open(f.Root.hsm(), stored.ID)
	}
	if f.shared() && f.Root.File == "" {
		return f.openFileOrNext(known, rand)
	}
	return seal.OpenFileRoot(f.rootPath(), rand)
}

// openFileOrNext opens the root file of a node. When it is not one of those that open
// the deployment and the next one is, this node ended before it put that in its place.
func (f Folder) openFileOrNext(known seal.Info, rand io.Reader) (seal.Root, error) {
	root, err := seal.OpenFileRoot(f.rootPath(), rand)
	if err != nil && !errors.Is(err, seal.ErrRootMissing) {
		return nil, err
	}
	if err == nil && known.Has(root.ID()) {
		return root, nil
	}
	if next, failed := seal.OpenFileRoot(f.rootPath()+nextRoot, rand); failed == nil && known.Has(next.ID()) {
		return (&folder{}).takeNextRoot(f.rootPath(), rand)
	}
	if err != nil {
		return nil, err
	}
	return root, nil // which is refused with what to do
}

// rootPath is where the root file is that opens the folder.
func (f Folder) rootPath() string {
	if f.Root.File != "" {
		return f.Root.File
	}
	return filepath.Join(f.Dir, rootFile)
}

// pick returns the root of the kind that the settings name.
func (f Folder) pick(known seal.Info) (seal.RootInfo, error) {
	var kinds []string
	for _, r := range known.Roots {
		if r.Kind == seal.Kind(f.Seal) {
			return r, nil
		}
		if r.Kind != seal.KindRecovery {
			kinds = append(kinds, string(r.Kind))
		}
	}
	is := strings.Join(kinds, ", ")
	hint := "Use --seal " + is + "."
	switch seal.Kind(is) {
	case seal.KindPassphrase:
		hint = "Use --seal passphrase, with --seal-passphrase-file FILE or where you can type it."
	case seal.KindAWSKMS:
		hint = "Use --seal aws-kms, with --seal-kms-key and, for another KMS than AWS's, --seal-kms-endpoint."
	case seal.KindTPM:
		hint = "Use --seal tpm, with --seal-tpm-device and, where there is an auth value, --seal-tpm-auth-file."
	case seal.KindPKCS11:
		hint = "Use --seal pkcs11, with --seal-pkcs11-module, --seal-pkcs11-token and --seal-pkcs11-pin-file."
	}
	return seal.RootInfo{}, problem(fmt.Sprintf("the root of %s is of the kind %s, not %s", f.Dir, is, f.Seal), hint+" Nothing was created.", seal.ErrWrongRoot)
}

func (r RootSettings) connect(ctx context.Context) (awskms.API, error) {
	api, err := awskms.Connect(ctx, r.kms())
	if err != nil {
		return nil, problem("the KMS that holds the root cannot be asked", "Check --seal-kms-endpoint, --seal-kms-region and the AWS credentials of this process.", err)
	}
	return api, nil
}

func (r RootSettings) passphrase(fresh bool) (secret.Bytes, error) {
	if r.PassphraseFile != "" {
		return ReadPassphrase(r.PassphraseFile)
	}
	if r.Ask != nil {
		return r.Ask(fresh)
	}
	return nil, problem("there is no passphrase, and nobody to ask for it", "Name a file that holds it with --seal-passphrase-file.", seal.ErrRootMissing)
}

// ReadPassphrase reads a passphrase, without the end of its line, from a file that is
// not every user's to read.
func ReadPassphrase(path string) (secret.Bytes, error) {
	// O_NONBLOCK keeps a pipe that nobody writes to from hanging the start.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, problem("the passphrase cannot be read", "Check the name of the file that holds it, and who may read it. Nothing was created.", errors.Join(seal.ErrRootMissing, err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, problem(fmt.Sprintf("the passphrase file %s is not a plain file", path), "ls -ld "+path, seal.ErrRootUnsafe)
	case info.Mode().Perm()&0o007 != 0:
		return nil, problem(fmt.Sprintf("every user of this machine may use the passphrase file %s (mode %04o)", path, info.Mode().Perm()),
			"If nobody has read it: chmod 600 "+path, seal.ErrRootUnsafe)
	}
	text := make(secret.Bytes, seal.MaxPassphrase+3) // with an end of line, and a byte that is too much
	n, err := io.ReadFull(f, text)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	text = text[:n]
	if line, ended := bytes.CutSuffix(text, []byte("\n")); ended {
		text = bytes.TrimSuffix(line, []byte("\r"))
	}
	return text, nil
}
