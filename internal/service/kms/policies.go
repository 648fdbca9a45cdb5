package kms

import (
	"context"
	"errors"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	// policyName is the name of a key's only policy.
	policyName = "default"
	// maxPolicy is the quota of a key policy's size, in bytes.
	maxPolicy = 32 << 10
)

// PutKeyPolicy replaces a key's policy.
func (s *Service) PutKeyPolicy(ctx context.Context, call *authz.Call, in *api.PutKeyPolicyInput) (*api.PutKeyPolicyOutput, error) {
	var put checkedPolicy
	return changeKey(ctx, s, call, change[*api.PutKeyPolicyOutput]{
		keyID:      in.KeyId,
		group:      viewing,
		conditions: conditionMap{"bypasspolicylockoutsafetycheck": {boolText(in.BypassPolicyLockoutSafetyCheck)}},
		check: func(k *key) error {
			if err := checkPolicyName(in.PolicyName); err != nil {
				return err
			}
			var err error
			put, err = s.newPolicy(ctx, call, &k.keyRecord, in.Policy, in.BypassPolicyLockoutSafetyCheck)
			return err
		},
		edit: func(_ *store.Tx, k *key, record *keyRecord) (*api.PutKeyPolicyOutput, error) {
			call.Audit.SetResponse("keyId", k.ARN)
			record.Policy, record.PolicyIDs = put.text, put.ids
			return &api.PutKeyPolicyOutput{}, nil
		},
	})
}

// GetKeyPolicy returns a key's policy in the form that AWS KMS writes it.
func (s *Service) GetKeyPolicy(ctx context.Context, call *authz.Call, in *api.GetKeyPolicyInput) (*api.GetKeyPolicyOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	if err := s.mayOwn(ctx, call, need{key: k}); err != nil {
		return nil, err
	}
	if err := checkPolicyName(in.PolicyName); err != nil {
		return nil, err
	}
	text, err := s.shownPolicy(ctx, &k.keyRecord)
	if err != nil {
		return nil, err
	}
	return &api.GetKeyPolicyOutput{Policy: text, PolicyName: policyName}, nil
}

// ListKeyPolicies lists the names of a key's policies, of which there is one.
func (s *Service) ListKeyPolicies(ctx context.Context, call *authz.Call, in *api.ListKeyPoliciesInput) (*api.ListKeyPoliciesOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	if err := s.mayOwn(ctx, call, need{key: k}); err != nil {
		return nil, err
	}
	if _, err := s.page(call, in.Limit, in.Marker, 100, 1000); err != nil {
		return nil, err
	}
	return &api.ListKeyPoliciesOutput{PolicyNames: []string{policyName}, Truncated: false}, nil
}

func checkPolicyName(name string) error {
	if name != "" && name != policyName {
		return api.NotFoundException("No such policy exists")
	}
	return nil
}

// newPolicy checks the policy that is meant for a key, and returns what to store
// of it. An empty text means the default policy. Unless bypass is set, the caller
// must be able to change the policy again (kms.md §7).
func (s *Service) newPolicy(ctx context.Context, call *authz.Call, record *keyRecord, text string, bypass bool) (checkedPolicy, error) {
	if text == "" {
		text = defaultPolicy(call.Partition, record.Account)
		return checkedPolicy{text: text, shown: text}, nil
	}
	given, err := policy.ParseLimited([]byte(text), policy.KeyPolicy, policy.Limits{Bytes: maxPolicy})
	if err != nil {
		return checkedPolicy{}, refusedPolicy(err)
	}
	document, ids, err := s.bind(ctx, given)
	if err != nil {
		return checkedPolicy{}, err
	}
	if !bypass {
		k := found{key: &key{
			keyRecord: *record,
			ARN:       keyARN(call.Partition, record.Region, record.Account, record.ID),
			policy:    &policy.Source{Name: "the new key policy", Document: document},
		}}
		again := need{action: "kms:PutKeyPolicy", key: k, conditions: conditionMap{"bypasspolicylockoutsafetycheck": {"false"}}}
		allowed, err := s.could(ctx, call, again)
		if err != nil {
			return checkedPolicy{}, err
		}
		if !allowed {
			return checkedPolicy{}, api.MalformedPolicyDocumentException("The new key policy will not allow you to update the key policy in the future.")
		}
	}
	s.remark(call, record, given)
	return checkedPolicy{text: document.Pretty(), shown: given.Pretty(), ids: ids}, nil
}

// maxRemarks bounds what one policy can put into the log.
const maxRemarks = 10

// remark says in the log what is probably not meant in a new key policy.
func (s *Service) remark(call *authz.Call, record *keyRecord, document *policy.Document) {
	findings := document.Lint(s.Actions)
	for i, f := range findings {
		if i == maxRemarks {
			s.Log.Warn("a key policy has more that is probably not meant", "key", record.ID, "requestId", call.RequestID, "findings", len(findings))
			return
		}
		s.Log.Warn("a key policy has something that is probably not meant", "key", record.ID, "requestId", call.RequestID, "at", f.Path, "finding", f.Text)
	}
}

var errInvalidPrincipals = api.MalformedPolicyDocumentException("Policy contains a statement with one or more invalid principals.")

// refusedPolicy words why a policy was refused as AWS does where that is known,
// and names the place otherwise.
func refusedPolicy(err error) error {
	var syntax *policy.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	switch syntax.Problem {
	case policy.NoPrincipal:
		return api.MalformedPolicyDocumentException("Policy contains a statement with no principal.")
	case policy.InvalidPrincipal:
		return errInvalidPrincipals
	case policy.InvalidARN:
		return api.InvalidArnException("An ARN in the specified key policy is invalid.")
	case policy.TooLarge:
		return api.LimitExceededException("The size of the key policy is above the quota of 32768 bytes.")
	}
	reason := syntax.Reason
	if syntax.Path != "" {
		reason = syntax.Path + ": " + reason
	}
	return api.MalformedPolicyDocumentException(reason + ".")
}

// defaultPolicy lets the account's IAM policies decide, and the root.
func defaultPolicy(partition, account string) string {
	return strings.NewReplacer("PARTITION", partition, "ACCOUNT", account).Replace(`{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:PARTITION:iam::ACCOUNT:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`)
}
