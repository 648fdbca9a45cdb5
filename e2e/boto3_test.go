package e2e

import (
	"testing"
)

// TestBoto3 runs the tour of testdata/tour.py against a production server and
// then against the same folder after a restart.
func TestBoto3(t *testing.T) {
	t.Parallel()
	python := program(t, "python3", "apt-get install python3 python3-boto3")
	if _, stderr, err := command(t, nil, python, "-c", "import boto3"); err != nil {
		missing(t, "needs boto3; install it with: apt-get install python3-boto3, or pip install boto3\n"+stderr)
	}
	s := start(t, "--regions", defaultRegion+",eu-central-1")
	notes := t.TempDir() + "/notes.json"
	for _, part := range []string{"tour", "after-restart"} {
		stdout, stderr, err := command(t, clientEnvironment(s), python, "testdata/tour.py", part, notes)
		if err != nil {
			t.Fatalf("tour.py %s: %v\n%s%s", part, err, stdout, stderr)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		s = startIn(t, s.Data, "--regions", defaultRegion+",eu-central-1")
	}
	verify(t, s)
}
