package gateway

import (
	"context"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
)

// TestUnsignedOperations: an operation that takes no signature is recorded once its
// handler knows who asks, and until then only counted.
func TestUnsignedOperations(t *testing.T) {
	h := newHarness(t)
	const form = "Action=Open&Version=2011-06-15"
	var region string
	refuse, identify := error(nil), false
	h.act = func(_ context.Context, call *authz.Call, _ *input) (any, error) {
		region = call.Region
		if call.Principal.Type != policy.Anonymous || call.Principal.AccessKeyID != "" {
			t.Errorf("the caller is %+v", call.Principal)
		}
		if identify {
			call.Audit.Resource("111122223333", "AWS::IAM::Role", "arn:aws:iam::111122223333:role/r")
			call.Identify(authz.Principal{UserName: "pod", Principal: policy.Principal{Type: policy.WebIdentity, Provider: "p", ID: "p:a:pod"}})
		}
		call.NeedsNoPermission()
		return "done", refuse
	}
	refusal := awserr.New("InvalidIdentityToken", "no")
	for _, test := range []struct {
		identify bool
		refuse   error
		status   int
		records  int
	}{
		{false, refusal, 400, 0},
		{false, nil, 500, 0}, // a handler that lets nobody in particular through
		{true, refusal, 400, 1},
		{true, nil, 200, 1},
	} {
		identify, refuse = test.identify, test.refuse
		resp := h.serve(queryRequest(form))
		records := h.taken()
		if resp.Status != test.status || len(records) != test.records || region != "eu-west-1" {
			t.Errorf("%+v: status %d, %d records, region %s", test, resp.Status, len(records), region)
		}
		if len(records) == 1 {
			who := records[0]["userIdentity"].(map[string]any)
			if who["type"] != "WebIdentityUser" || who["userName"] != "pod" || who["identityProvider"] != "p" || records[0]["recipientAccountId"] != "111122223333" {
				t.Errorf("recorded as %v", records[0])
			}
		}
	}
	if !strings.Contains(h.log.String(), "InvalidIdentityToken=1") {
		t.Errorf("not counted: %s", h.log)
	}
	// What else is not signed is refused before any handler runs, and a signature that
	// is there must hold.
	h.act = func(context.Context, *authz.Call, *input) (any, error) {
		t.Error("the handler ran")
		return nil, nil
	}
	for _, form := range []string{"Action=Who&Version=2011-06-15", "Action=Open", "Action=Absent&Version=2011-06-15"} {
		if resp := h.serve(queryRequest(form)); resp.Status == 200 || !strings.Contains(string(resp.Body), "MissingAuthenticationToken") {
			t.Errorf("%s: %d %s", form, resp.Status, resp.Body)
		}
	}
	req := signed(queryRequest(form), "sts", "eu-west-1")
	req.Body = append(req.Body, "&x=1"...)
	if resp := h.serve(req); resp.Status != 403 {
		t.Errorf("with a wrong signature: %d", resp.Status)
	}
	if n := len(h.taken()); n != 0 {
		t.Errorf("%d records", n)
	}
}
