package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
)

// folder is a bucket in the file system. Files lie under their keys; what S3 keeps
// as metadata lies beside a file, as a JSON object in "<name>.metadata".
type folder string

// metadataSuffix ends the names of the files that hold metadata.
const metadataSuffix = ".metadata"

func (f folder) put(_ context.Context, key string, body []byte, metadata map[string]string) error {
	err := f.write(key, body, metadata)
	if err == nil {
		return nil
	}
	code := "FolderNotWritable"
	if errors.Is(err, os.ErrPermission) {
		code = "AccessDenied"
	}
	return &failure{code, err}
}

func (f folder) write(key string, body []byte, metadata map[string]string) error {
	if err := os.MkdirAll(string(f), 0o750); err != nil {
		return err
	}
	// The root keeps the key within the folder, whatever the key and the links in
	// the folder are.
	root, err := os.OpenRoot(string(f))
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.FromSlash(key)
	if err := root.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	if metadata != nil {
		text, err := json.Marshal(metadata)
		if err != nil {
			return err
		}
		// First, so that no file is there without its metadata.
		if err := replace(root, name+metadataSuffix, text); err != nil {
			return err
		}
	}
	if err := replace(root, name, body); err != nil {
		return err
	}
	// The folders that MkdirAll may have made are durable when those above them are.
	for dir := path.Dir(key); ; dir = path.Dir(dir) {
		if err := syncFolder(root, filepath.FromSlash(dir)); err != nil || dir == "." {
			return err
		}
	}
}

// replace writes a file that is there whole or not at all.
func replace(root *os.Root, name string, body []byte) error {
	temporary := name + ".tmp"
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return root.Rename(temporary, name)
}

func syncFolder(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
