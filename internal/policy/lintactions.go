package policy

import (
	"slices"
	"strings"
)

// notPermissions are operations whose permission has another name.
var notPermissions = map[string]string{"kms:reencrypt": "kms:ReEncryptFrom and kms:ReEncryptTo are the permissions of ReEncrypt"}

// actionsOf looks at the actions of a statement, and at its conditions on keys that
// none of them has.
func (l *linter) actionsOf(s *statement, at *path) {
	place := at.member("Action")
	if s.actions.not {
		place = at.member("NotAction")
		if !s.deny {
			l.add(place.String(), "an Allow with NotAction allows everything else, of all services and of those to come")
		}
	}
	for _, a := range slices.Concat(s.actions.exact.list, s.actions.patterns) {
		l.action(a, &place)
	}
	if s.actions.not || s.actions.every {
		return
	}
	covered := l.covered(&s.actions)
	if len(covered) == 0 {
		return
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if with := actionsWith(c.key); with != nil && !slices.ContainsFunc(covered, func(a string) bool { return slices.Contains(with, a) }) {
			l.add(c.at, "no request for these actions has this condition key")
		}
	}
}

func (l *linter) action(a string, at *path) {
	service, name, _ := strings.Cut(a, ":")
	if l.kind == KeyPolicy && a != "*" && service != "kms" {
		l.add(at.String(), quote(a)+": a key policy decides about actions of kms alone")
		return
	}
	known := slices.ContainsFunc(l.actions, func(k string) bool {
		prefix, _, _ := strings.Cut(k, ":")
		return prefix == service
	})
	if !known || l.matchesOne(a) {
		return
	}
	if hint, ok := notPermissions[a]; ok {
		l.add(at.String(), quote(a)+" is no permission: "+hint)
		return
	}
	text := quote(a) + " is no action"
	if strings.ContainsAny(name, "*?") {
		text = quote(a) + " matches no action"
	} else if near := l.nearest(a); near != "" {
		text += "; " + near + " is"
	}
	l.add(at.String(), text)
}

func (l *linter) matchesOne(a string) bool {
	return slices.ContainsFunc(l.actions, func(k string) bool { return matchAction(a, k) })
}

// covered are the known actions that a set names, in lower case.
func (l *linter) covered(s *actionSet) []string {
	var all []string
	for _, k := range l.actions {
		if lowered := strings.ToLower(k); s.contains(k, []byte(lowered)) {
			all = append(all, lowered)
		}
	}
	return all
}

// nearest returns an action that a misspelt one may mean: one letter more, less or
// other, or two changed places.
func (l *linter) nearest(a string) string {
	for _, k := range l.actions {
		if near(strings.ToLower(k), a) {
			return k
		}
	}
	return ""
}

func near(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a) > len(b)+1 {
		return false
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	if i == len(b) {
		return true
	}
	if len(a) > len(b) {
		return a[i+1:] == b[i:]
	}
	swapped := i+1 < len(b) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	return swapped || a[i+1:] == b[i+1:]
}

// symmetric are the actions that take an encryption context; cryptographic adds
// those of other keys.
var (
	symmetric = []string{
		"kms:decrypt", "kms:encrypt", "kms:generatedatakey", "kms:generatedatakeypair", "kms:generatedatakeypairwithoutplaintext",
		"kms:generatedatakeywithoutplaintext", "kms:reencryptfrom", "kms:reencryptto",
	}
	cryptographic = append([]string{
		"kms:decapsulate", "kms:derivesharedsecret", "kms:encapsulate", "kms:generatemac", "kms:sign", "kms:verify", "kms:verifymac",
	}, symmetric...)
)

// keyActions are the actions whose requests can have a condition key of KMS that not
// all can (KMS Developer Guide, "AWS KMS condition keys").
var keyActions = map[string][]string{
	"kms:bypasspolicylockoutsafetycheck":         {"kms:createkey", "kms:putkeypolicy", "kms:replicatekey"},
	"kms:datakeypairspec":                        {"kms:generatedatakeypair", "kms:generatedatakeypairwithoutplaintext"},
	"kms:encryptionalgorithm":                    symmetric,
	"kms:encryptioncontext:":                     append([]string{"kms:creategrant", "kms:retiregrant"}, symmetric...),
	"kms:encryptioncontextkeys":                  append([]string{"kms:creategrant", "kms:retiregrant"}, symmetric...),
	"kms:expirationmodel":                        {"kms:importkeymaterial"},
	"kms:grantconstraintsourcearn":               {"kms:creategrant"},
	"kms:grantconstrainttype":                    {"kms:creategrant"},
	"kms:grantisforawsresource":                  {"kms:creategrant", "kms:listgrants", "kms:revokegrant"},
	"kms:grantoperations":                        {"kms:creategrant"},
	"kms:granteeprincipal":                       {"kms:creategrant"},
	"kms:granteeserviceprincipal":                {"kms:creategrant"},
	"kms:keyagreementalgorithm":                  {"kms:derivesharedsecret"},
	"kms:macalgorithm":                           {"kms:generatemac", "kms:verifymac"},
	"kms:messagetype":                            {"kms:sign", "kms:verify"},
	"kms:primaryregion":                          {"kms:updateprimaryregion"},
	"kms:reencryptonsamekey":                     {"kms:reencryptfrom", "kms:reencryptto"},
	"kms:replicaregion":                          {"kms:replicatekey"},
	"kms:requestalias":                           append([]string{"kms:describekey", "kms:getpublickey"}, cryptographic...),
	"kms:retiringprincipal":                      {"kms:creategrant"},
	"kms:retiringserviceprincipal":               {"kms:creategrant"},
	"kms:rotationperiodindays":                   {"kms:enablekeyrotation"},
	"kms:schedulekeydeletionpendingwindowindays": {"kms:schedulekeydeletion"},
	"kms:signingalgorithm":                       {"kms:sign", "kms:verify"},
	"kms:trailingdayswithoutkeyusage":            {"kms:disablekey", "kms:schedulekeydeletion"},
	"kms:validto":                                {"kms:importkeymaterial"},
	"kms:wrappingalgorithm":                      {"kms:getparametersforimport"},
	"kms:wrappingkeyspec":                        {"kms:getparametersforimport"},
}

// actionsWith returns the actions that a condition key is for; nil if it is for all
// or is not known.
func actionsWith(key string) []string {
	if strings.HasPrefix(key, "kms:encryptioncontext:") {
		key = "kms:encryptioncontext:"
	}
	return keyActions[key]
}
