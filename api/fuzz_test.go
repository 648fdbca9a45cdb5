package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/awserr"
)

// fuzzDecode gives any bytes to any operation of a service. A request is refused
// with one of two codes, or it is valid and its record is JSON.
func fuzzDecode(f *testing.F, name string) {
	for _, e := range edges(f) {
		if e.name != name {
			continue
		}
		for i, row := range e.table.Operations {
			f.Add(uint8(i), e.body(e.input(f, row.Name, true)))
			f.Add(uint8(i), e.body(e.input(f, row.Name, false)))
		}
		f.Fuzz(func(t *testing.T, op uint8, body []byte) {
			row := e.table.Operations[int(op)%len(e.table.Operations)]
			in, err := row.Decode(body)
			if err != nil {
				if code := awserr.Code(err); code != "ValidationException" && code != "SerializationException" || in != nil {
					t.Fatalf("%v, %v", in, err)
				}
				if strings.Contains(err.Error(), "at 'plaintext'") && !strings.Contains(err.Error(), "Value at 'plaintext'") && !strings.Contains(err.Error(), "Value null at 'plaintext'") {
					t.Fatalf("a plaintext is shown: %v", err)
				}
				return
			}
			if err := in.(interface{ Validate() error }).Validate(); err != nil {
				t.Fatalf("decoded, but %v", err)
			}
			if record := row.AuditRequest(nil, in); !json.Valid(record) {
				t.Fatalf("the record is no JSON: %s", record)
			}
		})
	}
}

func FuzzDecodeCloudHSM(f *testing.F)   { fuzzDecode(f, "cloudhsm") }
func FuzzDecodeCloudTrail(f *testing.F) { fuzzDecode(f, "cloudtrail") }
func FuzzDecodeKMS(f *testing.F)        { fuzzDecode(f, "kms") }
func FuzzDecodeIAM(f *testing.F)        { fuzzDecode(f, "iam") }
func FuzzDecodeSTS(f *testing.F)        { fuzzDecode(f, "sts") }
