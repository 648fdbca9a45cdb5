package crash

import (
	"maps"
	"strings"
	"testing"
)

const export = `{"requestID":"1","eventName":"Encrypt","eventType":"AwsApiCall"}
{"requestID":"2","eventName":"CreateKey","eventType":"AwsApiCall","responseElements":{"keyMetadata":{"keyId":"k"}}}
{"requestID":"3","eventName":"CreateKey","eventType":"AwsApiCall","errorCode":"ValidationException","responseElements":null}
{"requestID":"4","eventName":"CreateGrant","eventType":"AwsApiCall","responseElements":{"grantId":"g"}}
{"requestID":"5","eventName":"CreateGrant","eventType":"AwsApiCall","responseElements":{"grantId":"h"}}
{"requestID":"6","eventName":"RevokeGrant","eventType":"AwsApiCall","requestParameters":{"grantId":"g"}}
{"requestID":"7","eventName":"CreateKey","eventType":"AwsApiCall","responseElements":{"keyMetadata":{"keyId":"k"}}}
{"requestID":"7","eventName":"ReplicateKey","awsRegion":"eu-west-1","eventType":"AwsApiCall"}
{"eventName":"DeleteKey","eventType":"AwsServiceEvent"}
`

func TestReadExport(t *testing.T) {
	r, err := readExport([]byte(export))
	if err != nil || r.records != 9 || len(r.calls) != 7 || r.calls["7"] != "ReplicateKey" || r.calls["1"] != "Encrypt" || r.calls["2"] != "CreateKey" {
		t.Errorf("%+v %v", r, err)
	}
	if !maps.Equal(r.keys, map[string]bool{"k": true}) || !maps.Equal(r.grants, map[string]bool{"h": true}) {
		t.Errorf("made were %v and %v", r.keys, r.grants)
	}
	for name, more := range map[string]string{
		"twice":     `{"requestID":"1","eventName":"Encrypt","eventType":"AwsApiCall"}` + "\n",
		"broken":    `{"requestID":"8",`,
		"not alone": `{"requestID":"8"}{"requestID":"9"}` + "\n",
	} {
		if _, err := readExport([]byte(export + more)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCompareMade(t *testing.T) {
	r, err := readExport([]byte(export))
	if err != nil {
		t.Fatal(err)
	}
	of := func(keys ...*key) *folder { return &folder{workers: []*worker{{}, {keys: keys}}} }
	grants := func(names ...string) map[string]*grant {
		all := map[string]*grant{}
		for _, name := range names {
			all[name] = &grant{id: name, there: value{acknowledged: granted}}
		}
		return all
	}
	revoked := grants("g", "h")
	revoked["g"].there.settle("")
	if err := of(&key{id: "k", grants: revoked}).compareMade(r); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]struct {
		f    *folder
		want string
	}{
		"a key without a record":   {of(&key{id: "k", grants: grants("h")}, &key{id: "l"}), "l has no record"},
		"a record without a key":   {of(), "k is not there"},
		"a grant without a record": {of(&key{id: "k", grants: grants("g", "h")}), "g has no record"},
		"a record without a grant": {of(&key{id: "k"}), "h is not there"},
	} {
		if err := bad.f.compareMade(r); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
