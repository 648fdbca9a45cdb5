package delivery

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

const (
	account = "111122223333"
	home    = "us-east-1"
	second  = "eu-west-1"
	bucketX = "audit-bucket"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// box keeps secrets as they are, with their binding.
type box struct{}

func (box) Seal(_ io.Reader, plaintext secret.Bytes, binding []byte) ([]byte, error) {
	return slices.Concat(binding, []byte{0xff}, plaintext), nil
}

func (box) Open(sealed, binding []byte) (secret.Bytes, error) {
	plain, ok := bytes.CutPrefix(sealed, slices.Concat(binding, []byte{0xff}))
	if !ok {
		return nil, fmt.Errorf("bound to something else")
	}
	return bytes.Clone(plain), nil
}

// tape is a journal in memory.
type tape struct {
	mu      sync.Mutex
	entries []journal.Entry
}

func (r *tape) add(at time.Time, record []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq, index := uint64(1), 0
	if n := len(r.entries); n > 0 {
		// Frames of up to three records, as commits are shared.
		seq, index = r.entries[n-1].Seq, r.entries[n-1].Index+1
		if index == 3 || !at.Equal(r.entries[n-1].Committed) {
			seq, index = seq+2, 0 // the frame between is a checkpoint
		}
	}
	r.entries = append(r.entries, journal.Entry{Seq: seq, Index: index, Committed: at, Record: record})
}

func (r *tape) From(_ context.Context, seq uint64, fn func(journal.Entry) error) error {
	return r.each(fn, func(e journal.Entry) bool { return e.Seq >= seq })
}

func (r *tape) Range(_ context.Context, from, to time.Time, fn func(journal.Entry) error) error {
	return r.each(fn, func(e journal.Entry) bool {
		return !e.Committed.Before(from) && (to.IsZero() || e.Committed.Before(to))
	})
}

func (r *tape) each(fn func(journal.Entry) error, wanted func(journal.Entry) bool) error {
	r.mu.Lock()
	entries := slices.Clone(r.entries)
	r.mu.Unlock()
	for _, e := range entries {
		if wanted(e) {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// object is what a bucket holds under a key.
type object struct {
	body     []byte
	metadata map[string]string
	writes   int
}

// s3Server is as much of S3 as deliveries need.
type s3Server struct {
	*httptest.Server
	mu      sync.Mutex
	objects map[string]*object
	// refuse, if set, decides which writes fail; after says whether what was sent is
	// kept all the same, as when an answer is lost.
	refuse func(key string) (fail, after bool)
}

func newS3Server(t *testing.T) *s3Server {
	s := &s3Server{objects: map[string]*object{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *s3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	key, ours := strings.CutPrefix(r.URL.Path, "/"+bucketX+"/")
	if err != nil || r.Method != http.MethodPut || !ours || !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIDOPERATOR/") {
		http.Error(w, "not expected here", http.StatusTeapot)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fail, after := false, false
	if s.refuse != nil {
		fail, after = s.refuse(key)
	}
	if !fail || after {
		o := s.objects[key]
		if o == nil {
			o = new(object)
			s.objects[key] = o
		}
		o.body, o.metadata, o.writes = body, map[string]string{}, o.writes+1
		for name := range r.Header {
			if short, ok := strings.CutPrefix(strings.ToLower(name), "x-amz-meta-"); ok {
				o.metadata[short] = r.Header.Get(name)
			}
		}
	}
	if fail {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>slow down</Message></Error>`)
	}
}

func (s *s3Server) destination() Destination {
	return Destination{Bucket: bucketX, Endpoint: s.URL, Region: "somewhere", PathStyle: true, AccessKeyID: "AKIDOPERATOR"}
}

// failer is what tests of testing and of rapid have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// harness is the service over a store in memory.
type harness struct {
	failer
	*Service
	clock  *clock.Fake
	tape   *tape
	server *s3Server
	log    *bytes.Buffer
	config Config
	events int
}

// kit makes a harness; t is the whole test's, for what lasts.
func kit(t *testing.T, tb failer) *harness {
	h := &harness{failer: tb, clock: clock.NewFake(epoch), tape: &tape{}, log: &bytes.Buffer{}, server: newS3Server(t)}
	h.config = Config{
		Store: storetest.New(t), Records: h.tape, Secrets: box{}, Clock: h.clock, Rand: rand.Reader,
		Regions: []string{home, second}, Log: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	h.Service = New(h.config)
	t.Cleanup(func() { h.Close() })
	if err := h.PutDestination(context.Background(), h.server.destination(), secret.Bytes("the operator's secret"), nil); err != nil {
		tb.Fatal(err)
	}
	h.lendKeys()
	return h
}

// lent are keys for digests, made by the first harness and used by all, so that
// tests do not spend their time on making keys.
var lent = map[string]store.Item[keyRecord]{}

func (h *harness) lendKeys() {
	for _, region := range h.Regions {
		item, ok := lent[region]
		if !ok {
			_, err := h.digestKey(context.Background(), region)
			items, err2 := h.keyRecords(context.Background(), region)
			if err != nil || err2 != nil || len(items) != 1 {
				h.Fatalf("%v, %v, %v", items, err, err2)
			}
			lent[region] = items[0]
			continue
		}
		err := h.config.Store.Update(context.Background(), func(tx *store.Tx) error {
			return keys.Put(tx, keyScope(region), item.ID, item.Value)
		})
		if err != nil {
			h.Fatal(err)
		}
	}
}

// restart makes the service anew over the same store.
func (h *harness) restart() {
	h.Close()
	h.Service = New(h.config)
}

// change makes or changes the trail "main".
func (h *harness) change(fn func(tx *store.Tx, t *Trail) error) Trail {
	h.Helper()
	t := Trail{Account: account, Region: home, Name: "main", ID: strings.Repeat("ab", 16), Bucket: bucketX, Global: true, MultiRegion: true, Validation: true, Created: h.clock.Now()}
	err := h.config.Store.Update(context.Background(), func(tx *store.Tx) error {
		old, err := Trails.Get(tx, t.Scope(), t.Name)
		if err == nil {
			t = old
		}
		if err := fn(tx, &t); err != nil {
			return err
		}
		return Trails.Put(tx, t.Scope(), t.Name, t)
	})
	if err != nil {
		h.Fatal(err)
	}
	return t
}

func (h *harness) start() Trail {
	return h.change(func(tx *store.Tx, t *Trail) error { return t.Start(tx, h.clock.Now()) })
}

func (h *harness) stop() {
	h.change(func(_ *store.Tx, t *Trail) error { t.Stop(h.clock.Now()); return nil })
}

// event puts a record into the journal and returns its id.
func (h *harness) event(region string, more map[string]any) string {
	h.events++
	id := fmt.Sprintf("event-%04d", h.events)
	record := map[string]any{
		"eventVersion": "1.11", "eventID": id, "eventTime": inDigest(h.clock.Now()), "awsRegion": region, "recipientAccountId": account,
		"eventSource": "kms.amazonaws.com", "eventName": "Encrypt", "readOnly": true, "eventCategory": "Management",
	}
	maps.Copy(record, more)
	text, err := json.Marshal(record)
	if err != nil {
		h.Fatal(err)
	}
	h.tape.add(h.clock.Now(), text)
	return id
}

// round runs one round, whoever rests.
func (h *harness) round() { h.Service.round(context.Background(), true) }

func unzip(tb failer, body []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// audited follows the chain of digests in the bucket, newest first, checks every
// signature and hash, and returns the ids of the records in the files that they
// name, in order of delivery. It reads what was written as a stranger would.
func (h *harness) audited(region string) (ids []string, digests int) {
	h.Helper()
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	published, err := h.PublicKeys(context.Background(), region)
	if err != nil {
		h.Fatal(err)
	}
	var newest string
	seen := map[string]bool{}
	for key := range h.server.objects {
		if strings.Contains(key, "/CloudTrail-Digest/"+region+"/") && key > newest {
			newest = key
		}
	}
	for key, link := newest, (map[string]any)(nil); key != ""; {
		o := h.server.objects[key]
		if o == nil {
			h.Fatalf("the digest %s is missing", key)
		}
		digests++
		seen[key] = true
		content := unzip(h, o.body)
		var d map[string]any
		if err := json.Unmarshal(content, &d); err != nil {
			h.Fatal(err)
		}
		hash := sha256.Sum256(content)
		if link != nil && (link["previousDigestHashValue"] != hex.EncodeToString(hash[:]) || link["previousDigestSignature"] != o.metadata["signature"]) {
			h.Fatalf("%s is not the digest that the next one names", key)
		}
		h.checkSignature(published, key, d, hash, o.metadata)
		var inDigest []string
		for _, f := range d["logFiles"].([]any) {
			file := f.(map[string]any)
			name := file["s3Object"].(string)
			if h.server.objects[name] == nil || seen[name] {
				h.Fatalf("%s names %s, which is missing or named already", key, name)
			}
			seen[name] = true
			text := unzip(h, h.server.objects[name].body)
			if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != file["hashValue"] {
				h.Fatalf("%s has another hash than %s says", name, key)
			}
			inDigest = append(inDigest, recordIDs(h, text, region)...)
		}
		ids = slices.Concat(inDigest, ids)
		link, key = d, ""
		if previous, ok := d["previousDigestS3Object"].(string); ok {
			key = previous
		}
	}
	for key := range h.server.objects {
		if strings.Contains(key, "/"+region+"/") && !seen[key] {
			h.Fatalf("%s is in the bucket and in no digest", key)
		}
	}
	return ids, digests
}

func (h *harness) checkSignature(published []PublicKey, key string, d map[string]any, hash [32]byte, metadata map[string]string) {
	h.Helper()
	i := slices.IndexFunc(published, func(k PublicKey) bool { return k.Fingerprint == d["digestPublicKeyFingerprint"] })
	if i < 0 || metadata["signature-algorithm"] != "SHA256withRSA" {
		h.Fatalf("%s: key %v, algorithm %s", key, d["digestPublicKeyFingerprint"], metadata["signature-algorithm"])
	}
	public, err := x509.ParsePKCS1PublicKey(published[i].Value)
	if err != nil {
		h.Fatal(err)
	}
	previous := "null"
	if s, ok := d["previousDigestSignature"].(string); ok {
		previous = s
	}
	statement := sha256.Sum256(fmt.Appendf(nil, "%s\n%s/%s\n%x\n%s", d["digestEndTime"], d["digestS3Bucket"], d["digestS3Object"], hash, previous))
	signature, err := hex.DecodeString(metadata["signature"])
	if err == nil {
		err = rsa.VerifyPKCS1v15(public, crypto.SHA256, statement[:], signature)
	}
	if err != nil || d["digestS3Object"] != key || d["digestS3Bucket"] != bucketX {
		h.Fatalf("%s: the signature does not hold: %v", key, err)
	}
}

func recordIDs(tb failer, text []byte, region string) (ids []string) {
	tb.Helper()
	var file struct {
		Records []struct {
			EventID   string `json:"eventID"`
			AWSRegion string `json:"awsRegion"`
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		tb.Fatal(err)
	}
	for _, r := range file.Records {
		ids = append(ids, r.EventID)
		if region != "" && r.AWSRegion != region {
			tb.Fatalf("%s of %s is in a file of %s", r.EventID, r.AWSRegion, region)
		}
	}
	return ids
}
