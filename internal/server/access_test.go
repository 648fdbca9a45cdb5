package server

import (
	"encoding/json"
	"errors"
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
	token   string // of a session
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
	sigv4test.Signer{AccessKeyID: c.id, SecretKey: c.key, SessionToken: c.token, Region: "us-east-1", Service: service}.SignHTTP(req, []byte(body), machineClock.Now())
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
	return c.query("iam", "2010-05-08", operation, params...)
}

// query calls an operation of IAM or STS that must succeed.
func (c caller) query(service, version, operation string, params ...string) string {
	c.t.Helper()
	form := url.Values{"Action": {operation}, "Version": {version}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	status, text := c.send(service, "application/x-www-form-urlencoded", "", form.Encode())
	if status != 200 {
		c.t.Fatalf("%s: %d %s", operation, status, text)
	}
	return text
}

// session opens a session by an operation of STS.
func (c caller) session(operation string, params ...string) caller {
	c.t.Helper()
	text := c.query("sts", "2011-06-15", operation, params...)
	one := func(element string) string {
		found := regexp.MustCompile("<" + element + ">([^<]*)</" + element + ">").FindStringSubmatch(text)
		if found == nil {
			c.t.Fatalf("no %s in %s", element, text)
		}
		return found[1]
	}
	return caller{t: c.t, s: c.s, id: one("AccessKeyId"), key: one("SecretAccessKey"), token: one("SessionToken")}
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
	return caller{t: c.t, s: c.s, id: found[1], key: found[2]}
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
		return caller{t: t, s: s, id: id, key: key}
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
	sessions(t, root, o, key, "arn:aws:iam::"+here)
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

// sessions holds what is explained about sessions with policies, of a role and of a
// federated user, against what they may.
func sessions(t *testing.T, root caller, o *operator, key, account string) {
	t.Helper()
	const limit = `{"Version":"2012-10-17","Statement":{"Sid":"limit","Effect":"Allow","Action":"kms:DescribeKey","Resource":"*"}}`
	all := strings.Replace(limit, "kms:DescribeKey", "*", 1)
	worker := root.user("worker")
	root.iam("PutUserPolicy", "UserName", "worker", "PolicyName", "p", "PolicyDocument", all)
	root.iam("CreateRole", "RoleName", "role", "AssumeRolePolicyDocument", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+account+`:root"},"Action":"sts:AssumeRole"}}`)
	root.iam("PutRolePolicy", "RoleName", "role", "PolicyName", "p", "PolicyDocument", all)
	root.iam("CreatePolicy", "PolicyName", "limit", "PolicyDocument", limit)
	federated := strings.Replace(account, ":iam:", ":sts:", 1) + ":federated-user/bob"
	for _, test := range []struct {
		name, operation string
		params          []string
		q               admin.Question
	}{
		{"a role", "AssumeRole", nil, admin.Question{}},
		{"a limited role", "AssumeRole", []string{"Policy", limit}, admin.Question{SessionPolicy: limit}},
		{"a role limited by a managed policy", "AssumeRole", []string{"PolicyArns.member.1.arn", account + ":policy/limit"}, admin.Question{SessionPolicyARNs: []string{account + ":policy/limit"}}},
		{"a federated user", "GetFederationToken", nil, admin.Question{Issuer: account + ":user/worker"}},
		{"a limited federated user", "GetFederationToken", []string{"Policy", limit}, admin.Question{Issuer: account + ":user/worker", SessionPolicy: limit}},
	} {
		params := append([]string{"RoleArn", account + ":role/role", "RoleSessionName", "day"}, test.params...)
		test.q.Principal = account + ":role/role"
		if test.operation == "GetFederationToken" {
			params, test.q.Principal = append([]string{"Name", "bob"}, test.params...), federated
		}
		session := worker.session(test.operation, params...)
		for operation, in := range map[string]map[string]any{"DescribeKey": {"KeyId": key}, "Encrypt": {"KeyId": key, "Plaintext": "aGVsbG8="}} {
			status, text := session.kms(operation, in)
			test.q.Action, test.q.Resource = operation, key
			e, err := o.Explain(t.Context(), test.q)
			if err != nil || (e.Decision == "allowed") != (status == 200) {
				t.Errorf("%s of %s: %d %s; explained as %+v, %v", operation, test.name, status, text, e, err)
			}
		}
	}
	e, err := o.Explain(t.Context(), admin.Question{Principal: account + ":role/role", SessionPolicy: limit, Action: "Encrypt", Resource: key})
	if err != nil || !strings.Contains(strings.Join(e.Change, " "), "let the session's policy allow kms:Encrypt") {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := o.SwitchRoot(t.Context(), someone, admin.RootSwitch{Account: "444455556666", LockOut: true}); err != nil {
		t.Fatal(err)
	}
	_, err = o.Explain(t.Context(), admin.Question{Principal: "arn:aws:sts::444455556666:federated-user/bob", Action: "Encrypt", Resource: key})
	if err == nil || !strings.Contains(err.Error(), "the root of account 444455556666 is disabled") {
		t.Errorf("a federated user of a root that is disabled: %v", err)
	}
	root.iam("DeleteUserPolicy", "UserName", "worker", "PolicyName", "p")
	e, err = o.Explain(t.Context(), admin.Question{Principal: federated, Issuer: account + ":user/worker", SessionPolicy: limit, Action: "DescribeKey", Resource: key})
	if err != nil || !strings.Contains(strings.Join(e.Change, " "), "let an identity policy of "+account+":user/worker allow kms:DescribeKey") {
		t.Errorf("%+v, %v", e, err)
	}
	for _, q := range []admin.Question{
		{Principal: account + ":user/worker", SessionPolicy: limit}, {Principal: account + ":root", SessionPolicy: limit},
		{Principal: account + ":role/role", Issuer: account + ":user/worker"}, {Principal: federated, Issuer: account + ":user/none"},
		{Principal: account + ":role/none", SessionPolicy: limit}, {Principal: account + ":role/role", SessionPolicy: "{"},
		{Principal: account + ":role/role", SessionPolicyARNs: []string{account + ":policy/none"}},
		{Principal: strings.Replace(federated, "111122223333", "777788889999", 1)},
	} {
		q.Action, q.Resource = "Encrypt", key
		var told *Problem
		if e, err := o.Explain(t.Context(), q); !errors.As(err, &told) {
			t.Errorf("%+v: %+v, %v", q, e, err)
		}
	}
}
