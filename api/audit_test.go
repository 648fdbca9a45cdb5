package api_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/api/sts"
)

var handlers = map[string]reflect.Type{
	"cloudhsm":   reflect.TypeFor[cloudhsm.Handler](),
	"cloudtrail": reflect.TypeFor[cloudtrail.Handler](),
	"iam":        reflect.TypeFor[iam.Handler](),
	"kms":        reflect.TypeFor[kms.Handler](),
	"sts":        reflect.TypeFor[sts.Handler](),
}

// canaries fills a shape with strings and blobs that tell where they came from.
func (e *edge) canaries(shape, at string) any {
	s := e.Shapes[shape]
	switch s.Type {
	case "string":
		return "canary-" + at + "-end"
	case "blob":
		return []byte("canary-" + at + "-end")
	case "integer":
		return 7.0
	case "boolean":
		return true
	case "timestamp":
		return 1747806465.0
	case "structure":
		m := map[string]any{}
		for _, member := range s.Members {
			m[member.Name] = e.canaries(member.Shape, at+"."+member.Name)
		}
		return m
	case "list":
		return []any{e.canaries(s.Member, at+".1"), e.canaries(s.Member, at+".2")}
	default:
		return map[string]any{"canary-" + at + ".k-end": e.canaries(s.Value, at+".v")}
	}
}

// shown works out what a record shows of a member, and takes down the canaries
// that it must not.
func (e *edge) shown(v any, shape string, listed bool, hidden *[]string) (any, bool) {
	s := e.Shapes[shape]
	listed = listed && !s.Sensitive && s.Type != "blob"
	switch v := v.(type) {
	case string:
		if !listed {
			*hidden = append(*hidden, v)
		}
	case []byte:
		*hidden = append(*hidden, string(v))
	case map[string]any:
		if s.Type == "map" {
			for k, x := range v {
				if text, ok := x.(string); ok && !listed {
					*hidden = append(*hidden, k, text)
				}
			}
			break
		}
		out := map[string]any{}
		for _, m := range s.Members {
			if x, ok := e.shown(v[m.Name], m.Shape, listed, hidden); ok {
				out[lower(m.Name)] = x
			}
		}
		return out, listed
	case []any:
		var out []any
		for _, x := range v {
			x, _ := e.shown(x, s.Member, listed, hidden)
			out = append(out, x)
		}
		return out, listed
	case float64:
		if s.Type == "timestamp" {
			return time.Unix(int64(v), 0).UTC().Format("Jan 2, 2006, 3:04:05 PM"), listed
		}
	}
	return v, listed
}

// TestAuditShowsWhatIsListed fills every member of every request and answer, and
// wants exactly the listed ones in the record, and nothing of the others.
func TestAuditShowsWhatIsListed(t *testing.T) {
	for _, e := range edges(t) {
		for i := range e.table.Operations {
			row := &e.table.Operations[i]
			o := e.Operations[row.Name]
			method, _ := handlers[e.name].MethodByName(row.Name)
			for _, side := range []struct {
				shape  string
				listed []string
				value  reflect.Value
				record func([]byte, any) []byte
			}{
				{o.Input, o.Audit.Request, reflect.New(method.Type.In(2).Elem()), row.AuditRequest},
				{o.Output, o.Audit.Response, reflect.New(method.Type.Out(0).Elem()), row.AuditResponse},
			} {
				if got := string(side.record(nil, nil)); got != "null" {
					t.Errorf("%s shows %s of nothing", row.Name, got)
				}
				if side.shape == "" {
					continue
				}
				all := e.canaries(side.shape, row.Name).(map[string]any)
				e.fill(side.value.Elem(), side.shape, all)
				var hidden []string
				want := map[string]any{}
				for _, m := range e.Shapes[side.shape].Members {
					if x, ok := e.shown(all[m.Name], m.Shape, slices.Contains(side.listed, m.Name), &hidden); ok {
						want[lower(m.Name)] = x
					}
				}
				record := string(side.record([]byte("before"), side.value.Interface()))
				record, ok := strings.CutPrefix(record, "before")
				if !ok {
					t.Errorf("%s did not append: %s", row.Name, record)
				}
				for _, canary := range hidden {
					for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))} {
						if strings.Contains(record, form) {
							t.Errorf("the record of %s shows %s", row.Name, canary)
						}
					}
				}
				var got any
				if err := json.Unmarshal([]byte(record), &got); err != nil {
					t.Fatalf("%s: %s: %v", row.Name, record, err)
				}
				if len(want) == 0 {
					if record != "null" {
						t.Errorf("%s shows %s; want null", row.Name, record)
					}
				} else if !reflect.DeepEqual(got, any(want)) {
					t.Errorf("%s\nshows %v\nwant  %v", row.Name, got, want)
				}
				e.neverShown(t, row.Name, record)
			}
		}
	}
}

// neverShown holds records against the list that no overlay can override.
func (e *edge) neverShown(t *testing.T, op, record string) {
	for _, name := range []string{
		"plaintext", "ciphertextBlob", "message", "signature", "mac", "grantTokens", "grantToken", "importToken", "encryptedKeyMaterial",
		"keyStorePassword", "xksProxyAuthenticationCredential", "trustAnchorCertificate", "sharedSecret", "sharedSecretCiphertextBlob", "publicKey",
		"privateKeyPlaintext", "privateKeyCiphertextBlob", "ciphertextForRecipient", "recipient", "secretAccessKey", "sessionToken",
		"webIdentityToken", "sAMLAssertion", "tradeInToken", "tokenCode", "encodedMessage", "decodedMessage", "contextAssertion",
	} {
		if strings.Contains(record, fmt.Sprintf("%q:", name)) {
			t.Errorf("the record of %s shows %s", op, name)
		}
	}
	if op == "GetKeyPolicy" && strings.Contains(record, `"policy":`) {
		t.Error("the record of GetKeyPolicy shows the policy")
	}
}
