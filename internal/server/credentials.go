package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/strongroom/strongroom/internal/service/iam"
	"github.com/strongroom/strongroom/internal/store"
)

// credentialsOf is the name of the file that an account's root credentials are
// written to.
func credentialsOf(first, account string) string {
	if account == first {
		return credentialsFile
	}
	return credentialsFile + "-" + account
}

// unconfirmed is the end of the name of a credentials file whose access key may
// not be stored yet.
const unconfirmed = ".new"

// ensureCredentials makes the first account with the access key of its root and
// the file that hands it out, DIR/credentials, unless there is the account. A root
// that has deleted its keys does not get others by a restart.
func (s *Server) ensureCredentials(ctx context.Context) error {
	if err := s.confirmCredentials(ctx); err != nil {
		return err
	}
	account := s.cfg.Account
	_, err := s.iam.Account(ctx, account)
	if !errors.Is(err, iam.ErrNoAccount) {
		return err
	}
	has, err := s.iam.HasRootKeys(ctx, account)
	if err != nil {
		return err
	}
	if has { // made before there were accounts
		return s.iam.EnsureAccount(ctx, account)
	}
	_, err = s.newCredentials(account, func(key iam.AccessKey) error {
		return s.iam.CreateAccount(ctx, iam.Account{ID: account}, key, nil)
	})
	if errors.Is(err, iam.ErrAccountExists) { // another node has made it meanwhile
		return nil
	}
	return err
}

// newCredentials makes an access key, hands it to put, which stores it, and
// returns the name of the file that has it then. The file is on stable storage,
// under another name, before the key is stored: a key that was stored and never
// shown would be of no use to anyone, and the file that is replaced may hold the
// key that stays in force if put fails.
func (s *Server) newCredentials(account string, put func(iam.AccessKey) error) (name string, err error) {
	key, err := s.iam.NewRootKey()
	if err != nil {
		return "", err
	}
	name = credentialsOf(s.cfg.Account, account)
	path := filepath.Join(s.cfg.DataDir, name)
	text := fmt.Sprintf("[default]\n%s%s\naws_secret_access_key = %s\nregion = %s\n", keyIDLine, key.ID, string(key.Secret), s.cfg.Regions[0])
	if err := writeFile(path+unconfirmed, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write the credentials file: %w", err)
	}
	if err := put(key); err != nil {
		// Of a key whose commit is unknown the next start finds out.
		if !errors.Is(err, store.ErrUnknown) {
			err = errors.Join(err, os.Remove(path+unconfirmed))
		}
		return "", err
	}
	return name, confirm(path)
}

const keyIDLine = "aws_access_key_id = "

// confirm gives a credentials file its name.
func confirm(path string) error {
	if err := os.Rename(path+unconfirmed, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// confirmCredentials finishes what an interrupted change of credentials has left:
// files whose key was stored get their name, others go.
func (s *Server) confirmCredentials(ctx context.Context) error {
	left, err := filepath.Glob(filepath.Join(escapeGlob(s.cfg.DataDir), credentialsFile+"*"+unconfirmed))
	if err != nil {
		return err
	}
	for _, path := range left {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(text), keyIDLine)
		id, _, _ := strings.Cut(rest, "\n")
		stored, err := s.iam.HasKey(ctx, id)
		switch {
		case err != nil:
		case stored:
			err = confirm(strings.TrimSuffix(path, unconfirmed))
		default:
			err = os.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// escapeGlob is a path as a pattern that matches nothing else.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// writeFile puts a file in place whole, and returns when it is on stable storage.
func writeFile(path string, content []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has been renamed
	err = f.Chmod(mode)
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder puts the names in a folder on stable storage.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
