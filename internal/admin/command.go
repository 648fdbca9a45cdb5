package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
)

// maxCommand bounds what a command sends, in bytes.
const maxCommand = 1 << 20

// routes are the paths of the commands.
const (
	createAccountRoute = "/v1/account/create"
	listAccountsRoute  = "/v1/account/list"
	showAccountRoute   = "/v1/account/show"
	rotateRootRoute    = "/v1/account/root/rotate"
	switchRootRoute    = "/v1/account/root/switch"
	explainRoute       = "/v1/access/explain"
	whoCanRoute        = "/v1/access/who-can"
)

// none is what a command without parameters sends.
type none struct{}

// accountName is what a command about one account sends.
type accountName struct {
	ID string `json:"id"`
}

// commandRow parses the request of one command.
type commandRow func(*http.Request) (request, error)

// commandRows are the commands, by their route.
func (s *Server) commandRows() map[string]commandRow {
	o := s.cfg.Operator
	rows := map[string]commandRow{
		createAccountRoute: changing(o.CreateAccount),
		rotateRootRoute:    changing(o.RotateRoot),
		switchRootRoute:    changing(o.SwitchRoot),
		explainRoute:       asking("ExplainAccess", Question.params, o.Explain),
		whoCanRoute:        asking("ListPrincipalsWithAccess", Question.params, o.WhoCan),
		listAccountsRoute: asking("ListAccounts", func(none) map[string]string { return nil },
			func(ctx context.Context, _ none) ([]Account, error) { return o.Accounts(ctx) }),
		showAccountRoute: asking("GetAccount", func(in accountName) map[string]string { return map[string]string{"account": in.ID} },
			func(ctx context.Context, in accountName) (Account, error) { return o.Account(ctx, in.ID) }),
	}
	maps.Copy(rows, s.sealRows())
	if s.cfg.Retention != nil {
		rows[removeRecordsRoute] = changing(s.cfg.Retention.RemoveRecords)
	}
	maps.Copy(rows, s.approvalRows())
	maps.Copy(rows, s.doctorRows())
	return rows
}

// changing is the row of a command that makes its record with its effect.
func changing[In, Out any](do func(context.Context, Peer, In) (Out, error)) commandRow {
	return func(r *http.Request) (request, error) {
		in, err := decodeCommand[In](r)
		return request{act: func(ctx context.Context, by Peer) (any, error) { return do(ctx, by, in) }}, err
	}
}

// asking is the row of a command that changes nothing. params are what its record
// shows.
func asking[In, Out any](event string, params func(In) map[string]string, do func(context.Context, In) (Out, error)) commandRow {
	return func(r *http.Request) (request, error) {
		in, err := decodeCommand[In](r)
		if err != nil {
			return request{}, err
		}
		return request{event: event, params: params(in), ask: func(ctx context.Context) (any, error) { return do(ctx, in) }}, nil
	}
}

func decodeCommand[In any](r *http.Request) (in In, err error) {
	if _, err := parseQuery(r); err != nil {
		return in, err
	}
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxCommand))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&in)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("more than one JSON value")
		}
	}
	if err != nil {
		return in, fmt.Errorf("what the command sends: %w", err)
	}
	return in, nil
}

// command asks a server and returns its answer.
func command[In, Out any](ctx context.Context, c *Client, route string, in In) (Out, error) {
	var out *Out
	var zero Out
	body, err := json.Marshal(in)
	if err != nil {
		return zero, err
	}
	defer clear(body) // some commands send secrets
	err = c.ask(ctx, http.MethodPost, route, nil, body, func(line []byte) error {
		out = new(Out)
		return json.Unmarshal(line, out)
	})
	if err != nil {
		return zero, err
	}
	if out == nil {
		return zero, errors.New("the server's answer is empty")
	}
	return *out, nil
}

var _ Operator = (*Client)(nil)

// CreateAccount implements [Operator]. The server sees itself who asks.
func (c *Client) CreateAccount(ctx context.Context, _ Peer, in NewAccount) (Account, error) {
	return command[NewAccount, Account](ctx, c, createAccountRoute, in)
}

// Accounts implements [Operator].
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	return command[none, []Account](ctx, c, listAccountsRoute, none{})
}

// Account implements [Operator].
func (c *Client) Account(ctx context.Context, id string) (Account, error) {
	return command[accountName, Account](ctx, c, showAccountRoute, accountName{id})
}

// RotateRoot implements [Operator].
func (c *Client) RotateRoot(ctx context.Context, _ Peer, in RootRotation) (Account, error) {
	return command[RootRotation, Account](ctx, c, rotateRootRoute, in)
}

// SwitchRoot implements [Operator].
func (c *Client) SwitchRoot(ctx context.Context, _ Peer, in RootSwitch) (Account, error) {
	return command[RootSwitch, Account](ctx, c, switchRootRoute, in)
}

// Explain implements [Operator].
func (c *Client) Explain(ctx context.Context, q Question) (Explanation, error) {
	return command[Question, Explanation](ctx, c, explainRoute, q)
}

// WhoCan implements [Operator].
func (c *Client) WhoCan(ctx context.Context, q Question) (Holders, error) {
	return command[Question, Holders](ctx, c, whoCanRoute, q)
}
