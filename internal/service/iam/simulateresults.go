package iam

import (
	"context"
	"strconv"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
)

// run answers a page of the simulation: each action on each resource. When ctx ends
// the page does, behind one result at least.
func (s *simulation) run(ctx context.Context, call *authz.Call, marker string, maxItems *int32) (results []api.EvaluationResult, truncated bool, next string, err error) {
	p, err := newPage(call, marker, maxItems)
	if err != nil {
		return nil, false, "", err
	}
	first := 0
	if p.after != "" {
		if first, err = strconv.Atoi(p.after); err != nil || first < 0 {
			return nil, false, "", awserr.Validation("Invalid Marker.")
		}
	}
	resources := s.resources
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	results = []api.EvaluationResult{}
	found := 0
	for i := first; i < len(s.actions)*len(resources); i++ {
		if len(results) == p.limit || found > maxFound || len(results) > 0 && ctx.Err() != nil {
			return results, true, p.marker(strconv.Itoa(i)), nil
		}
		result, err := s.judge(s.actions[i/len(resources)], resources[i%len(resources)])
		if err != nil {
			return nil, false, "", err
		}
		found += len(result.MatchedStatements) + len(result.MissingContextValues)
		results = append(results, result)
	}
	return results, false, "", nil
}

// judge simulates one action on one resource.
func (s *simulation) judge(action, resource string) (api.EvaluationResult, error) {
	result := api.EvaluationResult{EvalActionName: action, EvalResourceName: resource}
	set := s.policies
	r := policy.Request{
		Principal: s.principal.Principal, Action: action, Resource: resource, Context: s.context,
	}
	if s.resource != "" {
		document, err := s.resourcePolicy(action, resource)
		if err != nil {
			return result, err
		}
		set.Resource = &policy.Source{Name: "resource", Document: document}
		r.ResourceAccount = s.ownerOf(resource)
	}
	decision, refs := policy.Explain(&r, &set)
	result.EvalDecision = decisionType(&decision)
	result.MatchedStatements = s.matched(refs, &set)
	result.MissingContextValues = s.missing(&r, &set)
	if set.Boundary != nil {
		alone := policy.Evaluate(&policy.Request{Principal: policy.Principal{Type: policy.User}, Action: action, Resource: resource, Context: s.context},
			&policy.Policies{Identity: []policy.Source{*set.Boundary}})
		result.PermissionsBoundaryDecisionDetail = &api.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: alone.Allowed}
	}
	if len(s.resources) == 0 || resource == "*" {
		return result, nil
	}
	result.EvalDecisionDetails = s.details(&r, &set, refs)
	result.ResourceSpecificResults = []api.ResourceSpecificResult{{
		EvalResourceName: resource, EvalResourceDecision: result.EvalDecision, MatchedStatements: result.MatchedStatements,
		MissingContextValues: result.MissingContextValues, EvalDecisionDetails: result.EvalDecisionDetails,
		PermissionsBoundaryDecisionDetail: result.PermissionsBoundaryDecisionDetail,
	}}
	return result, nil
}

// resourcePolicy parses the resource's policy as what it is for that resource: the
// policies of KMS keys and of roles leave to identity policies only what they say.
func (s *simulation) resourcePolicy(action, resource string) (*policy.Document, error) {
	parts := strings.SplitN(resource, ":", 6)
	k := policy.ResourcePolicy
	switch {
	case len(parts) == 6 && parts[2] == "kms" && strings.HasPrefix(parts[5], "key/"):
		k = policy.KeyPolicy
	case len(parts) == 6 && parts[2] == "iam" && strings.HasPrefix(parts[5], "role/") && strings.HasPrefix(strings.ToLower(action), "sts:"):
		k = policy.TrustPolicy
	}
	if known := s.parsed[k]; known != nil {
		return known, nil
	}
	document, err := simulated(s.resource, k, "ResourcePolicy")
	if err == nil {
		s.parsed[k] = document
	}
	return document, err
}

// ownerOf is the account that a resource belongs to.
func (s *simulation) ownerOf(resource string) string {
	if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 && parts[4] != "" {
		return parts[4]
	}
	return s.owner
}

func decisionType(d *policy.Decision) api.PolicyEvaluationDecisionType {
	switch d.Reason {
	case policy.Allowed:
		return api.PolicyEvaluationDecisionTypeAllowed
	case policy.ExplicitDeny:
		return api.PolicyEvaluationDecisionTypeExplicitDeny
	}
	return api.PolicyEvaluationDecisionTypeImplicitDeny
}

// side is what the statements of one side of a decision come to.
type side struct{ allows, denies []api.Statement }

func (s *side) matched() []api.Statement {
	if len(s.denies) > 0 {
		return s.denies
	}
	return s.allows
}

// matched lists the statements that matter: of the resource's side and of the
// caller's, the denials if there are any, else what allows. A boundary allows
// nothing by itself.
func (s *simulation) matched(refs []policy.StatementRef, set *policy.Policies) []api.Statement {
	documents := map[string]*policy.Document{}
	for _, source := range set.Identity {
		documents[source.Name] = source.Document
	}
	for _, source := range []*policy.Source{set.Boundary, set.Resource} {
		if source != nil {
			documents[source.Name] = source.Document
		}
	}
	var resource, identity side
	for _, ref := range refs {
		to, name, kind := &identity, s.names[ref.Source], fromIAM
		if set.Resource != nil && ref.Source == set.Resource.Name {
			to, name, kind = &resource, "ResourcePolicy", fromResource
		}
		place := s.outline(documents[ref.Source])[ref.Index]
		statement := api.Statement{
			SourcePolicyId: name, SourcePolicyType: api.PolicySourceType(kind),
			StartPosition: position(place.Start), EndPosition: position(place.End),
		}
		switch {
		case ref.Deny:
			to.denies = append(to.denies, statement)
		case ref.Kind != policy.BoundaryPolicy:
			to.allows = append(to.allows, statement)
		}
	}
	return append(append([]api.Statement{}, resource.matched()...), identity.matched()...)
}

func position(p policy.Position) *api.Position {
	return &api.Position{Line: new(int32(p.Line)), Column: new(int32(p.Column))}
}

// missing are the keys that the decision may depend on and that nothing answers.
func (s *simulation) missing(r *policy.Request, set *policy.Policies) []string {
	missing := []string{}
	for _, key := range policy.Mentions(r, set, s.outline) {
		if _, ok := s.context.Values(strings.ToLower(key)); !ok {
			missing = append(missing, key)
		}
	}
	return missing
}

// details tells, across accounts, what each side says by itself; within one it is
// empty.
func (s *simulation) details(r *policy.Request, set *policy.Policies, refs []policy.StatementRef) map[string]api.PolicyEvaluationDecisionType {
	details := map[string]api.PolicyEvaluationDecisionType{}
	if set.Resource == nil || r.ResourceAccount == r.Principal.Account {
		return details
	}
	own := *set
	own.Resource = nil
	alone := *r
	alone.ResourceAccount = ""
	decision := policy.Evaluate(&alone, &own)
	details[fromIAM] = decisionType(&decision)
	details[fromResource] = api.PolicyEvaluationDecisionTypeImplicitDeny
	for _, ref := range refs {
		if ref.Source != set.Resource.Name {
			continue
		}
		if ref.Deny {
			details[fromResource] = api.PolicyEvaluationDecisionTypeExplicitDeny
			break
		}
		details[fromResource] = api.PolicyEvaluationDecisionTypeAllowed
	}
	return details
}
