package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strongroom/strongroom/internal/store"
)

// SQLSTATEs (PostgreSQL documentation, appendix A).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	diskFull             = "53100"
	queryCanceled        = "57014"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	uniqueViolation      = "23505"
	syntaxError          = "42601"
	duplicateTable       = "42P07"
	undefinedObject      = "42704"
	undefinedFunction    = "42883"
	featureNotSupported  = "0A000"
)

// state returns the SQLSTATE of an answer of the database; "" when err is none.
func state(err error) string {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}

// refusal is the store's word for a failure after which nothing is changed.
func refusal(doing string, err error) error {
	reason := store.ErrUnavailable
	switch state(err) {
	case serializationFailure, deadlockDetected:
		reason = store.ErrConflict
	case diskFull:
		reason = store.ErrFull
	}
	return fmt.Errorf("%w: %s: %v", reason, doing, err)
}
