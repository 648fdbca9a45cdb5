package iam

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// maxFound bounds the statements and the missing keys that one page of a simulation
// lists: policies of many statements, asked about many actions, would else make an
// answer of any size.
const maxFound = 10_000

// simulatedFor bounds the work on one page: a call must be answered within five
// seconds.
const simulatedFor = 2 * time.Second

// The kinds of policy as simulations name them.
const (
	fromIAM      = "IAM Policy"
	fromResource = "Resource Policy"
)

// simulation is what a simulation asks, whoever gave the policies.
type simulation struct {
	actions, resources []string
	// principal is the simulated caller; its ARN is empty when there is none.
	principal authz.Principal
	policies  policy.Policies
	// resource is the text of the resource's policy; owner is the account of
	// resources that do not name one.
	resource, owner string
	context         policy.MapContext
	// names are how answers name the sources, by their own names here.
	names    map[string]string
	outlines map[*policy.Document][]policy.StatementOutline
	// parsed is the resource's policy, as each of the kinds that it was needed as.
	parsed map[policy.Kind]*policy.Document
}

func invalidInput(format string, args ...any) error {
	return api.InvalidInputException(fmt.Sprintf(format, args...))
}

// simulated parses a policy of a simulation.
func simulated(text string, k policy.Kind, member string) (*policy.Document, error) {
	document, err := policy.Parse([]byte(text), k)
	var syntax *policy.SyntaxError
	if errors.As(err, &syntax) {
		return nil, invalidInput("%s: %s", member, syntax.Error())
	}
	return document, err
}

// add adds an identity policy under the name that answers give it.
func (s *simulation) add(name string, document *policy.Document) {
	id := strconv.Itoa(len(s.names))
	s.names[id] = name
	s.policies.Identity = append(s.policies.Identity, policy.Source{Name: id, Document: document})
}

// SimulateCustomPolicy tells what the given policies would decide, by the engine
// that decides.
func (s *Service) SimulateCustomPolicy(ctx context.Context, call *authz.Call, in *api.SimulateCustomPolicyInput) (*api.SimulateCustomPolicyOutput, error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	sim := &simulation{actions: in.ActionNames, resources: in.ResourceArns, resource: in.ResourcePolicy}
	sim.principal.Principal = policy.Principal{Type: policy.User, Account: call.Principal.Account}
	if err := sim.complete(in.PolicyInputList, in.PermissionsBoundaryPolicyInputList, in.ContextEntries); err != nil {
		return nil, err
	}
	if err := s.simulatedCaller(ctx, call, sim, in.CallerArn, in.ResourceOwner); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, simulatedFor)
	defer cancel()
	results, truncated, marker, err := sim.run(within, call, in.Marker, in.MaxItems)
	return &api.SimulateCustomPolicyOutput{EvaluationResults: results, IsTruncated: truncated, Marker: marker}, err
}

// SimulatePrincipalPolicy tells what the policies of a user, group or role would
// decide.
func (s *Service) SimulatePrincipalPolicy(ctx context.Context, call *authz.Call, in *api.SimulatePrincipalPolicyInput) (*api.SimulatePrincipalPolicyOutput, error) {
	sim := &simulation{actions: in.ActionNames, resources: in.ResourceArns, resource: in.ResourcePolicy}
	if err := s.policySource(ctx, call, sim, in.PolicySourceArn); err != nil {
		return nil, err
	}
	if err := sim.complete(in.PolicyInputList, in.PermissionsBoundaryPolicyInputList, in.ContextEntries); err != nil {
		return nil, err
	}
	if err := s.simulatedCaller(ctx, call, sim, in.CallerArn, in.ResourceOwner); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, simulatedFor)
	defer cancel()
	results, truncated, marker, err := sim.run(within, call, in.Marker, in.MaxItems)
	return &api.SimulatePrincipalPolicyOutput{EvaluationResults: results, IsTruncated: truncated, Marker: marker}, err
}

// GetContextKeysForCustomPolicy names the condition keys that policies mention.
func (s *Service) GetContextKeysForCustomPolicy(ctx context.Context, call *authz.Call, in *api.GetContextKeysForCustomPolicyInput) (*api.GetContextKeysForCustomPolicyOutput, error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	sim := &simulation{}
	if err := sim.complete(in.PolicyInputList, nil, nil); err != nil {
		return nil, err
	}
	return &api.GetContextKeysForCustomPolicyOutput{ContextKeyNames: sim.keys()}, nil
}

// GetContextKeysForPrincipalPolicy names the condition keys that the policies of a
// user, group or role mention, and those that are given beside.
func (s *Service) GetContextKeysForPrincipalPolicy(ctx context.Context, call *authz.Call, in *api.GetContextKeysForPrincipalPolicyInput) (*api.GetContextKeysForPrincipalPolicyOutput, error) {
	sim := &simulation{}
	if err := s.policySource(ctx, call, sim, in.PolicySourceArn); err != nil {
		return nil, err
	}
	if err := sim.complete(in.PolicyInputList, nil, nil); err != nil {
		return nil, err
	}
	return &api.GetContextKeysForPrincipalPolicyOutput{ContextKeyNames: sim.keys()}, nil
}

// complete adds the policies and the context that the request itself brings.
func (s *simulation) complete(policies, boundary []string, entries []api.ContextEntry) error {
	if s.names == nil {
		s.names = map[string]string{}
	}
	s.outlines = map[*policy.Document][]policy.StatementOutline{}
	s.parsed = map[policy.Kind]*policy.Document{}
	for i, text := range policies {
		name := "PolicyInputList." + strconv.Itoa(i+1)
		document, err := simulated(text, policy.IdentityPolicy, name)
		if err != nil {
			return err
		}
		s.add(name, document)
	}
	if len(boundary) > 1 {
		return invalidInput("PermissionsBoundaryPolicyInputList takes one policy")
	}
	if len(boundary) == 1 {
		const name = "PermissionsBoundaryPolicyInputList.1"
		document, err := simulated(boundary[0], policy.BoundaryPolicy, name)
		if err != nil {
			return err
		}
		s.names["boundary"] = name
		s.policies.Boundary = &policy.Source{Name: "boundary", Document: document}
	}
	for _, action := range s.actions {
		if service, name, ok := strings.Cut(action, ":"); !ok || service == "" || name == "" || strings.ContainsAny(action, "*? ") {
			return invalidInput("Invalid action name: %s. An action is named as service:Operation, without wildcards.", action)
		}
	}
	given := map[string][]string{}
	for _, e := range entries {
		if e.ContextKeyName == "" {
			return invalidInput("A context entry has no ContextKeyName.")
		}
		if !strings.HasSuffix(string(e.ContextKeyType), "List") && len(e.ContextKeyValues) > 1 {
			return invalidInput("The context key %s has several values and is of type %s.", e.ContextKeyName, e.ContextKeyType)
		}
		name := strings.ToLower(e.ContextKeyName)
		if _, twice := given[name]; twice {
			return invalidInput("The context key %s is given twice.", e.ContextKeyName)
		}
		given[name] = e.ContextKeyValues
	}
	s.context = given
	return nil
}

// keys are the condition keys that the policies mention.
func (s *simulation) keys() []string {
	keys, seen := []string{}, map[string]bool{}
	for _, source := range s.policies.Identity {
		for _, statement := range s.outline(source.Document) {
			for _, key := range statement.Keys {
				if lowered := strings.ToLower(key); !seen[lowered] {
					seen[lowered] = true
					keys = append(keys, key)
				}
			}
		}
	}
	return keys
}

func (s *simulation) outline(d *policy.Document) []policy.StatementOutline {
	outline, ok := s.outlines[d]
	if !ok {
		outline = d.Outline()
		s.outlines[d] = outline
	}
	return outline
}

// policySource finds the user, group or role whose policies are simulated, after
// asking for permission.
func (s *Service) policySource(ctx context.Context, call *authz.Call, sim *simulation, arn string) error {
	if err := s.authorize(ctx, call, "", arn, nil); err != nil {
		return err
	}
	found, err := s.identityByARN(ctx, call.Principal.Account, arn)
	if isNotFound(err) {
		return notThere(arn)
	}
	if err != nil {
		return err
	}
	var set policy.Policies
	switch found.Kind {
	case groupKind:
		sim.principal.Principal = policy.Principal{Type: policy.User, Account: call.Principal.Account}
		err = s.addIdentity(ctx, found, call.Principal.Account, &set)
	case userKind:
		if sim.principal, err = s.user(ctx, call.Principal.Account, found.ID, ""); err == nil {
			err = s.Policies(ctx, &sim.principal, &set)
		}
	case roleKind:
		sim.principal = roleSession(s.Partition, call.Principal.Account, found)
		err = s.Policies(ctx, &sim.principal, &set)
	}
	if err != nil {
		return err
	}
	sim.names = map[string]string{}
	for _, source := range set.Identity {
		name := source.Name
		if strings.HasPrefix(name, "arn:") {
			_, name = pathAndName(name)
		}
		sim.add(name, source.Document)
	}
	if set.Boundary != nil {
		_, sim.names["boundary"] = pathAndName(set.Boundary.Name)
		sim.policies.Boundary = &policy.Source{Name: "boundary", Document: set.Boundary.Document}
	}
	return nil
}

// simulatedSession is the name of the session in which a role is simulated.
const simulatedSession = "simulated"

// roleSession is a session of a role that nobody has opened.
func roleSession(partition, account string, role *compiledIdentity) authz.Principal {
	return authz.Principal{Tags: role.tags, Principal: policy.Principal{
		Type: policy.AssumedRole, Account: account, RoleARN: role.ARN, ID: role.ID + ":" + simulatedSession,
		ARN: "arn:" + partition + ":sts::" + account + ":assumed-role/" + role.Name + "/" + simulatedSession,
	}}
}

// identityByARN returns a user, group or role of the account, or store.ErrNotFound.
func (s *Service) identityByARN(ctx context.Context, account, arn string) (*compiledIdentity, error) {
	_, name := pathAndName(arn)
	for _, k := range []kind{userKind, groupKind, roleKind} {
		if !strings.HasPrefix(arn, s.arn(account, string(k), "/", "")) {
			continue
		}
		var found *identity
		err := s.Store.View(ctx, func(r store.Reader) error {
			var err error
			found, err = s.find(r, account, k, name)
			return err
		})
		if err == nil && found.ARN != arn {
			err = store.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		return s.identities.Get(ctx, scopeOf(account), found.ID)
	}
	return nil, store.ErrNotFound
}

// simulatedCaller settles who the simulated caller is and what its context holds:
// the keys that its identity answers, and those of the request, which win.
func (s *Service) simulatedCaller(ctx context.Context, call *authz.Call, sim *simulation, callerARN, owner string) error {
	p := &sim.principal
	if callerARN != "" {
		ref, ok := policy.ParsePrincipal(callerARN)
		if !ok || ref.Form != policy.UserForm {
			return invalidInput("CallerArn must be the ARN of an IAM user.")
		}
		_, name := pathAndName(callerARN)
		*p = authz.Principal{UserName: name, Principal: policy.Principal{Type: policy.User, Account: ref.Account, ARN: callerARN}}
		if ref.Account == call.Principal.Account {
			// A user that exists answers with its id and tags as well.
			if found, err := s.identityByARN(ctx, ref.Account, callerARN); err == nil {
				p.ID, p.Tags = found.ID, found.tags
			} else if !isNotFound(err) {
				return err
			}
		}
	}
	if sim.resource != "" && (p.ARN == "" || p.Type != policy.User) {
		return invalidInput("CallerArn is required with a ResourcePolicy, so that its Principal element can be judged.")
	}
	sim.owner = p.Account
	if owner != "" {
		ref, ok := policy.ParsePrincipal(owner)
		if !ok || ref.Form != policy.AccountForm {
			return invalidInput("ResourceOwner must be the ARN of an account's root, or its 12 digits.")
		}
		sim.owner = ref.Account
	}
	if p.ARN == "" {
		return nil
	}
	for key, values := range authz.PrincipalContext(p) {
		if _, given := sim.context[key]; !given {
			sim.context[key] = values
		}
	}
	return nil
}
