package admin

import (
	"context"
	"time"
)

// The routes of the commands about the two-person rule.
const (
	twoPeopleRoute       = "/v1/two-people/status"
	setTwoPeopleRoute    = "/v1/two-people/set"
	requestsRoute        = "/v1/approval/list"
	approveRoute         = "/v1/approval/add"
	withdrawRoute        = "/v1/approval/withdraw"
	shortenDeletionRoute = "/v1/key/shorten-deletion"
)

// Approvals is the two-person rule of a deployment, and what it is needed for beside
// [Seals]; see [Operator] for what its methods promise.
type Approvals interface {
	// TwoPeople returns the rule.
	TwoPeople(ctx context.Context) (TwoPeople, error)
	// SetTwoPeople puts a rule in force, or ends it; two operators must have approved
	// that.
	SetTwoPeople(ctx context.Context, by Peer, in TwoPeople) (TwoPeople, error)
	// Requests returns what waits for approval.
	Requests(ctx context.Context) ([]ApprovalRequest, error)
	// Approve adds an operator's signature to a request.
	Approve(ctx context.Context, by Peer, in Signature) (ApprovalRequest, error)
	// Withdraw ends a request, and returns those that still wait.
	Withdraw(ctx context.Context, by Peer, in RequestName) ([]ApprovalRequest, error)
	// ShortenDeletion lets a key that waits for its deletion be deleted earlier.
	ShortenDeletion(ctx context.Context, by Peer, in ShorterWait) (WaitingKey, error)
}

// TwoPeople is the two-person rule.
type TwoPeople struct {
	On bool `json:"on"`
	// Operators are names with their SSH public keys.
	Operators map[string]string `json:"operators"`
	// For is what two of them must approve: root, restore, deletion.
	For []string `json:"for"`
}

// ApprovalRequest is a change that waits for approval.
type ApprovalRequest struct {
	ID      string    `json:"id"`
	Action  string    `json:"action"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	// Text is what operators sign, byte for byte.
	Text string `json:"text"`
	// Needed of Operators must approve; ApprovedBy have.
	Needed     int      `json:"needed"`
	Operators  []string `json:"operators"`
	ApprovedBy []string `json:"approvedBy"`
}

// Signature is an operator's approval.
type Signature struct {
	Request string `json:"request"`
	// Signature is what ssh-keygen -Y sign has written.
	Signature string `json:"signature"`
}

// RequestName names a request.
type RequestName struct {
	ID string `json:"id"`
}

// ShorterWait is a waiting period of so many days from now.
type ShorterWait struct {
	Key  string `json:"key"`
	Days int32  `json:"days"`
}

// WaitingKey is a key and when it is deleted.
type WaitingKey struct {
	Key          string    `json:"key"`
	DeletionDate time.Time `json:"deletionDate"`
}

// approvalRows are the commands about the two-person rule, by their route.
func (s *Server) approvalRows() map[string]commandRow {
	if s.cfg.Approvals == nil {
		return nil
	}
	o := s.cfg.Approvals
	nothing := func(none) map[string]string { return nil }
	return map[string]commandRow{
		twoPeopleRoute:       asking("GetTwoPersonRule", nothing, func(ctx context.Context, _ none) (TwoPeople, error) { return o.TwoPeople(ctx) }),
		setTwoPeopleRoute:    changing(o.SetTwoPeople),
		requestsRoute:        asking("ListApprovalRequests", nothing, func(ctx context.Context, _ none) ([]ApprovalRequest, error) { return o.Requests(ctx) }),
		approveRoute:         changing(o.Approve),
		withdrawRoute:        changing(o.Withdraw),
		shortenDeletionRoute: changing(o.ShortenDeletion),
	}
}

var _ Approvals = (*Client)(nil)

// TwoPeople implements [Approvals].
func (c *Client) TwoPeople(ctx context.Context) (TwoPeople, error) {
	return command[none, TwoPeople](ctx, c, twoPeopleRoute, none{})
}

// SetTwoPeople implements [Approvals]. The server sees itself who asks.
func (c *Client) SetTwoPeople(ctx context.Context, _ Peer, in TwoPeople) (TwoPeople, error) {
	return command[TwoPeople, TwoPeople](ctx, c, setTwoPeopleRoute, in)
}

// Requests implements [Approvals].
func (c *Client) Requests(ctx context.Context) ([]ApprovalRequest, error) {
	return command[none, []ApprovalRequest](ctx, c, requestsRoute, none{})
}

// Approve implements [Approvals].
func (c *Client) Approve(ctx context.Context, _ Peer, in Signature) (ApprovalRequest, error) {
	return command[Signature, ApprovalRequest](ctx, c, approveRoute, in)
}

// Withdraw implements [Approvals].
func (c *Client) Withdraw(ctx context.Context, _ Peer, in RequestName) ([]ApprovalRequest, error) {
	return command[RequestName, []ApprovalRequest](ctx, c, withdrawRoute, in)
}

// ShortenDeletion implements [Approvals].
func (c *Client) ShortenDeletion(ctx context.Context, _ Peer, in ShorterWait) (WaitingKey, error) {
	return command[ShorterWait, WaitingKey](ctx, c, shortenDeletionRoute, in)
}
