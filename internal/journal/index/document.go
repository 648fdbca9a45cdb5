package index

import (
	"slices"
	"strings"
	"time"
)

// document is what the index takes down of a record.
type document struct {
	time  int64 // eventTime, in seconds since 1970
	named bool  // whether it has an event id, which id is of
	id    fingerprint
	shape *shape
}

// shape is what the index takes down of all records that differ in their ids, times
// and contexts alone: on a busy server, of nearly all that a caller does with a key.
type shape struct {
	scope        Scope
	fingerprints []fingerprint
	// lists are those of the fingerprints in the tail, nil until a record of the
	// shape is in it.
	lists []*list
}

// facts are the members of a record that make its shape.
type facts struct {
	name, source, errorCode, account, region, user string
	entity                                         string // the unique id of the user or role that called
	readOnly                                       string
	service                                        bool
	callers, types, names, sent, keys              []string
}

// read takes a record apart. A record that is not what the journal's writer makes
// is found by what could be read of it until then.
func (h *hasher) read(record []byte) document {
	if at, shape := h.layouts.find(record); shape != nil {
		return h.document(shape, at.id.of(record), at.time.of(record))
	}
	o := &h.outline
	*o = outline{scanner: scanner{b: record}, key: o.key[:0], layout: layout{texts: o.layout.texts[:0], values: o.layout.values[:0]}}
	whole := o.read()
	shape := h.shapes[string(o.key)]
	switch {
	case shape == nil || !whole:
		shape = h.shapeOf(record)
		if whole && len(o.key) <= maxKey {
			keep(h.shapes, string(o.key), shape)
		}
	default:
		// Its like has come before, and may come again.
		h.layouts.keep(o, shape)
	}
	return h.document(shape, o.id, o.time)
}

func (h *hasher) document(s *shape, id, time []byte) document {
	// A record that the index cannot date is found without a time bound.
	doc := document{time: h.seconds(time), shape: s}
	if doc.named = len(id) > 0; doc.named {
		doc.id = h.once(EventID, s.scope, id)
	}
	return doc
}

// shapeOf makes the shape of a record.
func (h *hasher) shapeOf(record []byte) *shape {
	f := &h.facts
	*f = facts{callers: f.callers[:0], types: f.types[:0], names: f.names[:0], sent: f.sent[:0], keys: f.keys[:0]}
	(&reader{scanner{b: record}, h, f}).record()
	at := Scope{f.account, f.region}
	prints := append(h.prints[:0], h.of(Term{Kind: All, Scope: at}))
	add := func(kind Kind, value string) {
		if value != "" {
			prints = append(prints, h.of(Term{kind, at, value}))
		}
	}
	add(EventName, f.name)
	add(Operation, h.lower(f.name))
	add(Source, f.source)
	add(ReadOnly, f.readOnly)
	for _, who := range f.callers {
		add(Caller, who)
	}
	add(UserName, f.user)
	if f.entity != "" {
		prints = append(prints, h.of(Term{Access, Scope{f.account, f.source}, f.entity}))
	}
	for _, t := range f.types {
		add(ResourceType, t)
	}
	for _, name := range f.names {
		prints = h.named(prints, Name, at, name)
	}
	for _, name := range f.sent {
		prints = h.named(prints, Sent, at, name)
	}
	if f.errorCode != "" {
		add(Error, "any")
		add(Error, h.lower(f.errorCode))
	}
	if f.errorCode == "" && !f.service && Used(f.source, f.name) {
		for _, key := range f.keys {
			prints = append(prints, h.of(Term{Kind: Use, Value: key}))
		}
	}
	h.prints = prints
	return &shape{scope: at, fingerprints: slices.Clone(prints)}
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

// proxySource is the event source of the uses that another KMS makes of keys which
// are offered to it as an external key store.
const proxySource = "xks-proxy.strongroom.local"

// Used reports whether an operation counts as a use of its keys: the twelve that
// KMS names in GetKeyLastUsage's answer, and the two of them that another KMS can
// ask for. A key that is needed elsewhere alone is not unused.
func Used(source, operation string) bool {
	switch {
	case source == proxySource:
		return operation == "Encrypt" || operation == "Decrypt"
	case source != "kms.amazonaws.com":
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

// reader reads the facts of one record.
type reader struct {
	scanner
	h *hasher
	f *facts
}

// string reads a string into to; what is no string is skipped.
func (r *reader) string(to *string) bool {
	text, ok := r.text()
	if !ok {
		return r.skip()
	}
	*to = r.h.intern(text)
	return true
}

func (r *reader) record() {
	f := r.f
	r.object(func(name []byte) bool {
		switch string(name) {
		case "userIdentity":
			return r.identity()
		case "eventSource":
			return r.string(&f.source)
		case "eventName":
			return r.string(&f.name)
		case "awsRegion":
			return r.string(&f.region)
		case "errorCode":
			return r.string(&f.errorCode)
		case "requestParameters":
			return r.parameters()
		case "readOnly":
			f.readOnly = "false"
			if r.pos < len(r.b) && r.b[r.pos] == 't' {
				f.readOnly = "true"
			}
			return r.skip()
		case "resources":
			return r.resources()
		case "eventType":
			var text string
			ok := r.string(&text)
			f.service = text == "AwsServiceEvent"
			return ok
		case "recipientAccountId":
			return r.string(&f.account)
		}
		return r.skip()
	})
}

// identity reads who called.
func (r *reader) identity() bool {
	var typ, principal, arn, account, key, name, invoked string
	ok := r.object(func(member []byte) bool {
		switch string(member) {
		case "type":
			return r.string(&typ)
		case "principalId":
			return r.string(&principal)
		case "arn":
			return r.string(&arn)
		case "accountId":
			return r.string(&account)
		case "accessKeyId":
			return r.string(&key)
		case "userName":
			return r.string(&name)
		case "invokedBy":
			return r.string(&invoked)
		}
		return r.skip()
	})
	r.f.callers = append(r.f.callers, principal, arn, account, key, name)
	r.f.user = UserNameOf(typ, principal, name, invoked)
	r.f.entity = EntityOf(principal)
	return ok
}

// UserNameOf is what CloudTrail calls the user name of an event, made from what
// its userIdentity holds: that of the root is "root", that of a session its
// session name, which ends its principal id.
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

// EntityOf returns the unique id of the user or role that a principal id is of: that
// of a session has its name behind it. It is empty for roots and other callers.
func EntityOf(principalID string) string {
	if !strings.HasPrefix(principalID, "AIDA") && !strings.HasPrefix(principalID, "AROA") {
		return ""
	}
	id, _, _ := strings.Cut(principalID, ":")
	return id
}

func (r *reader) resources() bool {
	return r.array(func() bool {
		var typ, arn string
		ok := r.object(func(name []byte) bool {
			switch string(name) {
			case "type":
				return r.string(&typ)
			case "ARN":
				return r.string(&arn)
			}
			return r.skip()
		})
		r.f.types = append(r.f.types, typ)
		r.f.names = append(r.f.names, arn)
		if typ == "AWS::KMS::Key" {
			r.f.keys = append(r.f.keys, arn)
		}
		return ok
	})
}

// parameters reads what a request named: requests that were refused have no
// resources.
func (r *reader) parameters() bool {
	return r.object(func(name []byte) bool {
		if !isSent(string(name)) {
			return r.skip()
		}
		var sent string
		ok := r.string(&sent)
		r.f.sent = append(r.f.sent, sent)
		return ok
	})
}

// isSent reports whether a parameter names a key or an alias.
func isSent(parameter string) bool {
	switch parameter {
	case "keyId", "targetKeyId", "aliasName", "sourceKeyId", "destinationKeyId":
		return true
	}
	return false
}

// seconds returns the time of a text in RFC 3339, 0 for anything else.
func (h *hasher) seconds(text []byte) int64 {
	if string(text) == h.lastTime {
		return h.lastSeconds
	}
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return 0
	}
	h.lastTime, h.lastSeconds = string(text), t.Unix()
	return h.lastSeconds
}
