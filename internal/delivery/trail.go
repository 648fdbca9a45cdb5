package delivery

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

// Trail says which records go where. It is the record that the API keeps.
type Trail struct {
	Account string `json:"account"`
	// Region is the home region.
	Region string `json:"region"`
	Name   string `json:"name"`
	// ID is of this making of the trail, 32 hex digits: one that is made again under
	// its name inherits nothing.
	ID     string `json:"id"`
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix,omitempty"`
	// Key is the ARN of the KMS key that files are encrypted under; empty for none.
	Key string `json:"key,omitempty"`
	// Global lets events of global services through, MultiRegion those of every
	// region; Validation asks for digests.
	Global      bool       `json:"global"`
	MultiRegion bool       `json:"multiRegion"`
	Validation  bool       `json:"validation"`
	Created     time.Time  `json:"created"`
	Started     *time.Time `json:"started,omitempty"`
	Stopped     *time.Time `json:"stopped,omitempty"`
	// Spans are the times of logging, in order, the last one open while the trail
	// logs. Those that were delivered long ago are dropped.
	Spans []Span `json:"spans,omitempty"`
	// At most one of these is set; none means all management events.
	Selectors []Selector         `json:"selectors,omitempty"`
	Advanced  []AdvancedSelector `json:"advanced,omitempty"`
	Tags      []Tag              `json:"tags,omitempty"`
}

// Span is a time of logging; To is nil while it lasts.
type Span struct {
	From time.Time  `json:"from"`
	To   *time.Time `json:"to,omitempty"`
}

// Tag is a tag of a trail.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// Trails are kept in the scope of their account and home region, under their
// names.
var Trails = store.NewCollection[Trail]("cloudtrail.trail", 1)

// Scope is where the trail's records are.
func (t *Trail) Scope() store.Scope { return store.Scope{Account: t.Account, Region: t.Region} }

// Logging reports whether the trail logs.
func (t *Trail) Logging() bool { return len(t.Spans) > 0 && t.Spans[len(t.Spans)-1].To == nil }

// ARN returns a trail's ARN.
func ARN(partition, region, account, name string) string {
	return "arn:" + partition + ":cloudtrail:" + region + ":" + account + ":trail/" + name
}

// maxSpans bounds how often a trail can be stopped and started again while its
// bucket is out of reach.
const maxSpans = 1000

// ErrSpans is returned for a trail that was stopped and started too often to be
// caught up with.
var ErrSpans = errors.New("delivery: the trail was stopped and started too often since its last delivery")

// Start makes the trail log from at on; it changes nothing if it does already. It
// forgets the spans that are delivered.
func (t *Trail) Start(tx *store.Tx, at time.Time) error {
	t.Started = &at
	if t.Logging() {
		return nil
	}
	p, err := positionOf(tx, t)
	if err != nil {
		return err
	}
	t.Spans = slices.DeleteFunc(t.Spans, func(s Span) bool { return p.Reached.After(*s.To) })
	if len(t.Spans) >= maxSpans {
		return ErrSpans
	}
	t.Spans = append(t.Spans, Span{From: at})
	return nil
}

// Stop makes the trail log no more from at on.
func (t *Trail) Stop(at time.Time) {
	t.Stopped = &at
	if t.Logging() {
		t.Spans[len(t.Spans)-1].To = &at
	}
}

// logged reports whether an event of that time, in whole seconds, is within a
// span. The bounds are rounded outwards to whole seconds, so that the calls which
// start and stop logging are themselves logged.
func (t *Trail) logged(at time.Time) bool {
	return slices.ContainsFunc(t.Spans, func(s Span) bool {
		return !at.Before(s.From.Truncate(time.Second)) && (s.To == nil || !at.After(*s.To))
	})
}

// globalServices are those whose events belong to no region.
var globalServices = []string{"iam.amazonaws.com", "sts.amazonaws.com"}

// place returns the region under whose name an event is delivered; "" if the trail
// does not want it. served are the deployment's regions.
func (t *Trail) place(e *event, served []string) string {
	switch global := slices.Contains(globalServices, e.Source); {
	case e.Account != t.Account, global && !t.Global, !t.logged(e.Time), !t.selects(e):
		return ""
	case t.MultiRegion && slices.Contains(served, e.Region):
		return e.Region
	case t.MultiRegion, global, e.Region == t.Region:
		return t.Region
	}
	return ""
}

// regions are the regions that the trail delivers, and digests, under.
func (t *Trail) regions(served []string) []string {
	if !t.MultiRegion {
		return []string{t.Region}
	}
	return served
}

// path is the beginning of the keys of one kind of file.
func (t *Trail) path(kind, region string, at time.Time) string {
	var b strings.Builder
	if t.Prefix != "" {
		b.WriteString(t.Prefix)
		b.WriteByte('/')
	}
	b.WriteString("AWSLogs/" + t.Account + "/" + kind + "/" + region + "/" + at.Format("2006/01/02") + "/" +
		t.Account + "_" + kind + "_" + region + "_")
	return b.String()
}
