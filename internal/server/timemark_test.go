package server

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/wire"
)

// signed posts a signed body and returns status and answer.
func signed(t *testing.T, s *Server, by sigv4test.Signer, target, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if target != "" {
		req.Header.Set("Content-Type", wire.ContentTypeJSON11)
		req.Header.Set("X-Amz-Target", target)
	}
	by.Region = "us-east-1"
	by.SignHTTP(req, []byte(body), machineClock.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// session returns temporary credentials of the account's root, for 15 minutes.
func session(t *testing.T, s *Server, id, key string) sigv4test.Signer {
	t.Helper()
	status, body := signed(t, s, sigv4test.Signer{AccessKeyID: id, SecretKey: key, Service: "sts"}, "", "Action=GetSessionToken&Version=2011-06-15&DurationSeconds=900")
	var answer struct {
		ID    string `xml:"GetSessionTokenResult>Credentials>AccessKeyId"`
		Key   string `xml:"GetSessionTokenResult>Credentials>SecretAccessKey"`
		Token string `xml:"GetSessionTokenResult>Credentials>SessionToken"`
	}
	if err := xml.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
		t.Fatalf("%d %s, %v", status, body, err)
	}
	return sigv4test.Signer{AccessKeyID: answer.ID, SecretKey: answer.Key, SessionToken: answer.Token, Service: "kms"}
}

// TestAMachineThatComesUpInThePast: what had expired stays expired, and records stay in
// order; unless the operator says that the time before was wrong.
func TestAMachineThatComesUpInThePast(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	id, key := keysIn(t, s, credentialsFile)
	temporary := session(t, s, id, key)
	list := func(s *Server) (int, string) { return signed(t, s, temporary, "TrentService.ListKeys", "{}") }
	if status, body := list(s); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	const day = 24 * time.Hour
	s.Clock().Advance(day)
	if status, body := list(s); status != 400 || !strings.Contains(body, "ExpiredToken") {
		t.Errorf("a session that has expired: %d %s", status, body)
	}
	post(t, s, "CreateKey", "{}")
	mustStop(t, s)

	// The machine comes up a day behind the newest record.
	s = mustStart(t, cfg)
	if status, body := list(s); status != 400 || !strings.Contains(body, "ExpiredToken") {
		t.Errorf("a session that had expired: %d %s", status, body)
	}
	if status, body := post(t, s, "CreateKey", "{}"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	warned := func(s *Server) bool { return strings.Contains(strings.Join(s.warnings(), "\n"), "clock") }
	if ahead := s.Clock().Ahead(); ahead < day-time.Hour || ahead > day || !warned(s) {
		t.Errorf("the clock is %s behind, warned %t", ahead, warned(s))
	}
	found, err := (&operator{s}).Examine(t.Context())
	if err != nil || !wrong(found, "clock") {
		t.Errorf("doctor says nothing of the clock: %+v, %v", found, err)
	}
	inOrder(t, s, 0)
	mustStop(t, s)

	// It was ahead by mistake.
	cfg.AcceptEarlierClock = true
	s = mustStart(t, cfg)
	if status, body := list(s); status != 200 || s.Clock().Ahead() != 0 || warned(s) {
		t.Errorf("a session that has not expired by the clock that is right: %d %s", status, body)
	}
	mustStop(t, s)
	cfg.AcceptEarlierClock = false
	s = mustStart(t, cfg)
	if status, body := list(s); status != 200 || s.Clock().Ahead() != 0 || warned(s) {
		t.Errorf("after another start: %d %s", status, body)
	}
	inOrder(t, s, 1)
	mustStop(t, s)
	if n := count(t, cfg.folder(), "AcceptEarlierClock"); n != 1 {
		t.Errorf("%d records of it", n)
	}
}

func wrong(found []admin.Finding, check string) bool {
	for _, f := range found {
		if f.Check == check && f.Level == admin.Wrong {
			return true
		}
	}
	return false
}

// inOrder checks that the records' times go back as often as is said.
func inOrder(t *testing.T, s *Server, want int) {
	t.Helper()
	reader, err := s.folder.journalReader()
	if err != nil {
		t.Fatal(err)
	}
	var last time.Time
	back := 0
	for _, line := range tail(t, reader) {
		var r struct {
			EventTime time.Time `json:"eventTime"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.EventTime.Before(last) {
			back++
		}
		last = r.EventTime
	}
	if back != want {
		t.Errorf("the records go back %d times, want %d", back, want)
	}
}
