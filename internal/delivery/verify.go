package delivery

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Verified is what a verification of delivered files has found.
type Verified struct {
	// Digests and Files were found and are right; Gaps counts the places where logging
	// was stopped and a new chain of digests begins.
	Digests, Files, Gaps int
	// Undigested are the files that no digest names: those of the last hour, and of
	// trails without digests.
	Undigested int
}

// FaultError names the first file that is missing or was changed.
type FaultError struct{ Key, Problem string }

func (e *FaultError) Error() string { return e.Key + " " + e.Problem }

// maxContent bounds what a delivered file may hold, uncompressed.
const maxContent = 256 << 20

// VerifyFolder checks the files that trails have delivered into a folder against
// their digests, and these with the public keys (PKCS #1 DER) of their fingerprints.
// It finds files that were changed, removed or swapped, and digests that were
// dropped from within a chain; that the newest digests were dropped it cannot see.
// Its error is a *FaultError when something is wrong with the files.
func VerifyFolder(folder fs.FS, public map[string][]byte) (Verified, error) {
	v := &verifier{folder: folder, public: public, seen: map[string]bool{}}
	chains := map[string][]string{} // by everything but the time, in order
	err := fs.WalkDir(folder, ".", func(key string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(key, ".json.gz") {
			return err
		}
		switch name := path.Base(key); {
		case strings.Contains(name, "_CloudTrail-Digest_"):
			chain := name[:strings.LastIndexByte(name, '_')]
			chains[chain] = append(chains[chain], key)
		case strings.Contains(name, "_CloudTrail_"):
			v.files = append(v.files, key)
		}
		return nil
	})
	if err != nil {
		return v.found, err
	}
	for _, keys := range chains {
		if err := v.chain(keys); err != nil {
			return v.found, err
		}
	}
	for _, key := range v.files {
		if !v.seen[key] {
			v.found.Undigested++
		}
	}
	return v.found, nil
}

type verifier struct {
	folder fs.FS
	public map[string][]byte
	files  []string
	seen   map[string]bool
	found  Verified
}

// chain follows the digests of one trail in one region from the newest one back.
// keys sort by time.
func (v *verifier) chain(keys []string) error {
	slices.Sort(keys)
	var next *digestFile
	for len(keys) > 0 {
		key := keys[len(keys)-1]
		if next != nil && next.PreviousObject != nil {
			key = *next.PreviousObject
		} else if next != nil {
			v.found.Gaps++
		}
		// What stands between is in no chain: it was put there, or its follower taken.
		i := slices.Index(keys, key)
		switch {
		case i < 0:
			return &FaultError{key, "is missing, and the digest after it names it"}
		case i < len(keys)-1:
			return &FaultError{keys[len(keys)-1], "is a digest that the one after it does not name"}
		}
		keys = keys[:i]
		d, err := v.digest(key, next)
		if err != nil {
			return err
		}
		next = d
	}
	if next != nil && next.PreviousObject != nil {
		return &FaultError{*next.PreviousObject, "is missing, and the digest after it names it"}
	}
	return nil
}

// digest checks one digest, which the one after it names, and the files in it.
func (v *verifier) digest(key string, next *digestFile) (*digestFile, error) {
	content, err := v.read(key)
	if err != nil {
		return nil, err
	}
	d := new(digestFile)
	var metadata map[string]string
	text, err := fs.ReadFile(v.folder, key+metadataSuffix)
	if err != nil || json.Unmarshal(text, &metadata) != nil || json.Unmarshal(content, d) != nil {
		return nil, &FaultError{key, "is no digest with its signature beside it"}
	}
	hash := hashOf(content)
	if next != nil && next.PreviousObject != nil &&
		(next.PreviousHash == nil || *next.PreviousHash != hash || next.PreviousSignature == nil || *next.PreviousSignature != metadata["signature"]) {
		return nil, &FaultError{key, "is not the digest that the one after it names"}
	}
	if d.Object != key {
		return nil, &FaultError{key, "was moved from " + d.Object}
	}
	if err := v.signature(d, hash, metadata["signature"]); err != nil {
		return nil, &FaultError{key, err.Error()}
	}
	v.found.Digests++
	for i := range d.LogFiles {
		f := &d.LogFiles[i]
		text, err := v.read(f.Object)
		if err != nil {
			return nil, err
		}
		if hashOf(text) != f.Hash {
			return nil, &FaultError{f.Object, "was changed"}
		}
		v.seen[f.Object] = true
		v.found.Files++
	}
	return d, nil
}

func (v *verifier) signature(d *digestFile, hash, signature string) error {
	der := v.public[d.Fingerprint]
	if der == nil {
		return fmt.Errorf("is signed with a key that was not given, of fingerprint %q", d.Fingerprint)
	}
	public, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return fmt.Errorf("cannot be checked: its public key: %w", err)
	}
	raw, err := hex.DecodeString(signature)
	sum := sha256.Sum256(d.statement(hash))
	if err != nil || rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], raw) != nil {
		return errors.New("has a signature that does not hold")
	}
	return nil
}

// read returns what a file holds under its compression.
func (v *verifier) read(key string) ([]byte, error) {
	body, err := fs.ReadFile(v.folder, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, &FaultError{key, "is missing"}
	}
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, &FaultError{key, "was changed"}
	}
	text, err := io.ReadAll(io.LimitReader(z, maxContent+1))
	if err != nil || len(text) > maxContent {
		return nil, &FaultError{key, "was changed"}
	}
	return text, nil
}
