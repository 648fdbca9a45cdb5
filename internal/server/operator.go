package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/service/iam"
	"github.com/strongroom/strongroom/internal/store"
)

// operator does what the command line asks of a deployment.
type operator struct{ *Server }

var _ admin.Operator = (*operator)(nil)

// Operator is the deployment of a data folder that no server has open.
type Operator interface {
	admin.Operator
	admin.Seals
	admin.Approvals
	admin.Doctor
	io.Closer
}

// OpenOperator opens a data folder for changes and questions. It is
// refused while a server has the folder.
func OpenOperator(ctx context.Context, in Folder) (Operator, error) {
	f, err := openExisting(ctx, in)
	if err != nil {
		return nil, err
	}
	return newOperator(ctx, in, f)
}

// newOperator puts a deployment together over an open folder.
func newOperator(ctx context.Context, in Folder, f *folder) (*operator, error) {
	o := &operator{newServer(Config{
		DataDir: in.Dir, Account: f.account, Regions: f.regions, Seal: in.Seal, Root: in.Root, Store: in.Store, Database: in.Database,
		Dev: f.mode == modeDev, Log: slog.Default(),
	})}
	o.folder, o.domain = f, f.domain
	if err := o.openStopped(ctx); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *operator) openStopped(ctx context.Context) error {
	if len(o.cfg.Regions) == 0 {
		return problem(fmt.Sprintf("the data folder %s does not say yet which regions it has", o.cfg.DataDir),
			"Start the server once, and ask again.", nil)
	}
	if err := o.openStore(ctx); err != nil {
		return err
	}
	_, err := o.openServices(ctx)
	return err
}

func (o *operator) Close() error { return o.close() }

// record returns the audit record of a change, and what to do when it was refused:
// that is recorded too, unless it may have happened.
func (o *operator) record(ctx context.Context, by admin.Peer, name string, params map[string]string) (record []byte, refused func(error) error, err error) {
	event := admin.AdminEvent{Name: name, Peer: by, Time: o.clock.Now(), Params: params}
	record, err = o.adminRecord(event, nil)
	refused = func(cause error) error {
		if errors.Is(cause, store.ErrUnknown) {
			return cause
		}
		record, err := o.adminRecord(event, cause)
		if err == nil {
			err = o.store.Append(ctx, record)
		}
		return errors.Join(cause, err)
	}
	return record, refused, err
}

// email is as much of an address's shape as is certain.
var email = regexp.MustCompile(`^[^@\s]+@[^@\s]+$`)

// Limits of an account's name and e-mail address, in characters (AWS Organizations
// API Reference, CreateAccount).
const (
	maxAccountName = 50
	maxEmail       = 64
)

func checkAccount(in *admin.NewAccount) error {
	graphic := func(s string) bool {
		return strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) < 0
	}
	switch {
	case in.ID != "" && !isAccount(in.ID):
		return problem(fmt.Sprintf("%q is not an account id: it has 12 digits", in.ID), "Leave it out to have one drawn.", nil)
	case utf8.RuneCountInString(in.Name) > maxAccountName || !graphic(in.Name):
		return problem(fmt.Sprintf("an account's name has at most %d printable characters", maxAccountName), "", nil)
	case in.Email != "" && (len(in.Email) > maxEmail || !graphic(in.Email) || !email.MatchString(in.Email)):
		return problem(fmt.Sprintf("an e-mail address looks like ops@example.com and has at most %d characters", maxEmail), "", nil)
	}
	return nil
}

// drawAccount returns a random account id. It does not begin with 0, which
// spreadsheets would take away.
func drawAccount(rand io.Reader) (string, error) {
	const least, span = 100_000_000_000, 900_000_000_000
	var random [8]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return "", err
	}
	return strconv.FormatUint(least+binary.BigEndian.Uint64(random[:])%span, 10), nil
}

// CreateAccount implements [admin.Operator].
func (o *operator) CreateAccount(ctx context.Context, by admin.Peer, in admin.NewAccount) (admin.Account, error) {
	if err := checkAccount(&in); err != nil {
		return admin.Account{}, err
	}
	var err error
	if in.ID == "" {
		if in.ID, err = drawAccount(o.cfg.rand()); err != nil {
			return admin.Account{}, err
		}
	}
	record, refused, err := o.record(ctx, by, "CreateAccount", map[string]string{"account": in.ID, "name": in.Name, "email": in.Email})
	if err != nil {
		return admin.Account{}, err
	}
	o.changes.Lock()
	defer o.changes.Unlock()
	file := ""
	if _, err = o.iam.Account(ctx, in.ID); err == nil {
		err = iam.ErrAccountExists
	} else if errors.Is(err, iam.ErrNoAccount) {
		file, err = o.newCredentials(in.ID, func(key iam.AccessKey) error {
			return o.iam.CreateAccount(ctx, iam.Account{ID: in.ID, Name: in.Name, Email: in.Email}, key, record)
		})
	}
	if err != nil {
		return admin.Account{}, refused(accountProblem(in.ID, err))
	}
	return o.withFile(ctx, in.ID, file)
}

// accountProblem says of an error of iam what to do.
func accountProblem(account string, err error) error {
	switch {
	case errors.Is(err, iam.ErrNoAccount):
		return problem("there is no account "+account, "strongroom account list", nil)
	case errors.Is(err, iam.ErrAccountExists):
		return problem("there is an account "+account+" already", "strongroom account show "+account, nil)
	case errors.Is(err, iam.ErrRootKeys):
		return problem("the root of account "+account+" has two access keys, and no more are possible",
			"Without --keep the new key takes their place.", nil)
	}
	return err
}

func (o *operator) withFile(ctx context.Context, id, file string) (admin.Account, error) {
	a, err := o.Account(ctx, id)
	a.File = file
	return a, err
}

// Accounts implements [admin.Operator].
func (o *operator) Accounts(ctx context.Context) ([]admin.Account, error) {
	all, err := o.iam.Accounts(ctx)
	shown := make([]admin.Account, len(all))
	for i, a := range all {
		shown[i] = shownAccount(a)
	}
	return shown, err
}

func shownAccount(a iam.Account) admin.Account {
	shown := admin.Account{
		ID: a.ID, Name: a.Name, Email: a.Email, Created: a.Created,
		Root: admin.Root{Enabled: !a.RootDisabled, AccessKeys: []admin.AccessKey{}},
	}
	for _, k := range a.RootKeys {
		shown.Root.AccessKeys = append(shown.Root.AccessKeys, admin.AccessKey(k))
	}
	return shown
}

// Account implements [admin.Operator].
func (o *operator) Account(ctx context.Context, id string) (admin.Account, error) {
	a, err := o.iam.Account(ctx, id)
	if err != nil {
		return admin.Account{}, accountProblem(id, err)
	}
	shown := shownAccount(a)
	users, more, err := o.iam.SignIns(ctx, id, admin.MaxUsersShown)
	for _, u := range users {
		shown.Users = append(shown.Users, admin.SignIn(u))
	}
	shown.More = more
	return shown, err
}

// RotateRoot implements [admin.Operator].
func (o *operator) RotateRoot(ctx context.Context, by admin.Peer, in admin.RootRotation) (admin.Account, error) {
	record, refused, err := o.record(ctx, by, "RotateRootCredentials", map[string]string{"account": in.Account, "keep": strconv.FormatBool(in.Keep)})
	if err != nil {
		return admin.Account{}, err
	}
	o.changes.Lock()
	defer o.changes.Unlock()
	file := ""
	if _, err = o.iam.Account(ctx, in.Account); err == nil {
		file, err = o.newCredentials(in.Account, func(key iam.AccessKey) error {
			return o.iam.RotateRoot(ctx, in.Account, key, in.Keep, record)
		})
	}
	if err != nil {
		return admin.Account{}, refused(accountProblem(in.Account, err))
	}
	return o.withFile(ctx, in.Account, file)
}

// SwitchRoot implements [admin.Operator].
func (o *operator) SwitchRoot(ctx context.Context, by admin.Peer, in admin.RootSwitch) (admin.Account, error) {
	name := "EnableRootCredentials"
	params := map[string]string{"account": in.Account}
	if !in.Enabled {
		name = "DisableRootCredentials"
		params["lockOut"] = strconv.FormatBool(in.LockOut)
	}
	record, refused, err := o.record(ctx, by, name, params)
	if err != nil {
		return admin.Account{}, err
	}
	o.changes.Lock()
	defer o.changes.Unlock()
	a, err := o.Account(ctx, in.Account)
	if err == nil && !in.Enabled && !in.LockOut && len(a.Users) == 0 {
		err = problem("nobody but the root can sign in to account "+in.Account+": no user has an active access key",
			"Make a user with an access key first. Roles that other accounts may assume are not counted. To do it all the same, add --lock-out.", nil)
	}
	if err == nil {
		err = o.iam.SwitchRoot(ctx, in.Account, in.Enabled, record)
	}
	if err != nil {
		return admin.Account{}, refused(accountProblem(in.Account, err))
	}
	a.Root.Enabled = in.Enabled
	return a, nil
}
