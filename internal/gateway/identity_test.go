package gateway

import (
	"reflect"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/policy"
)

// TestIdentityOfSessions: a record says whose rights a session has, and since
// when.
func TestIdentityOfSessions(t *testing.T) {
	issued := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	call := &authz.Call{Principal: authz.Principal{
		Principal: policy.Principal{
			Type: policy.AssumedRole, Account: "111122223333", ID: "AROAEXAMPLE:shift",
			ARN:     "arn:aws:sts::111122223333:assumed-role/worker/shift",
			RoleARN: "arn:aws:iam::111122223333:role/team/worker",
		},
		AccessKeyID: "ASIAEXAMPLE",
		Session: &authz.Session{
			Name: "shift", Issued: issued, SourceIdentity: "alice",
			Issuer: authz.Issuer{Type: "Role", ID: "AROAEXAMPLE", ARN: "arn:aws:iam::111122223333:role/team/worker", Account: "111122223333", Name: "worker"},
		},
	}}
	want := journal.UserIdentity{
		Type: "AssumedRole", PrincipalID: "AROAEXAMPLE:shift", ARN: "arn:aws:sts::111122223333:assumed-role/worker/shift",
		AccountID: "111122223333", AccessKeyID: "ASIAEXAMPLE",
		SessionContext: &journal.SessionContext{
			CreationDate: issued, SourceIdentity: "alice",
			SessionIssuer: &journal.SessionIssuer{
				Type: "Role", PrincipalID: "AROAEXAMPLE", ARN: "arn:aws:iam::111122223333:role/team/worker", AccountID: "111122223333", UserName: "worker",
			},
		},
	}
	if got := call.Identity(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	call.Principal.Session = nil
	if got := call.Identity(); got.SessionContext != nil {
		t.Errorf("long-term credentials have the session %+v", got.SessionContext)
	}
}
