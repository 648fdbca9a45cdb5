package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/service/kms"
	"github.com/strongroom/strongroom/internal/store"
)

// recordFolder holds the index of the audit records, in the data folder. It may
// be removed while no server runs: it is made again.
const recordFolder = "audit-index"

func openRecords(ctx context.Context, f *folder, rand io.Reader, log *slog.Logger) (*index.Index, error) {
	reader, err := f.journalReader()
	if err != nil {
		return nil, err
	}
	box, err := f.domain.Box(seal.LabelRecordIndex)
	if err != nil {
		return nil, err
	}
	terms, err := f.domain.Derive(firstVersion, seal.LabelRecordTerms)
	if err != nil {
		return nil, err
	}
	return index.Open(ctx, index.Config{
		Dir: filepath.Join(f.dir, recordFolder), Reader: reader, Box: box, TermKey: terms, Rand: rand, Log: log,
	})
}

// lastUses answers kms from the index of the audit records and, for records that
// retention has removed, from what it has kept.
type lastUses struct {
	records *index.Index
	kept    *store.Store
}

// useRecord is what is read of the record of a key's use.
type useRecord struct {
	EventTime          time.Time `json:"eventTime"`
	EventSource        string    `json:"eventSource"`
	EventName          string    `json:"eventName"`
	ErrorCode          string    `json:"errorCode"`
	EventID            string    `json:"eventID"`
	RequestID          string    `json:"requestID"`
	RecipientAccountID string    `json:"recipientAccountId"`
	SharedEventID      string    `json:"sharedEventID"`
	Resources          []struct {
		ARN string `json:"ARN"`
	} `json:"resources"`
}

// of reports whether the record is of a successful use of the key.
func (r *useRecord) of(keyARN string) bool {
	return r.ErrorCode == "" && index.Used(r.EventSource, r.EventName) &&
		slices.ContainsFunc(r.Resources, func(x struct {
			ARN string `json:"ARN"`
		}) bool {
			return x.ARN == keyARN
		})
}

// asks is how often a query is made that meets a part of the index that is being
// removed.
const asks = 3

// LastUse implements [kms.Uses].
func (u lastUses) LastUse(ctx context.Context, keyARN string) (use kms.Use, ok bool, err error) {
	for range asks {
		if use, ok, err = u.lastUse(ctx, keyARN); !errors.Is(err, index.ErrGone) {
			break
		}
	}
	if ok || err != nil {
		return use, ok, err
	}
	return kms.KeptUse(ctx, u.kept, keyARN)
}

// lastUse finds the newest record of a use. Of a call that is recorded in two
// accounts, the record of the key's own account is the one that its owner can
// look up.
func (u lastUses) lastUse(ctx context.Context, keyARN string) (kms.Use, bool, error) {
	var newest *useRecord
	err := u.records.Newest(ctx, index.Query{Terms: []index.Term{{Kind: index.Use, Value: keyARN}}}, func(f index.Found) (more bool, err error) {
		var r useRecord
		if err := json.Unmarshal(f.Record, &r); err != nil {
			return false, fmt.Errorf("audit record %d is not one: %w", f.Number, err)
		}
		if !r.of(keyARN) {
			return true, nil
		}
		own := strings.Contains(keyARN, ":"+r.RecipientAccountID+":")
		if newest != nil {
			if own && r.SharedEventID == newest.SharedEventID {
				newest = &r
			}
			return false, nil
		}
		newest = &r
		return !own && r.SharedEventID != "", nil
	})
	if err != nil || newest == nil {
		return kms.Use{}, false, err
	}
	return newest.use(), true, nil
}

func (r *useRecord) use() kms.Use {
	return kms.Use{Operation: r.EventName, Time: r.EventTime, EventID: r.EventID, RequestID: r.RequestID}
}

// maxScopes is how many accounts and Regions a search looks through one by one;
// with more, it reads the trail.
const maxScopes = 64

// searchIndex emits what f lets through, oldest first, from the index. found is
// false when f has nothing that the index knows: then nothing was emitted.
func searchIndex(ctx context.Context, records *index.Index, f admin.Filter, emit func([]byte) error) (found bool, err error) {
	_, operation, qualified := strings.Cut(f.Operation, ":")
	if !qualified {
		operation = f.Operation
	}
	// The first that is set is likely to have the fewest records.
	var kinds []index.Kind
	var value string
	switch {
	case f.Key != "":
		kinds, value = []index.Kind{index.Name, index.Sent}, f.Key
	case f.Principal != "":
		kinds, value = []index.Kind{index.Caller}, f.Principal
	case f.Error != "" && f.Error != "none":
		kinds, value = []index.Kind{index.Error}, strings.ToLower(f.Error)
	case f.Operation != "":
		kinds, value = []index.Kind{index.Operation}, strings.ToLower(operation)
	default:
		return false, nil
	}
	scopes, err := records.Scopes(ctx)
	if err != nil {
		return true, err
	}
	if len(scopes) > maxScopes {
		return false, nil
	}
	q := index.Query{Since: f.Since, Until: f.Until}
	for _, scope := range scopes {
		for _, kind := range kinds {
			q.Terms = append(q.Terms, index.Term{Kind: kind, Scope: scope, Value: value})
		}
	}
	if len(q.Terms) == 0 {
		return true, nil
	}
	shown := uint64(0)
	for range asks {
		err = records.Oldest(ctx, q, func(r index.Found) (bool, error) {
			match, err := f.Match(r.Record)
			if err != nil || !match || r.Number <= shown {
				return err == nil, err
			}
			shown = r.Number
			return true, emit(r.Record)
		})
		if !errors.Is(err, index.ErrGone) {
			break
		}
	}
	return true, err
}
