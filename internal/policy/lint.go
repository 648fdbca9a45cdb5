package policy

import "strings"

// Finding is something in a valid document that is probably not meant.
type Finding struct {
	// Path is the place, as in [SyntaxError].
	Path string
	// Text is a sentence without a full stop.
	Text string
}

// Lint returns what a careful reader would ask about, in the order of the text.
// It never says that a document is invalid. actions are those that exist,
// "kms:Encrypt"; of services that it has none of nothing is said.
func (d *Document) Lint(actions []string) []Finding {
	l := linter{kind: d.kind, actions: actions}
	if !d.variables && strings.Contains(d.text, "${") {
		l.add("Version", "policy variables need Version "+variableVersion+": here they are plain text")
	}
	top := &path{}
	list := top.member("Statement")
	resources := d.resourceTexts()
	for i := range d.statements {
		at := list.item(i)
		l.statement(&d.statements[i], &at)
		l.actionsOf(&d.statements[i], &at)
		l.resourcesOf(&d.statements[i], resources[i], &at)
	}
	return l.findings
}

type linter struct {
	kind     Kind
	actions  []string
	findings []Finding
}

func (l *linter) add(at, text string) { l.findings = append(l.findings, Finding{at, text}) }

func (l *linter) statement(s *statement, at *path) {
	if s.inert {
		l.add(at.String(), "without Action and Resource the statement has no effect")
	}
	if !s.deny && s.principals != nil && s.principals.everyone && len(s.conditions) == 0 {
		l.add(at.String(), "everyone is allowed, without a condition")
	}
	exists := make(map[string]bool) // keys that a Null condition wants to be there
	for i := range s.conditions {
		c := &s.conditions[i]
		exists[c.key] = exists[c.key] || c.kind == nullOperator && c.notNull && !c.null
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		l.condition(c)
		if !s.deny && c.quantifier == forAllValues && !exists[c.key] {
			l.add(c.at, `ForAllValues is true for a request without the key: add {"Null":{key:"false"}}`)
		}
	}
}

func (l *linter) condition(c *condition) {
	for _, m := range c.values {
		if _, ok := m.(noARN); ok {
			l.add(c.at, "a value that is no ARN of six parts matches nothing")
			break
		}
	}
	if c.absent {
		l.add(c.at, "this condition key is for IAM policies: in a key policy no request has it")
	}
	key, known := LookupKey(c.key)
	if !known {
		if strings.HasPrefix(c.key, "aws:") || strings.HasPrefix(c.key, "kms:") {
			l.add(c.at, "unknown condition key: no request has it")
		}
		return
	}
	if want, ok := operatorTypes[c.kind]; ok && want != key.Type && !(want == NumericKey && key.Name == "aws:EpochTime") {
		l.add(c.at, "the operator does not fit the type of "+key.Name)
	}
	switch {
	case key.Multivalued && c.quantifier == noQuantifier && c.kind != nullOperator:
		l.add(c.at, key.Name+" has several values: say ForAllValues or ForAnyValue")
	case !key.Multivalued && c.quantifier != noQuantifier:
		l.add(c.at, key.Name+" has one value: set operators are for keys with several")
	}
}

// operatorTypes are the types that operators are for. String operators and Null
// fit every key.
var operatorTypes = map[operatorKind]KeyType{
	numericOperator: NumericKey,
	dateOperator:    DateKey,
	boolOperator:    BoolKey,
	ipAddress:       IPKey,
	arnLike:         ARNKey,
}
