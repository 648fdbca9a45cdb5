// Command lookup measures how long the first page of LookupEvents takes over many
// audit records. It fills a journal on disk, in the embedded store and in the
// frames that a busy server makes, indexes it, and asks the operation itself, by
// each attribute in turn; what HTTP and signatures add is measured elsewhere
// (make bench).
//
//	go run ./bench/lookup -records 10000000 -data /var/tmp/lookup
//
// A folder that was filled before is used again.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/service/trail"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
)

const (
	account = "111122223333"
	region  = "us-east-1"
	// perFrame is what a group commit holds under load.
	perFrame = 64
	keys     = 1000
	users    = 100
)

func main() {
	records := flag.Uint64("records", 1_000_000, "how many records")
	data := flag.String("data", "", "the folder; if empty, one that is removed afterwards")
	asks := flag.Int("asks", 200, "lookups by each attribute")
	flag.Parse()
	dir := *data
	if dir == "" {
		made, err := os.MkdirTemp("", "strongroom-lookup-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(made)
		dir = made
	}
	if err := run(dir, *records, *asks); err != nil {
		log.Fatal(err)
	}
}

// rig is what is measured.
type rig struct {
	backend store.Backend
	domain  *seal.Domain
	reader  *journal.Reader
	index   *index.Index
	service *trail.Service
	samples []sample
}

// sample is what a record can be looked up by.
type sample struct{ eventID, user, key string }

func run(dir string, records uint64, asks int) error {
	ctx := context.Background()
	r := &rig{}
	if err := r.open(ctx, dir); err != nil {
		return err
	}
	defer r.backend.Close()
	began := time.Now()
	if err := r.fill(ctx, records); err != nil {
		return err
	}
	filled := time.Now()
	if err := r.index.CatchUp(ctx); err != nil {
		return err
	}
	indexed := time.Now()
	size := r.index.Size()
	fmt.Printf("%d records filled in %v; indexed in %v (only what was not there before); %.1f bytes of index a record in segments, %d records in memory\n",
		records, filled.Sub(began).Round(time.Millisecond), indexed.Sub(filled).Round(time.Millisecond),
		float64(size.Bytes)/float64(max(size.Records, 1)), size.Tail)
	if err := r.sample(ctx, records); err != nil {
		return err
	}
	return r.measure(ctx, asks)
}

func (r *rig) open(ctx context.Context, dir string) error {
	backend, err := pebble.Open(pebble.Config{Dir: filepath.Join(dir, "store")})
	if err != nil {
		return err
	}
	r.backend = backend
	root, err := seal.OpenFileRoot(filepath.Join(dir, "root.key"), nil)
	if errors.Is(err, seal.ErrRootMissing) {
		root, err = seal.CreateFileRoot(filepath.Join(dir, "root.key"), nil)
	}
	if err != nil {
		return err
	}
	meta, err := backend.Meta(ctx)
	if err != nil {
		return err
	}
	if slots := meta["slots"]; slots != nil {
		r.domain, err = seal.Open(ctx, root, slots)
	} else {
		if r.domain, slots, err = seal.Create(ctx, root, "lookup", nil); err == nil {
			err = backend.SetMeta(ctx, map[string][]byte{"slots": slots})
		}
	}
	if err != nil {
		return err
	}
	r.reader, err = journal.NewReader(journal.ReaderConfig{
		Deployment: "lookup", Stream: "store", Frames: backend, NotFound: store.ErrNotFound,
		Key: func(v uint32) (secret.Bytes, error) { return r.domain.Derive(v, seal.LabelJournalSealing) },
	})
	if err != nil {
		return err
	}
	box, err := r.domain.Box(seal.LabelRecordIndex)
	if err != nil {
		return err
	}
	terms, err := r.domain.Derive(1, seal.LabelRecordTerms)
	if err != nil {
		return err
	}
	r.index, err = index.Open(ctx, index.Config{
		Dir: filepath.Join(dir, "audit-index"), Reader: r.reader, Box: box, TermKey: terms, Rand: rand.Reader, Log: slog.Default(),
	})
	if err != nil {
		return err
	}
	tokens, err := r.domain.Box(seal.LabelLookupTokens)
	if err != nil {
		return err
	}
	r.service = trail.New(trail.Config{Records: r.index, Tokens: tokens, Rand: rand.Reader, Clock: clock.System(), Regions: []string{region}})
	return nil
}

// fill commits records until there are so many.
func (r *rig) fill(ctx context.Context, records uint64) error {
	key, err := r.domain.Derive(1, seal.LabelJournalSealing)
	if err != nil {
		return err
	}
	writer, err := journal.Open(ctx, journal.Config{
		Deployment: "lookup", Stream: "store", Key: key, KeyVersion: 1, Signer: ed25519.NewKeyFromSeed(make([]byte, 32)),
		Clock: clock.System(), Frames: r.backend, NotFound: store.ErrNotFound,
	})
	if err != nil {
		return err
	}
	have := uint64(0)
	if last, err := r.reader.Last(ctx); err != nil {
		return err
	} else if last > 0 {
		b, err := r.reader.Batch(ctx, last)
		if err != nil {
			return err
		}
		have = b.First - 1 + uint64(len(b.Records))
	}
	for have < records {
		lines := make([][]byte, 0, perFrame)
		for range min(perFrame, records-have) {
			lines = append(lines, event())
		}
		seq, frame, err := writer.Frame(lines)
		if err != nil {
			return err
		}
		if err := r.backend.Prepare(ctx, 0); err != nil {
			return err
		}
		if err := r.backend.Commit(ctx, store.Batch{Frame: frame, Seq: seq}); err != nil {
			return err
		}
		if have += uint64(len(lines)); have%1_000_000 < perFrame {
			fmt.Fprintf(os.Stderr, "%d records\n", have)
		}
	}
	return nil
}

var operations = []string{"Encrypt", "Decrypt", "GenerateDataKey", "DescribeKey"}

func keyARN(n int) string {
	return fmt.Sprintf("arn:aws:kms:%s:%s:key/%08x-0000-4000-8000-000000000000", region, account, n)
}

// event makes the record of a call on one of the keys by one of the users.
func event() []byte {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	user, key := mathrand.IntN(users), keyARN(mathrand.IntN(keys))
	r := journal.Record{
		UserIdentity: journal.UserIdentity{
			Type: "IAMUser", PrincipalID: fmt.Sprintf("AIDAUSER%012d", user), ARN: fmt.Sprintf("arn:aws:iam::%s:user/user-%d", account, user),
			AccountID: account, AccessKeyID: fmt.Sprintf("AKIAUSER%012d", user), UserName: fmt.Sprintf("user-%d", user),
		},
		EventTime: time.Now(), EventSource: "kms.amazonaws.com", EventName: operations[mathrand.IntN(len(operations))], AWSRegion: region,
		SourceIPAddress: "192.0.2.1", UserAgent: "aws-sdk-go-v2/1.47 os/linux lang/go#1.26 api/kms#1.62",
		RequestParameters: fmt.Appendf(nil, `{"keyId":%q,"encryptionContext":{"tenant":"t-%d"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}`, key, user),
		RequestID:         journal.NewUUID(id).String(), EventID: journal.NewUUID(id), ReadOnly: true,
		Resources: []journal.Resource{{AccountID: account, Type: "AWS::KMS::Key", ARN: key}},
		EventType: journal.AwsApiCall, RecipientAccountID: account,
	}
	return r.AppendJSON(nil)
}

// sample takes event ids from all over the journal.
func (r *rig) sample(ctx context.Context, records uint64) error {
	last, err := r.reader.Last(ctx)
	if err != nil {
		return err
	}
	for i := range uint64(100) {
		b, err := r.reader.Batch(ctx, 1+i*(last-1)/100)
		if err != nil {
			return err
		}
		text := string(b.Records[0])
		const mark = `"eventID":"`
		at := slices.Index([]byte(text), '{')
		for ; text[at:at+len(mark)] != mark; at++ {
		}
		r.samples = append(r.samples, sample{
			eventID: text[at+len(mark):][:36], user: fmt.Sprintf("user-%d", i%users), key: keyARN(int(i) % keys),
		})
	}
	return nil
}

// everyone is allowed.
type everyone struct{}

func (everyone) Policies(context.Context, *authz.Principal, *policy.Policies) error { return nil }
func (everyone) RecordFor(*authz.Call, any, string) []byte                          { return nil }

func (everyone) Record(*authz.Call, any) []byte { return nil }

func (r *rig) measure(ctx context.Context, asks int) error {
	fmt.Printf("%-34s %9s %9s %9s %7s\n", "first page by", "p50 ms", "p99 ms", "max ms", "events")
	for _, c := range []struct {
		name string
		key  api.LookupAttributeKey
		of   func(sample) string
	}{
		{"nothing", "", nil},
		{"EventId", "EventId", func(s sample) string { return s.eventID }},
		{"EventName", "EventName", func(sample) string { return "Decrypt" }},
		{"EventName that is not there", "EventName", func(sample) string { return "CreateKey" }},
		{"ReadOnly", "ReadOnly", func(sample) string { return "true" }},
		{"Username", "Username", func(s sample) string { return s.user }},
		{"ResourceName", "ResourceName", func(s sample) string { return s.key }},
		{"ResourceType", "ResourceType", func(sample) string { return "AWS::KMS::Key" }},
		{"EventSource", "EventSource", func(sample) string { return "kms.amazonaws.com" }},
		{"AccessKeyId", "AccessKeyId", func(s sample) string { return "AKIAUSER" + fmt.Sprintf("%012s", s.user[len("user-"):]) }},
	} {
		var took []time.Duration
		events := 0
		for i := range asks {
			in := &api.LookupEventsInput{}
			if c.of != nil {
				in.LookupAttributes = []api.LookupAttribute{{AttributeKey: c.key, AttributeValue: c.of(r.samples[i%len(r.samples)])}}
			}
			call := &authz.Call{
				Service: "cloudtrail", Operation: "LookupEvents", Action: "cloudtrail:LookupEvents", Partition: "aws", Region: region, Time: time.Now(),
				Principal: authz.Principal{Principal: policy.Principal{Type: policy.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account}},
			}
			call.Attach(everyone{})
			began := time.Now()
			out, err := r.service.LookupEvents(ctx, call, in)
			if err != nil {
				return err
			}
			took = append(took, time.Since(began))
			events += len(out.Events)
		}
		slices.Sort(took)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Printf("%-34s %9.2f %9.2f %9.2f %7.1f\n", c.name, ms(took[len(took)/2]), ms(took[len(took)*99/100]), ms(took[len(took)-1]), float64(events)/float64(asks))
	}
	return nil
}
