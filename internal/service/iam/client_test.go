package iam_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/strongroomtest"
)

// client speaks to a server with credentials, through signed requests.
type client struct {
	t              *testing.T
	server         *strongroomtest.Server
	id, key, token string
}

func root(t *testing.T, s *strongroomtest.Server) *client {
	return &client{t: t, server: s, id: s.AccessKeyID, key: s.SecretAccessKey}
}

// with is a client with other credentials.
func (c *client) with(id, key, token string) *client {
	return &client{t: c.t, server: c.server, id: id, key: key, token: token}
}

// answer is what a call was answered.
type answer struct {
	t      *testing.T
	what   string
	status int
	body   string
}

func (c *client) send(service, what, contentType, target string, body []byte) *answer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.server.URL+"/", bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	signer := sigv4test.Signer{AccessKeyID: c.id, SecretKey: c.key, SessionToken: c.token, Region: "us-east-1", Service: service}
	signer.SignHTTP(req, body, time.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return &answer{t: c.t, what: what, status: resp.StatusCode, body: string(text)}
}

var versions = map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}

// query calls an operation of IAM or STS; params alternate between name and value.
func (c *client) query(service, operation string, params ...string) *answer {
	c.t.Helper()
	form := url.Values{"Action": {operation}, "Version": {versions[service]}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	return c.send(service, operation+" "+strings.Join(params, " "), "application/x-www-form-urlencoded", "", []byte(form.Encode()))
}

func (c *client) iam(operation string, params ...string) *answer {
	c.t.Helper()
	return c.query("iam", operation, params...)
}

// kms calls an operation of KMS.
func (c *client) kms(operation string, in map[string]any) *answer {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.send("kms", operation, "application/x-amz-json-1.1", "TrentService."+operation, body)
}

// ok wants success.
func (a *answer) ok() *answer {
	a.t.Helper()
	if a.status != http.StatusOK {
		a.t.Fatalf("%s: %d %s", a.what, a.status, a.body)
	}
	return a
}

// fails wants that error; text is a part of its message.
func (a *answer) fails(status int, code, text string) {
	a.t.Helper()
	gotCode, gotText := a.value("Code"), a.value("Message")
	if strings.HasPrefix(a.body, "{") {
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal([]byte(a.body), &e); err != nil {
			a.t.Fatalf("%s: %s: %v", a.what, a.body, err)
		}
		gotCode, gotText = e.Type, e.Message
	}
	if a.status != status || gotCode != code || !strings.Contains(gotText, text) {
		a.t.Errorf("%s\ngot  %d %s %s\nwant %d %s %s", a.what, a.status, gotCode, gotText, status, code, text)
	}
}

// values are the texts of all elements with that name.
func (a *answer) values(element string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`<`+element+`>([^<]*)</`+element+`>`).FindAllStringSubmatch(a.body, -1) {
		all = append(all, html.UnescapeString(m[1]))
	}
	return all
}

// value is the text of the first element with that name.
func (a *answer) value(element string) string {
	if all := a.values(element); len(all) > 0 {
		return all[0]
	}
	return ""
}

// member is a member of a JSON answer, by its path.
func (a *answer) member(path ...string) string {
	a.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		a.t.Fatal(err)
	}
	for _, name := range path {
		v = v.(map[string]any)[name]
	}
	return fmt.Sprint(v)
}

// newUser makes a user with an access key and an inline policy, if one is given.
func (c *client) newUser(name, policy string) *client {
	c.t.Helper()
	c.iam("CreateUser", "UserName", name).ok()
	if policy != "" {
		c.iam("PutUserPolicy", "UserName", name, "PolicyName", "p", "PolicyDocument", policy).ok()
	}
	key := c.iam("CreateAccessKey", "UserName", name).ok()
	return c.with(key.value("AccessKeyId"), key.value("SecretAccessKey"), "")
}

// newKey makes a KMS key, with the default policy unless one is given.
func (c *client) newKey(policy string) string {
	c.t.Helper()
	in := map[string]any{}
	if policy != "" {
		in["Policy"] = policy
		in["BypassPolicyLockoutSafetyCheck"] = true
	}
	return c.kms("CreateKey", in).ok().member("KeyMetadata", "Arn")
}

func (c *client) encrypt(key string) *answer {
	return c.kms("Encrypt", map[string]any{"KeyId": key, "Plaintext": "aGVsbG8="})
}

// allow is a policy that allows the actions on everything.
func allow(actions ...string) string {
	text, _ := json.Marshal(actions)
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + string(text) + `,"Resource":"*"}]}`
}
