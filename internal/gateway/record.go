package gateway

import (
	"crypto/sha256"
	"sync"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/wire"
)

// usualRecord is a little more than what most records need, in bytes.
const usualRecord = 2048

// usualParameters is a little more than what most requests' parameters need.
const usualParameters = 384

// draft is room for a call's record and for what it is made of, used again and again.
type draft struct {
	record     journal.Record
	line       []byte
	parameters []byte
	response   []byte
	resources  []journal.Resource
}

var drafts = sync.Pool{New: func() any {
	return &draft{line: make([]byte, 0, usualRecord), parameters: make([]byte, 0, usualParameters)}
}}

// release gives d back; what was made of it is not valid any more.
func (d *draft) release() {
	clear(d.resources)
	d.record = journal.Record{}
	if cap(d.line) <= 4*usualRecord && cap(d.parameters) <= 4*usualRecord && cap(d.response) <= 4*usualRecord {
		drafts.Put(d)
	}
}

// record returns the audit record of a call, for the trail of its caller's account: of
// one that succeeds with out, or of one that is refused. It is valid until d is
// released.
func (g *Gateway) record(d *draft, p *pipe, call *authz.Call, out any, refusal *awserr.Error) []byte {
	r := g.describe(d, p, call, out, refusal)
	if len(call.Owners()) > 0 {
		r.SharedEventID = sharedID(p).String()
	}
	d.line = r.AppendJSON(d.line[:0])
	return d.line
}

// shared returns the records of a call in the trails of other accounts.
func (g *Gateway) shared(d *draft, p *pipe, call *authz.Call, out any, refusal *awserr.Error) [][]byte {
	var records [][]byte
	for _, account := range call.Owners() {
		records = append(records, g.recordFor(d, account, p, call, out, refusal))
	}
	return records
}

// recordFor is the record of a call in the trail of an account whose resources it
// is about. Of the caller it says no more than its account and principal id, as
// CloudTrail does.
func (g *Gateway) recordFor(d *draft, account string, p *pipe, call *authz.Call, out any, refusal *awserr.Error) []byte {
	r := g.describe(d, p, call, out, refusal)
	who := r.UserIdentity
	r.UserIdentity = journal.UserIdentity{Type: "AWSAccount", PrincipalID: who.PrincipalID, AccountID: who.AccountID, InvokedBy: who.InvokedBy}
	r.RecipientAccountID = account
	r.SharedEventID = sharedID(p).String()
	r.EventID = derivedID(p, "recipient "+account)
	return r.AppendJSON(nil)
}

func sharedID(p *pipe) journal.UUID { return derivedID(p, "shared") }

// derivedID is an id that comes from the call's event id, since records are built
// inside commits, which run again and draw nothing.
func derivedID(p *pipe, label string) journal.UUID {
	sum := sha256.Sum256(append(p.eventID[:], label...))
	return journal.NewUUID([16]byte(sum[:16]))
}

// describe is what the records of a call have in common; its ids are those for the
// caller's account. It is d's.
func (g *Gateway) describe(d *draft, p *pipe, call *authz.Call, out any, refusal *awserr.Error) *journal.Record {
	r := &d.record
	*r = journal.Record{
		UserIdentity:       call.Identity(),
		EventTime:          call.Time,
		EventSource:        p.service.EventSource,
		EventName:          p.row.Name,
		AWSRegion:          call.Region,
		UserAgent:          call.UserAgent,
		RequestID:          call.RequestID,
		EventID:            journal.NewUUID(p.eventID),
		ReadOnly:           p.row.ReadOnly,
		EventType:          journal.AwsApiCall,
		RecipientAccountID: call.Home(),
	}
	switch n := len(call.Via); {
	case n > 0:
		r.SourceIPAddress, r.UserAgent = call.Via[n-1], call.Via[n-1]
	case call.Principal.Type == policy.Service:
		r.SourceIPAddress = call.Principal.Service
	default:
		r.SourceIP = call.SourceIP
	}
	if call.TLS != nil {
		r.TLSDetails = &journal.TLSDetails{
			TLSVersion:               call.TLS.Version,
			CipherSuite:              call.TLS.CipherSuite,
			ClientProvidedHostHeader: call.TLS.ServerName,
		}
	}
	if p.in != nil {
		d.parameters = withFields(p.row.AuditRequest(d.parameters[:0], p.in), call.Audit.Request)
		r.RequestParameters = d.parameters
	}
	if refusal != nil {
		r.ErrorCode, r.ErrorMessage = wire.ErrorCode(p.service.Protocol, refusal), refusal.Message
	} else {
		d.response = withFields(p.row.AuditResponse(d.response[:0], out), call.Audit.Response)
		r.ResponseElements = d.response
		r.AdditionalEventData = withFields(nil, call.Audit.Additional)
	}
	d.resources = d.resources[:0]
	for _, resource := range call.Audit.Resources {
		if call.Shows(resource.Account) {
			d.resources = append(d.resources, journal.Resource{AccountID: resource.Account, Type: resource.Type, ARN: resource.ARN})
		}
	}
	r.Resources = d.resources
	return r
}

// withFields adds members to a JSON object; to none, it makes one. Without fields
// it returns the value as it is.
func withFields(object []byte, fields []authz.Field) []byte {
	if len(fields) == 0 {
		return object
	}
	if n := len(object); n > 2 && object[n-1] == '}' {
		object = append(object[:n-1], ',')
	} else {
		object = []byte{'{'}
	}
	for i, f := range fields {
		if i > 0 {
			object = append(object, ',')
		}
		object = wire.AppendString(object, f.Name)
		object = append(object, ':')
		switch {
		case len(f.Members) > 0:
			object = append(object, withFields(nil, f.Members)...)
		case len(f.List) > 0:
			object = append(object, '[')
			for i, text := range f.List {
				if i > 0 {
					object = append(object, ',')
				}
				object = wire.AppendString(object, text)
			}
			object = append(object, ']')
		default:
			object = wire.AppendString(object, f.Value)
		}
	}
	return append(object, '}')
}
