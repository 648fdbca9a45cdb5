package iam

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// accessJobRecord is a report about last accesses that was asked for. Nothing is
// worked out ahead: whoever fetches it gets what the audit trail held when it was
// asked for, for what the policies allow now. The records of an account are a ring:
// their ids are numbers below maxAccessJobs, and a new one takes the oldest's place.
type accessJobRecord struct {
	// Job is the report's id, which begins with the record's.
	Job string `json:"job"`
	// ARN is what it is about; ID its unique id, empty for a managed policy.
	ARN         string                                `json:"arn"`
	ID          string                                `json:"id,omitempty"`
	Granularity api.AccessAdvisorUsageGranularityType `json:"granularity"`
	Created     time.Time                             `json:"created"`
}

// accessJobsRecord counts the reports that an account has asked for. Its only id is
// [settingsID].
type accessJobsRecord struct {
	Asked uint64 `json:"asked"`
}

// maxAccessJobs is how many reports of an account there are at a time.
const maxAccessJobs = 10_000

var (
	accessJobRecords  = store.NewCollection[accessJobRecord]("iam-access-job", 1)
	accessJobsRecords = store.NewCollection[accessJobsRecord]("iam-access-jobs", 1)
)

// accessSubject is what a report is about: one identity, or a managed policy.
type accessSubject struct {
	identity *compiledIdentity
	arn      string
}

// accessSubject finds the user, group, role or managed policy with that ARN.
func (s *Service) accessSubject(ctx context.Context, account, arn string) (*accessSubject, error) {
	found, err := s.identityByARN(ctx, account, arn)
	if err == nil {
		return &accessSubject{identity: found, arn: arn}, nil
	}
	if isNotFound(err) {
		if _, err = s.managedPolicy(ctx, account, arn); err == nil {
			return &accessSubject{arn: arn}, nil
		}
	}
	if isNotFound(err) {
		err = notThere(arn)
	}
	return nil, err
}

// GenerateServiceLastAccessedDetails asks for a report of when a user, group, role or
// policy was last used, and for which services.
func (s *Service) GenerateServiceLastAccessedDetails(ctx context.Context, call *authz.Call, in *api.GenerateServiceLastAccessedDetailsInput) (*api.GenerateServiceLastAccessedDetailsOutput, error) {
	if err := s.authorize(ctx, call, "", in.Arn, nil); err != nil {
		return nil, err
	}
	account := call.Principal.Account
	subject, err := s.accessSubject(ctx, account, in.Arn)
	if err != nil {
		return nil, err
	}
	record := accessJobRecord{ARN: in.Arn, Granularity: in.Granularity, Created: now(call)}
	if record.Granularity == "" {
		record.Granularity = api.AccessAdvisorUsageGranularityTypeServiceLevel
	}
	if subject.identity != nil {
		record.ID = subject.identity.ID
	}
	var random [12]byte
	if _, err := io.ReadFull(s.Rand, random[:]); err != nil {
		return nil, err
	}
	tail := hex.EncodeToString(random[:])
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.GenerateServiceLastAccessedDetailsOutput, error) {
		jobs, err := accessJobsRecords.Get(tx, scopeOf(account), settingsID)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		id := fmt.Sprintf("%08x", jobs.Asked%maxAccessJobs)
		jobs.Asked++
		record.Job = id + "-" + tail[:4] + "-" + tail[4:8] + "-" + tail[8:12] + "-" + tail[12:]
		if err := accessJobsRecords.Put(tx, scopeOf(account), settingsID, jobs); err != nil {
			return nil, err
		}
		return &api.GenerateServiceLastAccessedDetailsOutput{JobId: record.Job}, accessJobRecords.Put(tx, scopeOf(account), id, record)
	})
}

// accessJob asks for permission and returns a report that was asked for, with what
// it is about now.
func (s *Service) accessJob(ctx context.Context, call *authz.Call, id string) (*accessJobRecord, *accessSubject, error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, nil, err
	}
	account := call.Principal.Account
	slot, _, _ := strings.Cut(id, "-")
	var job accessJobRecord
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		job, err = accessJobRecords.Get(r, scopeOf(account), slot)
		return err
	})
	if isNotFound(err) || errors.Is(err, store.ErrKey) || err == nil && job.Job != id {
		return nil, nil, api.NoSuchEntityException("The job with id " + id + " cannot be found.")
	}
	if err != nil {
		return nil, nil, err
	}
	arn := job.ARN
	if job.ID != "" { // it may have been renamed since
		i, err := s.identities.Get(ctx, scopeOf(account), job.ID)
		if isNotFound(err) {
			return nil, nil, notThere(job.ARN)
		}
		if err != nil {
			return nil, nil, err
		}
		arn = i.ARN
	}
	subject, err := s.accessSubject(ctx, account, arn)
	return &job, subject, err
}

// documents are the policies that give the subject what it may do.
func (s *Service) documents(ctx context.Context, account string, subject *accessSubject) ([]*policy.Document, error) {
	if subject.identity == nil {
		p, err := s.managedPolicy(ctx, account, subject.arn)
		if err != nil {
			return nil, err
		}
		return []*policy.Document{p.identity}, nil
	}
	given, err := s.givenPolicies(ctx, account, subject.identity)
	var documents []*policy.Document
	for _, g := range given {
		documents = append(documents, g.document)
	}
	return documents, err
}

// entities are the users and roles that could have used what the subject allows.
func (s *Service) entities(ctx context.Context, account string, subject *accessSubject) ([]*identity, error) {
	if i := subject.identity; i != nil && i.Kind != groupKind {
		return []*identity{i.identity}, nil
	}
	var all []*identity
	seen := map[string]bool{}
	add := func(i *identity) {
		if !seen[i.ID] {
			seen[i.ID] = true
			all = append(all, i)
		}
	}
	err := s.Store.View(ctx, func(r store.Reader) error {
		all, seen = nil, map[string]bool{}
		members := func(group string) error {
			users, err := s.members(r, account, group)
			for _, u := range users {
				add(u)
			}
			return err
		}
		if subject.identity != nil {
			return members(subject.identity.ID)
		}
		items, _, err := identityRecords.ScanIndex(r, scopeOf(account), byPolicy, subject.arn, "", maxCounted)
		if err != nil {
			return err
		}
		for _, item := range items {
			if item.Value.Kind != groupKind {
				add(s.identityOf(account, item))
			} else if err := members(item.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// access is an entity and when it last used a service; a zero time for never.
type access struct {
	*identity
	Use
}

// accesses tells of each entity when it last used a service, until the report was
// asked for, the newest first.
func (s *Service) accesses(ctx context.Context, call *authz.Call, job *accessJobRecord, entities []*identity, service string) ([]access, error) {
	all := make([]access, len(entities))
	for n, i := range entities {
		use, _, err := s.Uses.LastAccess(ctx, call.Principal.Account, i.ID, []string{service}, job.Created.Add(-trackedFor), job.Created)
		if err != nil {
			return nil, err
		}
		all[n] = access{i, use}
	}
	slices.SortFunc(all, func(a, b access) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// GetServiceLastAccessedDetails lists the services that the policies of what a report
// is about allow something of, by their namespaces, with the newest use of each.
func (s *Service) GetServiceLastAccessedDetails(ctx context.Context, call *authz.Call, in *api.GetServiceLastAccessedDetailsInput) (*api.GetServiceLastAccessedDetailsOutput, error) {
	job, subject, err := s.accessJob(ctx, call, in.JobId)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	account := call.Principal.Account
	documents, err := s.documents(ctx, account, subject)
	if err != nil {
		return nil, err
	}
	entities, err := s.entities(ctx, account, subject)
	if err != nil {
		return nil, err
	}
	reached := slices.DeleteFunc(servedNamespaces(), func(namespace string) bool { return !reaches(documents, namespace) })
	reached, truncated, marker := cut(p, reached, func(namespace string) string { return namespace })
	out := &api.GetServiceLastAccessedDetailsOutput{
		JobStatus: api.JobStatusTypeCompleted, JobType: job.Granularity, JobCreationDate: job.Created, JobCompletionDate: job.Created,
		ServicesLastAccessed: []api.ServiceLastAccessed{}, IsTruncated: truncated, Marker: marker,
	}
	for _, namespace := range reached {
		accesses, err := s.accesses(ctx, call, job, entities, namespace)
		if err != nil {
			return nil, err
		}
		shown := api.ServiceLastAccessed{ServiceName: ServiceName(namespace), ServiceNamespace: namespace, TotalAuthenticatedEntities: new(int32)}
		for _, a := range accesses {
			if !a.Time.IsZero() {
				*shown.TotalAuthenticatedEntities++
			}
		}
		if *shown.TotalAuthenticatedEntities > 0 {
			newest := accesses[0]
			shown.LastAuthenticated, shown.LastAuthenticatedEntity, shown.LastAuthenticatedRegion = &newest.Time, newest.ARN, newest.Region
		}
		out.ServicesLastAccessed = append(out.ServicesLastAccessed, shown)
	}
	return out, nil
}

func reaches(documents []*policy.Document, service string) bool {
	return slices.ContainsFunc(documents, func(d *policy.Document) bool { return d.Reaches(service) })
}

// GetServiceLastAccessedDetailsWithEntities lists the users and roles that could have
// used a service by what a report is about, whoever used it last first.
func (s *Service) GetServiceLastAccessedDetailsWithEntities(ctx context.Context, call *authz.Call, in *api.GetServiceLastAccessedDetailsWithEntitiesInput) (*api.GetServiceLastAccessedDetailsWithEntitiesOutput, error) {
	job, subject, err := s.accessJob(ctx, call, in.JobId)
	if err != nil {
		return nil, err
	}
	if ServiceName(in.ServiceNamespace) == "" {
		return nil, invalidInput("The service namespace %s is not one of: %s.", in.ServiceNamespace, strings.Join(servedNamespaces(), ", "))
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	account := call.Principal.Account
	entities, err := s.entities(ctx, account, subject)
	if err != nil {
		return nil, err
	}
	accesses, err := s.accesses(ctx, call, job, entities, in.ServiceNamespace)
	if err != nil {
		return nil, err
	}
	// The key grows from the newest use to the oldest, and ends with those without.
	accesses, truncated, marker := cut(p, accesses, func(a access) string {
		if a.Time.IsZero() {
			return "~" + a.ID
		}
		return fmt.Sprintf("%012d/%s", job.Created.Unix()-a.Time.Unix(), a.ID)
	})
	out := &api.GetServiceLastAccessedDetailsWithEntitiesOutput{
		JobStatus: api.JobStatusTypeCompleted, JobCreationDate: job.Created, JobCompletionDate: job.Created,
		EntityDetailsList: []api.EntityDetails{}, IsTruncated: truncated, Marker: marker,
	}
	for _, a := range accesses {
		out.EntityDetailsList = append(out.EntityDetailsList, api.EntityDetails{
			EntityInfo:        &api.EntityInfo{Arn: a.ARN, Name: a.Name, Type: ownerTypes[a.Kind], Id: a.ID, Path: a.Path},
			LastAuthenticated: timeOrNil(a.Time),
		})
	}
	return out, nil
}

var ownerTypes = map[kind]api.PolicyOwnerEntityType{
	userKind: api.PolicyOwnerEntityTypeUser, groupKind: api.PolicyOwnerEntityTypeGroup, roleKind: api.PolicyOwnerEntityTypeRole,
}
