package xksproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/wire"
	"github.com/strongroom/strongroom/internal/xksapi"
)

const (
	signingName = "kms-xks-proxy"
	jsonType    = "application/json"
	healthPath  = "/healthz" // for load balancers
)

// exchange is one request on its way.
type exchange struct {
	raw         *wire.Request
	requestID   string // ours
	accessKeyID string
	store       *storeRecord
	operation   string
	keyID       string // external
	in          *xksapi.Request
	keyARN      string
	// detail says in the record what no answer tells.
	detail string
}

// Serve answers one request; it is a front.Handler.
func (s *Service) Serve(ctx context.Context, req *wire.Request, resp *wire.Response) {
	resp.ContentType = jsonType
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		if req.Target == healthPath {
			resp.Status, resp.ContentType, resp.Body = http.StatusOK, "text/plain", []byte("ok\n")
			return
		}
	}
	if req.Method != http.MethodPost {
		resp.Status, resp.ContentType, resp.Body = http.StatusMethodNotAllowed, "text/plain", []byte("POST only\n")
		resp.Headers = append(resp.Headers, wire.Header{Name: "Allow", Value: http.MethodPost})
		return
	}
	x := &exchange{raw: req}
	body, err := s.answer(ctx, x)
	if err != nil {
		refused := s.refusal(x, err)
		resp.Status, resp.Body = refused.Status(), refused.AppendJSON(nil)
	} else {
		resp.Status, resp.Body = http.StatusOK, body
	}
	if x.requestID != "" {
		resp.Headers = append(resp.Headers, wire.Header{Name: "x-amzn-RequestId", Value: x.requestID})
	}
}

// refusal is what a caller learns of an error.
func (s *Service) refusal(x *exchange, err error) *xksapi.Error {
	var refused *xksapi.Error
	if errors.As(err, &refused) {
		return refused
	}
	s.Log.Error("a request to the external key store proxy failed", "requestId", x.requestID, "operation", x.operation, "error", err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrUnknown) {
		return xksapi.Refuse(xksapi.DependencyTimeout, "")
	}
	return xksapi.Refuse(xksapi.Internal, "")
}

// errUnauthenticated is the one answer until a signature was right.
var errUnauthenticated = xksapi.Refuse(xksapi.AuthenticationFailed, "The request could not be authenticated.")

// errKilled answers for a store that is switched off.
var errKilled = xksapi.Refuse(xksapi.InvalidState, "The external key store is disabled.")

// answer takes a request through: authentication, then everything of which there is
// a record.
func (s *Service) answer(ctx context.Context, x *exchange) ([]byte, error) {
	var id [16]byte
	if _, err := io.ReadFull(s.Rand, id[:]); err != nil {
		return nil, err
	}
	x.requestID = uuid(id)
	if err := s.authenticate(ctx, x); err != nil {
		s.refused.add()
		return nil, err
	}
	body, err := s.act(ctx, x)
	var refused *xksapi.Error
	if err != nil {
		refused = s.refusal(x, err)
	}
	record, recordErr := s.record(x, refused)
	if recordErr != nil {
		return nil, recordErr
	}
	if err != nil {
		if recordErr := s.Store.Append(ctx, record); recordErr != nil {
			return nil, recordErr
		}
		return nil, refused
	}
	// In one commit with a look at the switch, the rules, the keys and the credential:
	// what is answered was asked before any of them was taken away.
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		refused = nil
		now, err := storeRecords.Get(tx, everywhere, x.store.Name)
		if errors.Is(err, store.ErrNotFound) || err == nil && now.Killed != nil {
			refused = errKilled
			return refused
		}
		if err != nil {
			return err
		}
		// Its health is everybody's to know who has a credential.
		if x.keyID != "" {
			if refused = x.refusedBy(&now); refused != nil {
				return refused
			}
		}
		_, err = credentialRecords.Get(tx, everywhere, x.accessKeyID)
		if errors.Is(err, store.ErrNotFound) {
			refused = errUnauthenticated
			return refused
		}
		if err != nil {
			return err
		}
		return tx.Append(record)
	})
	if refused == nil {
		return body, err
	}
	clear(body)
	if record, err = s.record(x, refused); err == nil {
		err = s.Store.Append(ctx, record)
	}
	return nil, errors.Join(err, refused)
}

// authenticate checks the signature and finds the store that its credential is of.
func (s *Service) authenticate(ctx context.Context, x *exchange) error {
	signature, err := sigv4.Parse(x.raw)
	if err != nil || signature.Scope.Service != signingName || signature.Presigned || signature.SessionToken != "" || len(signature.AccessKeyID) > maxAccessKeyID {
		return errUnauthenticated
	}
	credential, err := s.credentials.Get(ctx, everywhere, signature.AccessKeyID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	// A signature under an access key id that nobody has is verified too: the answer
	// takes about as long.
	known := secret.Bytes(unknownSecret)
	if credential != nil {
		if known, err = s.Secrets.Open(credential.Secret, secretBinding(credential.Store, signature.AccessKeyID)); err != nil {
			return err
		}
	}
	key := sigv4.SigningKey(secret.String(known), signature.Scope)
	known.Wipe()
	if signature.Verify(x.raw, key, s.SignatureClock.Now(), sigv4.Options{KeepPath: true}) != nil || credential == nil {
		return errUnauthenticated
	}
	found, err := s.stores.Get(ctx, everywhere, credential.Store)
	if errors.Is(err, store.ErrNotFound) {
		return errUnauthenticated
	}
	x.accessKeyID, x.store = strings.Clone(signature.AccessKeyID), found
	return err
}

// unknownSecret stands for the secret that an unknown access key id does not have.
const unknownSecret = "0000000000000000000000000000000000000000000"

// act does what an authenticated request asks for.
func (s *Service) act(ctx context.Context, x *exchange) ([]byte, error) {
	run, err := s.route(x)
	if err != nil {
		return nil, err
	}
	if x.in, err = xksapi.ParseRequest(x.raw.Body); err != nil {
		return nil, err
	}
	if x.store.Killed != nil {
		return nil, errKilled
	}
	return run(ctx, x)
}

// route finds the operation that a path names.
func (s *Service) route(x *exchange) (func(context.Context, *exchange) ([]byte, error), error) {
	invalid := xksapi.Refuse(xksapi.InvalidURIPath, "The URI path is not one of this external key store.")
	rest, ok := strings.CutPrefix(x.raw.Target, x.store.path())
	if !ok {
		return nil, invalid
	}
	if rest == "/health" {
		x.operation = "GetHealthStatus"
		return s.health, nil
	}
	rest, ok = strings.CutPrefix(rest, "/keys/")
	id, operation, found := strings.Cut(rest, "/")
	if !ok || !found || len(id) > 128 {
		return nil, invalid
	}
	x.keyID = strings.Clone(id)
	switch operation {
	case "metadata":
		x.operation = "GetKeyMetadata"
		return s.metadata, nil
	case "encrypt":
		x.operation = "Encrypt"
		return s.encrypt, nil
	case "decrypt":
		x.operation = "Decrypt"
		return s.decrypt, nil
	}
	return nil, invalid
}

// uuid spells 16 random bytes as a UUID of version 4.
func uuid(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
