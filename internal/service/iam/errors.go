package iam

import (
	"errors"
	"fmt"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/awserr"
)

// errChanged says that what a call was authorised on has changed before its
// effect was made. The operation runs again from the start.
var errChanged = errors.New("iam: the entity changed after the call was authorised")

// maxRuns bounds how often an operation starts over.
const maxRuns = 10

// again runs an operation once more when it fails with errChanged.
func again[T any](operation func() (T, error)) (T, error) {
	var out T
	err := errChanged
	for run := 0; run < maxRuns && errors.Is(err, errChanged); run++ {
		out, err = operation()
	}
	if errors.Is(err, errChanged) {
		err = api.ConcurrentModificationException("The entity is being modified by another request. Try again.")
	}
	return out, err
}

func noSuchIdentity(k kind, name string) *awserr.Error {
	return api.NoSuchEntityException(fmt.Sprintf("The %s with name %s cannot be found.", k, name))
}

func noSuchInline(k kind, name string) *awserr.Error {
	return api.NoSuchEntityException(fmt.Sprintf("The %s policy with name %s cannot be found.", k, name))
}

func noSuchPolicy(arn string) *awserr.Error {
	return api.NoSuchEntityException("Policy " + arn + " was not found.")
}

func notAttachable(arn string) *awserr.Error {
	return api.NoSuchEntityException("Policy " + arn + " does not exist or is not attachable.")
}

func notThere(arn string) *awserr.Error {
	return api.NoSuchEntityException("The entity " + arn + " cannot be found.")
}

// quota is the refusal of what would go beyond a quota.
func quota(name string, limit int) *awserr.Error {
	return api.LimitExceededException(fmt.Sprintf("Cannot exceed quota for %s: %d", name, limit))
}
