package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/server"
)

// examined is a stopped deployment that a doctor finds something about.
type examined struct {
	fakeOperator
	found []admin.Finding
}

func (e examined) Examine(context.Context) ([]admin.Finding, error) { return e.found, nil }

// examines lets the doctor find these.
func (s *session) examines(found ...admin.Finding) *session {
	s.openOperator = func(context.Context, server.Folder) (server.Operator, error) { return examined{found: found}, nil }
	return s
}

func TestDoctor(t *testing.T) {
	wrong := admin.Finding{Check: "disk", Level: admin.Wrong, Text: "10 MiB are free", Advice: "make space\nand look again"}
	doubtful := admin.Finding{Check: "recovery", Level: admin.Doubtful, Text: "there is no recovery key", Advice: "strongroom recovery init"}
	fine := admin.Finding{Check: "clock", Level: admin.Fine, Text: "the clock is synchronised"}
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"doctor", "--quick", "--data", dir}

	s := newSession().examines(fine, doubtful)
	if code := run(args, s.app); code != 0 {
		t.Errorf("what is doubtful ends with %d: %s", code, s.err.String())
	}
	if out := s.out.String(); !strings.HasPrefix(out, "doubtful  recovery: there is no recovery key\n          strongroom recovery init\nfine ") {
		t.Errorf("it says\n%s", out)
	}
	s = newSession().examines(fine, doubtful, wrong)
	if code := run(args, s.app); code != 1 || !strings.Contains(s.err.String(), "1 thing is wrong") {
		t.Errorf("what is wrong ends with %d: %s", code, s.err.String())
	}
	if out := s.out.String(); !strings.HasPrefix(out, "wrong     disk: 10 MiB are free\n          make space\n          and look again\ndoubtful ") {
		t.Errorf("it says\n%s", out)
	}
	s = newSession().examines(wrong)
	if code := run(append(args, "--json"), s.app); code != 1 {
		t.Errorf("JSON ends with %d", code)
	}
	var d diagnosis
	if err := json.Unmarshal(s.out.Bytes(), &d); err != nil || d.Wrong != 1 || d.Doubtful != 0 || len(d.Findings) < 2 || d.Running {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestDoctorFindsBadSettings has settings that no server would start with, and a folder
// that does not open.
func TestDoctorFindsBadSettings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := newSession()
	s.openOperator = func(context.Context, server.Folder) (server.Operator, error) {
		return nil, errors.New("the root is missing")
	}
	s.examineFolder = func(string) []admin.Finding {
		return []admin.Finding{{Check: "disk", Level: admin.Fine, Text: "looked at all the same"}}
	}
	if code := run([]string{"doctor", "--data", dir, "--listen", "0.0.0.0:4566"}, s.app); code != 1 || !strings.Contains(s.err.String(), "2 things are wrong") {
		t.Errorf("ends with %d: %s", code, s.err.String())
	}
	for _, want := range []string{"settings: --listen: 0.0.0.0:4566 is not loopback", "the root is missing", "looked at all the same"} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, s.out.String())
		}
	}
}

func TestKeyFindings(t *testing.T) {
	found := map[string]int{}
	for _, line := range []string{
		`{"findings":["unused","noRotation"]}`, `{"findings":["unused"]}`, `{"findings":["stillUsed"]}`,
	} {
		if err := countFindings(found, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	all := keyFindings(found)
	if len(all) != 3 || all[0].Level != admin.Wrong || !strings.HasPrefix(all[1].Text, "2 keys are") || !strings.HasPrefix(all[2].Text, "1 key is") {
		t.Errorf("%+v", all)
	}
	if all := keyFindings(nil); len(all) != 1 || all[0].Level != admin.Fine {
		t.Errorf("nothing: %+v", all)
	}
	if countFindings(found, []byte("{")) == nil {
		t.Error("half a line is counted")
	}
}
