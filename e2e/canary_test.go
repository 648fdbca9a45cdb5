package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

// rootFile is the default seal's file in a data folder. It and the credentials
// file are the two that may hold a secret.
const rootFile = "root.key"

// A canary is a value that was used and must not be found again.
type canary struct {
	name  string
	value []byte
}

// spellings returns the ways in which a value may lie in a file or a text: raw,
// hexadecimal, and base64 of both alphabets at each of the three alignments that
// it can have inside something longer.
func (c canary) spellings() map[string][]byte {
	all := map[string][]byte{
		"raw": c.value,
		"hex": []byte(hex.EncodeToString(c.value)),
		"HEX": []byte(strings.ToUpper(hex.EncodeToString(c.value))),
	}
	for shift := range 3 {
		padded := append(make([]byte, shift), c.value...)
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := encoding.EncodeToString(padded)
			// Characters that also hold bits of what comes before or after differ.
			from := (shift*8 + 5) / 6
			to := len(padded) * 8 / 6
			all[fmt.Sprintf("%s at %d", name, shift)] = []byte(text[from:to])
		}
	}
	return all
}

// findIn reports how the value is spelled in text, or "".
func (c canary) findIn(text []byte) string {
	for name, spelling := range c.spellings() {
		if bytes.Contains(text, spelling) {
			return name
		}
	}
	return ""
}

func TestCanarySearchFinds(t *testing.T) {
	c := canary{"test", []byte("a value to be found?>\xff")}
	for _, text := range []string{
		"x" + string(c.value) + "y",
		"x" + hex.EncodeToString(c.value),
		strings.ToUpper(hex.EncodeToString(c.value)),
		base64.StdEncoding.EncodeToString(c.value),
		base64.StdEncoding.EncodeToString([]byte("1" + string(c.value) + "after")),
		base64.StdEncoding.EncodeToString([]byte("12" + string(c.value) + "more")),
		base64.URLEncoding.EncodeToString([]byte("123" + string(c.value) + "x")),
	} {
		if c.findIn([]byte(text)) == "" {
			t.Errorf("not found in %q", text)
		}
	}
	if how := c.findIn([]byte("a value to be lost")); how != "" {
		t.Errorf("found (%s) where it is not", how)
	}
}

// TestCanaries uses secrets in every way that there is and then looks for them
// where they must not be: in the data folder but for the two files, in what the server printed, in the audit trail, in error bodies.
func TestCanaries(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	accessKeyID, secretAccessKey, err := binary.Credentials(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	plaintext := make([]byte, 48)
	if _, err := rand.Read(plaintext); err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(s.Data, rootFile))
	if err != nil {
		t.Fatal(err)
	}
	sealed := canary{"a description", []byte("description-" + hex.EncodeToString(plaintext[:8]))}
	inContext := canary{"an encryption context", []byte("context-" + hex.EncodeToString(plaintext[8:16]))}

	// Successful calls.
	key := createKey(t, c, &kms.CreateKeyInput{
		Description: aws.String(string(sealed.value)),
		Tags:        []types.Tag{{TagKey: aws.String("canary"), TagValue: aws.String(string(sealed.value))}},
	})
	encryptionContext := map[string]string{"canary": string(inContext.value)}
	blob := encrypt(t, c, *key.KeyId, plaintext, encryptionContext)
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: encryptionContext}); err != nil {
		t.Fatal(err)
	}
	moved, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: encryptionContext, DestinationKeyId: key.KeyId})
	if err != nil {
		t.Fatal(err)
	}
	dataKey, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes256})
	if err != nil {
		t.Fatal(err)
	}
	random, err := c.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(32)})
	if err != nil {
		t.Fatal(err)
	}
	canaries := []canary{
		{"the plaintext", plaintext},
		{"the root's secret access key", []byte(secretAccessKey)},
		{"the root of trust", root},
		{"the data key", dataKey.Plaintext},
		{"the random bytes", random.Plaintext},
		{"the ciphertext", blob},
		{"the re-encrypted ciphertext", moved.CiphertextBlob},
		{"the encrypted data key", dataKey.CiphertextBlob},
	}

	// Failing calls with the same secrets in every place.
	encoded := base64.StdEncoding.EncodeToString(plaintext)
	var errorBodies bytes.Buffer
	for _, one := range []struct{ operation, body string }{
		{"Encrypt", fmt.Sprintf(`{"KeyId":"alias/absent","Plaintext":%q}`, encoded)},
		{"Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":%q,"Plaintext":%q}`, *key.KeyId, encoded, encoded)},
		{"Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"%s`, *key.KeyId, encoded)},
		{"Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":{"a":%q}}`, *key.KeyId, encoded)},
		{"Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"%s!"}`, *key.KeyId, encoded)},
		{"Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":%q}`, *key.KeyId, strings.Repeat(encoded, 100))},
		{"Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":%q,"EncryptionAlgorithm":"NONE"}`, *key.KeyId, encoded)},
		{"Decrypt", fmt.Sprintf(`{"CiphertextBlob":%q}`, base64.StdEncoding.EncodeToString(blob))},
		{"Decrypt", fmt.Sprintf(`{"CiphertextBlob":%q}`, encoded)},
		{"NoSuchOperation", fmt.Sprintf(`{"Plaintext":%q}`, encoded)},
	} {
		answer := signedCall(t, s, one.operation, one.body)
		if answer.status == http.StatusOK {
			t.Errorf("%s of %.60s… succeeds", one.operation, one.body)
		}
		errorBodies.Write(answer.body)
	}
	for _, with := range []signing{
		{accessKeyID: accessKeyID, secretAccessKey: secretAccessKey + "x"},
		{accessKeyID: accessKeyID, secretAccessKey: secretAccessKey, region: "mars-north-1"},
	} {
		answer := raw(t, s, signedRequest(t, s, with, "Encrypt", fmt.Appendf(nil, `{"KeyId":%q,"Plaintext":%q}`, *key.KeyId, encoded)))
		if answer.code() != "InvalidSignatureException" {
			t.Errorf("%d %s", answer.status, answer.body)
		}
		errorBodies.Write(answer.body)
	}

	records, exported := export(t, s)
	if len(records) < 10 {
		t.Errorf("only %d records", len(records))
	}
	searchFolder(t, s.Data, append(canaries, sealed, inContext)) // while it is open
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	searchFolder(t, s.Data, append(canaries, sealed, inContext))
	for _, c := range canaries {
		for where, text := range map[string][]byte{
			"what the server printed": []byte(s.Output()), "the audit trail": []byte(exported), "an error": errorBodies.Bytes(),
		} {
			if how := c.findIn(text); how != "" {
				t.Errorf("%s is in %s (%s)", c.name, where, how)
			}
		}
	}
	// The trail names the context: that is what it is for.
	var named bool
	for _, r := range records {
		var parameters struct{ EncryptionContext map[string]string }
		_ = json.Unmarshal(r.RequestParameters, &parameters) // other operations have other parameters
		named = named || parameters.EncryptionContext["canary"] == string(inContext.value)
	}
	if !named {
		t.Error("the audit trail does not name the encryption context")
	}
}

// searchFolder looks for canaries in every file of a data folder but the two that
// may hold one, and in the names of the files.
func searchFolder(t *testing.T, data string, canaries []canary) {
	t.Helper()
	files := 0
	// A server that runs removes files and renames them: a search that lost one of those that
	// it had listed is made again.
	err := binary.Until("a search that loses no file", time.Minute, func() (whole bool, err error) {
		files, err = searchFiles(t, data, canaries)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 2 {
		t.Errorf("only %d files in %s", files, data)
	}
}

func searchFiles(t *testing.T, data string, canaries []canary) (files int, err error) {
	t.Helper()
	err = filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, c := range canaries {
			if how := c.findIn([]byte(entry.Name())); how != "" {
				t.Errorf("%s is in the name of %s (%s)", c.name, path, how)
			}
		}
		if !entry.Type().IsRegular() || path == binary.CredentialsFile(data) || path == filepath.Join(data, rootFile) {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, c := range canaries {
			if how := c.findIn(text); how != "" {
				t.Errorf("%s is in %s (%s)", c.name, path, how)
			}
		}
		return nil
	})
	return files, err
}

// TestSecretFilesAreTheOwners checks the modes of what holds secrets.
func TestSecretFilesAreTheOwners(t *testing.T) {
	s := start(t)
	folder, err := os.Stat(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	if folder.Mode().Perm()&0o077 != 0 {
		t.Errorf("the data folder has mode %v", folder.Mode())
	}
	for _, name := range []string{binary.CredentialsFile(s.Data), filepath.Join(s.Data, rootFile)} {
		file, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if file.Mode().Perm()&0o177 != 0 {
			t.Errorf("%s has mode %v", name, file.Mode())
		}
	}
}
