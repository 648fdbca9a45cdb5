// Package authz carries a request's identity through the pipeline and decides
// what it may do.
//
// A [Call] is handed to every handler as an explicit parameter. The handler asks
// [Call.Authorize] for each thing it is about to do and makes its effect through
// [Commit], which puts the effect and the audit record into one durable commit.
// The gateway refuses to answer for a handler that succeeded without having
// asked.
//
// What this package promises: no Allow without a policy or grant that says so,
// an explicit Deny always wins, and a failure to gather what must be known is an
// error, never a decision. It does not authenticate; whoever makes the Call does.
// The language and the order of evaluation are package policy's.
package authz

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/wire"
)

// Call is one request on its way: who asks for what, from where. It belongs to
// one goroutine and ends with the answer.
type Call struct {
	// RequestID is the x-amzn-RequestId of the answer.
	RequestID string
	// Service and Operation are the signing name and the operation: "kms",
	// "Encrypt". Action is what the operation is authorised as by default.
	Service, Operation, Action string
	Principal                  Principal
	Partition, Region          string
	// Time is when the request arrived, by the injected clock.
	Time      time.Time
	SourceIP  netip.Addr
	UserAgent string
	// TLS is nil for plain HTTP.
	TLS *wire.TLS
	// Via is the chain of services that the call came through, the first one
	// first, as host names ("secretsmanager.us-east-1.amazonaws.com"); empty for
	// a call from the wire.
	Via []string
	// SourceARN is the resource on whose behalf a service makes the call; empty for
	// every other call.
	SourceARN string
	// Audit collects what the handler adds to the call's audit record.
	Audit Audit

	pipe       Pipe
	authorized bool
	// refused says that a permission was refused, or would have been.
	refused  bool
	recorded bool
	// extended is the context after Work, for what records the call; nil before.
	extended context.Context

	question question // that is being decided
}

// Principal is whoever signed a call, or is known by a token that it brings.
type Principal struct {
	policy.Principal
	AccessKeyID string
	// UserName is a user's; of a WebIdentity, who its provider says it is.
	UserName string
	// NameQualifier sets a WebIdentity of a SAML provider apart from those of others;
	// empty for everybody else.
	NameQualifier string
	// Tags are those of the user or role and of its session, by their keys in
	// lower case.
	Tags map[string]string
	// MFA is when the principal gave a one-time code, for its session or with this call;
	// zero for never.
	MFA time.Time
	// Session is nil for long-term credentials.
	Session *Session
}

// Pipe is what the pipeline lends a Call: the directory that its authorisation
// consults, and the record of it. The gateway provides it.
type Pipe interface {
	Directory
	// Record returns the audit record of a call that is about to succeed with
	// out.
	Record(call *Call, out any) []byte
	// RecordFor returns what another account's trail shows of the same.
	RecordFor(call *Call, out any, account string) []byte
}

// Directory knows which policies hold for a principal on the identity side.
type Directory interface {
	// Policies adds the identity policies, the permissions boundary, the session
	// policies and the service control policies that hold for p to set. An error
	// means that they could not be established, and nothing is allowed.
	Policies(ctx context.Context, p *Principal, set *policy.Policies) error
}

// Identify says who makes a call that came without a signature, once the handler has
// it proved otherwise: by a token of an identity provider. A call that ends
// without is refused, counted and not recorded.
func (c *Call) Identify(p Principal) { c.Principal = p }

// Attach binds the call to the pipeline that it runs in.
func (c *Call) Attach(p Pipe) { c.pipe = p }

// Work runs what needs a processor for long, such as making an RSA key. The time that it
// takes does not count for what the call may wait, see [deadline.Work]: what the handler
// waits for afterwards wants [Call.Context].
func (c *Call) Work(ctx context.Context, work func(context.Context) error) error {
	ctx = c.Context(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	turn, done := deadline.Work(ctx)
	defer func() { c.extended = done() }() // after a panic, too, which is recorded
	return work(turn)
}

// Context returns the context of a call that began with one: that, or what it has become
// by Work.
func (c *Call) Context(began context.Context) context.Context {
	if c.extended != nil {
		return c.extended
	}
	return began
}

// Authorized reports whether the handler has asked Authorize and was allowed.
func (c *Call) Authorized() bool { return c.authorized }

// Recorded reports whether the call's audit record is durable already, because
// it went into the commit of its effect.
func (c *Call) Recorded() bool { return c.recorded }

// Home returns the account whose trail has the call's own record: the caller's. A web
// identity has none; then it is that of the resource that it asks for.
func (c *Call) Home() string {
	if c.Principal.Account == "" && len(c.Audit.Resources) > 0 {
		return c.Audit.Resources[0].Account
	}
	return c.Principal.Account
}

// Shows reports whether the call's records may tell of a resource of account: of
// another account's only when the caller was allowed all that it asked for, since
// else they would tell whether the resource is there.
func (c *Call) Shows(account string) bool {
	return account == c.Home() || c.authorized && !c.refused
}

// Owners returns the other accounts whose resources the call is about, and whose
// trails therefore have a record of it too; usually none.
func (c *Call) Owners() []string {
	var owners []string
	for i := range c.Audit.Resources {
		account := c.Audit.Resources[i].Account
		if account != c.Home() && c.Shows(account) && !slices.Contains(owners, account) {
			owners = append(owners, account)
		}
	}
	return owners
}

// CallerAccountIs reports whether the caller belongs to account.
func (c *Call) CallerAccountIs(account string) bool { return c.Principal.Account == account }

// Audit is what a handler knows about a call that its input and output do not
// say.
type Audit struct {
	Resources []Resource
	// Request adds members to requestParameters, Response to responseElements;
	// Additional is additionalEventData. Names are in lowerCamelCase.
	Request, Response, Additional []Field
}

// Resource is an entry of a record's resources.
type Resource struct {
	Account string
	Type    string // "AWS::KMS::Key"
	ARN     string
}

// Field is a member of a record, with a text value or, if it has Members, an object
// of them, or, if it has a List, that.
type Field struct {
	Name, Value string
	Members     []Field
	List        []string
}

// Resource adds a resource to the record unless it is there already.
func (a *Audit) Resource(account, typ, arn string) {
	for i := range a.Resources {
		if a.Resources[i].ARN == arn {
			return
		}
	}
	a.Resources = append(a.Resources, Resource{Account: account, Type: typ, ARN: arn})
}

// SetRequest sets a member of requestParameters.
func (a *Audit) SetRequest(name, value string) {
	a.Request = set(a.Request, Field{Name: name, Value: value})
}

// SetRequestObject sets a member of requestParameters that is an object.
func (a *Audit) SetRequestObject(name string, members []Field) {
	a.Request = set(a.Request, Field{Name: name, Members: members})
}

// SetRequestList sets a member of requestParameters that is a list.
func (a *Audit) SetRequestList(name string, list []string) {
	a.Request = set(a.Request, Field{Name: name, List: list})
}

// SetResponse sets a member of responseElements.
func (a *Audit) SetResponse(name, value string) {
	a.Response = set(a.Response, Field{Name: name, Value: value})
}

// SetAdditional sets a member of additionalEventData.
func (a *Audit) SetAdditional(name, value string) {
	a.Additional = set(a.Additional, Field{Name: name, Value: value})
}

// SetAdditionalObject sets a member of additionalEventData that is an object.
func (a *Audit) SetAdditionalObject(name string, members []Field) {
	a.Additional = set(a.Additional, Field{Name: name, Members: members})
}

func set(fields []Field, f Field) []Field {
	for i := range fields {
		if fields[i].Name == f.Name {
			fields[i] = f
			return fields
		}
	}
	return append(fields, f)
}

// Derive returns the call that the service of c makes for c's caller on another
// service: same principal, a request id of its own, and c's service at the end of
// Via.
func (c *Call) Derive(service, operation, action, requestID string) *Call {
	host := c.Service + "." + c.Region + ".amazonaws.com"
	return &Call{
		RequestID: requestID,
		Service:   service, Operation: operation, Action: action,
		Principal: c.Principal,
		Partition: c.Partition, Region: c.Region,
		Time:     c.Time,
		SourceIP: c.SourceIP, UserAgent: c.UserAgent, TLS: c.TLS,
		Via: append(append([]string(nil), c.Via...), host),
	}
}

// OwnCall says in whose name a service calls another one when no caller asked it to:
// its own, on behalf of a resource.
type OwnCall struct {
	// Service is the service principal: "cloudtrail.amazonaws.com".
	Service string
	// SourceARN is the resource, in whose account and Region the call is made.
	SourceARN, Account, Region string
}

// Call returns the call of an operation.
func (o OwnCall) Call(service, operation, action, requestID string, at time.Time) *Call {
	return &Call{
		RequestID: requestID,
		Service:   service, Operation: operation, Action: action,
		Principal: Principal{Principal: policy.Principal{Type: policy.Service, Service: o.Service, Account: o.Account, ARN: o.Service}},
		Partition: PartitionOf(o.Region), Region: o.Region,
		Time:      at,
		UserAgent: o.Service,
		SourceARN: o.SourceARN,
	}
}
