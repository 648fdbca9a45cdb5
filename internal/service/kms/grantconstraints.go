package kms

import (
	"maps"
	"unicode/utf8"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/awserr"
)

// grantConstraints limit what a grant allows. All that are set must be met.
type grantConstraints struct {
	// Subset must be contained in the encryption context of a request.
	Subset map[string]string `json:"subset,omitzero"`
	// Equals must be the encryption context; an empty one that is set must be too.
	Equals map[string]string `json:"equals,omitzero"`
	// SourceARN must be the resource on whose behalf the request is made.
	SourceARN string `json:"sourceArn,omitempty"`
}

// Bounds of the encryption contexts of constraints.
const (
	maxConstraintPairs = 8
	maxConstraintText  = 384 // characters of a name or a value
)

// newConstraints takes the constraints of a request as they are. A subset of
// nothing constrains nothing.
func newConstraints(in *api.GrantConstraints) grantConstraints {
	if in == nil {
		return grantConstraints{}
	}
	c := grantConstraints{Equals: in.EncryptionContextEquals, SourceARN: in.SourceArn}
	if len(in.EncryptionContextSubset) > 0 {
		c.Subset = in.EncryptionContextSubset
	}
	return c
}

func (c *grantConstraints) onContext() bool { return c.Subset != nil || c.Equals != nil }

// listed are the constraints as answers show them; nil if there are none.
func (c *grantConstraints) listed() *api.GrantConstraints {
	if !c.onContext() && c.SourceARN == "" {
		return nil
	}
	return &api.GrantConstraints{
		EncryptionContextSubset: c.Subset, EncryptionContextEquals: c.Equals, SourceArn: c.SourceARN,
	}
}

// checkConstraints refuses constraints that a grant on k cannot have.
func (k *key) checkConstraints(c *grantConstraints) error {
	if !c.onContext() {
		return nil
	}
	if !k.encryptsSymmetrically() {
		return awserr.Validation("EncryptionContext is supported only when creating a grant for a symmetric encryption KMS key.")
	}
	for _, pairs := range []map[string]string{c.Subset, c.Equals} {
		if len(pairs) > maxConstraintPairs {
			return awserr.Validationf("A grant constraint can have at most %d encryption context pairs.", maxConstraintPairs)
		}
		for name, value := range pairs {
			if utf8.RuneCountInString(name) > maxConstraintText || utf8.RuneCountInString(value) > maxConstraintText {
				return awserr.Validationf("A name or value in the encryption context of a grant constraint can have at most %d characters.", maxConstraintText)
			}
		}
	}
	return nil
}

// meets reports whether a request with that encryption context is within the
// constraints on it. Names and values compare exactly.
func (c *grantConstraints) meets(context map[string]string) bool {
	return contains(context, c.Subset) && (c.Equals == nil || maps.Equal(context, c.Equals))
}

// contain reports whether whatever other admits is admitted by c too: other is
// equal or stricter.
func (c *grantConstraints) contain(other *grantConstraints) bool {
	if c.Equals != nil && (other.Equals == nil || !maps.Equal(c.Equals, other.Equals)) {
		return false
	}
	if !contains(other.Subset, c.Subset) && (other.Equals == nil || !contains(other.Equals, c.Subset)) {
		return false
	}
	return c.SourceARN == "" || c.SourceARN == other.SourceARN
}

// contains reports whether all has every pair of some.
func contains(all, some map[string]string) bool {
	for name, value := range some {
		if v, ok := all[name]; !ok || v != value {
			return false
		}
	}
	return true
}
