package admin

import "context"

const removeRecordsRoute = "/v1/audit/retain"

// Removal says which audit records are to go.
type Removal struct {
	// Days is how many days a record is kept.
	Days int `json:"days"`
	// Reason stands in the record of the removal.
	Reason string `json:"reason,omitempty"`
}

// Removed says which audit records went: whole frames, from the first to the last of
// these; 0 for none.
type Removed struct {
	FirstFrame uint64 `json:"firstFrame"`
	LastFrame  uint64 `json:"lastFrame"`
	Records    uint64 `json:"records"`
}

// Retention removes audit records from the front of the trail, which says so itself.
// A server implements it, and [Client] by asking one.
type Retention interface {
	// RemoveRecords removes what is old enough and needed by nobody. After an error,
	// some of it may have gone; what went is recorded.
	RemoveRecords(ctx context.Context, by Peer, in Removal) (Removed, error)
}

var _ Retention = (*Client)(nil)

// RemoveRecords implements [Retention]. The server sees itself who asks.
func (c *Client) RemoveRecords(ctx context.Context, _ Peer, in Removal) (Removed, error) {
	return command[Removal, Removed](ctx, c, removeRecordsRoute, in)
}
