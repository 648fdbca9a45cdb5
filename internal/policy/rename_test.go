package policy

import (
	"errors"
	"testing"
)

func TestRenamePrincipals(t *testing.T) {
	const text = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":["` + roleARN + `","111111111111"],"Service":"s3.amazonaws.com"},"Action":"kms:Encrypt","Resource":"*"},
		{"Effect":"Deny","NotPrincipal":{"AWS":"` + aliceARN + `"},"Action":"kms:Decrypt","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:Sign","Resource":"*"}]}`
	const roleID = "AROAAAAAAAAAAAAAAAAA"
	d := mustParse(t, KeyPolicy, text)
	stored, err := d.RenamePrincipals(func(ref PrincipalRef) string {
		if ref.Form == RoleForm {
			return roleID
		}
		return ref.Name
	})
	if err != nil {
		t.Fatal(err)
	}
	decide := func(d *Document, p Principal) bool {
		got := Evaluate(&Request{Principal: p, Action: "kms:Encrypt", Resource: keyARN, ResourceAccount: accountA}, &Policies{Resource: &Source{Document: d}})
		return got.Allowed
	}
	recreated := session
	recreated.ID = "AROAZZZZZZZZZZZZZZZZ:s1"
	if !decide(d, session) || !decide(d, recreated) || !decide(stored, session) || decide(stored, recreated) {
		t.Error("the id does not stand for the role")
	}
	shown, err := stored.RenamePrincipals(func(ref PrincipalRef) string {
		if ref.Form == UniqueIDForm && ref.Name == roleID && ref.Statement == 0 {
			return roleARN
		}
		return ref.Name
	})
	if err != nil || shown.Pretty() != d.Pretty() {
		t.Errorf("%v, got %s", err, shown.Pretty())
	}
	_, err = d.RenamePrincipals(func(ref PrincipalRef) string { return ref.Name + "*" })
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Problem != InvalidPrincipal {
		t.Error(err)
	}
}
