package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/e2e/binary"
)

// s3Server is an S3 server whose objects are files in a folder.
type s3Server struct {
	path, url, root string
	address         string
	process         *exec.Cmd
	output          bytes.Buffer
}

// newS3Server starts one that has an empty bucket "audit", until the test ends.
// Its access key is test/test, as a dev server's: the AWS CLI has one for both.
func newS3Server(t *testing.T) *s3Server {
	t.Helper()
	s := &s3Server{path: builtProgram(t, "versitygw"), root: filepath.Join(t.TempDir(), "objects")}
	if err := os.MkdirAll(filepath.Join(s.root, "audit"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.address = freeAddress(t)
	s.url = "http://" + s.address
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the S3 server said:\n%s", s.output.String())
		}
	})
	s.start(t)
	return s
}

func (s *s3Server) start(t *testing.T) {
	t.Helper()
	sidecar := filepath.Join(filepath.Dir(s.root), "metadata")
	if err := os.MkdirAll(sidecar, 0o755); err != nil {
		t.Fatal(err)
	}
	s.process = exec.Command(s.path, "--port", s.address, "--access", "test", "--secret", "test", "--region", defaultRegion, "--quiet",
		"posix", "--sidecar", sidecar, s.root)
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	err := binary.Until("the S3 server's answer", untilDone, func() (bool, error) {
		resp, err := http.Get(s.url)
		if err != nil {
			return false, nil // not yet
		}
		return true, resp.Body.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *s3Server) stop() {
	_ = s.process.Process.Kill() // it may have ended by itself
	_ = s.process.Wait()
}

// files are the objects whose keys hold a text, sorted.
func (s *s3Server) files(t *testing.T, holding string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.root, "audit"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".json.gz") && strings.Contains(path, holding) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

// waitFor waits until that many objects hold a text in their keys.
func (s *s3Server) waitFor(t *testing.T, n int, holding string) {
	t.Helper()
	err := binary.Until(fmt.Sprintf("the delivery of %d files %s", n, holding), untilDone, func() (bool, error) {
		return len(s.files(t, holding)) >= n, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const (
	logFiles    = "/CloudTrail/" + defaultRegion
	digestFiles = "/CloudTrail-Digest/" + defaultRegion
)

// TestValidateLogs delivers three hours of calls to an S3 server, which is down in
// one of them, and has the AWS CLI validate what is there: as it is, and after it
// was tampered with in each of the ways that must show.
func TestValidateLogs(t *testing.T) {
	t.Parallel()
	bucket := newS3Server(t)
	s := start(t, "--dev", "--regions", "us-east-1,eu-west-1")
	c := newCLI(t, append(devEnvironment(s), "AWS_ENDPOINT_URL_S3="+bucket.url))
	credentials := c.file("credentials", []byte("[default]\naws_access_key_id = test\naws_secret_access_key = test\n"))
	known, err := binary.Run(executable, "trail", "bucket", "audit", "--data", s.Data, "--endpoint", bucket.url, "--path-style", "--credentials", credentials)
	if err != nil || known.Code != 0 {
		t.Fatalf("%v: %+v", err, known)
	}

	arn := c.query("TrailARN", "cloudtrail", "create-trail", "--name", "main", "--s3-bucket-name", "audit", "--s3-key-prefix", "bank",
		"--is-multi-region-trail", "--enable-log-file-validation")
	c.run("cloudtrail", "start-logging", "--name", "main")
	began := c.query("TimeLoggingStarted", "cloudtrail", "get-trail-status", "--name", "main")
	for hour := 1; hour <= 3; hour++ {
		before := len(bucket.files(t, logFiles))
		c.run("kms", "list-keys")
		if hour == 2 {
			bucket.stop()
			advance(t, s, "6m")
			waitForStatus(t, c, "LatestDeliveryError", "EndpointUnreachable")
			if body := get(t, s.URL+"/readyz"); body != "ok\nwarning: a trail cannot be delivered; see GetTrailStatus and the log\n" {
				t.Errorf("/readyz while the bucket is out of reach: %q", body)
			}
			bucket.start(t)
		}
		advance(t, s, "6m")
		bucket.waitFor(t, before+1, logFiles)
		advance(t, s, "55m")
		bucket.waitFor(t, hour, digestFiles)
		bucket.waitFor(t, hour, "/CloudTrail-Digest/eu-west-1")
	}
	if body := get(t, s.URL+"/readyz"); body != "ok\n" {
		t.Errorf("/readyz at last: %q", body)
	}

	validate := func(region string) (report string, valid bool) {
		stdout, stderr, err := command(t, c.env, c.path, "cloudtrail", "validate-logs", "--region", region, "--trail-arn", arn,
			"--start-time", began, "--end-time", "2100-01-01T00:00:00Z", "--verbose", "--endpoint-url", s.URL)
		return stdout + stderr, err == nil && !strings.Contains(stdout+stderr, "INVALID")
	}
	logs, digests := bucket.files(t, logFiles), bucket.files(t, digestFiles)
	for region, want := range map[string]string{
		"us-east-1": fmt.Sprintf("3/3 digest files valid\n%d/%d log files valid", len(logs), len(logs)),
		"eu-west-1": "3/3 digest files valid\n",
	} {
		if report, valid := validate(region); !valid || !strings.Contains(report, want) {
			t.Fatalf("%s: valid is %v; want %s\n%s", region, valid, want, report)
		}
	}
	if len(logs) < 3 {
		t.Fatalf("only %d log files", len(logs))
	}

	for name, tamper := range map[string]func(){
		"a byte of a log changed":    func() { changeByte(t, logs[1]) },
		"a byte of a digest changed": func() { changeByte(t, digests[1]) },
		"a log removed":              func() { remove(t, logs[2]) },
		"two logs swapped":           func() { swap(t, logs[0], logs[2]) },
		"a digest dropped":           func() { remove(t, digests[1]) },
	} {
		kept := map[string][]byte{}
		for _, path := range slices.Concat(logs, digests) {
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			kept[path] = body
		}
		tamper()
		if report, valid := validate("us-east-1"); valid || !strings.Contains(report, "INVALID") {
			t.Errorf("%s, and it is valid:\n%s", name, report)
		}
		for path, body := range kept {
			if err := os.WriteFile(path, body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func waitForStatus(t *testing.T, c *cli, member, want string) {
	t.Helper()
	err := binary.Until(member+" "+want, untilDone, func() (bool, error) {
		return c.query(member, "cloudtrail", "get-trail-status", "--name", "main") == want, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// changeByte changes one byte of what a file holds under its compression.
func changeByte(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(text, []byte(defaultRegion))
	text[i]++
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func swap(t *testing.T, a, b string) {
	t.Helper()
	for _, step := range [][2]string{{a, a + "x"}, {b, a}, {a + "x", b}} {
		if err := os.Rename(step[0], step[1]); err != nil {
			t.Fatal(err)
		}
	}
}
