package kms

import (
	"io"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	eventSource = "kms.amazonaws.com"
	// internalCaller is who CloudTrail says did what nobody asked for.
	internalCaller = "AWS Internal"
)

// serviceEvents makes the audit records of what the service does by itself
// (kms.md §19, AwsServiceEvent). It is made outside of a commit, so that a commit
// that runs again makes the same records.
type serviceEvents struct {
	at time.Time
	id [16]byte
}

func (s *Service) newEvents() (*serviceEvents, error) {
	e := &serviceEvents{at: s.Clock.Now()}
	_, err := io.ReadFull(s.Rand, e.id[:])
	return e, err
}

// add puts a record into a commit, its n-th. details is a JSON object.
func (e *serviceEvents) add(tx *store.Tx, n int, k *key, name, details string) error {
	record := e.record(n, k.Account, k.Region, k.ARN, name)
	record.ServiceEventDetails = []byte(details)
	return tx.Append(record.AppendJSON(nil))
}

// synchronization is the place of a synchronisation's record in its commit, behind
// all others.
const synchronization = 255

// addSynchronization records that the keys of a multi-Region key were brought to
// one state. The record names the primary key alone.
func (e *serviceEvents) addSynchronization(tx *store.Tx, of *keyRecord) error {
	if !of.inSeveralRegions() {
		return nil
	}
	region := of.MultiRegion.Primary
	arn := keyARN(authz.PartitionOf(region), region, of.Account, of.ID)
	record := e.record(synchronization, of.Account, region, arn, "SynchronizeMultiRegionKey")
	record.ResponseElements = []byte(`{"keyId":"` + arn + `"}`)
	return tx.Append(record.AppendJSON(nil))
}

// addCall records a call's effect in another region than its own, as an event of
// that name there.
func (e *serviceEvents) addCall(tx *store.Tx, n int, call *authz.Call, k *key, name string, request, response []byte) error {
	record := e.record(n, k.Account, k.Region, k.ARN, name)
	record.UserIdentity = call.Identity()
	record.EventTime = call.Time
	record.RequestID = call.RequestID
	if call.SourceIP.IsValid() {
		record.SourceIPAddress = call.SourceIP.String()
	}
	record.RequestParameters, record.ResponseElements = request, response
	record.EventType = journal.AwsApiCall
	return tx.Append(record.AppendJSON(nil))
}

func (e *serviceEvents) record(n int, account, region, arn, name string) *journal.Record {
	return &journal.Record{
		UserIdentity:       journal.UserIdentity{AccountID: account, InvokedBy: internalCaller},
		EventTime:          e.at,
		EventSource:        eventSource,
		EventName:          name,
		AWSRegion:          region,
		SourceIPAddress:    internalCaller,
		UserAgent:          internalCaller,
		EventID:            e.eventID(n),
		Resources:          []journal.Resource{{AccountID: account, Type: keyResource, ARN: arn}},
		EventType:          journal.AwsServiceEvent,
		RecipientAccountID: account,
	}
}

// eventID returns the id of the n-th record, n < 256.
func (e *serviceEvents) eventID(n int) journal.UUID {
	id := e.id
	id[len(id)-1] ^= byte(n)
	return journal.NewUUID(id)
}
