package admin

import (
	"context"
	"time"
)

// Operator is what the owner of a deployment does to it and asks of it, beside its
// audit trail. A server does it, the command line does it to a stopped server's
// folder, and [Client] asks a server over its socket.
//
// A method that takes a Peer changes something: it returns when that is durable
// together with its audit record, and records a refusal too. Whoever lets a
// request for one of the others in records it before. Errors are for people, and
// may have a hint.
//
// Implementations are safe for concurrent use.
type Operator interface {
	// CreateAccount makes an account with a root and its access key. Account.File
	// names the file that the key was written to.
	CreateAccount(ctx context.Context, by Peer, in NewAccount) (Account, error)
	// Accounts returns all accounts by their ids, without those who can sign in.
	Accounts(ctx context.Context) ([]Account, error)
	// Account returns one account.
	Account(ctx context.Context, id string) (Account, error)
	// RotateRoot gives the root of an account a new access key in place of those
	// that it has. Account.File names the file that the key was written to.
	RotateRoot(ctx context.Context, by Peer, in RootRotation) (Account, error)
	// SwitchRoot lets the root of an account sign in, or no longer.
	SwitchRoot(ctx context.Context, by Peer, in RootSwitch) (Account, error)
	// Explain decides as a call would be decided, and says upon what.
	Explain(ctx context.Context, q Question) (Explanation, error)
	// WhoCan finds the principals of all accounts that can do something.
	WhoCan(ctx context.Context, q Question) (Holders, error)
}

// Peer is a process of this machine.
type Peer struct {
	UID uint32
	PID int32
}

// NewAccount is an account that is to be made.
type NewAccount struct {
	// ID has 12 digits; if empty, one is drawn.
	ID string `json:"id,omitempty"`
	// Name and Email are for people; each may be empty.
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// RootRotation is a new access key for the root of an account.
type RootRotation struct {
	Account string `json:"account"`
	// Keep leaves the keys that there are in force, beside the new one.
	Keep bool `json:"keep,omitempty"`
}

// RootSwitch lets the root of an account sign in, or no longer.
type RootSwitch struct {
	Account string `json:"account"`
	Enabled bool   `json:"enabled"`
	// LockOut disables the root even though nobody else can sign in to the account.
	LockOut bool `json:"lockOut,omitempty"`
}

// Account is an account as its owner sees it.
type Account struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Email   string    `json:"email,omitempty"`
	Created time.Time `json:"created"`
	Root    Root      `json:"root"`
	// Users are the users who have an active access key, and may sign in without
	// anybody's help; at most [MaxUsersShown], and More says that there are others.
	Users []SignIn `json:"users,omitempty"`
	More  bool     `json:"moreUsers,omitempty"`
	// File is the name of the file in the data folder that a new access key of the
	// root was written to.
	File string `json:"credentialsFile,omitempty"`
}

// MaxUsersShown bounds the users of an Account.
const MaxUsersShown = 100

// Root is the root of an account.
type Root struct {
	Enabled    bool        `json:"enabled"`
	AccessKeys []AccessKey `json:"accessKeys"`
}

// AccessKey is an access key without its secret.
type AccessKey struct {
	ID      string    `json:"id"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
}

// SignIn is a user who can sign in.
type SignIn struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
	// Administrator says that the user's policies let it manage users and their
	// policies, so that it could give any right to anybody.
	Administrator bool `json:"administrator"`
}
