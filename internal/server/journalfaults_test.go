package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	kmsapi "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/keyring/software"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/service/kms"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
	"github.com/strongroom/strongroom/internal/wire"
)

var faultRequests = flag.Int("fault-requests", 3000, "requests of TestNoReplyWithoutRecordUnderFaults; the long proof takes 1000000")

const (
	roundRequests = 1000
	faultWorkers  = 16
	// youngLog is how many bytes of a log of Pebble's may be written when a fault
	// begins, of the 256 KiB at least that it gets: faults at its rotation end the
	// process, which package pebble's own tests watch.
	youngLog = 128 << 10
)

// TestNoReplyWithoutRecordUnderFaults sends mixed requests while the journal's
// disk fails, runs full or hangs, pulls the plug, and holds what the disk then has
// against the answers: each answer that says how a call ended has its record, once
// and with the same outcome; and each record is that of a request.
//
//	go test ./internal/server -run NoReplyWithoutRecordUnderFaults -timeout 3h -fault-requests 1000000
func TestNoReplyWithoutRecordUnderFaults(t *testing.T) {
	total := newFaultRun(t)
	for round := 0; total.sent < *faultRequests; round++ {
		total.round(round)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("%d requests in %d rounds: %d answered with their outcome, %d with 503 or 500, %d records", total.sent, total.rounds, total.ended, total.unknown, total.records)
	if total.ended == 0 || total.unknown == 0 {
		t.Error("the faults did nothing, or nothing went through")
	}
}

type faultRun struct {
	t                                     *testing.T
	domain                                *seal.Domain
	sent, rounds, ended, unknown, records int
}

func newFaultRun(t *testing.T) *faultRun {
	root, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	domain, _, err := seal.Create(t.Context(), root, "faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &faultRun{t: t, domain: domain}
}

// faultyDisk is a disk with one fault. Only what changes the disk meets it.
type faultyDisk struct {
	vfs.FS
	full atomic.Bool
}

func (d *faultyDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if d.full.Load() {
		return vfs.DiskUsage{AvailBytes: 1}, nil
	}
	return vfs.DiskUsage{AvailBytes: 1 << 40}, nil
}

func (d *faultyDisk) Unwrap() vfs.FS { return d.FS }

// diskFault is what a round's disk does.
type diskFault struct {
	at     int64 // the operation that fails or hangs; 0 for none
	hangs  bool
	hung   chan struct{} // closed when it hangs
	resume chan struct{} // closed to let it go on
	armed  atomic.Bool
	failed atomic.Bool
	count  atomic.Int64
	logged atomic.Int64 // bytes in the newest log
}

// Create implements vfs.FS for a disk that counts what its newest log takes.
func (d *loggedDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	return d.watch(name, f), err
}

// ReuseForWrite implements vfs.FS.
func (d *loggedDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(from, to, c)
	return d.watch(to, f), err
}

type loggedDisk struct {
	vfs.FS
	logged *atomic.Int64
}

type loggedFile struct {
	vfs.File
	logged *atomic.Int64
}

func (d *loggedDisk) watch(name string, f vfs.File) vfs.File {
	if f == nil || filepath.Ext(name) != ".log" {
		return f
	}
	d.logged.Store(0)
	return loggedFile{f, d.logged}
}

func (f loggedFile) Write(p []byte) (int, error) {
	f.logged.Add(int64(len(p)))
	return f.File.Write(p)
}

func (f *diskFault) inject(op errorfs.Op) error {
	if !f.armed.Load() || f.at == 0 || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	n := f.count.Add(1)
	switch {
	case f.hangs && n == f.at:
		close(f.hung)
		<-f.resume
	case f.hangs || n < f.at:
	case f.failed.Load(), 0 < f.logged.Load() && f.logged.Load() < youngLog:
		f.failed.Store(true)
		return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.EIO}
	}
	return nil
}

// reply is what a client knows of a request.
type reply struct {
	id, operation, code string // code is "" for a success
	known               bool   // the answer says how the call ended
}

func (r *faultRun) round(n int) {
	random := mathrand.New(mathrand.NewPCG(uint64(n), 1))
	f := &diskFault{hung: make(chan struct{}), resume: make(chan struct{})}
	kind := n % 3
	if kind != 2 {
		f.at, f.hangs = 1+random.Int64N(300), kind == 1
	}
	below := vfs.NewCrashableMem()
	disk := &faultyDisk{FS: errorfs.Wrap(&loggedDisk{below, &f.logged}, errorfs.InjectorFunc(f.inject))}
	backend, gate := r.open(disk)
	key := r.send(context.Background(), gate, random, "CreateKey", `{}`)
	replies := []reply{key.reply}
	f.armed.Store(true)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var current atomic.Pointer[context.Context]
	current.Store(&ctx)
	finished := make(chan struct{})
	var watching sync.WaitGroup
	if f.hangs {
		// Whoever waits for a disk that hangs gives up; then the disk goes on.
		watching.Go(func() {
			select {
			case <-f.hung:
				next := context.Background()
				current.Store(&next)
				cancel()
			case <-finished:
			}
			close(f.resume)
		})
	}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for worker := range faultWorkers {
		random := mathrand.New(mathrand.NewPCG(uint64(n), uint64(worker)+2))
		workers.Go(func() {
			for i := range roundRequests / faultWorkers {
				if kind == 2 {
					disk.full.Store(i/10%2 == 1) // full, and room again, and so on
				}
				name, body := mixed(random, key.keyID)
				a := r.send(*current.Load(), gate, random, name, body)
				mu.Lock()
				replies = append(replies, a.reply)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	close(finished)
	watching.Wait()
	image := below.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * random.IntN(3), RNG: random})
	f.armed.Store(false)
	backend.service.Close()
	_ = backend.store.Close() // after a fault it says which
	_ = backend.Close()
	r.check(n, image, replies, 0)
	r.sent, r.rounds = r.sent+len(replies), r.rounds+1
}

// opened is a backend with the store over it.
type opened struct {
	store.Backend
	store   *store.Store
	service *kms.Service
}

// open makes a server over disk, without sockets and signatures.
func (r *faultRun) open(disk vfs.FS) (*opened, *gateway.Gateway) {
	r.t.Helper()
	log := slog.New(slog.DiscardHandler)
	ignore := func(error) {}
	backend, err := pebble.Open(pebble.Config{Dir: "data", FS: disk, Reserve: 1 << 20, Fatal: ignore, Log: log})
	if err != nil {
		r.t.Fatal(err)
	}
	signer, err := journalSigner(r.domain)
	if err != nil {
		r.t.Fatal(err)
	}
	sealing, err := journalKey(r.domain)(1)
	if err != nil {
		r.t.Fatal(err)
	}
	system := clock.System()
	var s *store.Store
	writer, err := journal.Open(r.t.Context(), journal.Config{
		Deployment: "faults", Stream: streamName, Key: sealing, KeyVersion: 1, Signer: signer, Clock: system,
		Frames: backend, NotFound: store.ErrNotFound, State: func() []byte { return s.LiveState() },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	live, err := (&folder{domain: r.domain}).liveKey()
	if err != nil {
		r.t.Fatal(err)
	}
	s, err = store.New(store.Config{Backend: backend, Sealer: newRecordSealer(r.domain), Journal: writer, Fatal: ignore, LiveKey: live})
	if err != nil {
		r.t.Fatal(err)
	}
	ring, err := software.New(software.Config{Domain: r.domain})
	if err != nil {
		r.t.Fatal(err)
	}
	service := kms.New(kms.Config{
		Store: s, Keyring: ring, Principals: everybody{}, Clock: system, Rand: rand.Reader, Regions: []string{"us-east-1"},
		MarkerKey: make(secret.Bytes, 32), GrantTokenKey: make(secret.Bytes, 32), Log: log,
	})
	return &opened{backend, s, service}, gateway.New(gateway.Config{
		Services: []*operation.Service{kmsapi.Table(service)}, Regions: []string{"us-east-1"}, Authenticator: everybody{},
		Directory: everybody{}, Store: s, Clock: system, Rand: rand.Reader, Log: log,
	})
}

// everybody lets in the account's root, and a user whom nothing allows anything.
type everybody struct{}

func (everybody) Exists(context.Context, policy.PrincipalRef) (bool, error)          { return true, nil }
func (everybody) Policies(context.Context, *authz.Principal, *policy.Policies) error { return nil }
func (everybody) Authenticate(_ context.Context, _ *wire.Request, s *sigv4.Signature) (authz.Principal, error) {
	p := policy.Principal{Type: policy.Root, Account: "000000000000", ARN: "arn:aws:iam::000000000000:root", ID: "000000000000"}
	if s.AccessKeyID == "USER" {
		p = policy.Principal{Type: policy.User, Account: "000000000000", ARN: "arn:aws:iam::000000000000:user/u", ID: "AIDAU"}
	}
	return authz.Principal{Principal: p, AccessKeyID: strings.Clone(s.AccessKeyID)}, nil
}

// mixed returns a request: uses, reads, changes, and what is refused.
func mixed(random *mathrand.Rand, keyID string) (name, body string) {
	switch random.IntN(8) {
	case 0, 1:
		return "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"eA=="}`, keyID)
	case 2:
		return "GenerateDataKey", fmt.Sprintf(`{"KeyId":%q,"KeySpec":"AES_256"}`, keyID)
	case 3:
		return "DescribeKey", fmt.Sprintf(`{"KeyId":%q}`, keyID)
	case 4:
		return "CreateAlias", fmt.Sprintf(`{"AliasName":"alias/%d","TargetKeyId":%q}`, random.IntN(100), keyID)
	case 5:
		return "UpdateKeyDescription", fmt.Sprintf(`{"KeyId":%q,"Description":"%d"}`, keyID, random.IntN(1000))
	case 6:
		return "Decrypt", `{"CiphertextBlob":"eA=="}`
	}
	return "Encrypt", `{"KeyId":""}`
}

type answered struct {
	reply
	keyID string
}

// send makes a request and takes down what its client learns.
func (r *faultRun) send(ctx context.Context, gate *gateway.Gateway, random *mathrand.Rand, name, body string) answered {
	who := "ROOT"
	if name != "CreateKey" && random.IntN(10) == 0 {
		who = "USER"
	}
	var resp wire.Response
	gate.Serve(ctx, &wire.Request{
		Method: "POST", Target: "/", Body: []byte(body), Remote: netip.MustParseAddrPort("192.0.2.7:4711"),
		Headers: []wire.Header{
			{Name: "Host", Value: "localhost"}, {Name: "Content-Type", Value: wire.ContentTypeJSON11},
			{Name: "X-Amz-Target", Value: "TrentService." + name}, {Name: "X-Amz-Date", Value: "20260102T030405Z"},
			{Name: "Authorization", Value: "AWS4-HMAC-SHA256 Credential=" + who + "/20260102/us-east-1/kms/aws4_request, " +
				"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=" + strings.Repeat("0", 64)},
		},
	}, &resp)
	var out struct {
		Type        string `json:"__type"`
		KeyMetadata struct{ KeyId string }
	}
	if err := json.Unmarshal(resp.Body, &out); err != nil && len(resp.Body) > 0 {
		r.t.Errorf("%s is answered with %s", name, resp.Body)
	}
	a := answered{reply{operation: name, known: resp.Status < 500}, out.KeyMetadata.KeyId}
	if resp.Status != 200 {
		a.code = out.Type
	}
	for _, h := range resp.Headers {
		if h.Name == "x-amzn-RequestId" {
			a.id = h.Value
		}
	}
	return a
}

// check reads the journal from an image of the disk and compares. underWay calls may
// have their records without an answer. The live set must find nothing wrong.
func (r *faultRun) check(n int, image vfs.FS, replies []reply, underWay int) {
	backend, err := pebble.Open(pebble.Config{Dir: "data", FS: image, Reserve: 1, Log: slog.New(slog.DiscardHandler), Fatal: func(err error) { r.t.Error(err) }})
	if err != nil {
		r.t.Errorf("round %d: the image does not open: %v", n, err)
		return
	}
	defer backend.Close()
	signer, err := journalSigner(r.domain)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := journal.Verify(r.t.Context(), journal.VerifyConfig{
		PublicKeys: []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}, Frames: backend, Key: journalKey(r.domain),
	}); err != nil {
		r.t.Errorf("round %d: the trail is not whole: %v", n, err)
	}
	r.checkLive(n, backend)
	reader, err := journal.NewReader(journal.ReaderConfig{
		Deployment: "faults", Stream: streamName, Frames: backend, NotFound: store.ErrNotFound, Key: journalKey(r.domain),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	type record struct {
		RequestID, EventName, ErrorCode string
	}
	recorded := map[string]record{}
	err = reader.All(r.t.Context(), func(e journal.Entry) error {
		var x record
		if err := json.Unmarshal(bytes.Clone(e.Record), &x); err != nil {
			return err
		}
		if _, twice := recorded[x.RequestID]; twice {
			return fmt.Errorf("request %s has two records", x.RequestID)
		}
		recorded[x.RequestID] = x
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		r.t.Errorf("round %d: %v", n, err)
	}
	r.records += len(recorded)
	for _, a := range replies {
		x, there := recorded[a.id]
		delete(recorded, a.id)
		if !a.known {
			r.unknown++
			continue
		}
		r.ended++
		if !there {
			r.t.Errorf("round %d: %s %s was answered (%q) and has no record", n, a.operation, a.id, a.code)
		} else if x.EventName != a.operation || strings.TrimSuffix(x.ErrorCode, "Exception") != strings.TrimSuffix(a.code, "Exception") {
			r.t.Errorf("round %d: %s was answered with %q and is recorded as %+v", n, a.operation, a.code, x)
		}
	}
	for id, x := range recorded {
		if underWay--; underWay >= 0 {
			continue
		}
		r.t.Errorf("round %d: a record of %s, request %q, that nobody made", n, x.EventName, id)
	}
}

// checkLive opens what a crash left as a start does: a crash is no tampering.
func (r *faultRun) checkLive(n int, backend store.Backend) {
	ctx := r.t.Context()
	f := &folder{backend: backend, domain: r.domain}
	report, err := f.checkRecords(ctx, nil)
	if err != nil || report.Err() != nil {
		r.t.Errorf("round %d: a false alarm: %v", n, errors.Join(err, report.Err()))
	}
	live, err := f.liveKey()
	if err != nil {
		r.t.Fatal(err)
	}
	signed, absent, err := f.signedState(ctx)
	if err != nil || absent {
		r.t.Errorf("round %d: the checkpoint: %v, without a state: %v", n, err, absent)
	}
	s, err := store.New(store.Config{Backend: backend, Sealer: newRecordSealer(r.domain), Fatal: func(error) {}, LiveKey: live, LiveSigned: signed})
	if err != nil {
		r.t.Errorf("round %d: a false alarm: %v", n, err)
		return
	}
	if s.LiveComputed() && report.Records > 0 {
		r.t.Errorf("round %d: the live set was lost", n)
	}
	if err := s.Close(); err != nil {
		r.t.Error(err)
	}
}
