package journal

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
)

// typical is the record of an Encrypt call, of about 1 KB.
var typical = Record{
	UserIdentity: UserIdentity{
		Type: "AssumedRole", PrincipalID: "AROAEXAMPLEEXAMPLE123:session", ARN: "arn:aws:sts::111122223333:assumed-role/payments/session",
		AccountID: "111122223333", AccessKeyID: "ASIAEXAMPLEEXAMPLE12",
		SessionContext: &SessionContext{
			SessionIssuer: &SessionIssuer{Type: "Role", PrincipalID: "AROAEXAMPLEEXAMPLE123", ARN: "arn:aws:iam::111122223333:role/payments", AccountID: "111122223333", UserName: "payments"},
			CreationDate:  start,
		},
	},
	EventTime: start, EventSource: "kms.amazonaws.com", EventName: "Encrypt", AWSRegion: "us-east-1", SourceIPAddress: "192.0.2.7",
	UserAgent:         "aws-sdk-go-v2/1.32.0 ua/2.1 os/linux lang/go#1.26 md/GOOS#linux md/GOARCH#amd64 api/kms#1.38.0 m/E",
	RequestParameters: []byte(`{"keyId":"alias/payments","encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"tenant":"t-000172","purpose":"card"}}`),
	RequestID:         "3f2a7c1e-5a10-4f57-8d0a-1f0a5f3f1b11", ReadOnly: true,
	Resources: []Resource{{"111122223333", "AWS::KMS::Key", "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}},
	EventType: AwsApiCall, RecipientAccountID: "111122223333",
	TLSDetails: &TLSDetails{"TLSv1.3", "TLS_AES_128_GCM_SHA256", "kms.example.internal"},
}

func BenchmarkRecord(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = typical.AppendJSON(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes/record")
}

// BenchmarkFrame reports what the journal adds to a record: time, and bytes
// beyond the record's own. The first figure does not hold checkpoints, which
// cost one signature a second whatever the load.
func BenchmarkFrame(b *testing.B) {
	record := typical.AppendJSON(nil)
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			r := newRig(b)
			r.c.Rand = nil
			r.open()
			records := make([][]byte, n)
			for i := range records {
				records[i] = record
			}
			size, frames := 0, 0
			for b.Loop() {
				_, frame, err := r.w.Frame(records)
				if err != nil {
					b.Fatal(err)
				}
				size += len(frame)
				frames++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames*n), "ns/record")
			b.ReportMetric(float64(size)/float64(frames*n)-float64(len(record)), "overhead-bytes/record")
		})
	}
}

func BenchmarkCheckpoint(b *testing.B) {
	r := newRig(b)
	for b.Loop() {
		if _, _, err := r.w.Frame(nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	r := newRig(b)
	r.c.Clock = clock.NewFake(start)
	r.open()
	record := typical.AppendJSON(nil)
	for range 1000 {
		r.commit(bytes.Clone(record))
		r.clock.Advance(time.Millisecond)
	}
	for b.Loop() {
		if _, err := verify(r.kept, journalKey); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/frame")
}
