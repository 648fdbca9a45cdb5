package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// KeyFinding is a line of a key report: a key that somebody should look at.
type KeyFinding struct {
	Key     string    `json:"key"` // ARN
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	// LastUse is nil for a key that was never used.
	LastUse *KeyUse `json:"lastUse,omitempty"`
	// Deletion is when the key will be deleted; nil when it will not be.
	Deletion *time.Time `json:"deletion,omitempty"`
	// RefusedUses counts calls that would have used the key since its deletion was
	// scheduled, up to [MaxRefusedUses].
	RefusedUses int `json:"refusedUses,omitempty"`
	// Findings are why the key is in the report, at least one.
	Findings []string `json:"findings"`
}

// KeyUse is the last successful use of a key.
type KeyUse struct {
	Operation string    `json:"operation"`
	Time      time.Time `json:"time"`
	EventID   string    `json:"eventID"`
}

// The findings there are.
const (
	// FindingUnused: neither made nor used in the last so many days.
	FindingUnused = "unused"
	// FindingNoRotation: could be rotated automatically, and is not.
	FindingNoRotation = "noRotation"
	// FindingStillUsed: about to be deleted, and used in the last so many days or
	// asked for since.
	FindingStillUsed = "stillUsed"
)

// MaxRefusedUses is the most refused uses that a report counts of a key.
const MaxRefusedUses = 100

// MaxReportDays is the longest time that a key report looks back.
const MaxReportDays = 36_500

// checkDays refuses a number of days that KeyReport does not take.
func checkDays(days int) error {
	if days < 1 || days > MaxReportDays {
		return fmt.Errorf("a report over %d days: want 1 to %d", days, MaxReportDays)
	}
	return nil
}

// KeyReport implements [Source].
func (c *Client) KeyReport(ctx context.Context, days int, emit func([]byte) error) error {
	if err := checkDays(days); err != nil {
		return err
	}
	return c.ask(ctx, http.MethodGet, "/v1/audit/report", url.Values{"days": {strconv.Itoa(days)}}, nil, emit)
}

func (s *Server) parseKeyReport(r *http.Request) (request, error) {
	values, err := parseQuery(r, "days")
	if err != nil {
		return request{}, err
	}
	days, err := strconv.Atoi(values.Get("days"))
	if err != nil {
		return request{}, fmt.Errorf("days is not a number: %q", values.Get("days"))
	}
	if err := checkDays(days); err != nil {
		return request{}, err
	}
	return request{
		event: "AuditReport", params: map[string]string{"days": strconv.Itoa(days)},
		answer: func(ctx context.Context, emit emitter) error { return s.cfg.Audit.KeyReport(ctx, days, emit) },
	}, nil
}

// EmitFinding hands a finding to a Source's emit.
func EmitFinding(emit func(line []byte) error, f KeyFinding) error {
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return emit(line)
}
