package kms

import (
	api "github.com/strongroom/strongroom/api/kms"
)

// family is what UpdateAlias and the grant rules tell apart.
type family uint8

const (
	symmetricKey family = iota
	asymmetricKey
	hmacKey
)

// keySpec is one row of the table of key specs (kms.md §5).
type keySpec struct {
	spec   api.KeySpec
	family family
	usages []usage
}

// usage is what a spec can be used for and with which algorithms, in the order
// that answers list them.
type usage struct {
	usage      api.KeyUsageType
	algorithms []string
}

var keySpecs = []keySpec{
	{api.KeySpecSymmetricDefault, symmetricKey, []usage{
		{api.KeyUsageTypeEncryptDecrypt, []string{"SYMMETRIC_DEFAULT"}},
	}},
}

func specOf(spec api.KeySpec) *keySpec {
	for i := range keySpecs {
		if keySpecs[i].spec == spec {
			return &keySpecs[i]
		}
	}
	return nil
}

// algorithms returns what a key of that spec and usage can be asked for, nil if
// the two do not go together.
func (s *keySpec) algorithms(u api.KeyUsageType) []string {
	for i := range s.usages {
		if s.usages[i].usage == u {
			return s.usages[i].algorithms
		}
	}
	return nil
}
