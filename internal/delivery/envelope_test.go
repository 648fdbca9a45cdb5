package delivery

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// wraps is a KMS whose wrapping of a data key is the key, turned around.
type wraps struct {
	refuse error
	calls  int
	tape   func() // records a call
}

const wrapsARN = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main"

func (w *wraps) DataKey(context.Context, *Trail) (secret.Bytes, []byte, map[string]string, error) {
	if w.refuse != nil {
		return nil, nil, nil, w.refuse
	}
	w.calls++
	if w.tape != nil {
		w.tape()
	}
	plain := make(secret.Bytes, 32)
	_, err := rand.Read(plain)
	wrapped := bytes.Clone(plain)
	slices.Reverse(wrapped)
	return plain, wrapped, Context(wrapsARN), err
}

func (w *wraps) unwrap(wrapped []byte, with map[string]string) (secret.Bytes, error) {
	if !maps.Equal(with, Context(wrapsARN)) {
		return nil, errors.New("another context")
	}
	plain := secret.Bytes(bytes.Clone(wrapped))
	slices.Reverse(plain)
	return plain, nil
}

// encrypted makes the trail "main" one that names a key.
func encrypted(h *harness) *wraps {
	w := &wraps{}
	h.Keys, h.config.Keys = w, w
	h.change(func(_ *store.Tx, t *Trail) error { t.Key = "arn:aws:kms:us-east-1:111122223333:key/k"; return nil })
	h.start()
	return w
}

func TestEnvelope(t *testing.T) {
	w := &wraps{}
	key, wrapped, with, _ := w.DataKey(t.Context(), nil)
	for _, body := range []string{"", "x", strings.Repeat("y", 100_000)} {
		sealed, metadata, err := encrypt(rand.Reader, key, wrapped, with, []byte(body))
		if err != nil || !Encrypted(metadata) || len(sealed) != len(body)+16 {
			t.Fatalf("%d bytes for %d, %v, %v", len(sealed), len(body), metadata, err)
		}
		if got, err := Decrypt(sealed, metadata, w.unwrap); err != nil || string(got) != body {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		for i := range min(len(sealed), 40) {
			sealed[i] ^= 1
			if _, err := Decrypt(sealed, metadata, w.unwrap); !errors.Is(err, ErrEnvelope) {
				t.Fatalf("byte %d changed: %v", i, err)
			}
			sealed[i] ^= 1
		}
		for name := range metadata {
			if name == metaLength {
				continue // says what the tag holds anyway
			}
			for _, value := range []string{"", "x", metadata[name] + "A"} {
				changed := maps.Clone(metadata)
				changed[name] = value
				if _, err := Decrypt(sealed, changed, w.unwrap); err == nil {
					t.Errorf("with %s %q it opens", name, value)
				}
			}
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	w := &wraps{}
	key, wrapped, with, _ := w.DataKey(f.Context(), nil)
	sealed, m, err := encrypt(rand.Reader, key, wrapped, with, []byte("body"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, m[metaKey], m[metaNonce], m[metaContext], m[metaWrap], m[metaCipher], m[metaTag])
	f.Add(sealed, "", "", "{}", "", "", "")
	f.Fuzz(func(t *testing.T, body []byte, key, nonce, context, wrap, cipher, tag string) {
		plain, err := Decrypt(body, map[string]string{metaKey: key, metaNonce: nonce, metaContext: context, metaWrap: wrap, metaCipher: cipher, metaTag: tag}, w.unwrap)
		if err == nil && len(plain) != len(body)-16 {
			t.Errorf("%d bytes of %d", len(plain), len(body))
		}
	})
}

// TestEncryptedTrails delivers logs and digests of an encrypted trail, reads them as
// a stranger with the key would, and checks the chain of what is inside.
func TestEncryptedTrails(t *testing.T) {
	h := kit(t, t)
	w := encrypted(h)
	var want []string
	for range 3 {
		want = append(want, h.event(home, nil), h.event(home, nil))
		h.clock.Advance(time.Minute)
		h.round()
		h.clock.Advance(time.Hour)
		h.round()
	}
	for key, o := range h.server.objects {
		plain, err := Decrypt(o.body, o.metadata, w.unwrap)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		gzipHeader := plain[:10]
		if bytes.HasPrefix(o.body, gzipHeader) || o.metadata[metaKey] == "" || strings.Contains(string(o.body), "Encrypt") {
			t.Errorf("%s is in the clear", key)
		}
		o.body = plain
	}
	ids, digests := h.audited(home)
	if !slices.Equal(ids, want) || digests != 3 {
		t.Errorf("%v in %d digests, want %v", ids, digests, want)
	}
	// One data key for each file.
	if files := len(h.server.objects); w.calls != files {
		t.Errorf("%d data keys for %d files", w.calls, files)
	}
}

// TestAKeyThatCannotBeUsed shows in the trail's status, and delays only.
func TestAKeyThatCannotBeUsed(t *testing.T) {
	h := kit(t, t)
	w := encrypted(h)
	w.refuse = awserr.New("DisabledException", "it is disabled")
	trail := h.change(func(*store.Tx, *Trail) error { return nil })
	want := h.event(home, nil)
	h.round()
	if status, err := h.Status(t.Context(), &trail); err != nil || status.Error != "KMS.DisabledException" || len(h.server.objects) > 0 {
		t.Errorf("%+v, %v, %d files", status, err, len(h.server.objects))
	}
	w.refuse = nil
	h.round()
	if status, err := h.Status(t.Context(), &trail); err != nil || status.Error != "" || len(h.server.objects) != 1 {
		t.Errorf("%+v, %v, %d files", status, err, len(h.server.objects))
	}
	for _, o := range h.server.objects {
		plain, err := Decrypt(o.body, o.metadata, w.unwrap)
		if err != nil || !slices.Equal(recordIDs(t, unzip(t, plain), home), []string{want}) {
			t.Errorf("%v", err)
		}
	}
}

// TestDataKeysMakeNoFilesByThemselves: the records of a delivery's own calls go with
// what comes next, or each file would ask for another one for ever.
func TestDataKeysMakeNoFilesByThemselves(t *testing.T) {
	h := kit(t, t)
	w := encrypted(h)
	var want []string
	w.tape = func() {
		want = append(want, h.event(home, map[string]any{"eventName": "GenerateDataKey", "userIdentity": map[string]any{"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}}))
	}
	want = append(want, h.event(home, nil))
	h.round()
	for range 5 {
		h.clock.Advance(6 * time.Minute)
		h.round()
	}
	if len(h.server.objects) != 1 {
		t.Errorf("there are %d files", len(h.server.objects))
	}
	want = append(want, h.event(home, nil))
	h.clock.Advance(6 * time.Minute)
	h.round()
	h.stop()
	h.clock.Advance(time.Minute)
	h.round() // which delivers the last ones
	var got []string
	for _, o := range h.server.objects {
		plain, err := Decrypt(o.body, o.metadata, w.unwrap)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, recordIDs(t, unzip(t, plain), home)...)
	}
	slices.Sort(got)
	if len(h.server.objects) != 3 || !slices.Equal(got, want[:len(got)]) || len(got) != 4 {
		t.Errorf("%v in %d files, want %v", got, len(h.server.objects), want)
	}
}

// TestCopyDecrypted: a folder of encrypted files, and of others, is copied in the clear.
func TestCopyDecrypted(t *testing.T) {
	h := kit(t, t)
	from := t.TempDir()
	if err := h.PutDestination(t.Context(), Destination{Bucket: bucketX, Folder: from}, nil, nil); err != nil {
		t.Fatal(err)
	}
	w := encrypted(h)
	h.event(home, nil)
	h.round()
	h.change(func(_ *store.Tx, t *Trail) error { t.Key = ""; return nil })
	h.clock.Advance(time.Minute)
	h.event(home, nil)
	h.round()
	h.change(func(_ *store.Tx, t *Trail) error { t.Key = "k"; return nil })
	h.clock.Advance(time.Hour)
	h.round() // a digest of both
	published, err := h.PublicKeys(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	public := map[string][]byte{}
	for _, k := range published {
		public[k.Fingerprint] = k.Value
	}
	if second, err := h.PublicKeys(t.Context(), second); err == nil {
		for _, k := range second {
			public[k.Fingerprint] = k.Value
		}
	}
	to := filepath.Join(t.TempDir(), "clear")
	files, decrypted, err := CopyDecrypted(t.Context(), DeliveredFolder{os.DirFS(from)}, to, w.unwrap)
	if err != nil || files != 4 || decrypted != 3 { // two logs, and a digest in each of two regions
		t.Fatalf("%d files, %d decrypted, %v", files, decrypted, err)
	}
	if found, err := VerifyFolder(os.DirFS(to), public); err != nil || found.Digests != 2 || found.Files != 2 {
		t.Errorf("%+v, %v", found, err)
	}
	// A file that was changed is named.
	var changed string
	if err := (DeliveredFolder{os.DirFS(from)}).Each(t.Context(), func(key string, body []byte, metadata map[string]string) error {
		if changed == "" && Encrypted(metadata) {
			changed = key
			body[0] ^= 1
			return os.WriteFile(filepath.Join(from, filepath.FromSlash(key)), body, 0o600)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var fault *FaultError
	if _, _, err := CopyDecrypted(t.Context(), DeliveredFolder{os.DirFS(from)}, t.TempDir(), w.unwrap); !errors.As(err, &fault) || fault.Key != changed {
		t.Errorf("%v, want one of %s", err, changed)
	}
}
