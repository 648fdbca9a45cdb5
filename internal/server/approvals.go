package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/approval"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/service/kms"
	"github.com/strongroom/strongroom/internal/store"
)

var _ admin.Approvals = (*operator)(nil)

// approvals is the two-person rule, for one who asks.
func (s *Server) approvals(by admin.Peer) (*approval.Service, error) {
	key, err := s.domain.Derive(firstVersion, seal.LabelApprovals)
	if err != nil {
		return nil, err
	}
	return approval.New(approval.Config{
		Store: s.store, Clock: s.clock, Rand: s.cfg.rand(), Deployment: s.domain.Deployment(), Key: key, UID: by.UID,
		Record: func(event string, params map[string]string) ([]byte, error) {
			return s.adminRecord(admin.AdminEvent{Name: event, Peer: by, Time: s.clock.Now(), Params: params}, nil)
		},
	}), nil
}

// require lets an act pass that needs no approval or has it. Its refusal is recorded,
// as an act that was not made.
func (o *operator) require(ctx context.Context, by admin.Peer, act approval.Act) (approval.Grant, error) {
	service, err := o.approvals(by)
	if err != nil {
		return approval.Grant{}, err
	}
	grant, err := service.Require(ctx, act)
	if err == nil {
		return grant, nil
	}
	return approval.Grant{}, o.refusing(ctx, by, act.Action, act.Params, err)
}

// refusing returns why something is not done, once that is recorded.
func (o *operator) refusing(ctx context.Context, by admin.Peer, name string, params map[string]string, cause error) error {
	_, refused, err := o.record(ctx, by, name, params)
	if err != nil {
		return errors.Join(cause, err)
	}
	return refused(cause)
}

// changeRoot is changeSeal for what two people may be needed for.
func (o *operator) changeRoot(ctx context.Context, by admin.Peer, name string, params map[string]string, hidden secret.Bytes, change func(record []byte) error) (admin.Seal, error) {
	grant, err := o.require(ctx, by, approval.Act{Matter: approval.Root, Action: name, Params: params, Upon: o.rootsNow(), Secret: hidden})
	if err != nil {
		return admin.Seal{}, err
	}
	shown, err := o.changeSeal(ctx, by, name, grant.Params(params), change)
	if err != nil {
		return admin.Seal{}, err
	}
	return shown, grant.Spend(ctx)
}

// rootsNow is what a change of the root is approved upon. The version of the domain key
// is left out: it rotates unattended.
func (o *operator) rootsNow() map[string]string {
	var ids []string
	for _, r := range o.domain.Info().Roots {
		ids = append(ids, r.ID)
	}
	return map[string]string{"roots": strings.Join(ids, ", ")}
}

// longWindow is the waiting period in days that nobody needs approval for.
const longWindow = 30

// leastWindow is the shortest waiting period, in days, that a caller may choose before
// a key is deleted.
func (s *Server) leastWindow(ctx context.Context) (int32, error) {
	service, err := s.approvals(admin.Peer{})
	if err != nil {
		return 0, err
	}
	rule, err := service.Rule(ctx)
	if err != nil || rule.Covers(approval.Deletion) {
		return longWindow, err
	}
	return 0, nil
}

// TwoPeople implements [admin.Approvals].
func (o *operator) TwoPeople(ctx context.Context) (admin.TwoPeople, error) {
	service, err := o.approvals(admin.Peer{})
	if err != nil {
		return admin.TwoPeople{}, err
	}
	rule, err := service.Rule(ctx)
	return shownRule(rule), err
}

func shownRule(rule approval.Rule) admin.TwoPeople {
	shown := admin.TwoPeople{On: rule.On(), Operators: map[string]string{}, For: []string{}}
	for _, o := range rule.Operators {
		shown.Operators[o.Name] = o.Key
	}
	for _, m := range rule.Matters {
		shown.For = append(shown.For, string(m))
	}
	return shown
}

// SetTwoPeople implements [admin.Approvals].
func (o *operator) SetTwoPeople(ctx context.Context, by admin.Peer, in admin.TwoPeople) (admin.TwoPeople, error) {
	o.changes.Lock()
	defer o.changes.Unlock()
	service, err := o.approvals(by)
	if err != nil {
		return admin.TwoPeople{}, err
	}
	var next approval.Rule
	if in.On {
		next, err = approval.NewRule(in.Operators, in.For, o.clock.Now().UTC().Truncate(time.Second))
	}
	if err == nil {
		err = service.SetRule(ctx, next)
	}
	if err != nil {
		return admin.TwoPeople{}, o.refusing(ctx, by, "SetTwoPersonRule", map[string]string{
			"on": strconv.FormatBool(in.On), "operators": strings.Join(slices.Sorted(maps.Keys(in.Operators)), ","), "for": strings.Join(in.For, ","),
		}, err)
	}
	return shownRule(next), nil
}

// Requests implements [admin.Approvals].
func (o *operator) Requests(ctx context.Context) ([]admin.ApprovalRequest, error) {
	service, err := o.approvals(admin.Peer{})
	if err != nil {
		return nil, err
	}
	waiting, err := service.Waiting(ctx)
	shown := make([]admin.ApprovalRequest, len(waiting))
	for i, r := range waiting {
		shown[i] = shownRequest(service, r)
	}
	return shown, err
}

func shownRequest(service *approval.Service, r approval.Request) admin.ApprovalRequest {
	shown := admin.ApprovalRequest{ID: r.ID, Action: r.Action, Made: r.Made, Expires: r.Expires, Text: service.Text(r), Needed: approval.Needed, ApprovedBy: service.Approved(r)}
	for _, o := range r.Operators {
		shown.Operators = append(shown.Operators, o.Name)
	}
	return shown
}

// Approve implements [admin.Approvals].
func (o *operator) Approve(ctx context.Context, by admin.Peer, in admin.Signature) (admin.ApprovalRequest, error) {
	service, err := o.approvals(by)
	if err != nil {
		return admin.ApprovalRequest{}, err
	}
	r, err := service.Approve(ctx, in.Request, []byte(in.Signature))
	if err != nil {
		return admin.ApprovalRequest{}, o.refusing(ctx, by, "ApproveRequest", map[string]string{"request": fmt.Sprintf("%.64s", in.Request)}, err)
	}
	return shownRequest(service, r), nil
}

// Withdraw implements [admin.Approvals].
func (o *operator) Withdraw(ctx context.Context, by admin.Peer, in admin.RequestName) ([]admin.ApprovalRequest, error) {
	service, err := o.approvals(by)
	if err != nil {
		return nil, err
	}
	if err := service.Withdraw(ctx, in.ID); err != nil {
		return nil, o.refusing(ctx, by, "WithdrawRequest", map[string]string{"request": fmt.Sprintf("%.64s", in.ID)}, err)
	}
	return o.Requests(ctx)
}

// ShortenDeletion implements [admin.Approvals].
func (o *operator) ShortenDeletion(ctx context.Context, by admin.Peer, in admin.ShorterWait) (admin.WaitingKey, error) {
	o.changes.Lock()
	defer o.changes.Unlock()
	act := approval.Act{
		Matter: approval.Deletion, Action: "ShortenKeyDeletion",
		Params: map[string]string{"key": in.Key, "days": strconv.Itoa(int(in.Days))},
	}
	shorten := func() (admin.WaitingKey, error) {
		is, err := o.kms.MayShorten(ctx, in.Key, in.Days)
		if err != nil {
			return admin.WaitingKey{}, err
		}
		act.Upon = map[string]string{"deletionDate": is.DeletionDate.UTC().Format(time.RFC3339Nano)}
		service, err := o.approvals(by)
		if err != nil {
			return admin.WaitingKey{}, err
		}
		grant, err := service.Require(ctx, act)
		if err != nil {
			return admin.WaitingKey{}, err
		}
		record, _, err := o.record(ctx, by, act.Action, grant.Params(act.Params))
		if err != nil {
			return admin.WaitingKey{}, err
		}
		w, err := o.kms.ShortenDeletion(ctx, in.Key, in.Days, func(tx *store.Tx) error {
			return errors.Join(grant.SpendIn(tx), tx.Append(record))
		})
		return admin.WaitingKey{Key: w.ARN, DeletionDate: w.DeletionDate}, err
	}
	shown, err := shorten()
	if err == nil {
		return shown, nil
	}
	return admin.WaitingKey{}, o.refusing(ctx, by, act.Action, act.Params, deletionProblem(in.Key, err))
}

func deletionProblem(arn string, err error) error {
	switch {
	case errors.Is(err, kms.ErrNoSuchKey):
		return problem(fmt.Sprintf("there is no key %.200q", arn), "Give the whole ARN: arn:aws:kms:REGION:ACCOUNT:key/ID", nil)
	case errors.Is(err, kms.ErrNotWaiting):
		return problem("the key "+arn+" does not wait for its deletion", "A caller of the API schedules that: aws kms schedule-key-deletion --key-id …", nil)
	case errors.Is(err, kms.ErrNotShorter), errors.Is(err, kms.ErrNoSuchWaiting):
		return problem("the wait of "+arn+" cannot be made that", "Choose a number of --days, counted from now, that ends it earlier.", err)
	}
	return err
}
