package kms

import (
	"context"
	"strings"

	"github.com/strongroom/strongroom/internal/policy"
)

// checkedPolicy is a key policy that has been checked.
type checkedPolicy struct {
	// text and ids are what a record keeps of it.
	text string
	ids  map[string]string
	// shown is what GetKeyPolicy answers as long as nobody it names changes.
	shown string
}

// bind checks that whoever a key policy names exists, and puts the unique ids of
// its users, roles and role sessions in place of their ARNs: whoever is made anew
// under the name of one that was deleted is not admitted (IAM User Guide, "AWS JSON
// policy elements: Principal"). ids has the account of each. That is done once,
// when the policy is put, so that no evaluation waits for it.
func (s *Service) bind(ctx context.Context, given *policy.Document) (bound *policy.Document, ids map[string]string, err error) {
	names := map[string]string{}
	for _, p := range given.Principals() {
		ok, err := s.Principals.Exists(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			return nil, nil, errInvalidPrincipals
		}
		switch p.Form {
		case policy.UserForm, policy.RoleForm, policy.SessionForm:
		default:
			continue
		}
		id, err := s.uniqueID(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		if id == "" { // deleted since it was looked for, unless nobody keeps ids
			if s.Identities != nil {
				return nil, nil, errInvalidPrincipals
			}
			continue
		}
		if p.Form == policy.SessionForm {
			id += ":" + p.Name[strings.LastIndexByte(p.Name, '/')+1:]
		}
		if ids == nil {
			ids = map[string]string{}
		}
		names[p.Name], ids[id] = id, p.Account
	}
	if len(names) == 0 {
		return given, nil, nil
	}
	bound, err = given.RenamePrincipals(func(p policy.PrincipalRef) string {
		if id := names[p.Name]; id != "" {
			return id
		}
		return p.Name
	})
	return bound, ids, err
}

// shownPolicy is a key's policy as GetKeyPolicy answers it: with the ARNs that
// those it names have now, and the unique ids of those that are gone.
func (s *Service) shownPolicy(ctx context.Context, record *keyRecord) (string, error) {
	if len(record.PolicyIDs) == 0 || s.Identities == nil {
		return record.Policy, nil
	}
	arns := make(map[string]string, len(record.PolicyIDs))
	for id, account := range record.PolicyIDs {
		arn, err := s.Identities.PrincipalARN(ctx, account, id)
		if err != nil {
			return "", err
		}
		arns[id] = arn
	}
	document, err := policy.Parse([]byte(record.Policy), policy.KeyPolicy)
	if err != nil {
		return "", err
	}
	document, err = document.RenamePrincipals(func(p policy.PrincipalRef) string {
		if arn := arns[p.Name]; arn != "" {
			return arn
		}
		return p.Name
	})
	if err != nil {
		return "", err
	}
	return document.Pretty(), nil
}
