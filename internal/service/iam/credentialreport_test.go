package iam_test

import (
	"encoding/base64"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/strongroomtest"
)

func TestCredentialReport(t *testing.T) {
	s := strongroomtest.Start(t)
	admin := root(t, s)
	admin.iam("GetCredentialReport").fails(410, "ReportNotPresent", "")
	if a := admin.iam("GenerateCredentialReport").ok(); a.value("State") != "STARTED" {
		t.Errorf("%s", a.body)
	}
	if a := admin.iam("GenerateCredentialReport").ok(); a.value("State") != "COMPLETE" {
		t.Errorf("%s", a.body)
	}
	alice := admin.newUser("alice,=1", "")
	alice.query("sts", "GetCallerIdentity").ok()
	s.Advance(time.Second)
	second := admin.iam("CreateAccessKey", "UserName", "alice,=1").ok()
	admin.iam("UpdateAccessKey", "UserName", "alice,=1", "AccessKeyId", second.value("AccessKeyId"), "Status", "Inactive").ok()
	admin.iam("CreateUser", "UserName", "Bob").ok()
	admin.iam("CreateLoginProfile", "UserName", "Bob", "Password", firstPassword).ok()
	admin.iam("UpdateAccountPasswordPolicy", "MaxPasswordAge", "90").ok()
	admin.iam("CreateGroup", "GroupName", "team").ok()

	a := admin.iam("GetCredentialReport").ok()
	text, err := base64.StdEncoding.DecodeString(a.value("Content"))
	if err != nil || a.value("ReportFormat") != "text/csv" || a.value("GeneratedTime") == "" {
		t.Fatalf("%v %s", err, a.body)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatalf("%v\n%s", err, text)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	if !strings.HasPrefix(string(text), "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,") || len(rows[0]) != 22 {
		t.Errorf("the columns are %v", rows[0])
	}
	for _, test := range []struct {
		row          int
		column, want string
	}{
		{1, "user", "<root_account>"}, {1, "arn", accountARN + "root"}, {1, "password_enabled", "not_supported"}, {1, "mfa_active", "false"}, {1, "access_key_1_active", "true"},
		{2, "user", "alice,=1"}, {2, "password_enabled", "false"}, {2, "password_last_used", "N/A"}, {2, "access_key_1_active", "true"},
		{2, "access_key_1_last_used_service", "sts"}, {2, "access_key_1_last_used_region", "us-east-1"},
		{2, "access_key_2_active", "false"}, {2, "access_key_2_last_used_date", "N/A"}, {2, "cert_1_active", "false"},
		{3, "user", "Bob"}, {3, "password_enabled", "true"}, {3, "password_last_used", "no_information"}, {3, "access_key_1_last_rotated", "N/A"},
	} {
		if got := rows[test.row][column[test.column]]; got != test.want {
			t.Errorf("%s of row %d is %q, want %q", test.column, test.row, got, test.want)
		}
	}
	changed, err1 := time.Parse(time.RFC3339, rows[3][column["password_last_changed"]])
	next, err2 := time.Parse(time.RFC3339, rows[3][column["password_next_rotation"]])
	if err1 != nil || err2 != nil || !next.Equal(changed.UTC().AddDate(0, 0, 90)) || !strings.HasSuffix(rows[2][column["access_key_2_last_rotated"]], "+00:00") {
		t.Errorf("a password of %v is good until %v", changed, next)
	}
	s.Advance(4 * time.Hour)
	admin.iam("GetCredentialReport").fails(410, "ReportExpired", "")
	if a := admin.iam("GenerateCredentialReport").ok(); a.value("State") != "STARTED" {
		t.Errorf("%s", a.body)
	}
	alice.iam("GetCredentialReport").fails(403, "AccessDenied", "")
}
