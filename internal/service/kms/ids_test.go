package kms

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/authz"
)

func TestParseReference(t *testing.T) {
	const (
		uuid = "1234abcd-12ab-34cd-56ef-1234567890ab"
		mrk  = "mrk-1234abcd12ab34cd56ef1234567890ab"
		arn  = "arn:aws:kms:us-east-1:111122223333:"
	)
	long := "alias/" + strings.Repeat("n", 250)
	notFound := func(message string) string { return "NotFoundException: " + message }
	tests := []struct {
		id   string
		want reference
		err  string // for keysAndAliases
		only string // for keysOnly, where it differs
	}{
		{id: uuid, want: reference{keyID: uuid}},
		{id: strings.ToUpper(uuid), want: reference{keyID: uuid}},
		{id: "1234ABcd-12ab-34CD-56ef-1234567890aB", want: reference{keyID: uuid}},
		{id: mrk, want: reference{keyID: mrk}},
		{id: "mrk-1234ABCD12ab34cd56ef1234567890ab", want: reference{keyID: mrk}},
		{id: arn + "key/" + uuid, want: reference{keyID: uuid}},
		{id: arn + "key/" + strings.ToUpper(uuid), want: reference{keyID: uuid}},
		{id: arn + "key/" + mrk, want: reference{keyID: mrk}},
		{id: "arn:aws:kms:us-east-1:444455556666:key/" + uuid, want: reference{account: "444455556666", keyID: uuid}},

		{id: "alias/a", want: reference{alias: "alias/a"}, only: aliasesRefused},
		{id: "alias/A/b_c-d", want: reference{alias: "alias/A/b_c-d"}, only: aliasesRefused},
		{id: "alias/", want: reference{alias: "alias/"}, only: aliasesRefused},
		{id: long, want: reference{alias: long}, only: aliasesRefused},
		{id: long + "n", err: notFound("Alias " + arn + long + "n is not found."), only: aliasesRefused},
		{id: arn + "alias/a", want: reference{alias: "alias/a"}, only: aliasesRefused},
		{id: "arn:aws:kms:us-east-1:444455556666:alias/a", want: reference{account: "444455556666", alias: "alias/a"}, only: aliasesRefused},

		{id: "foo", err: notFound("Invalid keyId 'foo'")},
		{id: strings.ReplaceAll(uuid, "-", ""), err: notFound("Invalid keyId '" + strings.ReplaceAll(uuid, "-", "") + "'")},
		{id: uuid + "0", err: notFound("Invalid keyId '" + uuid + "0'")},
		{id: uuid[:35], err: notFound("Invalid keyId '" + uuid[:35] + "'")},
		{id: "1234abcd-12ab-34cd-56ef-1234567890ag", err: notFound("Invalid keyId '1234abcd-12ab-34cd-56ef-1234567890ag'")},
		{id: "1234abcd1-2ab-34cd-56ef-1234567890ab", err: notFound("Invalid keyId '1234abcd1-2ab-34cd-56ef-1234567890ab'")},
		{id: "------------------------------------", err: notFound("Invalid keyId '------------------------------------'")},
		{id: "mrk-xyz", err: notFound("Invalid keyId 'mrk-xyz'")},
		{id: mrk + "0", err: notFound("Invalid keyId '" + mrk + "0'")},
		{id: "MRK-" + mrk[4:], err: notFound("Invalid keyId 'MRK-" + mrk[4:] + "'")},
		{id: "mrk-" + uuid, err: notFound("Invalid keyId 'mrk-" + uuid + "'")},
		{id: "ALIAS/a", err: notFound("Invalid keyId 'ALIAS/a'")},
		{id: "key/" + uuid, err: notFound("Invalid keyId 'key/" + uuid + "'")},
		{id: " " + uuid, err: notFound("Invalid keyId ' " + uuid + "'")},

		{id: arn + "key/foo", err: notFound("Invalid keyId foo")},
		{id: arn + "key/", err: notFound("Invalid keyId ")},
		{id: "arn:aws:kms:eu-west-1:111122223333:key/" + uuid, err: notFound("Invalid arn eu-west-1")},
		{id: "arn:aws:kms:eu-west-1:111122223333:alias/a", err: notFound("Invalid arn eu-west-1"), only: aliasesRefused},
		{id: "arn:aws:kms:eu-west-1:444455556666:key/" + uuid, err: notFound("Invalid arn eu-west-1")},
	}
	for _, malformed := range []string{
		"arn:", "arn:aws", "arn:aws:kms:us-east-1:111122223333", "arn:aws-cn:kms:us-east-1:111122223333:key/" + uuid,
		"arn:aws:iam:us-east-1:111122223333:key/" + uuid, "arn:aws:kms::111122223333:key/" + uuid,
		"arn:aws:kms:us-east-1::key/" + uuid, "arn:aws:kms:us-east-1:11112222333x:key/" + uuid,
		"arn:aws:kms:us-east-1:1111222233334:key/" + uuid, arn + uuid, arn + "key:" + uuid, arn + "grant/" + uuid,
	} {
		tests = append(tests, struct {
			id   string
			want reference
			err  string
			only string
		}{id: malformed, err: notFound("Invalid arn " + malformed)})
	}
	call := &authz.Call{Partition: "aws", Region: region, Principal: rootOf(account)}
	for _, test := range tests {
		if test.want.account == "" {
			test.want.account = account
		}
		test.want.region = region
		for _, forms := range []naming{keysOnly, keysAndAliases} {
			want := test.err
			if forms == keysOnly && test.only != "" {
				want = test.only
			}
			got, refused := parseReference(call, test.id, forms)
			switch {
			case refused != nil && refused.Error() != want:
				t.Errorf("%q: %v, want %q", test.id, refused, want)
			case refused == nil && want != "":
				t.Errorf("%q: %+v, want %q", test.id, got, want)
			case refused == nil && got != test.want:
				t.Errorf("%q: %+v, want %+v", test.id, got, test.want)
			}
		}
	}
}

const aliasesRefused = "InvalidArnException: Key Aliases are not supported for this operation."

// FuzzParseReference: whatever comes is refused with one of AWS's two exceptions
// or is a reference within the caller's region whose parts are well formed.
func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{"", "alias/a", "1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab", "arn:::::"} {
		f.Add(seed, true)
	}
	call := &authz.Call{Partition: "aws", Region: region, Principal: rootOf(account)}
	f.Fuzz(func(t *testing.T, id string, aliases bool) {
		forms := keysOnly
		if aliases {
			forms = keysAndAliases
		}
		ref, refused := parseReference(call, id, forms)
		if refused != nil {
			if refused.Code != "NotFoundException" && refused.Code != "InvalidArnException" {
				t.Errorf("%q: %v", id, refused)
			}
			return
		}
		if !isAccount(ref.account) || ref.region != region || (ref.alias == "") == (ref.keyID == "") || ref.alias != "" && !aliases {
			t.Errorf("%q: %+v", id, ref)
		}
		if ref.keyID != "" {
			again, ok := canonicalKeyID(ref.keyID)
			if !ok || again != ref.keyID {
				t.Errorf("%q: the key id %q is not canonical", id, ref.keyID)
			}
		}
	})
}

// TestNamesThatLeadNowhere goes through the pipeline: no name that the model lets
// through is an internal failure.
func TestNamesThatLeadNowhere(t *testing.T) {
	h := newHarness(t)
	arn := "arn:aws:kms:us-east-1:" + account + ":"
	long := "alias/" + strings.Repeat("n", 2000)
	const absent = "1234abcd-12ab-34cd-56ef-1234567890ab"
	for id, message := range map[string]string{
		absent:                              "Key '" + arn + "key/" + absent + "' does not exist",
		strings.ToUpper(absent):             "Key '" + arn + "key/" + absent + "' does not exist",
		arn + "key/" + absent:               "Key '" + arn + "key/" + absent + "' does not exist",
		"alias/nobody":                      "Alias " + arn + "alias/nobody is not found.",
		arn + "alias/nobody":                "Alias " + arn + "alias/nobody is not found.",
		"alias/":                            "Alias " + arn + "alias/ is not found.",
		long:                                "Alias " + arn + long + " is not found.",
		"alias/\u0000":                      "Alias " + arn + "alias/\u0000 is not found.",
		"arn:aws:kms:mars-1:" + other + ":": "Invalid arn arn:aws:kms:mars-1:" + other + ":",
	} {
		h.fails(root, "DescribeKey", m{"KeyId": id}, "NotFoundException", message)
	}
	for _, id := range []string{"alias/nobody", arn + "alias/nobody"} {
		for _, operation := range []string{"EnableKey", "DisableKey", "GetKeyPolicy", "ListKeyPolicies", "ListResourceTags", "ScheduleKeyDeletion", "CancelKeyDeletion", "ListAliases"} {
			h.fails(root, operation, m{"KeyId": id}, "InvalidArnException", "Key Aliases are not supported for this operation.")
		}
	}
}
