package iam

import (
	"bytes"
	"context"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// credentialReportRecord is when a credential report was last asked for. Its only id is
// [settingsID].
type credentialReportRecord struct {
	Asked time.Time `json:"asked"`
}

var credentialReportRecords = store.NewCollection[credentialReportRecord]("iam-credential-report", 1)

// reportFor is how long a credential report can be fetched (IAM User Guide, "Generate
// credential reports for your AWS account").
const reportFor = 4 * time.Hour

// reportColumns are the columns of a credential report, in the guide's order.
var reportColumns = []string{
	"user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed", "password_next_rotation", "mfa_active",
	"access_key_1_active", "access_key_1_last_rotated", "access_key_1_last_used_date", "access_key_1_last_used_region", "access_key_1_last_used_service",
	"access_key_2_active", "access_key_2_last_rotated", "access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service",
	"cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated",
}

// The values that a report has for what is not there.
const (
	notApplicable = "N/A"
	notSupported  = "not_supported"
	noInformation = "no_information"
)

func reportTime(t time.Time) string {
	if t.IsZero() {
		return notApplicable
	}
	return t.UTC().Format("2006-01-02T15:04:05+00:00")
}

// GenerateCredentialReport asks for a report about the credentials of everyone in the
// account, which is worked out whenever it is fetched in the next four hours.
func (s *Service) GenerateCredentialReport(ctx context.Context, call *authz.Call, _ *api.GenerateCredentialReportInput) (*api.GenerateCredentialReportOutput, error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	in := scopeOf(call.Principal.Account)
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.GenerateCredentialReportOutput, error) {
		record, err := credentialReportRecords.Get(tx, in, settingsID)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		if !isNotFound(err) && call.Time.Sub(record.Asked) < reportFor {
			return &api.GenerateCredentialReportOutput{State: api.ReportStateTypeComplete}, nil
		}
		return &api.GenerateCredentialReportOutput{State: api.ReportStateTypeStarted, Description: "No report exists. Starting a new report generation task"},
			credentialReportRecords.Put(tx, in, settingsID, credentialReportRecord{Asked: now(call)})
	})
}

// GetCredentialReport returns the report that was asked for, as CSV.
func (s *Service) GetCredentialReport(ctx context.Context, call *authz.Call, _ *api.GetCredentialReportInput) (*api.GetCredentialReportOutput, error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	account := call.Principal.Account
	var report credentialReportRecord
	var owner accountRecord
	var settings settingsRecord
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		if report, err = credentialReportRecords.Get(r, scopeOf(account), settingsID); isNotFound(err) {
			return api.CredentialReportNotPresentException("No report is present. Ask for one with GenerateCredentialReport.")
		}
		if err != nil {
			return err
		}
		if settings, err = settingsOf(r, account); err != nil {
			return err
		}
		owner, err = accountRecords.Get(r, store.Deployment, account)
		if isNotFound(err) { // of a dev server, where every account exists
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if call.Time.Sub(report.Asked) >= reportFor {
		return nil, api.CredentialReportExpiredException("The report has expired. Ask for another one with GenerateCredentialReport.")
	}
	users, err := allOf(ctx, s, identityRecords, account)
	if err != nil {
		return nil, err
	}
	users = slices.DeleteFunc(users, func(i store.Item[identityRecord]) bool { return i.Value.Kind != userKind })
	slices.SortFunc(users, func(a, b store.Item[identityRecord]) int { return compareNames(a.Value.Name, b.Value.Name) })

	var text bytes.Buffer
	w := csv.NewWriter(&text)
	root := []string{"<root_account>", s.arn(account, "root", "", ""), reportTime(owner.Created), notSupported, noInformation, notSupported, notSupported, "false"}
	rows := [][]string{reportColumns}
	row, err := s.reportKeys(ctx, account, "", root)
	if err != nil {
		return nil, err
	}
	rows = append(rows, row)
	for _, item := range users {
		if row, err = s.reportUser(ctx, s.identityOf(account, item), account, settings.Passwords); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, err
	}
	return &api.GetCredentialReportOutput{Content: bytes.TrimSuffix(text.Bytes(), []byte("\n")), ReportFormat: api.ReportFormatTypeTextCsv, GeneratedTime: new(now(call))}, nil
}

// reportUser is a user's row of a report.
func (s *Service) reportUser(ctx context.Context, i *identity, account string, p *passwordPolicy) ([]string, error) {
	var profile loginProfileRecord
	var devices []store.Item[mfaRecord]
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		if profile, err = loginProfileRecords.Get(r, scopeOf(account), i.ID); err != nil && !isNotFound(err) {
			return err
		}
		devices, err = devicesOf(r, account, i.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	used := notApplicable
	if profile.Hash != nil {
		if used = noInformation; !profile.Used.IsZero() {
			used = reportTime(profile.Used)
		}
	}
	next := time.Time{}
	if profile.Hash != nil {
		next = p.expires(profile.Changed)
	}
	return s.reportKeys(ctx, account, i.ID, []string{
		i.Name, i.ARN, reportTime(i.Created), strconv.FormatBool(profile.Hash != nil), used, reportTime(profile.Changed), reportTime(next), strconv.FormatBool(len(devices) > 0),
	})
}

// reportKeys adds what a row has of access keys, the older one first, and of signing
// certificates, which nobody has.
func (s *Service) reportKeys(ctx context.Context, account, user string, row []string) ([]string, error) {
	var keys []store.Item[accessKeyRecord]
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		keys, err = keysOf(r, account, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys, func(a, b store.Item[accessKeyRecord]) int {
		if c := a.Value.Created.Compare(b.Value.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	for n := range maxAccessKeys {
		if n >= len(keys) {
			row = append(row, "false", notApplicable, notApplicable, notApplicable, notApplicable)
			continue
		}
		use, used, err := s.Uses.LastKeyUse(ctx, account, keys[n].ID)
		if err != nil {
			return nil, err
		}
		row = append(row, strconv.FormatBool(keys[n].Value.Active), reportTime(keys[n].Value.Created), reportTime(use.Time))
		if used {
			row = append(row, use.Region, use.Service)
		} else {
			row = append(row, notApplicable, notApplicable)
		}
	}
	return append(row, "false", notApplicable, "false", notApplicable), nil
}
