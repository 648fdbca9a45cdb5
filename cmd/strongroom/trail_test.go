package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadCredentials(t *testing.T) {
	for _, test := range []struct{ text, id, key string }{
		{"[default]\naws_access_key_id = AKID\naws_secret_access_key=a=b/c+\nregion = x\n", "AKID", "a=b/c+"},
		{"aws_access_key_id=AKID\naws_secret_access_key=key", "AKID", "key"},
		{"[one]\naws_access_key_id=AKID\naws_secret_access_key=key\n[two]\naws_access_key_id=other\naws_secret_access_key=more\n", "AKID", "key"},
		{"[one]\naws_access_key_id=AKID\n[two]\naws_secret_access_key=more\n", "", ""},
		{"", "", ""},
	} {
		path := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		id, key, err := readCredentials(path)
		if id != test.id || string(key) != test.key || (err == nil) != (test.id != "") {
			t.Errorf("%q: %q, %v, %v", test.text, id, len(key), err)
		}
	}
}
