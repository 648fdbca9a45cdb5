package policy

import (
	"encoding/base64"
	"net/netip"
	"strings"
	"time"
)

// quantifier is the set operator before a condition operator.
type quantifier uint8

const (
	noQuantifier quantifier = iota
	forAllValues
	forAnyValue
)

// operatorKind is what a condition operator compares.
type operatorKind uint8

const (
	stringEquals operatorKind = iota
	stringEqualsIgnoreCase
	stringLike
	numericOperator
	dateOperator
	boolOperator
	binaryEquals
	ipAddress
	arnLike
	nullOperator
)

// comparison is the order that a numeric or date operator asks for.
type comparison uint8

const (
	equals comparison = iota
	lessThan
	lessThanEquals
	greaterThan
	greaterThanEquals
)

// holds reports whether an order of -1, 0 or 1 is the one asked for.
func (c comparison) holds(order int) bool {
	switch c {
	case lessThan:
		return order < 0
	case lessThanEquals:
		return order <= 0
	case greaterThan:
		return order > 0
	case greaterThanEquals:
		return order >= 0
	}
	return order == 0
}

// operator is a condition operator without its qualifiers. A negated operator
// holds where its positive one does not.
type operator struct {
	kind    operatorKind
	compare comparison
	negated bool
}

// operators are all condition operators of the language.
var operators = map[string]operator{
	"StringEquals":              {kind: stringEquals},
	"StringNotEquals":           {kind: stringEquals, negated: true},
	"StringEqualsIgnoreCase":    {kind: stringEqualsIgnoreCase},
	"StringNotEqualsIgnoreCase": {kind: stringEqualsIgnoreCase, negated: true},
	"StringLike":                {kind: stringLike},
	"StringNotLike":             {kind: stringLike, negated: true},
	"NumericEquals":             {kind: numericOperator},
	"NumericNotEquals":          {kind: numericOperator, negated: true},
	"NumericLessThan":           {kind: numericOperator, compare: lessThan},
	"NumericLessThanEquals":     {kind: numericOperator, compare: lessThanEquals},
	"NumericGreaterThan":        {kind: numericOperator, compare: greaterThan},
	"NumericGreaterThanEquals":  {kind: numericOperator, compare: greaterThanEquals},
	"DateEquals":                {kind: dateOperator},
	"DateNotEquals":             {kind: dateOperator, negated: true},
	"DateLessThan":              {kind: dateOperator, compare: lessThan},
	"DateLessThanEquals":        {kind: dateOperator, compare: lessThanEquals},
	"DateGreaterThan":           {kind: dateOperator, compare: greaterThan},
	"DateGreaterThanEquals":     {kind: dateOperator, compare: greaterThanEquals},
	"Bool":                      {kind: boolOperator},
	"BinaryEquals":              {kind: binaryEquals},
	"IpAddress":                 {kind: ipAddress},
	"NotIpAddress":              {kind: ipAddress, negated: true},
	"ArnEquals":                 {kind: arnLike},
	"ArnLike":                   {kind: arnLike},
	"ArnNotEquals":              {kind: arnLike, negated: true},
	"ArnNotLike":                {kind: arnLike, negated: true},
	"Null":                      {kind: nullOperator},
}

// condition is one key under one operator. A statement's conditions must all
// hold.
type condition struct {
	operator
	quantifier quantifier
	ifExists   bool
	key        string // lower case
	// absent: the key is missing from every request as far as this kind of
	// policy goes.
	absent bool
	// exact are the values of StringEquals that hold no variable, values all
	// others. One that matches is enough.
	exact  stringSet
	values []matcher
	// null and notNull say which of true and false Null lists.
	null, notNull bool
	// at is the place in the document, for findings.
	at string
}

// outcome is what comparing one value of a request with one of a policy gives.
type outcome uint8

const (
	differs outcome = iota
	matches
	// incomparable: the policy's variable has no value, or the request's value
	// is not of the operator's type.
	incomparable
)

func outcomeOf(match bool) outcome {
	if match {
		return matches
	}
	return differs
}

// matcher is a value of a policy, ready to be compared. It gets the context
// alone, and not the evaluation, so that the evaluation can stay on the stack.
type matcher interface {
	match(value string, ctx Context) outcome
}

// holds evaluates the condition for the values of its key. deny says that it belongs to a Deny.
//
// A key without values is missing: that is false for positive operators, true
// for negated ones, for IfExists and ForAllValues, and false for ForAnyValue. A
// negated operator is about no value of the policy matching, so values that
// cannot be compared would make it true; in an Allow they make it false, since
// what cannot be judged must not grant.
func (c *condition) holds(values []string, ctx Context, deny bool) bool {
	if c.kind == nullOperator {
		return len(values) == 0 && c.null || len(values) != 0 && c.notNull
	}
	if len(values) == 0 {
		switch {
		case c.ifExists || c.quantifier == forAllValues:
			return true
		case c.quantifier == forAnyValue:
			return false
		}
		return c.negated
	}
	// Without a quantifier, a positive operator wants one of the request's
	// values to match and a negated one wants none of them to.
	all := c.quantifier == forAllValues || c.quantifier == noQuantifier && c.negated
	for _, v := range values {
		if c.test(v, ctx, deny) != all {
			return !all
		}
	}
	return all
}

// test evaluates the operator for one value of the request.
func (c *condition) test(value string, ctx Context, deny bool) bool {
	if c.exact.contains(value) {
		return !c.negated
	}
	judged := true
	for _, m := range c.values {
		switch m.match(value, ctx) {
		case matches:
			return !c.negated
		case incomparable:
			judged = false
		}
	}
	return c.negated && (judged || deny)
}

// The matchers, one for each kind of value.

type foldedText string

func (m foldedText) match(value string, _ Context) outcome {
	return outcomeOf(strings.EqualFold(value, string(m)))
}

// textTemplate is a value with variables, for StringEquals and
// StringEqualsIgnoreCase.
type textTemplate struct {
	parts []part
	fold  bool
}

func (m textTemplate) match(value string, ctx Context) outcome {
	parts, ok := resolve(m.parts, ctx)
	if !ok {
		return incomparable
	}
	if m.fold {
		return outcomeOf(strings.EqualFold(value, join(parts)))
	}
	return outcomeOf(value == join(parts))
}

func (m *pattern) matchValue(value string) outcome { return outcomeOf(m.match(value)) }

type likeText struct{ pattern pattern }

func (m *likeText) match(value string, _ Context) outcome { return m.pattern.matchValue(value) }

type likeTemplate []part

func (m likeTemplate) match(value string, ctx Context) outcome {
	parts, ok := resolve(m, ctx)
	if !ok {
		return incomparable
	}
	p := compilePattern(parts)
	return p.matchValue(value)
}

type number struct {
	compare comparison
	value   decimal
}

func (m *number) match(value string, _ Context) outcome {
	d, ok := parseDecimal(value)
	if !ok {
		return incomparable
	}
	return outcomeOf(m.compare.holds(d.compare(m.value)))
}

type date struct {
	compare comparison
	value   time.Time
}

func (m *date) match(value string, _ Context) outcome {
	t, ok := parseDate(value)
	if !ok {
		return incomparable
	}
	return outcomeOf(m.compare.holds(t.Compare(m.value)))
}

type boolean bool

func (m boolean) match(value string, _ Context) outcome {
	b, ok := parseBool(value)
	if !ok {
		return incomparable
	}
	return outcomeOf(b == bool(m))
}

type booleanTemplate []part

func (m booleanTemplate) match(value string, ctx Context) outcome {
	parts, ok := resolve(m, ctx)
	if !ok {
		return incomparable
	}
	b, ok := parseBool(join(parts))
	if !ok {
		return incomparable
	}
	return boolean(b).match(value, ctx)
}

type binary string

func (m binary) match(value string, _ Context) outcome {
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return incomparable
	}
	return outcomeOf(string(b) == string(m))
}

type network netip.Prefix

func (m *network) match(value string, _ Context) outcome {
	a, ok := parseAddr(value)
	if !ok {
		return incomparable
	}
	return outcomeOf((*netip.Prefix)(m).Contains(a))
}

type arn [arnParts]pattern

func (m *arn) match(value string, _ Context) outcome {
	parts, ok := splitARN(value)
	if !ok {
		return differs
	}
	for i := range parts {
		if !m[i].match(parts[i]) {
			return differs
		}
	}
	return matches
}

type arnTemplate [arnParts][]part

func (m *arnTemplate) match(value string, ctx Context) outcome {
	var a arn
	for i := range m {
		parts, ok := resolve(m[i], ctx)
		if !ok {
			return incomparable
		}
		a[i] = compilePattern(parts)
	}
	return a.match(value, ctx)
}

// noARN is a value of an ARN operator that has not six parts: it matches
// nothing.
type noARN struct{}

func (noARN) match(string, Context) outcome { return differs }
