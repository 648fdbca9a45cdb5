// Package e2e proves Strongroom from outside: it builds the command, runs it as
// a process and talks to it with what users have: the AWS CLI, boto3, the AWS SDK
// for Go, curl-like raw bytes, and kill -9. It knows the command line and the
// wire, and imports nothing of the server.
//
//	go test ./e2e                        # everything, on a freshly built binary
//	go test ./e2e -binary ./strongroom   # the same on a binary that is there
//	go test ./e2e -server-race           # a server with the race detector in it
//
// Tests that need a program which is missing (aws, python3 with boto3, openssl,
// sops, versitygw) are skipped with a line that says what to install; with CI=true
// they fail. Only those of Terraform, which cannot be installed from anywhere that
// CI relies on, are skipped there too.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/strongroom/strongroom/e2e/binary"
)

var (
	binaryFlag = flag.String("binary", "", "run this strongroom `executable` instead of building one")
	raceFlag   = flag.Bool("server-race", false, "build the server with the race detector")
)

// executable is the strongroom that every test runs; builds is where tests put
// executables of their own.
var executable, builds string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if builds, err = os.MkdirTemp("", "strongroom-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(builds)
	if *binaryFlag != "" {
		executable, err = filepath.Abs(*binaryFlag)
	} else {
		var args []string
		if *raceFlag {
			args = append(args, "-race")
		}
		executable, err = binary.Build(builds, nil, args...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if sharedServer != nil {
			sharedServer.Kill()
		}
	}()
	return m.Run()
}

// sharedServer serves the tests that need nothing of a server but its answers.
var sharedServer *binary.Server

// shared returns a production server that several tests use. None of them may
// rely on what is there, or leave behind what another would mind.
func shared(t testing.TB) *binary.Server {
	t.Helper()
	if sharedServer == nil {
		s, err := binary.Start(binary.Config{
			Path: executable, Data: filepath.Join(builds, "shared"), Args: []string{"--regions", defaultRegion + "," + secondRegion},
		})
		if err != nil {
			t.Fatal(err)
		}
		sharedServer = s
	}
	return sharedServer
}
