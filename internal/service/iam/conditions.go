package iam

import (
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/policy"
)

// conditions are the condition keys that a request or its entity answers, in
// lower case.
type conditions map[string][]string

// Values implements [policy.Context].
func (c conditions) Values(key string) ([]string, bool) {
	values, ok := c[key]
	return values, ok
}

var _ policy.Context = conditions(nil)

// with returns c and others together.
func (c conditions) with(others conditions) conditions {
	all := conditions{}
	for key, values := range c {
		all[key] = values
	}
	for key, values := range others {
		all[key] = values
	}
	return all
}

// requestTags answers for the tags that a request brings.
func requestTags(tags []api.Tag) conditions {
	c := conditions{}
	for _, t := range tags {
		c["aws:requesttag/"+strings.ToLower(t.Key)] = []string{t.Value}
		c["aws:tagkeys"] = append(c["aws:tagkeys"], t.Key)
	}
	return c
}

// resourceTags answers for the tags of the entity.
func resourceTags(tags []tag) conditions {
	c := conditions{}
	for _, t := range tags {
		key := strings.ToLower(t.Key)
		c["aws:resourcetag/"+key] = []string{t.Value}
		c["iam:resourcetag/"+key] = []string{t.Value}
	}
	return c
}

// policyARN answers for the managed policy that a request names.
func policyARN(arn string) conditions { return conditions{"iam:policyarn": {arn}} }

// boundaryARN answers for a permissions boundary; without one the key is absent.
func boundaryARN(arn string) conditions {
	if arn == "" {
		return nil
	}
	return conditions{"iam:permissionsboundary": {arn}}
}
