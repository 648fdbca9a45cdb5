package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/strongroom/strongroom/internal/malloc"
	"github.com/strongroom/strongroom/internal/server"
)

type serveCmd struct {
	folder `embed:""`

	Listen  string   `setting:"" default:"127.0.0.1:4566" placeholder:"ADDR" help:"The address and port to listen on. Default: ${default}."`
	Account string   `setting:"" default:"000000000000" placeholder:"ID" help:"The account, 12 digits. Default: ${default}."`
	Regions []string `setting:"" default:"us-east-1" sep:"," placeholder:"A,B" help:"The regions, the default one first. Default: ${default}."`
	TLSCert string   `setting:"" name:"tls-cert" placeholder:"FILE" help:"The certificate and its chain, PEM. With it, HTTPS is spoken."`
	TLSKey  string   `setting:"" name:"tls-key" placeholder:"FILE" help:"The certificate's private key, PEM."`

	Limits           []string `setting:"" sep:"," placeholder:"A,B" help:"Quotas and request rates of accounts: aws for AWS's own, NAME=N, or ACCOUNT/NAME=N, where N may be off. Default: none but AWS's quotas per key."`
	AttestationRoots string   `setting:"" placeholder:"FILE" help:"The roots that attestation documents (Recipient) are trusted by, PEM. AWS publishes its own. Default: none, and such requests are refused."`
	SAMLAudience     []string `setting:"" name:"saml-audience" sep:"," placeholder:"A,B" help:"What SAML responses name as their audience and recipient. Default: AWS's sign-in endpoints and urn:amazon:webservices."`

	XKSListen     string   `setting:"" name:"xks-listen" placeholder:"ADDR" help:"The address and port on which to offer keys as external key stores, over TLS."`
	XKSTLSCert    string   `setting:"" name:"xks-tls-cert" placeholder:"FILE" help:"The certificate for that, and its chain, PEM."`
	XKSTLSKey     string   `setting:"" name:"xks-tls-key" placeholder:"FILE" help:"Its private key, PEM."`
	XKSClientCA   string   `setting:"" name:"xks-client-ca" placeholder:"FILE" help:"Answer only callers with a certificate of these authorities, PEM."`
	XKSClientName []string `setting:"" name:"xks-client-name" sep:"," placeholder:"A,B" help:"The names that such a certificate may have, as cks.kms.eu-west-1.amazonaws.com."`
	XKSRoute      []string `setting:"" name:"xks-route" sep:"," placeholder:"NAME=HOST:PORT" help:"Where the proxy of an external key store is, by its host's name or the name of a VPC endpoint service. Others must be at public addresses."`
	XKSCA         string   `setting:"" name:"xks-ca" placeholder:"FILE" help:"Authorities to trust for such proxies beside the system's, PEM."`
	XKSCert       string   `setting:"" name:"xks-cert" placeholder:"FILE" help:"The certificate to show to a proxy that asks for one, PEM."`
	XKSKey        string   `setting:"" name:"xks-key" placeholder:"FILE" help:"Its private key, PEM."`

	Metrics         string `setting:"" placeholder:"ADDR" help:"The address and port on which to show metrics (Prometheus) and profiles, to whoever has the token in DIR/metrics.token. Default: nowhere."`
	MetricsTLSCert  string `setting:"" name:"metrics-tls-cert" placeholder:"FILE" help:"The certificate for that, and its chain, PEM. Needed beyond loopback."`
	MetricsTLSKey   string `setting:"" name:"metrics-tls-key" placeholder:"FILE" help:"Its private key, PEM."`
	MetricsClientCA string `setting:"" name:"metrics-client-ca" placeholder:"FILE" help:"Ask for a client certificate of these authorities, PEM, instead of the token."`

	Dev          bool `setting:"" help:"Let the credentials test/test be the account's root, and open the dev endpoints. For development and tests only."`
	DevListenAny bool `setting:"" help:"Let a dev server listen beyond loopback, as a container needs."`
	InsecureHTTP bool `setting:"" name:"insecure-http" help:"Speak plain HTTP beyond loopback."`

	AuditShip []string `setting:"" sep:"," placeholder:"TO" help:"Ship audit records as JSON: stdout, file:PATH, syslog:unix:PATH, syslog:tcp:HOST:PORT; several with commas."`

	AuditRetention int `setting:"" placeholder:"DAYS" help:"Remove audit records after so many days, 90 at least. Default: they are kept for ever."`

	CachedKeys int `setting:"" default:"100000" placeholder:"N" help:"Keep so many keys in memory, some 200 bytes each, and 3 KB for each of the first 10,000; others are read when they are used. Default: ${default}."`

	AcceptChangedRecords bool `help:"Start although records were changed, removed or put back behind the server's back, and take them as they are: a key that was disabled or a right that was taken away may be back. Recorded in the audit trail."`

	AcceptEarlierClock bool `help:"Go by the machine's clock although the newest audit record is ahead of it: the clock was ahead by mistake, and was set right. Recorded in the audit trail."`

	LogFormat string `setting:"" default:"text" placeholder:"FORM" help:"The log's form on stderr: text or json. Default: ${default}."`
	LogLevel  string `setting:"" default:"info" placeholder:"LEVEL" help:"The least that is logged: debug, info, warn or error. Default: ${default}."`
}

func (serveCmd) Help() string {
	return `The first start makes the data folder, the root of its keys and the account's access key. When the server can serve, it prints one line on stdout: "strongroom: ready on " and its URL. SIGTERM and SIGINT finish what is under way; SIGINT after that ends the process at once. SIGHUP has the files of certificates read again at once, which happens by itself when they change.

Every flag is also an environment variable, as named below, and a line of the config file: "listen = 127.0.0.1:4566". The flag wins over the variable, the variable over the line.

Examples:

    strongroom serve
    strongroom serve --data /srv/strongroom --regions eu-central-1,eu-west-1
    strongroom serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
    strongroom serve --seal passphrase --seal-passphrase-file /run/credentials/strongroom
    strongroom serve --seal aws-kms --seal-kms-key alias/root --seal-kms-endpoint https://kms.example.com
    strongroom serve --seal tpm --seal-tpm-auth-file /run/credentials/strongroom
    strongroom serve --store 'postgres://strongroom@db.example.com/strongroom?sslmode=verify-full'
    strongroom serve --limits aws,symmetric=5000,111122223333/keys=200
    strongroom serve --metrics 127.0.0.1:9466
    strongroom serve --dev`
}

// shutdownGrace is how long what is under way may take to finish. It is less than
// the 30 seconds after which Kubernetes kills.
const shutdownGrace = 25 * time.Second

// errSecondSignal ends the process at once.
var errSecondSignal = errors.New("stopped at once by a second signal; what was under way may not be finished")

// insists tells whether a signal that is not the first means "at once". SIGINT
// does: somebody presses Ctrl-C again. A second SIGTERM may well be the first one
// again, sent to the process and then to its group, as timeout(1) does; and what
// it stops ends within shutdownGrace.
func insists(signal os.Signal) bool { return signal == os.Interrupt }

// Run implements the command.
func (c *serveCmd) Run(a *app) error {
	log, err := c.logger(a)
	if err != nil {
		return a.origins.explain(err)
	}
	slog.SetDefault(log) // for the last words of a store that fails
	cfg := c.config(log)
	cfg.Stdout = a.stdout
	cfg.Root.Ask = a.passphrase(c.Seal, c.SealPassphraseFile)
	if err := cfg.Validate(); err != nil {
		return a.origins.explain(err)
	}
	if err := a.lockMemory(); err != nil {
		log.Info("memory is not locked: keys in use could reach the swap, if there is any", "reason", err)
	}
	boundGarbage()
	signals := a.signals()
	s, err := startUp(a, cfg, signals)
	if err != nil || s == nil {
		return a.origins.explain(err)
	}
	if err := c.announce(a, s, log); err != nil {
		return errors.Join(err, shutDown(s, signals))
	}
	if err := notify(a.env, "READY=1\nSTATUS=serving on "+s.URL()); err != nil {
		log.Warn("the service manager cannot be told that the server is ready", "error", err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Wait() }()
	hangups := a.hangups()
	for serving := true; serving; {
		select {
		case err := <-stopped:
			if err == nil {
				err = errors.New("it has stopped by itself")
			}
			return fmt.Errorf("the server cannot go on: %w", err)
		case <-hangups:
			s.Reload()
		case signal := <-signals:
			log.Info("stopping", "signal", signal.String())
			serving = false
		}
	}
	if err := notify(a.env, "STOPPING=1"); err != nil {
		log.Warn("the service manager cannot be told that the server stops", "error", err)
	}
	if err := shutDown(s, signals); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// config is what the flags say.
func (c *serveCmd) config(log *slog.Logger) server.Config {
	return server.Config{
		DataDir: c.Data, Listen: c.Listen, Account: c.Account, Regions: trimmed(c.Regions), Seal: c.Seal, Root: c.rootSettings(), Store: c.Store, Database: c.database(),
		TLSCert: c.TLSCert, TLSKey: c.TLSKey,
		Limits: c.Limits, AttestationRoots: c.AttestationRoots, SAMLAudiences: trimmed(c.SAMLAudience), AcceptChangedRecords: c.AcceptChangedRecords, AcceptEarlierClock: c.AcceptEarlierClock,
		XKSListen: c.XKSListen, XKSTLSCert: c.XKSTLSCert, XKSTLSKey: c.XKSTLSKey, XKSClientCA: c.XKSClientCA, XKSClientNames: c.XKSClientName,
		XKSRoutes: c.XKSRoute, XKSCA: c.XKSCA, XKSCert: c.XKSCert, XKSKey: c.XKSKey,
		Dev: c.Dev, DevListenAny: c.DevListenAny, InsecureHTTP: c.InsecureHTTP,
		AuditShip: c.AuditShip, AuditRetention: c.AuditRetention, CachedKeys: c.CachedKeys,
		Metrics: c.Metrics, MetricsTLSCert: c.MetricsTLSCert, MetricsTLSKey: c.MetricsTLSKey, MetricsClientCA: c.MetricsClientCA,
		Log: log,
	}
}

// trimmed returns the entries of a list without white space around them.
func trimmed(list []string) []string {
	var all []string
	for _, entry := range list {
		all = append(all, strings.TrimSpace(entry))
	}
	return all
}

func (c *serveCmd) logger(a *app) (*slog.Logger, error) {
	var level slog.Level
	switch c.LogLevel {
	case "debug":
		level = slog.LevelDebug
	case "info":
		level = slog.LevelInfo
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	default:
		return nil, &server.SettingError{Setting: "log-level", Problem: fmt.Sprintf("there is no level %q; there are: debug, info, warn, error", c.LogLevel)}
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(a.stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, options)), nil
	}
	return nil, &server.SettingError{Setting: "log-format", Problem: fmt.Sprintf("there is no form %q; there are: text, json", c.LogFormat)}
}

// startUp starts the server. A signal that comes first stops the start: then
// there is no server, and no error either unless stopping has failed.
func startUp(a *app, cfg server.Config, signals <-chan os.Signal) (running, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type outcome struct {
		s   running
		err error
	}
	started := make(chan outcome, 1)
	go func() {
		s, err := a.start(ctx, cfg)
		started <- outcome{s, err}
	}()
	select {
	case o := <-started:
		return o.s, o.err
	case <-signals:
	}
	cancel()
	for {
		select {
		case o := <-started:
			switch {
			case o.err == nil:
				return nil, shutDown(o.s, signals)
			case errors.Is(o.err, context.Canceled):
				return nil, nil
			}
			return nil, o.err
		case signal := <-signals:
			if insists(signal) {
				return nil, errSecondSignal
			}
		}
	}
}

// shutDown finishes what is under way, unless another signal comes.
func shutDown(s running, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	for {
		select {
		case err := <-done:
			if errors.Is(err, context.DeadlineExceeded) {
				return &problem{
					what: fmt.Sprintf("what was under way did not finish within %s, and was broken off: %v", shutdownGrace, err),
					hint: "nothing that was acknowledged is lost; the next start goes on from there",
				}
			}
			return err
		case signal := <-signals:
			if insists(signal) {
				return errSecondSignal
			}
		}
	}
}

// announce says what relaxes security and how to use the server, on stderr, and
// then that it is ready, on stdout.
func (c *serveCmd) announce(a *app, s running, log *slog.Logger) error {
	file := absolute(s.CredentialsFile())
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) && c.Store != "pebble" {
		file = "credentials" // they are with the node that made the deployment
	}
	use := fmt.Sprintf("export AWS_SHARED_CREDENTIALS_FILE=%s AWS_ENDPOINT_URL=%s", shellQuote(file), s.URL())
	if c.LogFormat == "json" {
		for _, notice := range s.Notices() {
			log.Warn(notice)
		}
		log.Info("use it with the AWS CLI", "firstStart", s.FirstStart(), "run", use)
	} else {
		var text strings.Builder
		for _, notice := range s.Notices() {
			fmt.Fprintf(&text, "strongroom: WARNING: %s\n", notice)
		}
		if s.FirstStart() {
			fmt.Fprintf(&text, "strongroom: this is the first start; it has made the data folder %s,\n"+
				"with the root of its keys and the account's access key. Keep both safe.\n", c.Data)
		}
		fmt.Fprintf(&text, "To use it:\n    %s\n    aws kms list-keys\n", use)
		if _, err := a.stderr.Write([]byte(text.String())); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.stdout, "strongroom: ready on %s\n", s.URL())
	return err
}

// absolute is path for use in another folder, or path itself when the working
// directory is not known.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// shellQuote is s as one word of a POSIX shell's command.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
