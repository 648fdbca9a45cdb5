// Package strongroomtest starts a real Strongroom inside a Go test:
//
//	func TestEnvelope(t *testing.T) {
//		kms := strongroomtest.Start(t)
//		client := awskms.New(awskms.Options{
//			BaseEndpoint: &kms.URL,
//			Region:       kms.Region,
//			Credentials:  credentials.NewStaticCredentialsProvider(kms.AccessKeyID, kms.SecretAccessKey, ""),
//		})
//		…
//	}
//
// It is the same server as the daemon's, with its store, its audit trail and its
// authorization, as a dev server on a free port of the loopback interface. It
// stops, and its data goes, when the test ends.
package strongroomtest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/server"
)

// Server is a running Strongroom.
type Server struct {
	// URL is the endpoint: "http://127.0.0.1:PORT".
	URL string
	// Account is the account of the credentials, Region its first region.
	Account, Region string
	// AccessKeyID and SecretAccessKey are the root's of Account. Any 12-digit
	// access key id is the root of that account, with any secret.
	AccessKeyID, SecretAccessKey string

	server *server.Server
}

// Option changes how a server is started.
type Option func(*server.Config)

// WithRegions gives the server other regions than us-east-1; the first one is the
// default.
func WithRegions(regions ...string) Option {
	return func(c *server.Config) { c.Regions = regions }
}

// WithAccount gives the credentials another account than 000000000000.
func WithAccount(account string) Option {
	return func(c *server.Config) { c.Account = account }
}

// Start starts a server and stops it when the test ends. A server that cannot
// start fails the test.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	cfg := server.Config{
		DataDir: tb.TempDir() + "/data",
		Listen:  "127.0.0.1:0",
		Account: "000000000000",
		Regions: []string{"us-east-1"},
		Seal:    "file",
		Store:   "pebble",
		Dev:     true,
		Log:     slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, option := range options {
		option(&cfg)
	}
	s, err := server.Start(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("strongroomtest: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Errorf("strongroomtest: stopping: %v", err)
		}
	})
	return &Server{
		URL: s.URL(), Account: cfg.Account, Region: cfg.Regions[0],
		AccessKeyID: "test", SecretAccessKey: "test",
		server: s,
	}
}

const stopWithin = time.Minute

// Advance moves the server's clock ahead: waiting periods end, schedules fall
// due. The age of signatures is still judged by the machine's clock.
func (s *Server) Advance(d time.Duration) { s.server.Clock().Advance(d) }
