package xksproxy

import (
	"io"

	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/wire"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// EventSource is the source of the proxy's audit records.
const EventSource = "xks-proxy.strongroom.local"

// record is the audit record of an authenticated request: what the other KMS said of
// its own caller, under its own request id, and never what was encrypted.
func (s *Service) record(x *exchange, refused *xksapi.Error) ([]byte, error) {
	var id [16]byte
	if _, err := io.ReadFull(s.Rand, id[:]); err != nil {
		return nil, err
	}
	r := journal.Record{
		UserIdentity: journal.UserIdentity{
			Type: "AWSService", PrincipalID: "xks:" + x.store.Name, AccountID: x.store.Account,
			AccessKeyID: x.accessKeyID, InvokedBy: EventSource,
		},
		EventTime: s.Clock.Now(), EventSource: EventSource, EventName: x.operation,
		AWSRegion: x.store.Region, SourceIPAddress: x.raw.Remote.Addr().Unmap().String(),
		RequestID: x.requestID, EventID: journal.NewUUID(id), ReadOnly: true,
		EventType: journal.AwsApiCall, RecipientAccountID: x.store.Account,
		RequestParameters: x.parameters(),
	}
	if r.EventName == "" {
		r.EventName = "InvalidUriPath"
	}
	if agent, n := x.raw.Header("User-Agent"); n == 1 {
		r.UserAgent = agent
	}
	if t := x.raw.TLS; t != nil {
		r.TLSDetails = &journal.TLSDetails{TLSVersion: t.Version, CipherSuite: t.CipherSuite, ClientProvidedHostHeader: t.ServerName}
	}
	if x.keyARN != "" {
		r.Resources = []journal.Resource{{AccountID: x.store.Account, Type: "AWS::KMS::Key", ARN: x.keyARN}}
	}
	if refused != nil {
		r.ErrorCode, r.ErrorMessage = string(refused.Name), refused.Message
		if x.detail != "" {
			r.ErrorMessage += " (" + x.detail + ")"
		}
	}
	return r.AppendJSON(nil), nil
}

// parameters are the request's, without what is secret.
func (x *exchange) parameters() []byte {
	dst := wire.AppendString(wire.AppendName([]byte{'{'}, "externalKeyStore"), x.store.Name)
	if x.keyID != "" {
		dst = wire.AppendString(wire.AppendName(dst, "externalKeyId"), x.keyID)
	}
	if x.in != nil {
		dst = x.in.Metadata.AppendJSON(wire.AppendName(dst, "requestMetadata"))
	}
	return append(dst, '}')
}
