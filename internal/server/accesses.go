package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/service/iam"
)

// accesses answers iam from the index of the audit records.
type accesses struct{ records *index.Index }

// accessRecord is what is read of the record of a call.
type accessRecord struct {
	EventTime    time.Time `json:"eventTime"`
	EventSource  string    `json:"eventSource"`
	AWSRegion    string    `json:"awsRegion"`
	UserIdentity struct {
		PrincipalID string `json:"principalId"`
		AccessKeyID string `json:"accessKeyId"`
	} `json:"userIdentity"`
}

// sourceSuffix ends the event sources of services.
const sourceSuffix = ".amazonaws.com"

// newest returns the newest call that a query finds and that is one.
func (a accesses) newest(ctx context.Context, q index.Query, is func(*accessRecord) bool) (use iam.Use, ok bool, err error) {
	for range asks {
		err = a.records.Newest(ctx, q, func(f index.Found) (bool, error) {
			var r accessRecord
			if err := json.Unmarshal(f.Record, &r); err != nil {
				return false, fmt.Errorf("audit record %d is not one: %w", f.Number, err)
			}
			if !is(&r) {
				return true, nil
			}
			use = iam.Use{Time: r.EventTime, Service: strings.TrimSuffix(r.EventSource, sourceSuffix), Region: r.AWSRegion}
			ok = true
			return false, nil
		})
		if !errors.Is(err, index.ErrGone) {
			break
		}
	}
	return use, ok, err
}

// LastKeyUse implements [iam.Uses].
func (a accesses) LastKeyUse(ctx context.Context, account, accessKeyID string) (iam.Use, bool, error) {
	scopes, err := a.records.Scopes(ctx)
	if err != nil {
		return iam.Use{}, false, err
	}
	var q index.Query
	for _, scope := range scopes {
		if scope.Account == account {
			q.Terms = append(q.Terms, index.Term{Kind: index.Caller, Scope: scope, Value: accessKeyID})
		}
	}
	if len(q.Terms) == 0 {
		return iam.Use{}, false, nil
	}
	// A user may be named like an access key.
	return a.newest(ctx, q, func(r *accessRecord) bool { return r.UserIdentity.AccessKeyID == accessKeyID })
}

// LastAccess implements [iam.Uses].
func (a accesses) LastAccess(ctx context.Context, account, id string, services []string, since, until time.Time) (iam.Use, bool, error) {
	q := index.Query{Since: since, Until: until}
	for _, service := range services {
		q.Terms = append(q.Terms, index.Term{Kind: index.Access, Scope: index.Scope{Account: account, Region: service + sourceSuffix}, Value: id})
	}
	return a.newest(ctx, q, func(r *accessRecord) bool { return index.EntityOf(r.UserIdentity.PrincipalID) == id })
}
