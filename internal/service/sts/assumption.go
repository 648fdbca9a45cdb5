package sts

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
)

// assumption is all that a request wants of a role.
type assumption struct {
	action, session string
	seconds         *int32 // nil for the usual duration
	identity        string // the source identity; empty for none
	// tags and transitive are what the request itself brings of session tags; tagged
	// says whether the session has any.
	tags       []api.Tag
	transitive []string
	tagged     bool
	// keys are the condition keys that the request answers beside those of each.
	keys conditions
	// denied words the refusal of an action.
	denied func(action string) error
}

// of asks for everything that the request wants of the role.
func (a *assumption) of(ctx context.Context, call *authz.Call, role *authz.Role) error {
	c := conditions{"sts:rolesessionname": {a.session}}
	maps.Copy(c, a.keys)
	c.set("sts:sourceidentity", a.identity)
	if a.seconds != nil {
		c.set("sts:durationseconds", strconv.Itoa(int(*a.seconds)))
	}
	c.ofTags(a.tags)
	if len(a.transitive) > 0 {
		c["sts:transitivetagkeys"] = a.transitive
	}
	c.ofRole(role)
	actions := []string{a.action}
	if a.tagged {
		actions = append(actions, "sts:TagSession")
	}
	if a.identity != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	for _, action := range actions {
		err := call.Authorize(ctx, authz.Access{
			Action: action, Resource: role.ARN, ResourceAccount: role.Account, Policy: role.Trust, Context: c,
		})
		if errors.Is(err, authz.ErrDenied) {
			return a.denied(action)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ofTags answers for the session tags of the request.
func (c conditions) ofTags(tags []api.Tag) {
	for _, t := range tags {
		c["aws:requesttag/"+strings.ToLower(t.Key)] = []string{t.Value}
		c["aws:tagkeys"] = append(c["aws:tagkeys"], t.Key)
	}
}

// tagSet is the session tags of a new session, by their keys in lower case.
type tagSet struct {
	values     map[string]string
	transitive []string
}

// newTagSet returns the tags that a request brings, with the keys of those that are
// transitive.
func newTagSet(tags []api.Tag, transitive []string) (*tagSet, *awserr.Error) {
	set := &tagSet{values: map[string]string{}}
	for _, t := range tags {
		key := strings.ToLower(t.Key)
		if _, twice := set.values[key]; twice {
			return nil, awserr.New("InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		set.values[key] = t.Value
	}
	for _, name := range transitive {
		key := strings.ToLower(name)
		if _, given := set.values[key]; !given {
			return nil, awserr.New("InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
		}
		if !slices.Contains(set.transitive, key) {
			set.transitive = append(set.transitive, key)
		}
	}
	return set, nil
}

// sessionTags returns the tags that the request gives and those that the caller's
// session hands on.
func sessionTags(caller *authz.Principal, in *api.AssumeRoleInput) (*tagSet, error) {
	set, refused := newTagSet(in.Tags, in.TransitiveTagKeys)
	if refused != nil {
		return nil, refused
	}
	if caller.Session == nil {
		return set, nil
	}
	for _, key := range caller.Session.TransitiveTags {
		if _, given := set.values[key]; given {
			return nil, awserr.New("InvalidParameterValue", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		set.values[key] = caller.Tags[key]
		set.transitive = append(set.transitive, key)
	}
	return set, nil
}
