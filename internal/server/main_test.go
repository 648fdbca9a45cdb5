package server

import (
	"os"
	"testing"

	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
)

// sharedPostgres starts the PostgreSQL of this package's tests when a test first asks.
var sharedPostgres, stopPostgres = postgrestest.Shared()

func TestMain(m *testing.M) {
	code := m.Run()
	stopPostgres()
	os.Exit(code)
}
