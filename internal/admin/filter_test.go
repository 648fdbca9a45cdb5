package admin

import (
	"net/url"
	"reflect"
	"testing"
	"time"
)

const record = `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::000000000000:user/ann","accountId":"000000000000","accessKeyId":"AKIAEXAMPLE","userName":"ann"},
"eventTime":"2026-01-02T03:04:05Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","errorCode":"AccessDenied",
"requestParameters":{"keyId":"alias/payroll","encryptionContext":{"keyId":"alias/other"}},
"resources":[{"ARN":"arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab","accountId":"000000000000"},{"ARN":"arn:aws:kms:us-east-1:000000000000:alias/wages"}]}`

func TestMatch(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name   string
		filter Filter
		want   bool
	}{
		{"nothing asked", Filter{}, true},
		{"key id", Filter{Key: "1234abcd-12ab-34cd-56ef-1234567890ab"}, true},
		{"key ARN", Filter{Key: "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"}, true},
		{"alias in resources", Filter{Key: "alias/wages"}, true},
		{"alias as sent", Filter{Key: "alias/payroll"}, true},
		{"key of another region", Filter{Key: "arn:aws:kms:eu-west-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"}, false},
		{"beginning of a key id", Filter{Key: "1234abcd"}, false},
		{"alias in the encryption context", Filter{Key: "alias/other"}, false},
		{"alias as a key", Filter{Key: "wages"}, false},
		{"principal ARN", Filter{Principal: "arn:aws:iam::000000000000:user/ann"}, true},
		{"principal id", Filter{Principal: "AIDAEXAMPLE"}, true},
		{"access key", Filter{Principal: "AKIAEXAMPLE"}, true},
		{"user name", Filter{Principal: "ann"}, true},
		{"account", Filter{Principal: "000000000000"}, true},
		{"another user", Filter{Principal: "bob"}, false},
		{"operation", Filter{Operation: "Decrypt"}, true},
		{"operation in another case", Filter{Operation: "decrypt"}, true},
		{"operation with its service", Filter{Operation: "KMS:Decrypt"}, true},
		{"operation of another service", Filter{Operation: "sts:Decrypt"}, false},
		{"another operation", Filter{Operation: "Encrypt"}, false},
		{"since that second", Filter{Since: at}, true},
		{"since the next", Filter{Since: at.Add(time.Second)}, false},
		{"until that second", Filter{Until: at}, false},
		{"until the next", Filter{Until: at.Add(time.Second)}, true},
		{"any error", Filter{Error: "any"}, true},
		{"no error", Filter{Error: "none"}, false},
		{"that error", Filter{Error: "accessdenied"}, true},
		{"another error", Filter{Error: "DisabledException"}, false},
		{"two that match", Filter{Principal: "ann", Operation: "Decrypt"}, true},
		{"one of two", Filter{Principal: "ann", Operation: "Encrypt"}, false},
	}
	for _, test := range tests {
		if got, err := test.filter.Match([]byte(record)); err != nil || got != test.want {
			t.Errorf("%s: got %v, %v", test.name, got, err)
		}
	}
	for _, bad := range []string{"", "[]", `"x"`, `{"eventTime":"never"}`, `{"resources":{}}`} {
		if _, err := (Filter{Error: "none"}).Match([]byte(bad)); err == nil {
			t.Errorf("%s was taken for a record", bad)
		}
	}
	// Records without what is asked for.
	for _, bare := range []string{`{}`, `{"requestParameters":null,"resources":null}`, `{"requestParameters":{"keyId":null}}`, `{"resources":[{"ARN":"arn:"}]}`} {
		for _, filter := range []Filter{{Key: "k"}, {Principal: "p"}, {Operation: "o"}, {Error: "any"}} {
			if got, err := filter.Match([]byte(bare)); err != nil || got {
				t.Errorf("%s, %+v: got %v, %v", bare, filter, got, err)
			}
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("key=a&principal=b&operation=c&since=2026-01-02T03:04:05.6Z&until=2026-01-02T03:04:05%2B01:00&error=any", record)
	f.Add("since=0001-01-01T00:00:00Z", "{}")
	f.Add("until=x", "[")
	f.Fuzz(func(t *testing.T, query, record string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		filter, err := parseFilter(values)
		if err != nil {
			return
		}
		again, err := parseFilter(filter.values())
		if err != nil || !reflect.DeepEqual(again, filter) {
			t.Errorf("%+v came back as %+v, %v", filter, again, err)
		}
		_, _ = filter.Match([]byte(record))
	})
}
