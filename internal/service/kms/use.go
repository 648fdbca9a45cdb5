package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
)

// keyUse is a cryptographic operation on a key that the request names.
type keyUse struct {
	keyID       string
	grantTokens []string
	usage       api.KeyUsageType
	algorithm   string
	conditions  conditions // may be nil
	crypto      cryptoConditions
	// check looks at how parameters go together, after the authorisation and before
	// the key is looked at; may be nil.
	check func() error
}

// keyFor finds the key, asks for permission, and checks the parameters and that the
// key can be used so: AWS's order (kms.md §3) up to where the message comes in.
func (s *Service) keyFor(ctx context.Context, call *authz.Call, use *keyUse) (found, error) {
	k, err := s.findFor(ctx, call, use.keyID, keysAndAliases, use.grantTokens)
	if err != nil {
		return found{}, err
	}
	if err := s.may(ctx, call, need{key: k, conditions: use.conditions, crypto: use.crypto}); err != nil {
		return found{}, err
	}
	if use.check != nil {
		if err := use.check(); err != nil {
			return found{}, err
		}
	}
	if err := k.usable(call.Time, call.Operation, use.usage, use.algorithm); err != nil {
		return found{}, err
	}
	return k, nil
}

// conditionList is conditions that are few and known.
type conditionList []struct{ key, value string }

func (l conditionList) condition(key string) ([]string, bool) {
	for i := range l {
		if l[i].key == key {
			return []string{l[i].value}, true
		}
	}
	return nil, false
}
