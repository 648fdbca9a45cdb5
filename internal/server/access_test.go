package server

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/wire"
)

// caller makes signed calls with an access key.
type caller struct {
	t       *testing.T
	s       *Server
	id, key string
}

func (c caller) send(service, contentType, target, body string) (int, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), "POST", c.s.URL()+"/", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	sigv4test.Signer{AccessKeyID: c.id, SecretKey: c.key, Region: "us-east-1", Service: service}.SignHTTP(req, []byte(body), machineClock.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// iam calls an operation of IAM that must succeed.
func (c caller) iam(operation string, params ...string) string {
	c.t.Helper()
	form := url.Values{"Action": {operation}, "Version": {"2010-05-08"}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	status, text := c.send("iam", "application/x-www-form-urlencoded", "", form.Encode())
	if status != 200 {
		c.t.Fatalf("%s: %d %s", operation, status, text)
	}
	return text
}

// user makes a user with an access key.
func (c caller) user(name string) caller {
	c.t.Helper()
	c.iam("CreateUser", "UserName", name)
	text := c.iam("CreateAccessKey", "UserName", name)
	found := regexp.MustCompile(`<AccessKeyId>(.*)</AccessKeyId>.*<SecretAccessKey>(.*)</SecretAccessKey>`).FindStringSubmatch(text)
	if found == nil {
		c.t.Fatal("no access key is answered")
	}
	return caller{c.t, c.s, found[1], found[2]}
}

func (c caller) kms(operation string, in map[string]any) (int, string) {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.send("kms", wire.ContentTypeJSON11, "TrentService."+operation, string(body))
}

// TestExplainedAndReal: what is explained is what happens, for everybody and in
// both accounts; and who-can finds those who can.
func TestExplainedAndReal(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	o := &operator{s}
	if _, err := o.CreateAccount(t.Context(), someone, admin.NewAccount{ID: "444455556666"}); err != nil {
		t.Fatal(err)
	}
	as := func(file string) caller {
		id, key := keysIn(t, s, file)
		return caller{t, s, id, key}
	}
	root, foreign := as(credentialsFile), as("credentials-444455556666")
	policy := func(effect, action, more string) string {
		return `{"Version":"2012-10-17","Statement":{"Sid":"s","Effect":"` + effect + `","Action":"` + action + `","Resource":"*"` + more + `}}`
	}
	arn := func(account, user string) string { return "arn:aws:iam::" + account + ":user/" + user }
	const here, there = "111122223333", "444455556666"
	callers := map[string]caller{"arn:aws:iam::" + here + ":root": root, "arn:aws:iam::" + there + ":root": foreign}
	for _, u := range []struct {
		name   string
		by     caller
		where  string
		policy string
	}{
		{"allowed", root, here, policy("Allow", "kms:*", "")},
		{"denied", root, here, policy("Deny", "kms:*", "")},
		{"nothing", root, here, ""},
		{"tenant", root, here, policy("Allow", "kms:Encrypt", `,"Condition":{"StringEquals":{"kms:EncryptionContext:tenant":"a"}}`)},
		{"grantee", root, here, ""},
		{"bounded", root, here, policy("Allow", "kms:*", "")},
		{"guest", foreign, there, policy("Allow", "kms:*", "")},
		{"stranger", foreign, there, ""},
		{"named", root, here, ""},
		{"remade", root, here, ""},
		{"invited", foreign, there, policy("Allow", "kms:*", "")},
	} {
		callers[arn(u.where, u.name)] = u.by.user(u.name)
		if u.policy != "" {
			u.by.iam("PutUserPolicy", "UserName", u.name, "PolicyName", "p", "PolicyDocument", u.policy)
		}
	}
	root.iam("CreatePolicy", "PolicyName", "edge", "PolicyDocument", policy("Allow", "kms:DescribeKey", ""))
	root.iam("PutUserPermissionsBoundary", "UserName", "bounded", "PermissionsBoundary", "arn:aws:iam::"+here+":policy/edge")
	status, text := root.kms("CreateKey", map[string]any{"Policy": `{"Version":"2012-10-17","Statement":[
		{"Sid":"own","Effect":"Allow","Principal":{"AWS":"` + here + `"},"Action":"kms:*","Resource":"*"},
		{"Sid":"guests","Effect":"Allow","Principal":{"AWS":"` + there + `"},"Action":["kms:Encrypt","kms:GetKeyPolicy"],"Resource":"*"},
		{"Sid":"people","Effect":"Allow","Principal":{"AWS":["` + arn(here, "named") + `","` + arn(here, "remade") + `","` + arn(there, "invited") + `"]},"Action":"kms:DescribeKey","Resource":"*"}]}`})
	key := regexp.MustCompile(`arn:aws:kms:[^"]*`).FindString(text)
	if status != 200 || key == "" {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := root.kms("CreateGrant", map[string]any{"KeyId": key, "GranteePrincipal": arn(here, "grantee"), "Operations": []string{"Encrypt"}}); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	// Who is made anew under a name is not whom the key's policy means.
	root.iam("DeleteAccessKey", "UserName", "remade", "AccessKeyId", callers[arn(here, "remade")].id)
	root.iam("DeleteUser", "UserName", "remade")
	callers[arn(here, "remade")] = root.user("remade")
	inputs := map[string]map[string]any{
		"Encrypt":      {"KeyId": key, "Plaintext": "aGVsbG8="},
		"DescribeKey":  {"KeyId": key},
		"GetKeyPolicy": {"KeyId": key},
	}
	for operation, in := range inputs {
		can := map[string]bool{}
		for who, c := range callers {
			status, text := c.kms(operation, in)
			can[who] = status == 200
			e, err := o.Explain(t.Context(), admin.Question{Principal: who, Action: operation, Resource: key})
			if err != nil {
				t.Fatal(err)
			}
			if (e.Decision == "allowed") != can[who] {
				t.Errorf("%s by %s: %d %s; explained as %s, %s", operation, who, status, text, e.Decision, e.Because)
			}
			if e.Decision == "explicitDeny" != (who == arn(here, "denied")) {
				t.Errorf("%s by %s: %s", operation, who, e.Decision)
			}
			if len(e.Change) == 0 {
				t.Errorf("%s by %s: nothing would change it", operation, who)
			}
		}
		h, err := o.WhoCan(t.Context(), admin.Question{Action: "kms:" + operation, Resource: key})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range h.Principals {
			if p.Certain != can[p.Principal] {
				t.Errorf("%s: %s, certain %v", operation, p.Principal, p.Certain)
			}
			delete(can, p.Principal)
		}
		for who, could := range can {
			if could {
				t.Errorf("%s: %s can, and is not found", operation, who)
			}
		}
		if tenant := slices.ContainsFunc(h.Principals, func(p admin.Holder) bool { return p.Principal == arn(here, "tenant") }); tenant != (operation == "Encrypt") {
			t.Errorf("%s: who may under a condition: %v", operation, tenant)
		}
	}
	e, err := o.Explain(t.Context(), admin.Question{Principal: arn(here, "named"), Action: "DescribeKey", Resource: key})
	if err != nil || !slices.ContainsFunc(e.Statements, func(x admin.ExplainedStatement) bool {
		return x.Sid == "people" && x.Applies && strings.Contains(x.Text, `"`+arn(here, "named")+`"`) && !strings.Contains(x.Text, `"`+arn(here, "remade")+`"`)
	}) {
		t.Errorf("%+v, %v", e, err)
	}
	// With what the condition wants.
	with := map[string]string{"tenant": "a"}
	if status, _ := callers[arn(here, "tenant")].kms("Encrypt", map[string]any{"KeyId": key, "Plaintext": "aGVsbG8=", "EncryptionContext": with}); status != 200 {
		t.Errorf("with the context: %d", status)
	}
	if e, err := o.Explain(t.Context(), admin.Question{Principal: arn(here, "tenant"), Action: "Encrypt", Resource: key, EncryptionContext: with}); err != nil || e.Decision != "allowed" || len(e.Missing) > 0 {
		t.Errorf("%+v, %v", e, err)
	}
	e, err = o.Explain(t.Context(), admin.Question{Principal: arn(here, "tenant"), Action: "Encrypt", Resource: key})
	if err != nil || len(e.Missing) != 1 || !strings.Contains(strings.Join(e.Change, "\n"), "meet the conditions of statement \"s\" of p") || len(e.Statements) != 3 || e.Statements[2].Text == "" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, q := range []admin.Question{
		{Principal: "nobody", Action: "Encrypt", Resource: key}, {Principal: arn(here, "none"), Action: "Encrypt", Resource: key},
		{Principal: here, Action: "kms:Nothing", Resource: key}, {Principal: here, Action: "Encrypt", Resource: "alias/none"},
		{Principal: here, Action: "Encrypt", Resource: "arn:aws:kms:us-east-1:" + here + ":key/x"}, {Principal: "777788889999", Action: "Encrypt", Resource: key},
	} {
		if e, err := o.Explain(t.Context(), q); err == nil || !strings.Contains(err.Error(), "there is no") {
			t.Errorf("%+v: %+v, %v", q, e, err)
		}
	}
}
