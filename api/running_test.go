package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/strongroom/strongroom/internal/wire"
	"github.com/strongroom/strongroom/strongroomtest"
)

// running is a server that the walks talk to, with what their requests name: so a
// constraint that nobody checked would show in what is there afterwards.
type running struct {
	*strongroomtest.Server
	client *http.Client
	// named are values for members, by name.
	named map[string]any
}

const otherRegion = "eu-west-1"

func startRunning(t *testing.T, edges map[string]*edge) *running {
	t.Helper()
	r := &running{Server: strongroomtest.Start(t, strongroomtest.WithRegions("us-east-1", otherRegion))}
	r.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}, Timeout: time.Minute}
	t.Cleanup(r.client.CloseIdleConnections)
	root := "arn:aws:iam::" + r.Account + ":root"
	keyPolicy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + root + `"},"Action":"kms:*","Resource":"*"}}`
	trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + root + `"},"Action":"sts:AssumeRole"}}`
	identityPolicy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}`

	var made struct{ KeyMetadata struct{ KeyID string } }
	r.must(t, edges["kms"], "CreateKey", map[string]any{}, &made)
	key := made.KeyMetadata.KeyID
	r.must(t, edges["kms"], "CreateAlias", map[string]any{"AliasName": "alias/walked", "TargetKeyId": key}, nil)
	r.must(t, edges["kms"], "TagResource", map[string]any{"KeyId": key, "Tags": []any{map[string]any{"TagKey": "team", "TagValue": "a"}}}, nil)
	r.must(t, edges["kms"], "EnableKeyRotation", map[string]any{"KeyId": key}, nil)
	var grant struct{ GrantID, GrantToken string }
	r.must(t, edges["kms"], "CreateGrant", map[string]any{"KeyId": key, "GranteePrincipal": root, "Operations": []any{"Encrypt"}}, &grant)
	r.must(t, edges["iam"], "CreateUser", map[string]any{"UserName": "walked"}, nil)
	r.must(t, edges["iam"], "CreateGroup", map[string]any{"GroupName": "walked"}, nil)
	r.must(t, edges["iam"], "CreateRole", map[string]any{"RoleName": "walked", "AssumeRolePolicyDocument": trust}, nil)
	r.must(t, edges["iam"], "PutUserPolicy", map[string]any{"UserName": "walked", "PolicyName": "walked", "PolicyDocument": identityPolicy}, nil)
	r.named = map[string]any{
		"KeyId": key, "TargetKeyId": key, "SourceKeyId": key, "DestinationKeyId": key, "AliasName": "alias/walked",
		"GrantId": grant.GrantID, "GrantToken": grant.GrantToken, "GranteePrincipal": root, "RetiringPrincipal": root,
		"Policy": keyPolicy, "ReplicaRegion": otherRegion, "PrimaryRegion": otherRegion,
		"UserName": "walked", "GroupName": "walked", "RoleName": "walked", "PolicyDocument": identityPolicy, "AssumeRolePolicyDocument": trust,
		"RoleArn": "arn:aws:iam::" + r.Account + ":role/walked",
	}
	return r
}

// reply is an answer as a client of either protocol reads it.
type reply struct {
	status        int
	code, message string
	body          []byte
}

// send makes a signed call.
func (r *running) send(e *edge, region, op string, body []byte) (reply, error) {
	req, err := http.NewRequest(http.MethodPost, r.URL+"/", bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if e.table.Protocol == wire.AWSJSON11 {
		req.Header.Set("Content-Type", wire.ContentTypeJSON11)
		req.Header.Set("X-Amz-Target", e.table.TargetPrefix+"."+op)
	}
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: r.AccessKeyID, SecretAccessKey: r.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, req, hex.EncodeToString(hash[:]), e.name, region, time.Now()); err != nil {
		return reply{}, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	a := reply{status: resp.StatusCode}
	if a.body, err = io.ReadAll(resp.Body); err != nil || a.status == http.StatusOK {
		return a, err
	}
	if e.table.Protocol == wire.AWSJSON11 {
		var refusal struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		err = json.Unmarshal(a.body, &refusal)
		a.code, a.message = refusal.Type, refusal.Message
		return a, err
	}
	var refusal struct {
		Error struct{ Code, Message string }
	}
	err = xml.Unmarshal(a.body, &refusal)
	a.code, a.message = refusal.Error.Code, refusal.Error.Message
	return a, err
}

// must makes a call that succeeds; out may be nil.
func (r *running) must(t *testing.T, e *edge, op string, in map[string]any, out any) []byte {
	t.Helper()
	a, err := r.send(e, r.Region, op, e.request(op, in))
	if err == nil && out != nil {
		err = json.Unmarshal(a.body, out)
	}
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("%s: %d %s %v", op, a.status, a.body, err)
	}
	return a.body
}

// request writes a request as [edge.body] does, for a real server.
func (e *edge) request(op string, in map[string]any) []byte {
	if in == nil {
		in = map[string]any{}
	}
	body := e.body(in)
	if e.table.Protocol == wire.AWSQuery {
		body = bytes.Replace(body, []byte("Action=X"), []byte("Action="+op), 1)
	}
	return body
}

// volatile is what no two answers have in common.
var volatile = regexp.MustCompile(`<RequestId>[^<]*</RequestId>`)

// state is all that the walks could have changed, as clients see it.
func (r *running) state(t *testing.T, edges map[string]*edge) string {
	t.Helper()
	var all strings.Builder
	look := func(service, region, op string, in map[string]any) []byte {
		t.Helper()
		a, err := r.send(edges[service], region, op, edges[service].request(op, in))
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%s: %d %s %v", op, a.status, a.body, err)
		}
		fmt.Fprintf(&all, "%s %v: %s\n", op, in, volatile.ReplaceAll(a.body, nil))
		return a.body
	}
	for _, region := range []string{r.Region, otherRegion} {
		var list struct{ Keys []struct{ KeyID string } }
		if err := json.Unmarshal(look("kms", region, "ListKeys", nil), &list); err != nil {
			t.Fatal(err)
		}
		look("kms", region, "ListAliases", nil)
		for _, key := range list.Keys {
			for _, op := range []string{"DescribeKey", "GetKeyPolicy", "ListResourceTags", "ListGrants", "GetKeyRotationStatus", "ListKeyRotations"} {
				look("kms", region, op, map[string]any{"KeyId": key.KeyID})
			}
		}
	}
	for _, op := range []string{"ListUsers", "ListGroups", "ListRoles", "ListAccessKeys"} {
		look("iam", "us-east-1", op, nil)
	}
	look("iam", "us-east-1", "ListPolicies", map[string]any{"Scope": "Local"})
	for kind, ops := range map[string][]string{
		"User":  {"GetUser", "ListUserTags", "ListUserPolicies", "ListAttachedUserPolicies", "ListGroupsForUser", "ListAccessKeys"},
		"Group": {"GetGroup", "ListGroupPolicies", "ListAttachedGroupPolicies"},
		"Role":  {"GetRole", "ListRoleTags", "ListRolePolicies", "ListAttachedRolePolicies"},
	} {
		for _, op := range ops {
			look("iam", "us-east-1", op, map[string]any{kind + "Name": "walked"})
		}
	}
	lines := strings.SplitAfter(all.String(), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// wireCase is a request and the refusal that it must be answered with.
type wireCase struct {
	edge             *edge
	op               string
	body             []byte
	code, message    string
	prefix           bool   // the message only begins so
	member, describe string // for people
}

const senders = 8

// mostBody is what the server reads of a request, in bytes. Three operations of IAM,
// about SAML providers and server certificates, have members that may be longer.
const mostBody = 1 << 20

// refusals sends all cases, several at a time, and compares the answers.
func (r *running) refusals(t *testing.T, cases []wireCase) {
	t.Helper()
	next := make(chan wireCase)
	var done sync.WaitGroup
	for range senders {
		done.Go(func() {
			for c := range next {
				a, err := r.send(c.edge, r.Region, c.op, c.body)
				same := a.message == c.message || c.prefix && strings.HasPrefix(a.message, c.message)
				if err != nil || a.status != http.StatusBadRequest || a.code != c.code || !same {
					t.Errorf("%s:%s: %s %s\ngot  %d %s %.400q %v\nwant %s %.400q", c.edge.name, c.op, c.member, c.describe, a.status, a.code, a.message, err, c.code, c.message)
				}
			}
		})
	}
	for _, c := range cases {
		next <- c
	}
	close(next)
	done.Wait()
}

func byName(t *testing.T) map[string]*edge {
	all := map[string]*edge{}
	for _, e := range edges(t) {
		all[e.name] = e
	}
	return all
}

// plausible gives the members of a sample the values that mean something to the
// server.
func (r *running) plausible(in map[string]any) map[string]any {
	for name := range in {
		if v, ok := r.named[name]; ok {
			in[name] = v
		}
	}
	return in
}

// lean returns the required members of a request, and one more: were it not for
// what is broken in that, most operations would succeed.
func (e *edge) lean(op string, in map[string]any, within string) map[string]any {
	out := map[string]any{}
	for _, m := range e.Shapes[e.Operations[op].Input].Members {
		if v, ok := in[m.Name]; ok && (m.Required || m.Name == within) {
			out[m.Name] = v
		}
	}
	return out
}
