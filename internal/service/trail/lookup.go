package trail

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/journal/index"
)

const (
	// lookupDays is how far back LookupEvents sees.
	lookupDays = 90
	// mostEvents is the longest page, and the usual one.
	mostEvents = 50
	// mostBytes bounds the records of a page, but for its last one.
	mostBytes = 1 << 20
	// mostRead bounds how many records one call reads. A value may stand in other
	// members than the one that is asked for; a page then ends early.
	mostRead = 2000
	// attempts is how often a lookup begins again when a part of the index was
	// removed meanwhile.
	attempts = 3
)

// LookupEvents finds the management events of the caller's account and of the
// call's Region, of the last 90 days, the newest first.
func (s *Service) LookupEvents(ctx context.Context, call *authz.Call, in *api.LookupEventsInput) (*api.LookupEventsOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	l, err := s.newLookup(call, in)
	if err != nil {
		return nil, err
	}
	// There are no Insights events: nothing watches for unusual activity.
	if in.EventCategory != api.EventCategoryInsight {
		for range attempts {
			l.begin()
			if err = s.Records.Newest(ctx, l.query, l.take); !errors.Is(err, index.ErrGone) {
				break
			}
		}
		if err != nil {
			return nil, err
		}
	}
	// Records are in the order of their commits; a call that took long was
	// recorded after later ones.
	slices.SortStableFunc(l.events, func(a, b api.Event) int { return cmp.Compare(b.EventTime.Unix(), a.EventTime.Unix()) })
	out := &api.LookupEventsOutput{Events: l.events}
	if l.more {
		out.NextToken, err = s.sealPosition(l.binding, l.last)
	}
	return out, err
}

// lookup is one LookupEvents.
type lookup struct {
	query   index.Query
	key     api.LookupAttributeKey // "" for none
	value   string
	limit   int
	binding []byte // of the page's token

	events      []api.Event
	bytes, read int
	last        uint64 // number of the last record that was looked at
	more        bool
}

func (l *lookup) begin() { l.events, l.bytes, l.read, l.last, l.more = []api.Event{}, 0, 0, 0, false }

func (s *Service) newLookup(call *authz.Call, in *api.LookupEventsInput) (*lookup, error) {
	l := &lookup{limit: mostEvents, events: []api.Event{}}
	if in.MaxResults != nil {
		l.limit = int(*in.MaxResults)
	}
	if l.limit < 1 || l.limit > mostEvents {
		return nil, api.InvalidMaxResultsException(fmt.Sprintf("The maximum results value %d is not valid. Specify 1 to %d.", l.limit, mostEvents))
	}
	if in.StartTime != nil && in.EndTime != nil && in.StartTime.After(*in.EndTime) {
		return nil, api.InvalidTimeRangeException("The start time is after the end time.")
	}
	l.query.Since = call.Time.Add(-lookupDays * 24 * time.Hour)
	if in.StartTime != nil && in.StartTime.After(l.query.Since) {
		l.query.Since = *in.StartTime
	}
	if in.EndTime != nil {
		l.query.Until = *in.EndTime
	}
	term := index.Term{Kind: index.All, Scope: index.Scope{Account: call.Principal.Account, Region: call.Region}}
	switch len(in.LookupAttributes) {
	case 0:
	case 1:
		l.key, l.value = in.LookupAttributes[0].AttributeKey, in.LookupAttributes[0].AttributeValue
		term.Kind, term.Value = kinds[l.key], l.value
	default:
		return nil, api.InvalidLookupAttributesException("Only one lookup attribute may be specified.")
	}
	l.query.Terms = []index.Term{term}
	l.binding = tokenBinding(call, in)
	if in.NextToken != nil {
		before, err := s.openPosition(l.binding, *in.NextToken)
		if err != nil {
			return nil, err
		}
		l.query.Before = before
	}
	return l, nil
}

// kinds are the index's names of the lookup attributes.
var kinds = map[api.LookupAttributeKey]index.Kind{
	api.LookupAttributeKeyEventId:      index.EventID,
	api.LookupAttributeKeyEventName:    index.EventName,
	api.LookupAttributeKeyReadOnly:     index.ReadOnly,
	api.LookupAttributeKeyUsername:     index.UserName,
	api.LookupAttributeKeyResourceType: index.ResourceType,
	api.LookupAttributeKeyResourceName: index.Name,
	api.LookupAttributeKeyEventSource:  index.Source,
	api.LookupAttributeKeyAccessKeyId:  index.Caller,
}

// take looks at a record that the index has found. One more than fit says that
// there is another page.
func (l *lookup) take(f index.Found) (bool, error) {
	if len(l.events) == l.limit || l.bytes >= mostBytes || l.read == mostRead {
		l.more = true
		return false, nil
	}
	l.last = f.Number
	l.read++
	var r record
	if err := json.Unmarshal(f.Record, &r); err != nil {
		return false, fmt.Errorf("audit record %d is not one: %w", f.Number, err)
	}
	event := r.event(f.Record)
	if l.matches(&event) {
		l.events = append(l.events, event)
		l.bytes += len(f.Record)
	}
	return true, nil
}

func (l *lookup) matches(e *api.Event) bool {
	named := func(r api.Resource) bool { return slices.Contains(index.Names(r.ResourceName), l.value) }
	switch l.key {
	case "":
		return true
	case api.LookupAttributeKeyEventId:
		return e.EventId == l.value
	case api.LookupAttributeKeyEventName:
		return e.EventName == l.value
	case api.LookupAttributeKeyReadOnly:
		return e.ReadOnly == l.value
	case api.LookupAttributeKeyUsername:
		return e.Username == l.value
	case api.LookupAttributeKeyResourceType:
		return slices.ContainsFunc(e.Resources, func(r api.Resource) bool { return r.ResourceType == l.value })
	case api.LookupAttributeKeyResourceName:
		return slices.ContainsFunc(e.Resources, named)
	case api.LookupAttributeKeyEventSource:
		return e.EventSource == l.value
	case api.LookupAttributeKeyAccessKeyId:
		return e.AccessKeyId == l.value
	}
	return false
}

// record is what an event shows of an audit record beside its text.
type record struct {
	UserIdentity struct {
		Type        string `json:"type"`
		PrincipalID string `json:"principalId"`
		AccessKeyID string `json:"accessKeyId"`
		UserName    string `json:"userName"`
		InvokedBy   string `json:"invokedBy"`
	} `json:"userIdentity"`
	EventTime   time.Time `json:"eventTime"`
	EventSource string    `json:"eventSource"`
	EventName   string    `json:"eventName"`
	EventID     string    `json:"eventID"`
	ReadOnly    bool      `json:"readOnly"`
	Resources   []struct {
		Type string `json:"type"`
		ARN  string `json:"ARN"`
	} `json:"resources"`
}

func (r *record) event(text []byte) api.Event {
	who := &r.UserIdentity
	e := api.Event{
		EventId: r.EventID, EventName: r.EventName, ReadOnly: fmt.Sprint(r.ReadOnly), AccessKeyId: who.AccessKeyID,
		EventTime: &r.EventTime, EventSource: r.EventSource,
		Username:  index.UserNameOf(who.Type, who.PrincipalID, who.UserName, who.InvokedBy),
		Resources: []api.Resource{}, CloudTrailEvent: string(text),
	}
	for _, resource := range r.Resources {
		e.Resources = append(e.Resources, api.Resource{ResourceType: resource.Type, ResourceName: resource.ARN})
	}
	return e
}

// tokenBinding is what a token holds for: the caller's view and the question. The
// length of the pages may change between them.
func tokenBinding(call *authz.Call, in *api.LookupEventsInput) []byte {
	parts := []string{"LookupEvents", call.Principal.Account, call.Region, string(in.EventCategory)}
	for _, t := range []*time.Time{in.StartTime, in.EndTime} {
		if t == nil {
			parts = append(parts, "")
		} else {
			parts = append(parts, t.UTC().Format(time.RFC3339Nano))
		}
	}
	for _, a := range in.LookupAttributes {
		parts = append(parts, string(a.AttributeKey), a.AttributeValue)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return sum[:]
}

// sealPosition makes the token that continues behind record number last. It is
// sealed: numbers of records would tell one account how busy the others are.
func (s *Service) sealPosition(binding []byte, last uint64) (string, error) {
	sealed, err := s.Tokens.Seal(s.Rand, binary.BigEndian.AppendUint64(nil, last), binding)
	if err != nil {
		return "", fmt.Errorf("trail: sealing a token: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

func (s *Service) openPosition(binding []byte, token string) (uint64, error) {
	invalid := api.InvalidNextTokenException("The token is not valid, or was made for other parameters.")
	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil {
		return 0, invalid
	}
	text, err := s.Tokens.Open(sealed, binding)
	if err != nil || len(text) != 8 {
		return 0, invalid
	}
	return binary.BigEndian.Uint64(text), nil
}
