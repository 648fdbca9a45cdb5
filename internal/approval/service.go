package approval

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Config is what a Service needs; every field must be set.
type Config struct {
	Store      *store.Store
	Clock      clock.Clock
	Rand       io.Reader
	Deployment string
	// Key makes the ids of requests; it stays the same for as long as they wait.
	Key secret.Bytes
	// UID is the user of the machine who asks; it may be 0.
	UID uint32
	// Record makes the audit record of something that this user has had done.
	Record func(event string, params map[string]string) ([]byte, error)
}

// Service keeps the rule, and the requests that wait, for one who asks. It is safe for
// concurrent use.
type Service struct{ cfg Config }

// New returns the Service of a store.
func New(cfg Config) *Service { return &Service{cfg} }

// Refusal is an error that a person should act on.
type Refusal struct{ problem, hint string }

func refusal(problem, hint string) error { return &Refusal{problem, hint} }

// Error says what is wrong.
func (r *Refusal) Error() string { return r.problem }

// Hint says what to do about it.
func (r *Refusal) Hint() string { return r.hint }

// ErrWaiting is what an act is refused with that needs approvals first.
var ErrWaiting = errors.New("two people must approve this first")

// Waiting is the refusal of an act that waits for approvals.
type Waiting struct {
	Request Request
	// Approved are those who have approved so far.
	Approved []string
}

// Error says which request waits.
func (w *Waiting) Error() string {
	by := ""
	if len(w.Approved) > 0 {
		by = ", and " + strings.Join(w.Approved, ", ") + " has approved"
	}
	return fmt.Sprintf("%v: it waits as request %s until %s%s", ErrWaiting, w.Request.ID, w.Request.Expires.Format(time.RFC3339), by)
}

// Unwrap returns ErrWaiting.
func (w *Waiting) Unwrap() error { return ErrWaiting }

// Hint says what to type.
func (w *Waiting) Hint() string {
	return fmt.Sprintf("Two of %s:\n  strongroom approval show %s >request.txt\n  ssh-keygen -Y sign -n %s -f KEY request.txt\n  strongroom approval add %s --signature request.txt.sig\nThen give this command again, unchanged.",
		strings.Join(Rule{Operators: w.Request.Operators}.names(), ", "), w.Request.ID, Namespace, w.Request.ID)
}

// Rule returns the rule that is in force.
func (s *Service) Rule(ctx context.Context) (rule Rule, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		rule, err = readRule(r)
		return err
	})
	return rule, err
}

// readRule returns the zero Rule where there is none.
func readRule(r store.Reader) (Rule, error) {
	rule, err := ruleRecords.Get(r, store.Deployment, ruleID)
	if errors.Is(err, store.ErrNotFound) {
		return Rule{}, nil
	}
	return rule, err
}

// Grant is the approval of an act.
type Grant struct {
	// Request is the id of the request, and By are the operators who approved it; empty
	// if the act needed no approval.
	Request string
	By      []string

	service *Service
	nonce   string
}

// Params adds to the parameters of an act's record who has approved it.
func (g Grant) Params(params map[string]string) map[string]string {
	if g.Request == "" {
		return params
	}
	params = maps.Clone(params)
	params["request"], params["approvedBy"] = g.Request, strings.Join(g.By, ",")
	return params
}

// Spend ends the request, when what it approves is done. Until then it may be tried
// again, as after an error; Act.Upon is what keeps it from being done twice.
func (g Grant) Spend(ctx context.Context) error {
	if g.Request == "" {
		return nil
	}
	err := g.service.cfg.Store.Update(ctx, g.SpendIn)
	if errors.Is(err, ErrWaiting) { // ended already
		return nil
	}
	return err
}

// SpendIn is Spend within the commit of what was approved.
func (g Grant) SpendIn(tx *store.Tx) error {
	if g.Request == "" {
		return nil
	}
	r, err := requestRecords.Get(tx, store.Deployment, g.Request)
	if errors.Is(err, store.ErrNotFound) || err == nil && r.Nonce != g.nonce {
		return ErrWaiting // withdrawn meanwhile, or spent
	}
	if err != nil {
		return err
	}
	return requestRecords.Delete(tx, store.Deployment, g.Request)
}

// Require lets an act pass that no rule covers, or that two operators have approved.
// Otherwise its error is a [*Waiting]: then there is a request of it, which is made
// together with a record RequestApproval.
func (s *Service) Require(ctx context.Context, act Act) (Grant, error) {
	rule, err := s.Rule(ctx)
	if err != nil || !rule.Covers(act.Matter) {
		return Grant{}, err
	}
	return s.require(ctx, act, rule.Operators)
}

func (s *Service) require(ctx context.Context, act Act, operators []Operator) (grant Grant, err error) {
	id := idOf(s.cfg.Key, act)
	var nonce [16]byte
	if _, err := io.ReadFull(s.cfg.Rand, nonce[:]); err != nil {
		return Grant{}, err
	}
	now := s.cfg.Clock.Now().UTC().Truncate(time.Second)
	fresh := Request{
		ID: id, Matter: act.Matter, Action: act.Action, Params: act.Params, Upon: act.Upon, Nonce: hex.EncodeToString(nonce[:]),
		UID: s.cfg.UID, Made: now, Expires: now.Add(lifetime), Operators: operators,
	}
	record, err := s.cfg.Record("RequestApproval", s.shown(fresh))
	if err != nil {
		return Grant{}, err
	}
	err = s.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		grant = Grant{}
		waiting, err := s.liveRequests(tx, now)
		if err != nil {
			return err
		}
		for _, r := range waiting {
			if r.ID != id || !slices.Equal(r.Operators, operators) {
				continue
			}
			by := r.approvers(s.cfg.Deployment)
			if len(by) >= Needed {
				grant = Grant{Request: id, By: by, service: s, nonce: r.Nonce}
				return nil
			}
			return &Waiting{r, by}
		}
		if len(waiting) >= maxWaiting {
			return refusal(fmt.Sprintf("%d requests wait for approval already", len(waiting)), "End some: strongroom approval withdraw ID")
		}
		if err := requestRecords.Put(tx, store.Deployment, id, fresh); err != nil {
			return err
		}
		return tx.Append(record)
	})
	if err != nil {
		return Grant{}, err
	}
	if grant.Request == "" {
		return Grant{}, &Waiting{Request: fresh}
	}
	return grant, nil
}

// shown is what records show of a request.
func (s *Service) shown(r Request) map[string]string {
	return map[string]string{"request": r.ID, "action": r.Action, "nonce": r.Nonce, "expires": r.Expires.Format(time.RFC3339), "text": r.Text(s.cfg.Deployment)}
}

// liveRequests returns those that have not expired, and deletes the others.
func (s *Service) liveRequests(tx *store.Tx, now time.Time) ([]Request, error) {
	items, _, err := requestRecords.Scan(tx, store.Deployment, "", 2*maxWaiting)
	if err != nil {
		return nil, err
	}
	var live []Request
	for _, item := range items {
		if now.Before(item.Value.Expires) {
			live = append(live, item.Value)
		} else if err := requestRecords.Delete(tx, store.Deployment, item.ID); err != nil {
			return nil, err
		}
	}
	return live, nil
}

// Waiting returns the requests that wait, and what each one's text is.
func (s *Service) Waiting(ctx context.Context) (all []Request, err error) {
	now := s.cfg.Clock.Now()
	err = s.cfg.Store.View(ctx, func(r store.Reader) error {
		items, _, err := requestRecords.Scan(r, store.Deployment, "", 2*maxWaiting)
		for _, item := range items {
			if now.Before(item.Value.Expires) {
				all = append(all, item.Value)
			}
		}
		return err
	})
	return all, err
}

// Text is what operators sign of a request.
func (s *Service) Text(r Request) string { return r.Text(s.cfg.Deployment) }

// Approved are the operators who have approved a request.
func (s *Service) Approved(r Request) []string { return r.approvers(s.cfg.Deployment) }

// Approve adds an operator's signature to a request, together with its record.
func (s *Service) Approve(ctx context.Context, id string, signature []byte) (approved Request, err error) {
	now := s.cfg.Clock.Now()
	r, err := s.request(ctx, id)
	if err != nil {
		return Request{}, err
	}
	o, fingerprint, err := Rule{Operators: r.Operators}.signer([]byte(s.Text(r)), signature)
	if err != nil {
		return Request{}, refusal(err.Error(), fmt.Sprintf("Sign the text as it is: strongroom approval show %s >request.txt && ssh-keygen -Y sign -n %s -f KEY request.txt", id, Namespace))
	}
	record, err := s.cfg.Record("ApproveRequest", map[string]string{"request": id, "nonce": r.Nonce, "action": r.Action, "operator": o.Name, "key": fingerprint})
	if err != nil {
		return Request{}, err
	}
	err = s.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		live, err := requestRecords.Get(tx, store.Deployment, id)
		if errors.Is(err, store.ErrNotFound) || err == nil && live.Nonce != r.Nonce {
			return noRequest(id)
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(live.Approvals, func(a Approval) bool { return a.Operator == o.Name }) {
			return refusal(o.Name+" has approved request "+id+" already", "Another operator is needed.")
		}
		live.Approvals = append(live.Approvals, Approval{o.Name, fingerprint, signature, now})
		approved = live
		if err := requestRecords.Put(tx, store.Deployment, id, live); err != nil {
			return err
		}
		return tx.Append(record)
	})
	return approved, err
}

func (s *Service) request(ctx context.Context, id string) (Request, error) {
	all, err := s.Waiting(ctx)
	if err != nil {
		return Request{}, err
	}
	for _, r := range all {
		if r.ID == id {
			return r, nil
		}
	}
	return Request{}, noRequest(id)
}

func noRequest(id string) error {
	return refusal(fmt.Sprintf("there is no request %.40q that waits", id), "It may have expired, or been made. Those that wait: strongroom approval list")
}

// Withdraw ends a request, together with its record.
func (s *Service) Withdraw(ctx context.Context, id string) error {
	r, err := s.request(ctx, id)
	if err != nil {
		return err
	}
	record, err := s.cfg.Record("WithdrawRequest", map[string]string{"request": id, "nonce": r.Nonce, "action": r.Action})
	if err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		err := requestRecords.Delete(tx, store.Deployment, id)
		if errors.Is(err, store.ErrNotFound) {
			return noRequest(id)
		}
		if err != nil {
			return err
		}
		return tx.Append(record)
	})
}

// SetRule puts a rule in force, or with the zero Rule ends the one that is. Two people
// must approve that themselves: operators of the rule that there is, or of the new one
// where there is none, so that nobody is locked out by keys that nobody has.
func (s *Service) SetRule(ctx context.Context, next Rule) error {
	is, err := s.Rule(ctx)
	if err != nil {
		return err
	}
	if !is.On() && !next.On() {
		return refusal("there is no two-person rule to end", "strongroom two-people status")
	}
	act := Act{Matter: ofRule, Action: "SetTwoPersonRule", Params: describe(next), Upon: describe(is)}
	operators := is.Operators
	if !is.On() {
		operators = next.Operators
	}
	grant, err := s.require(ctx, act, operators)
	if err != nil {
		return err
	}
	return s.put(ctx, next, grant.Params(act.Params), func(tx *store.Tx) error {
		now, err := readRule(tx)
		if err == nil && !maps.Equal(describe(now), describe(is)) {
			err = ErrWaiting // another change was made meanwhile
		}
		return errors.Join(err, grant.SpendIn(tx))
	})
}

// EndRule ends the rule without anybody's approval: for a deployment that several
// people have opened with their recovery shares. It does nothing where there is none.
func (s *Service) EndRule(ctx context.Context) error {
	is, err := s.Rule(ctx)
	if err != nil || !is.On() {
		return err
	}
	return s.put(ctx, Rule{}, map[string]string{"operators": "", "with": "recovery shares"}, func(*store.Tx) error { return nil })
}

// put stores a rule with its record. The requests that wait are void: whose approval
// counts may be another's now.
func (s *Service) put(ctx context.Context, next Rule, params map[string]string, before func(*store.Tx) error) error {
	record, err := s.cfg.Record("SetTwoPersonRule", params)
	if err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		if err := before(tx); err != nil {
			return err
		}
		items, _, err := requestRecords.Scan(tx, store.Deployment, "", 2*maxWaiting)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := requestRecords.Delete(tx, store.Deployment, item.ID); err != nil {
				return err
			}
		}
		if next.On() {
			err = ruleRecords.Put(tx, store.Deployment, ruleID, next)
		} else if err = ruleRecords.Delete(tx, store.Deployment, ruleID); errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		if err != nil {
			return err
		}
		return tx.Append(record)
	})
}

// describe is a rule in words that a person can compare.
func describe(r Rule) map[string]string {
	if !r.On() {
		return map[string]string{"rule": "off"}
	}
	shown := map[string]string{"rule": "on"}
	for _, o := range r.Operators {
		shown["operator "+o.Name] = o.Key
	}
	matters := make([]string, len(r.Matters))
	for i, m := range r.Matters {
		matters[i] = string(m)
	}
	shown["for"] = strings.Join(matters, ",")
	return shown
}
