package main

import (
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

func TestXKSWantsARunningServer(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{"list", "show s", "create s --key k --trust-kms", "keys s --key k", "allow s --trust-kms", "add-credential s", "remove-credential s id", "kill s", "revive s", "delete s"} {
		s := newSession()
		code := run(append([]string{"xks"}, strings.Fields(args+" --data "+dir)...), s.app)
		if code != 1 || !strings.Contains(s.err.String(), "no server is running on "+dir) || !strings.Contains(s.err.String(), "hint: strongroom serve") {
			t.Errorf("xks %s exits with %d: %s", args, code, &s.err)
		}
	}
}

func TestPrintXKS(t *testing.T) {
	killed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var text strings.Builder
	err := printXKS(&text, &admin.XKSReply{
		Stores: []admin.XKSStore{
			{Name: "pay", Path: "/pay/kms/xks/v1", Account: "111122223333", Region: "eu-west-1", Keys: []string{"k", "l"}, Credentials: []string{"AAA"},
				Rules: admin.XKSRules{Principals: []string{"arn:*", "\x1b[2Jevil"}}},
			{Name: "old", Path: "/old/kms/xks/v1", Killed: &killed, Rules: admin.XKSRules{TrustKMS: true}},
		},
		Credential: &admin.XKSCredential{AccessKeyID: "AAA", SecretAccessKey: "the/secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"pay: in service\n", "path            /pay/kms/xks/v1\n", "k, l in 111122223333, eu-west-1\n", "principals      arn:*, \uFFFD[2Jevil\n",
		"old: KILLED at 2026-01-02T03:04:05Z\n", "whom the policies of the other KMS let\n", `"XksProxyUriPath": "/pay/kms/xks/v1"`, `"RawSecretAccessKey": "the/secret"`,
	} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in:\n%s", part, text.String())
		}
	}
}
