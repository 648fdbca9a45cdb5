package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// scrape returns the metrics of a server, by series.
func scrape(t *testing.T, s *Server) map[string]string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(s.cfg.DataDir, metricsTokenFile))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.MetricsAddr().String()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, text)
	}
	series := map[string]string{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "} "); ok {
			series[name+"}"] = value
		} else if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			series[name] = value
		}
	}
	return series
}

// TestMetricsOfAServer makes calls that end in different ways and looks for them, and
// for what nobody who watches may learn.
func TestMetricsOfAServer(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	cfg.Metrics = "127.0.0.1:0"
	cfg.AuditShip = []string{"file:" + filepath.Join(t.TempDir(), "shipped")}
	s := mustStart(t, cfg)
	_, created := post(t, s, "CreateKey", "{}")
	_, rest, _ := strings.Cut(created, `"KeyId":"`)
	id := rest[:36]
	for range 3 {
		post(t, s, "Encrypt", `{"KeyId":"`+id+`","Plaintext":"AAAA"}`)
	}
	post(t, s, "Encrypt", `{"KeyId":"alias/none","Plaintext":"AAAA"}`)
	if _, err := http.Post(s.URL()+"/", "application/x-amz-json-1.1", strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, s)
	for series, want := range map[string]string{
		`strongroom_calls_total{operation="CreateKey",outcome="succeeded",service="kms"}`:         "1",
		`strongroom_calls_total{operation="Encrypt",outcome="succeeded",service="kms"}`:           "3",
		`strongroom_calls_total{operation="Encrypt",outcome="refused",service="kms"}`:             "1",
		`strongroom_calls_total{operation="Encrypt",outcome="denied",service="kms"}`:              "0",
		`strongroom_call_duration_seconds_count{operation="Encrypt",service="kms"}`:               "4",
		`strongroom_unauthenticated_refusals_total{code="MissingAuthenticationTokenException"}`:   "1",
		`strongroom_keys{region="us-east-1"}`:                                                     "1",
		`strongroom_keys{region="eu-west-1"}`:                                                     "0",
		`strongroom_ready`:                                                                        "1",
		`strongroom_disk_hangs`:                                                                   "0",
		`strongroom_ship_failing{sink="` + strings.ReplaceAll(cfg.AuditShip[0], `\`, `\\`) + `"}`: "0",
		`strongroom_commit_refusals_total`:                                                        "0",
		`strongroom_cache_entries{cache="kms-keys"}`:                                              "1",
	} {
		if got[series] != want {
			t.Errorf("%s is %q, want %s", series, got[series], want)
		}
	}
	for _, name := range []string{"strongroom_commit_duration_seconds_count", "strongroom_journal_frames_total", "strongroom_audit_records_total", "go_goroutines", "process_open_fds"} {
		if got[name] == "" || got[name] == "0" {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	credentials, err := os.ReadFile(s.CredentialsFile())
	if err != nil {
		t.Fatal(err)
	}
	secrets := append(credentialsForm.FindStringSubmatch(string(credentials))[1:], id, cfg.Account)
	for series := range got {
		if slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(series, secret) }) {
			t.Errorf("%s says whose it is", series)
		}
	}
	// Every name is in the table of docs/operations.md.
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	for series := range got {
		name, _, _ := strings.Cut(series, "{")
		name = suffix.ReplaceAllString(name, "")
		if strings.HasPrefix(name, "strongroom_") && !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/operations.md lacks %s", name)
		}
	}
}

func TestMetricsTokenIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	cfg := config(t, dir)
	cfg.Metrics = "127.0.0.1:0"
	s := mustStart(t, cfg)
	path := filepath.Join(dir, metricsTokenFile)
	before, err := os.ReadFile(path)
	if err != nil || len(before) < 32 {
		t.Fatalf("%d bytes, %v", len(before), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s, %v", info.Mode(), err)
	}
	mustStop(t, s)
	mustStop(t, mustStart(t, cfg))
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("another start makes another token: %v", err)
	}
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "5 characters") {
		t.Errorf("a short token: %v", err)
	}
}

// TestMetricsOverMutualTLS: who has a certificate of the authority needs no token, and
// nobody else gets through the handshake.
func TestMetricsOverMutualTLS(t *testing.T) {
	dir := t.TempDir()
	authority, authorityKey := certified(t, "authority", nil, nil)
	serving, servingKey := certified(t, "localhost", authority, authorityKey)
	scraper, scraperKey := certified(t, "scraper", authority, authorityKey)
	stranger, strangerKey := certified(t, "stranger", nil, nil)
	cfg := config(t, filepath.Join(dir, "data"))
	cfg.Metrics, cfg.MetricsClientCA = "127.0.0.1:0", filepath.Join(dir, "ca.pem")
	cfg.MetricsTLSCert, cfg.MetricsTLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, cfg.MetricsClientCA, "CERTIFICATE", authority.Raw)
	writePEM(t, cfg.MetricsTLSCert, "CERTIFICATE", serving.Raw)
	der, err := x509.MarshalPKCS8PrivateKey(servingKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, cfg.MetricsTLSKey, "PRIVATE KEY", der)
	s := mustStart(t, cfg)
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	get := func(certificates ...tls.Certificate) (int, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: certificates}, DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: transport}).Get("https://" + s.MetricsAddr().String() + "/metrics")
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, nil
	}
	if status, err := get(tls.Certificate{Certificate: [][]byte{scraper.Raw}, PrivateKey: scraperKey}); status != http.StatusOK {
		t.Errorf("with a certificate: %d, %v", status, err)
	}
	if status, err := get(tls.Certificate{Certificate: [][]byte{stranger.Raw}, PrivateKey: strangerKey}); err == nil {
		t.Errorf("with another authority's: %d", status)
	}
	if status, err := get(); err == nil {
		t.Errorf("without one: %d", status)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, metricsTokenFile)); err == nil {
		t.Error("there is a token that nothing takes")
	}
}

// certified makes a certificate for name, signed by issuer or, without one, by itself.
func certified(t *testing.T, name string, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := machineClock.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), DNSNames: []string{name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: issuer == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
