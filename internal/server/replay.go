package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	iamapi "github.com/strongroom/strongroom/api/iam"
	kmsapi "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/wire"
)

// A restored deployment is as old as its backup. What was changed since is made again
// from the history, in its order, by the handlers that made it first. That is exact
// for all that a record tells of: states, policies, attachments, deletions. What made
// something that only the lost records held (a key, a grant, a user, an access key)
// stays lost, which takes nobody's revocation back. For everything that is neither,
// or that is refused now, the key concerned is disabled, and every key where none
// can be named.

// lostChanges made something that no record can bring back, or opened nothing and
// closed nothing on a key.
var lostChanges = map[string][]string{
	"kms": {
		"ConnectCustomKeyStore", "CreateCustomKeyStore", "CreateGrant", "CreateKey", "ImportKeyMaterial", "ReplicateKey",
		"RotateKeyOnDemand", "UpdateCustomKeyStore", "UpdatePrimaryRegion",
	},
	"iam": {
		"CreateAccessKey", "CreateInstanceProfile", "CreateLoginProfile", "CreateOpenIDConnectProvider", "CreateRole", "CreateSAMLProvider", "CreateUser",
		"CreateVirtualMFADevice", "EnableMFADevice", "ResyncMFADevice",
	},
	"strongroom.local": {
		"AcceptChangedRecords", "ApproveRequest", "CreateAccount", "DisableRestoredKeys", "FindChangedRecords", "InitRecovery", "MigrateSeal",
		"PutTrailBucket", "RecoverSeal", "RemoveAuditRecords", "RemoveTrailBucket", "ReplayChange", "RestoreBackup", "RotateDomainKey",
		"ShortenKeyDeletion", "VerifyRecovery", "WithdrawRequest", "XksAddCredential", "XksCreate", "XksRevive",
	},
}

// Refusals that say that what a change was about is not there: it was made after the
// backup.
var lostCodes = []string{"NoSuchEntity", "NoSuchEntityException", "NotFoundException"}

// takesAway tells whether an IAM operation is content when its object is not there.
func takesAway(name string) bool {
	for _, prefix := range []string{"Delete", "Detach", "Remove", "Deactivate", "Untag"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "UpdateAccessKey" || name == "UpdateSAMLProvider"
}

// replay makes changes again on a deployment that is being restored.
type replay struct {
	*operator
	tables map[string]*operation.Service
	// gone are the users and roles that were made after the backup, as "user name".
	gone map[string]bool

	made, lost int
	// refused are the records of changes that could not be made again; unnamed says
	// that one of them may be about any key.
	refused int
	unnamed bool
}

func newReplay(o *operator) *replay {
	return &replay{
		operator: o, gone: map[string]bool{},
		tables: map[string]*operation.Service{"kms": kmsapi.Table(o.kms), "iam": iamapi.Table(o.iam)},
	}
}

// run replays a history. An error means that the restore cannot go on; a change that
// is refused is no error.
func (r *replay) run(ctx context.Context, h *history) error {
	for i := range h.changes {
		p := &h.changes[i]
		service := strings.TrimSuffix(p.EventSource, ".amazonaws.com")
		err := errUnknownChange
		switch {
		case service == "strongroom.local":
			err = r.command(ctx, p)
		case p.EventType == "AwsServiceEvent", slices.Contains(lostChanges[service], p.EventName), service == "sts", service == "cloudtrail", strings.HasPrefix(service, "xks-proxy"):
			err = errLostChange
		case r.tables[service] != nil:
			err = r.call(ctx, r.tables[service], p)
		}
		r.remember(p)
		switch {
		case err == nil:
			r.made++
		case errors.Is(err, errLostChange):
			r.lost++
		case ctx.Err() != nil:
			return err
		default:
			if err := r.refuse(ctx, p, err); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	errLostChange    = errors.New("it is of something that the backup does not hold")
	errUnknownChange = errors.New("it cannot be made again")
)

func (r *replay) remember(p *past) {
	switch p.EventName {
	case "CreateUser":
		r.gone["user "+fmt.Sprint(p.RequestParameters["userName"])] = true
	case "CreateRole":
		r.gone["role "+fmt.Sprint(p.RequestParameters["roleName"])] = true
	}
}

// ofGone tells whether a change is of a user or role that was made after the backup.
func (r *replay) ofGone(p *past) bool {
	user, _ := p.RequestParameters["userName"].(string)
	role, _ := p.RequestParameters["roleName"].(string)
	return user != "" && r.gone["user "+user] || role != "" && r.gone["role "+role]
}

// ofPrivateKey tells whether a change of a SAML provider was nothing but another private
// key, which no record has: it is lost.
func ofPrivateKey(p *past) bool {
	return p.EventName == "UpdateSAMLProvider" && len(p.RequestParameters) == 1
}

// call makes a call again, through its handler.
func (r *replay) call(ctx context.Context, s *operation.Service, p *past) error {
	row := s.Lookup(p.EventName)
	if row == nil {
		return errUnknownChange
	}
	if s.Name == "iam" && (r.ofGone(p) || ofPrivateKey(p)) {
		return errLostChange
	}
	account := p.RecipientAccountID
	if s.Name == "kms" && len(p.Resources) > 0 {
		account = p.Resources[0].AccountID
	}
	body, err := replayBody(s, p)
	if err != nil {
		return err
	}
	err = r.invoke(ctx, s, row, account, p, body)
	code := ""
	if refusal := (*awserr.Error)(nil); errors.As(err, &refusal) {
		code = refusal.Code
	}
	if slices.Contains(lostCodes, code) && (s.Name == "kms" || takesAway(p.EventName)) {
		return errLostChange
	}
	return err
}

// invoke runs a handler as the account's root, whom no policy limits here: whoever
// made the call was allowed to.
func (r *replay) invoke(ctx context.Context, s *operation.Service, row *operation.Row, account string, p *past, body []byte) error {
	in, err := row.Decode(body)
	if err != nil {
		return err
	}
	record, err := r.replayRecord(p, nil)
	if err != nil {
		return err
	}
	partition := authz.PartitionOf(p.AWSRegion)
	call := &authz.Call{
		RequestID: p.EventID, Service: s.Name, Operation: row.Name, Action: row.Action,
		Principal: authz.Principal{Principal: policy.Principal{
			Type: policy.Root, Account: account, ARN: "arn:" + partition + ":iam::" + account + ":root", ID: account,
		}},
		Partition: partition, Region: p.AWSRegion, Time: r.clock.Now(),
	}
	call.Attach(&replayPipe{r.iam, record})
	if _, err := row.Invoke(ctx, call, in); err != nil {
		return err
	}
	if call.Recorded() {
		return nil
	}
	return r.store.Append(ctx, record)
}

// replayPipe lends a call its record, and policies that let it through.
type replayPipe struct {
	authz.Directory
	record []byte
}

func (p *replayPipe) Policies(ctx context.Context, who *authz.Principal, set *policy.Policies) error {
	set.Resource = nil
	return p.Directory.Policies(ctx, who, set)
}

func (p *replayPipe) Record(*authz.Call, any) []byte            { return p.record }
func (p *replayPipe) RecordFor(*authz.Call, any, string) []byte { return p.record }

func (r *replay) replayRecord(p *past, refused error) ([]byte, error) {
	params := map[string]string{"event": p.EventName, "eventSource": p.EventSource, "eventID": p.EventID, "eventTime": p.EventTime}
	if len(p.Resources) > 0 {
		params["resource"] = p.Resources[0].ARN
	}
	return r.adminRecord(r.ownEvent("ReplayChange", params), refused)
}

// refuse records a change that could not be made again, and disables the keys that it
// is about.
func (r *replay) refuse(ctx context.Context, p *past, cause error) error {
	r.refused++
	record, err := r.replayRecord(p, cause)
	if err == nil {
		err = r.store.Append(ctx, record)
	}
	if err != nil {
		return err
	}
	named := false
	for _, resource := range p.Resources {
		if resource.Type != "AWS::KMS::Key" {
			continue
		}
		named = true
		body, err := json.Marshal(map[string]string{"KeyId": resource.ARN})
		if err != nil {
			return err
		}
		row := r.tables["kms"].Lookup("DisableKey")
		err = r.invoke(ctx, r.tables["kms"], row, resource.AccountID, p, body)
		if refusal := (*awserr.Error)(nil); err != nil && !errors.As(err, &refusal) {
			return err // a key that is refused is not there, or not enabled
		}
	}
	r.unnamed = r.unnamed || !named
	return nil
}

// command makes again what the command line did.
func (r *replay) command(ctx context.Context, p *past) error {
	text := func(name string) string { s, _ := p.RequestParameters[name].(string); return s }
	by := r.ownEvent("", nil).Peer
	switch name := p.EventName; {
	case name == "DisableRootCredentials", name == "RotateRootCredentials":
		// The access keys that a rotation ended are in force in the backup.
		_, err := r.SwitchRoot(ctx, by, admin.RootSwitch{Account: text("account"), LockOut: true})
		return err
	case name == "EnableRootCredentials":
		_, err := r.SwitchRoot(ctx, by, admin.RootSwitch{Account: text("account"), Enabled: true})
		return err
	case slices.Contains(lostChanges["strongroom.local"], name):
		return errLostChange
	case strings.HasPrefix(name, "Xks"):
		// Whatever was narrowed: the other KMS is let in again when somebody says so.
		_, err := r.xks.Kill(ctx, text("store"))
		return err
	}
	return errUnknownChange
}

// replayBody makes the body of a request from the parameters that were recorded.
func replayBody(s *operation.Service, p *past) ([]byte, error) {
	if s.Protocol == wire.AWSQuery {
		form := url.Values{"Action": {p.EventName}, "Version": {s.Version}}
		flatten(form, "", p.RequestParameters)
		// A user's call about its own keys does not name it.
		if _, named := p.RequestParameters["userName"]; !named && p.UserIdentity.Type == "IAMUser" && strings.HasSuffix(p.EventName, "AccessKey") {
			form.Set("UserName", p.UserIdentity.UserName)
		}
		return []byte(form.Encode()), nil
	}
	in, _ := capitalised(p.RequestParameters).(map[string]any)
	if in == nil {
		in = map[string]any{}
	}
	switch p.EventName {
	case "PutKeyPolicy":
		in["BypassPolicyLockoutSafetyCheck"] = true // it was looked at when it was put
	case "RetireGrant":
		in["GrantId"] = p.AdditionalEventData.GrantID
	}
	if in["KeyId"] == nil && p.EventName == "RetireGrant" && len(p.Resources) > 0 {
		in["KeyId"] = p.Resources[0].ARN
	}
	return json.Marshal(in)
}

// capitalised turns CloudTrail's names back into the API's.
func capitalised(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			out[apiName(name)] = capitalised(member)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, member := range v {
			out[i] = capitalised(member)
		}
		return out
	}
	return value
}

func apiName(name string) string {
	if name == "" {
		return name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// flatten writes a value as AWS's query protocol has it.
func flatten(form url.Values, at string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			flatten(form, strings.TrimPrefix(at+"."+apiName(name), "."), member)
		}
	case []any:
		for i, member := range v {
			flatten(form, at+".member."+strconv.Itoa(i+1), member)
		}
	case nil:
	default:
		form.Set(at, fmt.Sprint(v))
	}
}
