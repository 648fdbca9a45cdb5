package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

// exists refuses a data folder that is not there.
func (f folder) exists() error {
	info, err := os.Stat(f.Data)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return &problem{
			what: fmt.Sprintf("there is no data folder %s", f.Data),
			hint: "name the server's with --data DIR",
		}
	}
	if err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	return nil
}

// openTrail opens the audit trail of a data folder: through the server that runs
// on it, or from the folder itself when none does.
func (f folder) openTrail(ctx context.Context, a *app) (trail admin.Source, live bool, closeTrail func() error, err error) {
	if err := f.exists(); err != nil {
		return nil, false, nil, err
	}
	client, err := admin.Connect(f.Data)
	if err == nil {
		return client, true, func() error { return nil }, nil
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		return nil, false, nil, err
	}
	offline, err := a.openAudit(ctx, f.asServer(a))
	if err != nil {
		return nil, false, nil, err
	}
	return offline, false, offline.Close, nil
}

// withTrail runs use on the audit trail of the folder.
func (f folder) withTrail(a *app, use func(ctx context.Context, trail admin.Source, live bool) error) error {
	ctx := context.Background()
	trail, live, closeTrail, err := f.openTrail(ctx, a)
	if err != nil {
		return err
	}
	return errors.Join(use(ctx, trail, live), closeTrail())
}

// filterFlags pick records.
type filterFlags struct {
	Key       string `placeholder:"KEY" help:"Only records that name this key: its id, its ARN or an alias."`
	Principal string `placeholder:"WHO" help:"Only records of this caller: an ARN, a principal id, an access key id, a user's name or an account."`
	Operation string `placeholder:"NAME" help:"Only records of this operation: Encrypt, kms:Encrypt."`
	Since     string `placeholder:"TIME" help:"Only records from this time on: 2026-01-31, 2026-01-31T13:00:00Z, or how long ago: 90m, 24h, 7d."`
	Until     string `placeholder:"TIME" help:"Only records from before this time."`
	Error     string `placeholder:"CODE" help:"Only records with this error code, or: any, none."`
}

func (f filterFlags) filter(now time.Time) (admin.Filter, error) {
	filter := admin.Filter{Key: f.Key, Principal: f.Principal, Operation: f.Operation, Error: f.Error}
	for _, bound := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", f.Since, &filter.Since}, {"--until", f.Until, &filter.Until}} {
		if bound.text == "" {
			continue
		}
		t, err := parseTime(bound.text, now)
		if err != nil {
			return admin.Filter{}, &problem{what: fmt.Sprintf("%s: %v", bound.flag, err), hint: "times look like 2026-01-31, 2026-01-31T13:00:00Z, 90m, 24h or 7d"}
		}
		*bound.to = t
	}
	if !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
		return admin.Filter{}, &problem{what: "--until is not after --since: no record could match"}
	}
	return filter, nil
}

// parseTime reads a moment, a day (its first second in UTC) or how long ago.
func parseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	ago, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		ago = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || ago < 0 {
		return time.Time{}, fmt.Errorf("%q is no time", text)
	}
	return now.Add(-ago).UTC(), nil
}
