package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/internal/service/iam"
)

// ensureCredentials makes the root access key of the account and the file that
// hands it out, DIR/credentials, unless the account has one. The file is written
// first: a key that was stored and never shown would be of no use to anyone, while
// a file whose key was never stored is written anew by the next start.
func ensureCredentials(ctx context.Context, s *iam.Service, dir, account, region string) (created bool, err error) {
	has, err := s.HasRootKeys(ctx, account)
	if err != nil || has {
		return false, err
	}
	key, err := s.NewRootKey()
	if err != nil {
		return false, err
	}
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\nregion = %s\n", key.ID, string(key.Secret), region)
	if err := writeFile(filepath.Join(dir, credentialsFile), []byte(text), 0o600); err != nil {
		return false, fmt.Errorf("write the credentials file: %w", err)
	}
	return true, s.PutRootKey(ctx, account, key)
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
