package index

import "bytes"

// outline is the first look at a record: what is its own, and the rest of what is
// indexed as it stands there, which tells whether a record like it was read before.
type outline struct {
	scanner
	id, time, request []byte
	// key has the members that make a shape, in their order, each after its
	// length and a byte that names it: records with the same key have the same
	// shape.
	key []byte
	// layout is where what makes no shape stands; escaped says that a text of it is
	// not as it stands there.
	layout  layout
	escaped bool
}

// read reports whether all of the record could be read.
func (o *outline) read() bool {
	return o.object(func(name []byte) bool {
		switch string(name) {
		case "eventID":
			return o.own(&o.id, &o.layout.id)
		case "eventTime":
			return o.own(&o.time, &o.layout.time)
		case "requestID":
			return o.own(&o.request, new(span))
		case "userIdentity":
			return o.shared('u')
		case "eventSource":
			return o.shared('s')
		case "eventName":
			return o.shared('n')
		case "awsRegion":
			return o.shared('r')
		case "errorCode":
			return o.shared('e')
		case "readOnly":
			return o.shared('o')
		case "resources":
			return o.shared('R')
		case "eventType":
			return o.shared('t')
		case "recipientAccountId":
			return o.shared('a')
		case "requestParameters":
			return o.parameters()
		}
		return o.skip()
	})
}

// own reads a string and notes where it stands; what is no string is skipped.
func (o *outline) own(to *[]byte, at *span) bool {
	text, ok := o.text()
	if !ok {
		return o.skip()
	}
	*to = text
	end := o.pos - 1
	*at = span{end - len(text), end}
	if at.from < 0 || !bytes.Equal(at.of(o.b), text) {
		o.escaped = true
	}
	o.layout.texts = append(o.layout.texts, *at)
	return true
}

// shared adds a value to the key.
func (o *outline) shared(name byte) bool {
	start := o.pos
	ok := o.skip()
	value := o.b[start:o.pos]
	o.key = append(o.key, name, byte(len(value)), byte(len(value)>>8), byte(len(value)>>16))
	o.key = append(o.key, value...)
	return ok
}

// parameters adds what the request named, and leaves out what it named it for.
func (o *outline) parameters() bool {
	return o.object(func(name []byte) bool {
		if isSent(string(name)) {
			return o.shared('p')
		}
		start := o.pos
		ok := o.skip()
		o.layout.values = append(o.layout.values, span{start, o.pos})
		return ok
	})
}
