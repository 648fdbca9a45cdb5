package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const unitFolder = "../../deploy/systemd"

// TestSystemdUnit has systemd judge the sandbox of the unit: an exposure of 1.5 at
// most, out of 10. A threshold of 15 is that, in tenths.
func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("systemd-analyze is missing: .ci/install-tools installs it")
		}
		t.Skip("systemd-analyze is missing; apt-get install systemd, and run this again")
	}
	unit := filepath.Join(unitFolder, "strongroom.service")
	out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold=15", unit).CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	// The threshold is what it is taken for.
	loose := filepath.Join(t.TempDir(), "strongroom.service")
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(loose, []byte(strings.ReplaceAll(string(text), "SystemCallFilter=", "# ")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold=15", loose).CombinedOutput(); err == nil {
		t.Errorf("a unit without a filter of system calls passes:\n%s", out)
	}
}

// TestUnitsConfigFile parses the config file that the unit names, and the settings that
// it shows as comments.
func TestUnitsConfigFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(unitFolder, "strongroom.conf"))
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.ReplaceAll(string(text), "#     ", "")
	for name, content := range map[string]string{"as it is": string(text), "with what it shows": strings.Replace(whole, "listen = 127.0.0.1:4566\n", "", 1)} {
		path := filepath.Join(t.TempDir(), "strongroom.conf")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		parser, err := newParser(newSession().app, new(bool))
		if err != nil {
			t.Fatal(err)
		}
		known, err := knownSettings(parser.Model)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readConfig(path, known); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
