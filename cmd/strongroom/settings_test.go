package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/server"
)

// serveConfig runs serve as far as the server's start, and returns what that was
// given.
func serveConfig(t *testing.T, args, env []string, config string) (server.Config, string) {
	t.Helper()
	s := newSession()
	s.env = env
	if config != "" {
		file := filepath.Join(t.TempDir(), "strongroom.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", file)
	}
	var got server.Config
	s.start = func(_ context.Context, cfg server.Config) (running, error) {
		got = cfg
		return nil, fmt.Errorf("far enough")
	}
	run(append([]string{"serve"}, args...), s.app)
	return got, s.err.String()
}

func TestWhoWins(t *testing.T) {
	tests := []struct {
		name      string
		args, env []string
		config    string
		want      string
	}{
		{"default", nil, nil, "", "127.0.0.1:4566"},
		{"file", nil, nil, "listen = 127.0.0.1:3", "127.0.0.1:3"},
		{"variable", nil, []string{"STRONGROOM_LISTEN=127.0.0.1:2"}, "", "127.0.0.1:2"},
		{"variable over file", nil, []string{"STRONGROOM_LISTEN=127.0.0.1:2"}, "listen = 127.0.0.1:3", "127.0.0.1:2"},
		{"flag over file", []string{"--listen", "127.0.0.1:1"}, nil, "listen = 127.0.0.1:3", "127.0.0.1:1"},
		{"flag over both", []string{"--listen", "127.0.0.1:1"}, []string{"STRONGROOM_LISTEN=127.0.0.1:2"}, "listen = 127.0.0.1:3", "127.0.0.1:1"},
		{"flag with the default's value", []string{"--listen", "127.0.0.1:4566"}, []string{"STRONGROOM_LISTEN=127.0.0.1:2"}, "listen = 127.0.0.1:3", "127.0.0.1:4566"},
		{"empty variable", nil, []string{"STRONGROOM_LISTEN="}, "listen = 127.0.0.1:3", "127.0.0.1:3"},
	}
	for _, test := range tests {
		cfg, stderr := serveConfig(t, test.args, test.env, test.config)
		if cfg.Listen != test.want {
			t.Errorf("%s: listen is %q, want %q; %s", test.name, cfg.Listen, test.want, stderr)
		}
	}
}

func TestEverySettingInEveryPlace(t *testing.T) {
	certDir := t.TempDir() // The files are missing, so that the check of them names them.
	want := server.Config{DataDir: "d", Listen: "0.0.0.0:0", Account: "123456789012", Regions: []string{"eu-west-1", "us-east-1"}, Seal: "file", Root: server.RootSettings{HSMHelper: helperCommand()}, Store: "pebble", Database: server.DatabaseSettings{Lease: 5 * time.Second, PlainTransport: true, NotDurable: true}, Limits: []string{"aws", "keys=5"}, SAMLAudiences: []string{"urn:o", "https://o/saml"}, Dev: true, DevListenAny: true, InsecureHTTP: true, AuditShip: []string{"stdout", "file:audit.jsonl"}, AuditRetention: 400, CachedKeys: 2000}
	values := [][2]string{{"data", "d"}, {"listen", "0.0.0.0:0"}, {"account", "123456789012"}, {"regions", "eu-west-1, us-east-1"}, {"seal", "file"}, {"store", "pebble"}, {"lease", "5s"}, {"store-plain-transport", "true"}, {"store-not-durable", "true"}, {"limits", "aws,keys=5"}, {"saml-audience", "urn:o, https://o/saml"}, {"dev", "true"}, {"dev-listen-any", "yes"}, {"insecure-http", "1"}, {"audit-ship", "stdout,file:audit.jsonl"}, {"audit-retention", "400"}, {"cached-keys", "2000"}, {"log-format", "json"}, {"log-level", "warn"}}
	var env []string
	var file strings.Builder
	file.WriteString("# everything\n\n")
	for _, v := range values {
		env = append(env, envName(v[0])+"="+v[1])
		fmt.Fprintf(&file, "  %s\t= %s  \r\n", v[0], v[1])
	}
	for name, run := range map[string]func() (server.Config, string){
		"environment": func() (server.Config, string) { return serveConfig(t, nil, env, "") },
		"config file": func() (server.Config, string) { return serveConfig(t, nil, nil, file.String()) },
	} {
		got, stderr := run()
		if got.Stdout == nil {
			t.Errorf("%s: there is no standard output to ship to", name)
		}
		got.Log, got.Stdout = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v; %s", name, got, want, stderr)
		}
	}
	for _, setting := range []string{"tls-cert", "tls-key"} {
		file := filepath.Join(certDir, setting)
		_, stderr := serveConfig(t, nil, []string{"STRONGROOM_TLS_CERT=" + file, "STRONGROOM_TLS_KEY=" + file}, "")
		if !strings.Contains(stderr, file) {
			t.Errorf("%s: %s", setting, stderr)
		}
	}
	roots := filepath.Join(certDir, "roots")
	if _, stderr := serveConfig(t, nil, []string{"STRONGROOM_ATTESTATION_ROOTS=" + roots}, ""); !strings.Contains(stderr, roots) {
		t.Errorf("attestation-roots: %s", stderr)
	}
	if got, stderr := serveConfig(t, nil, []string{"STRONGROOM_DEV=no"}, "dev = true"); got.Dev || got.Log == nil {
		t.Errorf("a variable that says no: %+v, %s", got, stderr)
	}
}

func TestTheConfigFileItself(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(file, []byte("account = 123456789012\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, stderr := serveConfig(t, nil, []string{"STRONGROOM_CONFIG=" + file}, ""); cfg.Account != "123456789012" {
		t.Errorf("by its variable: %+v, %s", cfg, stderr)
	}
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, make([]byte, maxConfigFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		long:                           "longer than",
		filepath.Dir(file):             "is a directory",
		filepath.Join(t.TempDir(), ""): "is a directory",
		"/no/such/file":                "no such file",
	} {
		if cfg, stderr := serveConfig(t, []string{"--config", path}, nil, ""); cfg.Log != nil || !strings.Contains(stderr, want) {
			t.Errorf("%s: started with %+v, %s", path, cfg, stderr)
		}
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	tests := []struct {
		name      string
		args, env []string
		config    string
		says      []string
	}{
		{"unknown variable", nil, []string{"STRONGROOM_LISTN=x"}, "", []string{"STRONGROOM_LISTN", "did you mean STRONGROOM_LISTEN?"}},
		{"unknown variable like none", nil, []string{"STRONGROOM_COLOUR_OF_THE_DOOR=x"}, "", []string{"STRONGROOM_COLOUR_OF_THE_DOOR sets nothing\n"}},
		{"unknown variable, empty", nil, []string{"STRONGROOM_LISTN="}, "", []string{"STRONGROOM_LISTN"}},
		{"variable in lower case", nil, []string{"STRONGROOM_listen=x"}, "", []string{"STRONGROOM_listen"}},
		{"a port that Kubernetes did not set", nil, []string{"STRONGROOM_PORT=4566"}, "", []string{"STRONGROOM_PORT"}},
		{"unknown key", nil, nil, "# c\n\nlistn = x\n", []string{"strongroom.conf line 3", `"listn"`, "did you mean listen?"}},
		{"the file in itself", nil, nil, "config = x", []string{"line 1", `"config"`}},
		{"key in upper case", nil, nil, "LISTEN = x", []string{"line 1", `"LISTEN"`}},
		{"key with dashes", nil, nil, "--listen = x", []string{"line 1", "did you mean listen?"}},
		{"no =", nil, nil, "dev", []string{"line 1", `"dev" has no =`}},
		{"no value", nil, nil, "\nlisten =", []string{"line 2", "no value"}},
		{"no key", nil, nil, "= x", []string{"line 1", `""`}},
		{"twice", nil, nil, "listen = 127.0.0.1:1\nlisten = 127.0.0.1:1", []string{"line 2", "the first is on line 1"}},
		{"not text", nil, nil, "listen = \xff", []string{"line 1", "not text"}},
		{"NUL", nil, nil, "listen = a\x00b", []string{"line 1", "not text"}},
		{"bad switch in the file", nil, nil, "dev = perhaps", []string{"line 1, dev", "perhaps"}},
		{"bad switch in a variable", nil, []string{"STRONGROOM_DEV=perhaps"}, "", []string{"STRONGROOM_DEV", "perhaps"}},
		{"bad value by flag", []string{"--account", "1"}, nil, "", []string{"strongroom: --account: ", "12 digits"}},
		{"bad value by variable", nil, []string{"STRONGROOM_ACCOUNT=1"}, "", []string{"strongroom: STRONGROOM_ACCOUNT: ", "12 digits"}},
		{"bad value by line", nil, nil, "account = 1", []string{"strongroom.conf line 1, account: ", "12 digits"}},
		{"bad log form", []string{"--log-format", "xml"}, nil, "", []string{"--log-format", "text, json"}},
		{"bad log level", nil, []string{"STRONGROOM_LOG_LEVEL=loud"}, "", []string{"STRONGROOM_LOG_LEVEL", "debug, info, warn, error"}},
	}
	for _, test := range tests {
		cfg, stderr := serveConfig(t, test.args, test.env, test.config)
		if cfg.Log != nil {
			t.Errorf("%s: the server was started", test.name)
		}
		for _, part := range test.says {
			if !strings.Contains(stderr, part) {
				t.Errorf("%s: %q is not in: %s", test.name, part, stderr)
			}
		}
	}
}

func TestVariablesOfKubernetesAreNotOurs(t *testing.T) {
	env := []string{
		"STRONGROOM_SERVICE_HOST=10.0.0.1", "STRONGROOM_SERVICE_PORT=4566", "STRONGROOM_SERVICE_PORT_HTTPS=4566",
		"STRONGROOM_PORT=tcp://10.0.0.1:4566", "STRONGROOM_PORT_4566_TCP=tcp://10.0.0.1:4566", "STRONGROOM_PORT_4566_TCP_PROTO=tcp",
		"STRONGROOM_PORT_4566_TCP_PORT=4566", "STRONGROOM_PORT_4566_TCP_ADDR=10.0.0.1", "STRONGROOM_KMS_SERVICE_HOST=10.0.0.1",
		"STRONGROOM_KMS_PORT=tcp://10.0.0.1:4566", "STRONGROOMS=1", "PATH=/bin",
	}
	if cfg, stderr := serveConfig(t, nil, env, ""); cfg.Log == nil {
		t.Error(stderr)
	}
}

func TestCommandsWithoutSettingsIgnoreBadOnes(t *testing.T) {
	s := newSession()
	s.env = []string{"STRONGROOM_LISTN=x"}
	if code := run([]string{"version"}, s.app); code != 0 {
		t.Errorf("version exits with %d: %s", code, &s.err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("# comment\nlisten = 127.0.0.1:4566\r\n\n dev=true")
	f.Add("listen\n")
	f.Add("listen = a = b # c\nlisten=")
	f.Add("\xef\xbb\xbflisten = x")
	known := []string{"listen", "dev"}
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parseConfig(text, known)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Errorf("the error names no line: %v", err)
			}
			return
		}
		// What was read, written again, reads the same.
		lines := make([]string, strings.Count(text, "\n")+1)
		for name, line := range settings {
			lines[line.line-1] = name + "=" + line.value
		}
		again, err := parseConfig(strings.Join(lines, "\n"), known)
		if err != nil || !reflect.DeepEqual(again, settings) {
			t.Errorf("%v came back as %v, %v", settings, again, err)
		}
	})
}

func TestNearest(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"listen", "listen", 0}, {"flaw", "lawn", 2}, {strings.Repeat("a", 1000), "a", maxName}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
	if got := didYouMean("x", []string{"listen"}); got != "" {
		t.Errorf("x is taken for %s", got)
	}
}
