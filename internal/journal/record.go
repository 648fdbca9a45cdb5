package journal

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Bounds on what a record takes over, in bytes of encoded JSON. Longer text is
// clipped at a character; longer values are left out, which the record says.
// The figures for the user agent, the error message and the JSON values are
// CloudTrail's.
const (
	MaxUserAgent           = 1 << 10
	MaxErrorMessage        = 1 << 10
	MaxRequestParameters   = 100 << 10
	MaxResponseElements    = 100 << 10
	MaxAdditionalEventData = 28 << 10
	MaxServiceEventDetails = 100 << 10
	// MaxText bounds every other text.
	MaxText = 2 << 10
	// MaxResources bounds the list of resources.
	MaxResources = 32
)

// Event types.
const (
	AwsApiCall      = "AwsApiCall"
	AwsServiceEvent = "AwsServiceEvent"
)

// Record is one CloudTrail record, of format 1.11 and category Management. Texts
// that are empty and pointers that are nil are left out, unless said otherwise.
type Record struct {
	UserIdentity UserIdentity
	// EventTime is written in UTC with whole seconds.
	EventTime time.Time
	// EventSource is the service: "kms.amazonaws.com".
	EventSource string
	EventName   string
	AWSRegion   string
	// SourceIPAddress is always written. For calls that a service makes for a
	// user and for service events it is the service's host name.
	SourceIPAddress string
	// SourceIP, if valid, is written in place of SourceIPAddress.
	SourceIP  netip.Addr
	UserAgent string
	// ErrorCode and ErrorMessage are set for calls that were refused.
	ErrorCode    string
	ErrorMessage string
	// RequestParameters and ResponseElements are JSON values; null when empty.
	// Whoever fills them in leaves out what is secret.
	RequestParameters []byte
	ResponseElements  []byte
	// AdditionalEventData is a JSON object, left out when empty.
	AdditionalEventData []byte
	RequestID           string
	EventID             UUID
	ReadOnly            bool
	// Resources is left out when empty.
	Resources []Resource
	// EventType is AwsApiCall or AwsServiceEvent.
	EventType          string
	RecipientAccountID string
	// SharedEventID links the records of one call in two accounts.
	SharedEventID string
	// ServiceEventDetails is a JSON object, for service events.
	ServiceEventDetails []byte
	TLSDetails          *TLSDetails
}

// UserIdentity says who made the call.
type UserIdentity struct {
	// Type is Root, IAMUser, AssumedRole, FederatedUser, WebIdentityUser, SAMLUser,
	// AWSAccount or AWSService; empty for service events, which have no caller.
	Type           string
	PrincipalID    string
	ARN            string
	AccountID      string
	AccessKeyID    string
	UserName       string
	SessionContext *SessionContext
	// InvokedBy is the host name of the service that made the call for the
	// user.
	InvokedBy string
	// IdentityProvider is whose token a WebIdentityUser brought, and the name qualifier
	// of a SAMLUser.
	IdentityProvider string
}

// SessionContext describes temporary credentials.
type SessionContext struct {
	SessionIssuer *SessionIssuer
	// CreationDate is when the credentials were issued.
	CreationDate     time.Time
	MFAAuthenticated bool
	SourceIdentity   string
	// Provider is the identity provider that a session came from; empty for others.
	Provider string
}

// SessionIssuer is whose rights a session has: the role, the user or the root.
type SessionIssuer struct {
	Type        string // Role, IAMUser or Root
	PrincipalID string
	ARN         string
	AccountID   string
	UserName    string
}

// Resource is one thing that the call was about.
type Resource struct {
	AccountID string
	Type      string // "AWS::KMS::Key"
	ARN       string
}

// TLSDetails describes the connection.
type TLSDetails struct {
	TLSVersion               string // "TLSv1.3"
	CipherSuite              string
	ClientProvidedHostHeader string
}

const eventVersion = "1.11"

// AppendJSON appends the record to dst as one line of JSON, without a line end,
// with CloudTrail's members in CloudTrail's order, and returns the extended
// slice. The result is a JSON object of at most [MaxRecord] bytes as long as
// the four JSON values are JSON.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"eventVersion":"`+eventVersion+`","userIdentity":`...)
	dst = r.UserIdentity.appendJSON(dst)
	dst = append(dst, `,"eventTime":`...)
	dst = appendTime(dst, r.EventTime)
	dst = appendMember(dst, `,"eventSource":`, r.EventSource, MaxText)
	dst = appendMember(dst, `,"eventName":`, r.EventName, MaxText)
	dst = appendMember(dst, `,"awsRegion":`, r.AWSRegion, MaxText)
	dst = append(dst, `,"sourceIPAddress":`...)
	if ip := r.SourceIP.WithZone(""); ip.IsValid() {
		dst = append(dst, '"')
		dst = ip.AppendTo(dst)
		dst = append(dst, '"')
	} else {
		dst = appendText(dst, r.SourceIPAddress, MaxText)
	}
	dst = appendMember(dst, `,"userAgent":`, r.UserAgent, MaxUserAgent)
	dst = appendMember(dst, `,"errorCode":`, r.ErrorCode, MaxText)
	dst = appendMember(dst, `,"errorMessage":`, r.ErrorMessage, MaxErrorMessage)
	dst = append(dst, `,"requestParameters":`...)
	dst = appendValue(dst, r.RequestParameters, "requestParameters", MaxRequestParameters)
	dst = append(dst, `,"responseElements":`...)
	dst = appendValue(dst, r.ResponseElements, "responseElements", MaxResponseElements)
	if len(r.AdditionalEventData) > 0 {
		dst = append(dst, `,"additionalEventData":`...)
		dst = appendValue(dst, r.AdditionalEventData, "additionalEventData", MaxAdditionalEventData)
	}
	dst = appendMember(dst, `,"requestID":`, r.RequestID, MaxText)
	dst = append(dst, `,"eventID":"`...)
	dst = r.EventID.Append(dst)
	dst = append(dst, `","readOnly":`...)
	dst = strconv.AppendBool(dst, r.ReadOnly)
	dst = appendResources(dst, r.Resources)
	dst = appendMember(dst, `,"eventType":`, r.EventType, MaxText)
	dst = append(dst, `,"managementEvent":true`...)
	dst = appendMember(dst, `,"recipientAccountId":`, r.RecipientAccountID, MaxText)
	dst = appendMember(dst, `,"sharedEventID":`, r.SharedEventID, MaxText)
	if len(r.ServiceEventDetails) > 0 {
		dst = append(dst, `,"serviceEventDetails":`...)
		dst = appendValue(dst, r.ServiceEventDetails, "serviceEventDetails", MaxServiceEventDetails)
	}
	dst = append(dst, `,"eventCategory":"Management"`...)
	if t := r.TLSDetails; t != nil {
		dst = append(dst, `,"tlsDetails":{`...)
		dst = appendMember(dst, `,"tlsVersion":`, t.TLSVersion, MaxText)
		dst = appendMember(dst, `,"cipherSuite":`, t.CipherSuite, MaxText)
		dst = appendMember(dst, `,"clientProvidedHostHeader":`, t.ClientProvidedHostHeader, MaxText)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func (u *UserIdentity) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = appendMember(dst, `,"type":`, u.Type, MaxText)
	dst = appendMember(dst, `,"principalId":`, u.PrincipalID, MaxText)
	dst = appendMember(dst, `,"arn":`, u.ARN, MaxText)
	dst = appendMember(dst, `,"accountId":`, u.AccountID, MaxText)
	dst = appendMember(dst, `,"accessKeyId":`, u.AccessKeyID, MaxText)
	dst = appendMember(dst, `,"userName":`, u.UserName, MaxText)
	if s := u.SessionContext; s != nil {
		dst = appendName(dst, `,"sessionContext":`)
		dst = s.appendJSON(dst)
	}
	dst = appendMember(dst, `,"invokedBy":`, u.InvokedBy, MaxText)
	dst = appendMember(dst, `,"identityProvider":`, u.IdentityProvider, MaxText)
	return append(dst, '}')
}

func (s *SessionContext) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if i := s.SessionIssuer; i != nil {
		dst = append(dst, `"sessionIssuer":{`...)
		dst = appendMember(dst, `,"type":`, i.Type, MaxText)
		dst = appendMember(dst, `,"principalId":`, i.PrincipalID, MaxText)
		dst = appendMember(dst, `,"arn":`, i.ARN, MaxText)
		dst = appendMember(dst, `,"accountId":`, i.AccountID, MaxText)
		dst = appendMember(dst, `,"userName":`, i.UserName, MaxText)
		dst = append(dst, '}')
	}
	if s.Provider != "" {
		dst = appendName(dst, `,"webIdFederationData":`)
		dst = append(dst, '{')
		dst = appendMember(dst, `,"federatedProvider":`, s.Provider, MaxText)
		dst = append(dst, `,"attributes":{}}`...)
	}
	dst = appendName(dst, `,"attributes":`)
	dst = append(dst, `{"creationDate":`...)
	dst = appendTime(dst, s.CreationDate)
	// CloudTrail writes this boolean as a string.
	dst = append(dst, `,"mfaAuthenticated":"`...)
	dst = strconv.AppendBool(dst, s.MFAAuthenticated)
	dst = append(dst, `"}`...)
	dst = appendMember(dst, `,"sourceIdentity":`, s.SourceIdentity, MaxText)
	return append(dst, '}')
}

func appendResources(dst []byte, resources []Resource) []byte {
	if len(resources) == 0 {
		return dst
	}
	dst = append(dst, `,"resources":[`...)
	for i, r := range resources[:min(len(resources), MaxResources)] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = appendMember(dst, `,"accountId":`, r.AccountID, MaxText)
		dst = appendMember(dst, `,"type":`, r.Type, MaxText)
		dst = appendMember(dst, `,"ARN":`, r.ARN, MaxText)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendTime appends t in UTC with whole seconds, in quotes.
func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05Z")
	return append(dst, '"')
}

// appendMember appends a member unless its text is empty. name comes with its
// quotes and colon and with a leading comma, which falls away at the start of
// an object.
func appendMember(dst []byte, name, text string, limit int) []byte {
	if text == "" {
		return dst
	}
	return appendText(appendName(dst, name), text, limit)
}

func appendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] == '{' {
		name = name[1:]
	}
	return append(dst, name...)
}

// checkRecord reports why r cannot stand in the journal. It is a last guard
// against a fault of our own, cheap enough to run on each record.
func checkRecord(r []byte) error {
	switch {
	case len(r) > MaxRecord:
		return fmt.Errorf("%d bytes, more than %d", len(r), MaxRecord)
	case len(r) <= len("{}") || r[0] != '{' || r[len(r)-1] != '}':
		return errors.New("not a JSON object with members")
	case !oneLine(r):
		return errors.New("more than one line")
	}
	return nil
}
