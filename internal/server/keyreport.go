package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/service/kms"
	"github.com/strongroom/strongroom/internal/store"
)

// KeyReport implements [admin.Source].
func (t *trail) KeyReport(ctx context.Context, days int, emit func([]byte) error) error {
	keys, records := t.keys, t.records
	if records == nil { // of a stopped server
		var err error
		if records, err = openRecords(ctx, t.folder, t.random, slog.Default()); err != nil {
			return err
		}
		if keys, err = store.New(store.Config{Backend: t.folder.backend, Sealer: newRecordSealer(t.folder.domain)}); err != nil {
			return err
		}
		defer keys.Close()
	}
	r := &keyReport{records: records, kept: keys, now: t.now(), days: days}
	return kms.Inventory(ctx, keys, func(k kms.KeyFacts) error {
		finding, err := r.look(ctx, k)
		if err != nil || len(finding.Findings) == 0 {
			return err
		}
		return admin.EmitFinding(emit, finding)
	})
}

// keyReport is one report.
type keyReport struct {
	records *index.Index
	kept    *store.Store
	now     time.Time
	days    int
}

// look judges one key.
func (r *keyReport) look(ctx context.Context, k kms.KeyFacts) (admin.KeyFinding, error) {
	f := admin.KeyFinding{Key: k.ARN, State: k.State, Created: k.Created}
	use, used, err := lastUses{r.records, r.kept}.LastUse(ctx, k.ARN)
	if err != nil {
		return f, err
	}
	since := r.now.Add(-time.Duration(r.days) * 24 * time.Hour)
	recently := used && use.Time.After(since)
	if used {
		f.LastUse = &admin.KeyUse{Operation: use.Operation, Time: use.Time, EventID: use.EventID}
	}
	if !k.Deletion.IsZero() {
		f.Deletion = &k.Deletion
		if f.RefusedUses, err = r.refused(ctx, k); err != nil {
			return f, err
		}
		if recently || f.RefusedUses > 0 {
			f.Findings = append(f.Findings, admin.FindingStillUsed)
		}
		return f, nil
	}
	if !recently && !k.Created.After(since) {
		f.Findings = append(f.Findings, admin.FindingUnused)
	}
	if k.CanRotate && !k.Rotates {
		f.Findings = append(f.Findings, admin.FindingNoRotation)
	}
	return f, nil
}

// lookAtMost bounds how many records of a key are read for its refused uses.
const lookAtMost = 1000

// refused counts the calls that would have used the key since its deletion was
// scheduled. They are recorded for whoever called, of any account.
func (r *keyReport) refused(ctx context.Context, k kms.KeyFacts) (n int, err error) {
	scopes, err := r.records.Scopes(ctx)
	if err != nil {
		return 0, err
	}
	q := index.Query{Since: k.Scheduled}
	for _, scope := range scopes {
		if strings.Contains(k.ARN, ":"+scope.Region+":") {
			q.Terms = append(q.Terms, index.Term{Kind: index.Name, Scope: scope, Value: k.ARN})
		}
	}
	if len(q.Terms) == 0 {
		return 0, nil
	}
	for range asks {
		n = 0
		read := 0
		err = r.records.Newest(ctx, q, func(found index.Found) (bool, error) {
			var record useRecord
			if err := json.Unmarshal(found.Record, &record); err != nil {
				return false, err
			}
			// The second is what the proxy of external key stores answers.
			if index.Used(record.EventSource, record.EventName) &&
				(record.ErrorCode == "KMSInvalidStateException" || record.ErrorCode == "InvalidStateException") {
				n++
			}
			read++
			return n < admin.MaxRefusedUses && read < lookAtMost, nil
		})
		if !errors.Is(err, index.ErrGone) {
			break
		}
	}
	return n, err
}
