package postgres_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
	"github.com/strongroom/strongroom/internal/store/postgres/postgrestest"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

var shared, stopShared = postgrestest.Shared()

func TestMain(m *testing.M) {
	code := m.Run()
	stopShared()
	os.Exit(code)
}

var quiet = slog.New(slog.DiscardHandler)

// settings are those of a node of a test, over a database that need not be durable.
func settings(url, node string) postgres.Config {
	return postgres.Config{
		URL: url, Node: node, NotDurable: true, Poll: 20 * time.Millisecond, Rand: rand.Reader, Log: quiet,
		Timeout: time.Minute, // a machine may stand still
	}
}

func open(t *testing.T, cfg postgres.Config) *postgres.Backend {
	t.Helper()
	b, err := postgres.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestContract(t *testing.T) {
	server := shared(t)
	storetest.Run(t, func(t *testing.T) store.Backend { return open(t, settings(server.URL(t), "one")) })
}
