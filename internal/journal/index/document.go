package index

import (
	"bytes"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// document is what the index takes down of a record.
type document struct {
	time         int64 // eventTime, in seconds since 1970
	scope        Scope
	fingerprints []fingerprint
}

// facts are the members of a record that are indexed. Texts are over the record's
// bytes unless they had escapes.
type facts struct {
	eventID, name, source, errorCode, account, region string
	user                                              string
	service, readOnly, known                          bool
	time                                              time.Time
	callers, types, names, sent, keys                 []string
}

// read takes a record apart. A record that is not what the journal's writer makes
// is found by what could be read of it until then.
func (h *hasher) read(record []byte) document {
	var f facts
	d := wire.ReadJSON(record)
	f.record(&d)
	at := Scope{f.account, f.region}
	doc := document{time: f.time.Unix(), scope: Scope{strings.Clone(at.Account), strings.Clone(at.Region)}}
	add := func(kind Kind, value string) {
		if value != "" {
			doc.fingerprints = append(doc.fingerprints, h.of(Term{kind, at, value}))
		}
	}
	doc.fingerprints = append(make([]fingerprint, 0, 24), h.of(Term{Kind: All, Scope: at}))
	add(EventID, f.eventID)
	add(EventName, f.name)
	add(Operation, strings.ToLower(f.name))
	add(Source, f.source)
	if f.known {
		add(ReadOnly, map[bool]string{true: "true", false: "false"}[f.readOnly])
	}
	for _, who := range f.callers {
		add(Caller, who)
	}
	add(UserName, f.user)
	for _, t := range f.types {
		add(ResourceType, t)
	}
	for _, name := range f.names {
		for _, form := range Names(name) {
			add(Name, form)
		}
	}
	for _, name := range f.sent {
		for _, form := range Names(name) {
			add(Sent, form)
		}
	}
	if f.errorCode != "" {
		add(Error, "any")
		add(Error, strings.ToLower(f.errorCode))
	}
	if f.errorCode == "" && !f.service && Used(f.source, f.name) {
		for _, key := range f.keys {
			doc.fingerprints = append(doc.fingerprints, h.of(Term{Kind: Use, Value: key}))
		}
	}
	return doc
}

// Names returns the forms under which what is named in a record can be found: as
// it stands there; of an ARN also the part that names the resource, and of a
// key's ARN the key's id.
func Names(name string) []string {
	parts := strings.SplitN(name, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return []string{name}
	}
	if id, ok := strings.CutPrefix(parts[5], "key/"); ok {
		return []string{name, parts[5], id}
	}
	return []string{name, parts[5]}
}

// Used reports whether an operation counts as a use of its keys: the twelve that
// KMS names in GetKeyLastUsage's answer.
func Used(source, operation string) bool {
	if source != "kms.amazonaws.com" {
		return false
	}
	switch operation {
	case "Decrypt", "DeriveSharedSecret", "Encrypt", "GenerateDataKey", "GenerateDataKeyPair",
		"GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
		"ReEncrypt", "Sign", "Verify", "VerifyMac":
		return true
	}
	return false
}

func (f *facts) record(d *wire.JSON) {
	var seen uint64
	for d.Object(); d.Next(); {
		switch string(d.Key()) {
		case "userIdentity":
			if d.Member(&seen, 1<<0) {
				f.identity(d)
			}
		case "eventTime":
			// A record that the index cannot date is found without a time bound.
			if d.Member(&seen, 1<<1) {
				f.time, _ = time.Parse(time.RFC3339, text(d))
			}
		case "eventSource":
			f.text(d, &seen, 1<<2, &f.source)
		case "eventName":
			f.text(d, &seen, 1<<3, &f.name)
		case "awsRegion":
			f.text(d, &seen, 1<<4, &f.region)
		case "errorCode":
			f.text(d, &seen, 1<<5, &f.errorCode)
		case "requestParameters":
			if d.Member(&seen, 1<<6) {
				f.parameters(d)
			}
		case "eventID":
			f.text(d, &seen, 1<<7, &f.eventID)
		case "readOnly":
			if d.Member(&seen, 1<<8) {
				f.readOnly, f.known = d.Bool(), true
			}
		case "resources":
			if d.Member(&seen, 1<<9) {
				f.resources(d)
			}
		case "eventType":
			if d.Member(&seen, 1<<10) {
				f.service = text(d) == "AwsServiceEvent"
			}
		case "recipientAccountId":
			f.text(d, &seen, 1<<11, &f.account)
		default:
			d.Unknown()
		}
	}
}

// text returns the next string; it is copied, since what wire lends may go with
// the next one.
func text(d *wire.JSON) string { return string(bytes.Clone(d.Text())) }

func (f *facts) text(d *wire.JSON, seen *uint64, bit uint64, to *string) {
	if d.Member(seen, bit) {
		*to = text(d)
	}
}

// identity reads who called. CloudTrail's user name of the root is "root", that
// of a session its session name, which ends its principal id.
func (f *facts) identity(d *wire.JSON) {
	var seen uint64
	var typ, principal, invoked, name string
	for d.Object(); d.Next(); {
		var value string
		switch string(d.Key()) {
		case "type":
			f.text(d, &seen, 1<<0, &typ)
			continue
		case "principalId":
			f.text(d, &seen, 1<<1, &principal)
			continue
		case "arn":
			f.text(d, &seen, 1<<2, &value)
		case "accountId":
			f.text(d, &seen, 1<<3, &value)
		case "accessKeyId":
			f.text(d, &seen, 1<<4, &value)
		case "userName":
			f.text(d, &seen, 1<<5, &name)
			continue
		case "invokedBy":
			f.text(d, &seen, 1<<6, &invoked)
			continue
		default:
			d.Unknown()
			continue
		}
		f.callers = append(f.callers, value)
	}
	f.callers = append(f.callers, principal, name)
	f.user = UserNameOf(typ, principal, name, invoked)
}

// UserNameOf is what CloudTrail calls the user name of an event, made from what
// its userIdentity holds.
func UserNameOf(typ, principalID, userName, invokedBy string) string {
	switch typ {
	case "Root":
		return "root"
	case "AssumedRole", "FederatedUser", "WebIdentityUser":
		if _, session, ok := strings.Cut(principalID, ":"); ok {
			return session
		}
	case "AWSService":
		return invokedBy
	}
	return userName
}

func (f *facts) resources(d *wire.JSON) {
	for d.Array(); d.Element(); {
		var seen uint64
		var typ, arn string
		for d.Object(); d.Next(); {
			switch string(d.Key()) {
			case "type":
				f.text(d, &seen, 1<<0, &typ)
			case "ARN":
				f.text(d, &seen, 1<<1, &arn)
			default:
				d.Unknown()
			}
		}
		f.types = append(f.types, typ)
		f.names = append(f.names, arn)
		if typ == "AWS::KMS::Key" {
			f.keys = append(f.keys, arn)
		}
	}
}

// parameters reads what a request named: requests that were refused have no
// resources.
func (f *facts) parameters(d *wire.JSON) {
	var seen uint64
	for d.Object(); d.Next(); {
		bit := 0
		switch string(d.Key()) {
		case "keyId":
			bit = 1
		case "targetKeyId":
			bit = 2
		case "aliasName":
			bit = 3
		case "sourceKeyId":
			bit = 4
		case "destinationKeyId":
			bit = 5
		default:
			d.Unknown()
			continue
		}
		var name string
		f.text(d, &seen, 1<<bit, &name)
		f.sent = append(f.sent, name)
	}
}
