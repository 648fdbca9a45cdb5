package metrics

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
)

var quiet = slog.New(slog.DiscardHandler)

func serve(t *testing.T, cfg ServerConfig) (address string) {
	t.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

func get(t *testing.T, url, authorization string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestEveryPathWantsTheToken: what is not there, too.
func TestEveryPathWantsTheToken(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	address := serve(t, ServerConfig{Registry: New(), Log: quiet, Token: secret.Bytes(token)})
	paths := map[string]string{
		"/metrics": "go_goroutines", "/debug/pprof/": "heap", "/debug/pprof/heap?debug=1": "heap profile",
		"/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": "", "/debug/pprof/symbol": "num_symbols",
	}
	for path, want := range paths {
		if status, body := get(t, address+path, "Bearer "+token); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d without %q", path, status, want)
		}
	}
	paths["/"], paths["/nothing"] = "", ""
	for path := range paths {
		for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer " + token[:31], "Bearer " + token + "0", "bearer " + token, token, "Basic " + token} {
			if status, body := get(t, address+path, authorization); status != http.StatusUnauthorized || strings.Contains(body, "go_") {
				t.Errorf("%s with %q: %d", path, authorization, status)
			}
		}
	}
	if status, _ := get(t, address+"/nothing", "Bearer "+token); status != http.StatusNotFound {
		t.Errorf("what is not there: %d", status)
	}
}

func TestAServerWithoutALockIsRefused(t *testing.T) {
	for name, cfg := range map[string]ServerConfig{
		"nothing":                 {},
		"no token":                {Registry: New(), Log: quiet},
		"TLS, and no demand":      {Registry: New(), Log: quiet, TLS: &tls.Config{}},
		"certificates if they be": {Registry: New(), Log: quiet, TLS: &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven}},
	} {
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
