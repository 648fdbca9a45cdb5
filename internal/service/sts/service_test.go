package sts

import (
	"testing"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
)

// TestGetCallerIdentity: it asks no directory, which this call does not have.
func TestGetCallerIdentity(t *testing.T) {
	call := &authz.Call{Principal: authz.Principal{Principal: policy.Principal{
		Type: policy.AssumedRole, Account: "111122223333", ARN: "arn:aws:sts::111122223333:assumed-role/r/s", ID: "AROAEXAMPLE:s"}}}
	out, err := New(Config{}).GetCallerIdentity(t.Context(), call, &api.GetCallerIdentityInput{})
	if err != nil || out.Account != "111122223333" || out.Arn != "arn:aws:sts::111122223333:assumed-role/r/s" || out.UserId != "AROAEXAMPLE:s" {
		t.Errorf("%+v, %v", out, err)
	}
	if !call.Authorized() {
		t.Error("the gateway would not answer")
	}
}
