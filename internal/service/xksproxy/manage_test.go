package xksproxy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/xksapi"
)

func TestKillAndRevive(t *testing.T) {
	h := withStore(t)
	out := h.ok(keyPath+"/encrypt", encryption("hello"))
	if d, err := h.service.Kill(t.Context(), "pay"); err != nil || d.Killed == nil {
		t.Fatalf("%+v, %v", d, err)
	}
	for path, in := range map[string]any{
		keyPath + "/encrypt": encryption("x"), keyPath + "/decrypt": decryption(out),
		keyPath + "/metadata": m{"requestMetadata": metadata("DescribeKey")}, "/health": m{"requestMetadata": metadata("KmsHealthCheck")},
	} {
		h.fails(path, in, xksapi.InvalidState)
	}
	if d, err := h.service.Revive(t.Context(), "pay"); err != nil || d.Killed != nil {
		t.Fatalf("%+v, %v", d, err)
	}
	h.ok(keyPath+"/decrypt", decryption(out))

	// A request that is under way when the store is killed gets no answer either.
	h.journal.taken(t)
	h.inside = func() {
		h.mu.Lock()
		h.inside = nil
		h.mu.Unlock()
		if _, err := h.service.Kill(t.Context(), "pay"); err != nil {
			t.Error(err)
		}
	}
	h.fails(keyPath+"/decrypt", decryption(out), xksapi.InvalidState)
	if records := h.journal.taken(t); len(records) != 1 || records[0]["errorCode"] != "InvalidStateException" {
		t.Errorf("%v", records)
	}
}

func TestRotatingCredentials(t *testing.T) {
	h := withStore(t)
	old := h.credential
	_, fresh, err := h.service.AddCredential(t.Context(), "pay")
	if err != nil {
		t.Fatal(err)
	}
	shape := regexp.MustCompile(`^[A-Z2-7]{20,30}$`)
	if !shape.MatchString(fresh.AccessKeyID) || len(fresh.Secret) < 43 || len(fresh.Secret) > 64 || fresh.Secret == old.Secret {
		t.Errorf("the credential %s has a secret of %d characters", fresh.AccessKeyID, len(fresh.Secret))
	}
	for _, c := range []Credential{old, fresh, old} {
		h.credential = c
		h.ok(keyPath+"/encrypt", encryption("x"))
	}
	if _, err := h.service.RemoveCredential(t.Context(), "pay", old.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	h.fails(keyPath+"/encrypt", encryption("x"), xksapi.AuthenticationFailed)
	h.credential = fresh
	out := h.ok(keyPath+"/encrypt", encryption("x"))

	// A request that is under way when its credential goes gets no answer either.
	_, spare, err := h.service.AddCredential(t.Context(), "pay")
	if err != nil {
		t.Fatal(err)
	}
	h.credential = spare
	h.journal.taken(t)
	h.inside = func() {
		h.mu.Lock()
		h.inside = nil
		h.mu.Unlock()
		if _, err := h.service.RemoveCredential(t.Context(), "pay", spare.AccessKeyID); err != nil {
			t.Error(err)
		}
	}
	h.fails(keyPath+"/decrypt", decryption(out), xksapi.AuthenticationFailed)
	if records := h.journal.taken(t); len(records) != 1 || records[0]["errorCode"] != "AuthenticationFailedException" {
		t.Errorf("%v", records)
	}
	h.credential = fresh
	var problem *Problem
	if _, err := h.service.RemoveCredential(t.Context(), "pay", fresh.AccessKeyID); !errors.As(err, &problem) {
		t.Errorf("the last credential: %v", err)
	}
	for range maxCredentials - 1 {
		if _, _, err := h.service.AddCredential(t.Context(), "pay"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := h.service.AddCredential(t.Context(), "pay"); !errors.As(err, &problem) {
		t.Errorf("a sixth credential: %v", err)
	}
	if text := fmt.Sprintf("%v %+v", fresh, fresh); strings.Contains(text, string(fresh.Secret)) {
		t.Error("a credential prints its secret")
	}
}

// TestRules: each member of the metadata, admitted and refused, and what the record
// says of a refusal.
func TestRules(t *testing.T) {
	h := withStore(t)
	h.journal.taken(t)
	for _, c := range []struct {
		rules   Rules
		change  m
		refused string
	}{
		{Rules{Principals: []string{alice}}, m{}, ""},
		{Rules{Principals: []string{"arn:aws:iam::999988887777:user/b*", "arn:aws:iam::*:role/*"}}, m{}, "awsPrincipalArn"},
		{Rules{Principals: []string{"arn:aws:iam::999988887777:role/*"}}, m{"awsPrincipalArn": "arn:aws:iam::999988887777:role/x"}, ""},
		{Rules{KMSKeys: []string{kmsKey}}, m{}, ""},
		{Rules{KMSKeys: []string{"arn:aws:kms:*:999988887777:key/other"}}, m{}, "kmsKeyArn"},
		{Rules{TrustKMS: true}, m{"awsPrincipalArn": "AWS Internal"}, ""},
		{Rules{TrustKMS: true, Operations: []string{"Decrypt", "GenerateDataKey*"}}, m{}, ""},
		{Rules{TrustKMS: true, Operations: []string{"Decrypt"}}, m{}, "kmsOperation"},
		{Rules{TrustKMS: true, Services: []string{"ebs"}}, m{}, "kmsViaService"},
		{Rules{TrustKMS: true, Services: []string{"ebs", "-"}}, m{}, ""},
		{Rules{TrustKMS: true, Services: []string{"ebs"}}, m{"kmsViaService": "ebs"}, ""},
		{Rules{TrustKMS: true, VPCs: []string{"vpc-1"}}, m{}, "awsSourceVpc"},
		{Rules{TrustKMS: true, VPCs: []string{"vpc-?"}}, m{"awsSourceVpc": "vpc-1"}, ""},
		{Rules{TrustKMS: true, VPCEndpoints: []string{"vpce-1"}}, m{"awsSourceVpce": "vpce-2"}, "awsSourceVpce"},
	} {
		if _, err := h.service.SetRules(t.Context(), "pay", c.rules); err != nil {
			t.Fatal(err)
		}
		a := h.send(keyPath+"/encrypt", with(encryption("x"), m{"requestMetadata": with(metadata("GenerateDataKey"), c.change)}))
		if (a.name == "AccessDeniedException") != (c.refused != "") || a.status != 200 && c.refused == "" {
			t.Errorf("%+v, %v: %d %s", c.rules, c.change, a.status, a.raw)
		}
		if c.refused != "" && strings.Contains(a.raw, c.refused) {
			t.Errorf("the answer tells which rule it was: %s", a.raw)
		}
		record := h.journal.taken(t)[0]
		if message, _ := record["errorMessage"].(string); strings.Contains(message, "this "+c.refused) != (c.refused != "") {
			t.Errorf("%+v: the record says %q", c.rules, message)
		}
	}
	// CreateKey asks before there is a KMS key; health checks are free.
	if _, err := h.service.SetRules(t.Context(), "pay", Rules{KMSKeys: []string{"nothing"}}); err != nil {
		t.Fatal(err)
	}
	h.ok(keyPath+"/metadata", m{"requestMetadata": with(metadata("CreateKey"), m{"kmsKeyArn": nil})})
	h.fails(keyPath+"/metadata", m{"requestMetadata": metadata("DescribeKey")}, xksapi.AccessDenied)
	h.ok("/health", m{"requestMetadata": metadata("KmsHealthCheck")})

	var problem *Problem
	for _, rules := range []Rules{{}, {Operations: []string{"*"}}, {Principals: []string{""}}, {Principals: []string{strings.Repeat("a", 2049)}}, {Principals: make([]string, 101)}, {Principals: []string{"\xff"}}} {
		if _, err := h.service.SetRules(t.Context(), "pay", rules); !errors.As(err, &problem) {
			t.Errorf("%+v: %v", rules, err)
		}
	}
}

// TestRulesAndKeysHoldAtOnce: a request that is under way when a rule or the keys are
// changed gets no answer that the change forbids.
func TestRulesAndKeysHoldAtOnce(t *testing.T) {
	for what, c := range map[string]struct {
		change func(h *harness) error
		want   xksapi.Name
	}{
		"rules": {func(h *harness) error {
			_, err := h.service.SetRules(h.t.Context(), "pay", Rules{Principals: []string{"arn:aws:iam::999988887777:user/bob"}})
			return err
		}, xksapi.AccessDenied},
		"keys": {func(h *harness) error {
			_, err := h.service.SetKeys(h.t.Context(), "pay", []string{keyB})
			return err
		}, xksapi.KeyNotFound},
	} {
		t.Run(what, func(t *testing.T) {
			h := withStore(t)
			h.t = t
			h.ok(keyPath+"/encrypt", encryption("x"))
			h.journal.taken(t)
			h.inside = func() {
				h.mu.Lock()
				h.inside = nil
				h.mu.Unlock()
				if err := c.change(h); err != nil {
					t.Error(err)
				}
			}
			h.fails(keyPath+"/encrypt", encryption("x"), c.want)
			if records := h.journal.taken(t); len(records) != 1 || records[0]["errorCode"] != string(c.want) {
				t.Errorf("%v", records)
			}
			h.fails(keyPath+"/metadata", m{"requestMetadata": metadata("CreateKey")}, c.want)
			h.ok("/health", m{"requestMetadata": m{"kmsRequestId": "r", "kmsOperation": "KmsHealthCheck"}})
		})
	}
}

func TestRecords(t *testing.T) {
	h := withStore(t)
	h.journal.taken(t)
	out := h.ok(keyPath+"/encrypt", encryption("canary plaintext"))
	h.ok(keyPath+"/decrypt", decryption(out))
	h.fails("/keys/"+keyB+"/decrypt", decryption(out), xksapi.KeyNotFound)
	records := h.journal.taken(t)
	if len(records) != 3 {
		t.Fatalf("%d records", len(records))
	}
	for i, name := range []string{"Encrypt", "Decrypt", "Decrypt"} {
		r := records[i]
		if !index.Used(r["eventSource"].(string), name) {
			t.Errorf("%s is no use of the key: it would be taken for unused", name)
		}
		parameters := r["requestParameters"].(m)
		stated := parameters["requestMetadata"].(m)
		identity := r["userIdentity"].(m)
		if r["eventName"] != name || r["eventSource"] != EventSource || r["awsRegion"] != region || stated["kmsRequestId"] != "4112f4d6-db54-4af4-ae30-c55a22a8dfae" ||
			stated["awsPrincipalArn"] != alice || parameters["externalKeyStore"] != "pay" || identity["accessKeyId"] != h.credential.AccessKeyID || r["requestID"] == nil {
			t.Errorf("%v", r)
		}
	}
	if arns := records[0]["resources"].([]any); arns[0].(m)["ARN"] != "arn:aws:kms:"+region+":"+account+":key/"+keyA {
		t.Errorf("%v", arns)
	}
	if message := records[2]["errorMessage"]; message != "The external key is not found. (the store does not offer this key)" {
		t.Errorf("%v", message)
	}
	text := fmt.Sprint(records)
	for _, canary := range []string{"canary", b64("canary plaintext"), out["ciphertext"].(string), string(h.credential.Secret)} {
		if strings.Contains(text, canary) {
			t.Errorf("%q is in a record", canary)
		}
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	h := withStore(t)
	out := h.ok(keyPath+"/encrypt", encryption("x"))
	h.off[keyA] = true
	h.fails(keyPath+"/encrypt", encryption("x"), xksapi.InvalidState)
	h.fails(keyPath+"/decrypt", decryption(out), xksapi.InvalidState)
	if k := h.ok(keyPath+"/metadata", m{"requestMetadata": metadata("DescribeKey")}); k["keyStatus"] != "DISABLED" {
		t.Errorf("%v", k)
	}
	delete(h.keys, keyA)
	h.fails(keyPath+"/encrypt", encryption("x"), xksapi.KeyNotFound)
}

func TestManaging(t *testing.T) {
	h := withStore(t)
	var problem *Problem
	good := Offer{Name: "second", Account: account, Region: region, Keys: []string{keyA, keyB, keyA}, Rules: Rules{TrustKMS: true}}
	for what, change := range map[string]func(*Offer){
		"no name":        func(o *Offer) { o.Name = "" },
		"a bad name":     func(o *Offer) { o.Name = "A/b" },
		"a name in use":  func(o *Offer) { o.Name = "pay" },
		"no key":         func(o *Offer) { o.Keys = nil },
		"unknown key":    func(o *Offer) { o.Keys = []string{"unknown"} },
		"nobody named":   func(o *Offer) { o.Rules = Rules{} },
		"another region": func(o *Offer) { o.Region = "us-east-1" },
	} {
		o := good
		change(&o)
		if _, _, err := h.service.Create(t.Context(), o); !errors.As(err, &problem) {
			t.Errorf("%s: %v", what, err)
		}
	}
	d, _, err := h.service.Create(t.Context(), good)
	if err != nil || d.Path != "/second/kms/xks/v1" || len(d.Keys) != 2 || len(d.Credentials) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	if list, err := h.service.List(t.Context()); err != nil || len(list) != 2 || list[0].Name != "pay" || list[1].Name != "second" {
		t.Errorf("%+v, %v", list, err)
	}
	// A credential is good for its own store alone.
	h.name = "second"
	h.fails("/health", m{"requestMetadata": metadata("KmsHealthCheck")}, xksapi.InvalidURIPath)
	h.name = "pay"
	if err := h.service.Delete(t.Context(), "pay"); !errors.As(err, &problem) {
		t.Errorf("a store in service was deleted: %v", err)
	}
	if _, err := h.service.Kill(t.Context(), "pay"); err != nil {
		t.Fatal(err)
	}
	if err := h.service.Delete(t.Context(), "pay"); err != nil {
		t.Fatal(err)
	}
	h.fails("/health", m{"requestMetadata": metadata("KmsHealthCheck")}, xksapi.AuthenticationFailed)
	for what, err := range map[string]error{
		"Kill": second(h.service.Kill(t.Context(), "pay")), "Describe": second(h.service.Describe(t.Context(), "pay")),
		"SetKeys": second(h.service.SetKeys(t.Context(), "pay", []string{keyA})), "Delete": h.service.Delete(t.Context(), "pay"),
	} {
		if !errors.As(err, &problem) || problem.Hint() == "" {
			t.Errorf("%s of a store that is gone: %v", what, err)
		}
	}
}

func second(_ Description, err error) error { return err }

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"*", "", true}, {"a", "a", true}, {"a", "b", false}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c*e", "abcde", true},
		{"a*d", "abc", false}, {"?", "ä", true}, {"?", "", false}, {"a?c", "abc", true}, {"**a**", "xax", true}, {"a", "A", false}, {"*ab", "aab", true},
		{"arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a/b", true}, {"arn:aws:iam::1:role/*", "arn:aws:iam::12:role/a", false},
		{strings.Repeat("*a", 500) + "b", strings.Repeat("a", 2000), false},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("%.20q against %.20q: %v", c.pattern, c.text, got)
		}
	}
}
