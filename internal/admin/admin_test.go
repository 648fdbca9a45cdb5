package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fakeSource answers with what it is given.
type fakeSource struct {
	lines  []string
	err    error
	report Report
	// following is closed when a follower has had every line; nil if unwatched.
	following chan struct{}
	// beforeEmit runs before each line.
	beforeEmit func()

	mu   sync.Mutex
	seen []string
}

func (f *fakeSource) saw(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, fmt.Sprintf(format, args...))
}

func (f *fakeSource) emit(emit func([]byte) error) error {
	for _, line := range f.lines {
		if f.beforeEmit != nil {
			f.beforeEmit()
		}
		if err := emit([]byte(line)); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fakeSource) Tail(ctx context.Context, n int, follow bool, emit func([]byte) error) error {
	f.saw("tail %d %v", n, follow)
	if err := f.emit(emit); err != nil || !follow {
		return err
	}
	if f.following != nil {
		close(f.following)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fakeSource) Search(_ context.Context, filter Filter, emit func([]byte) error) error {
	f.saw("search %+v", filter)
	return f.emit(emit)
}

func (f *fakeSource) Export(_ context.Context, filter Filter, emit func([]byte) error) error {
	f.saw("export %+v", filter)
	return f.emit(emit)
}

func (f *fakeSource) Verify(_ context.Context, opts VerifyOptions, progress func(Progress)) (Report, error) {
	f.saw("verify %s %s", opts.PublicKey, opts.Checkpoint)
	progress(Progress{Done: 1, Total: 2})
	return f.report, f.err
}

func (f *fakeSource) KeyReport(_ context.Context, days int, emit func([]byte) error) error {
	f.saw("report %d", days)
	return f.emit(emit)
}

// start serves a source on a folder and returns a client and the events recorded.
func start(t *testing.T, dir string, source Source, record func(AdminEvent) error) (*Server, *Client) {
	t.Helper()
	server, err := Listen(Config{
		SocketDir: dir, Log: slog.New(slog.DiscardHandler), Clock: clock.NewFake(epoch), Audit: source, Operator: fakeOperator{},
		Record: func(_ context.Context, e AdminEvent) error { return record(e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	client, err := Connect(dir)
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func ignore(AdminEvent) error { return nil }

func collect(lines *[]string) func([]byte) error {
	return func(line []byte) error {
		*lines = append(*lines, string(line))
		return nil
	}
}

func TestEveryCommand(t *testing.T) {
	source := &fakeSource{lines: []string{`{"a":1}`, `{"b":"é"}`}, report: Report{Records: 7, Frames: 3, Checkpoints: 2, Unanchored: 1, Checkpoint: "c", Fault: &Fault{Record: 4, EventID: "e", Problem: "was changed"}}}
	var events []AdminEvent
	_, client := start(t, t.TempDir(), source, func(e AdminEvent) error { events = append(events, e); return nil })
	ctx := context.Background()

	filter := Filter{Key: "alias/a b&c", Principal: "AIDA", Operation: "kms:Encrypt", Since: epoch, Until: epoch.Add(time.Hour), Error: "any"}
	var got []string
	for name, run := range map[string]func() error{
		"tail":   func() error { return client.Tail(ctx, 3, false, collect(&got)) },
		"search": func() error { return client.Search(ctx, filter, collect(&got)) },
		"export": func() error { return client.Export(ctx, Filter{}, collect(&got)) },
		"report": func() error { return client.KeyReport(ctx, 7, collect(&got)) },
	} {
		got = nil
		if err := run(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, source.lines) {
			t.Errorf("%s: got %q", name, got)
		}
	}
	var steps []Progress
	report, err := client.Verify(ctx, VerifyOptions{PublicKey: []byte("pk"), Checkpoint: []byte("cp")}, func(p Progress) { steps = append(steps, p) })
	if err != nil || !reflect.DeepEqual(report, source.report) {
		t.Errorf("verify: got %+v, %v", report, err)
	}
	if !reflect.DeepEqual(steps, []Progress{{1, 2}}) {
		t.Errorf("verify: progress %v", steps)
	}

	for _, want := range []string{"tail 3 false", fmt.Sprintf("search %+v", filter), fmt.Sprintf("export %+v", Filter{}), "verify pk cp", "report 7"} {
		if !strings.Contains(strings.Join(source.seen, "\n"), want) {
			t.Errorf("the source was not asked %q: %q", want, source.seen)
		}
	}
	want := map[string]map[string]string{
		"AuditTail":   {"n": "3", "follow": "false"},
		"AuditSearch": {"key": "alias/a b&c", "principal": "AIDA", "operation": "kms:Encrypt", "since": "2026-01-02T03:04:05Z", "until": "2026-01-02T04:04:05Z", "error": "any"},
		"AuditExport": {},
		"AuditReport": {"days": "7"},
		"AuditVerify": {"publicKeyGiven": "true", "checkpointGiven": "true"},
	}
	for _, event := range events {
		if !reflect.DeepEqual(event.Params, want[event.Name]) {
			t.Errorf("%s was recorded with %v, want %v", event.Name, event.Params, want[event.Name])
		}
		if event.UID != uint32(os.Geteuid()) || event.PID != int32(os.Getpid()) || !event.Time.Equal(epoch) {
			t.Errorf("%s was recorded as asked by %d/%d at %s", event.Name, event.UID, event.PID, event.Time)
		}
		delete(want, event.Name)
	}
	if len(want) != 0 {
		t.Errorf("never recorded: %v", want)
	}
}

func TestNothingIsAnsweredUnrecorded(t *testing.T) {
	recorded := false
	source := &fakeSource{lines: []string{`{}`}}
	source.beforeEmit = func() {
		if !recorded {
			t.Error("the answer has started before the record")
		}
	}
	_, client := start(t, t.TempDir(), source, func(AdminEvent) error { recorded = true; return nil })
	if err := client.Export(context.Background(), Filter{}, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}

	source = &fakeSource{lines: []string{`{}`}}
	_, client = start(t, t.TempDir(), source, func(AdminEvent) error { return errors.New("disk full") })
	ctx := context.Background()
	emit := func([]byte) error { t.Error("got a line"); return nil }
	_, verifyErr := client.Verify(ctx, VerifyOptions{}, nil)
	for _, err := range []error{client.Tail(ctx, 1, true, emit), client.Search(ctx, Filter{}, emit), client.Export(ctx, Filter{}, emit), verifyErr} {
		if err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("got %v, want the record's error", err)
		}
	}
	if len(source.seen) != 0 {
		t.Errorf("the source was asked: %q", source.seen)
	}
}

type hintedError struct{ error }

func (hintedError) Hint() string { return "try “again” 🔑" }

func TestAnErrorAfterLinesArrivesWithItsHint(t *testing.T) {
	source := &fakeSource{lines: []string{`{}`}, err: hintedError{errors.New("the frame\nis gone – é\x7f")}}
	_, client := start(t, t.TempDir(), source, ignore)
	var got []string
	err := client.Export(context.Background(), Filter{}, collect(&got))
	var answer *Error
	if !errors.As(err, &answer) || answer.Message != source.err.Error() || answer.Hint() != "try “again” 🔑" {
		t.Errorf("got %#v", err)
	}
	if len(got) != 1 {
		t.Errorf("got %q, want the line before the error", got)
	}
}

// TestCutAnswersAreNotTakenForWhole lets a server of the test's own break off in
// the ways that a real one could.
func TestCutAnswersAreNotTakenForWhole(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTrailer: Strongroom-Outcome\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		name, answer string
		lines        int
		whole        bool
	}{
		{"whole", head + "3\r\n{}\n\r\n0\r\nStrongroom-Outcome: complete\r\n\r\n", 1, true},
		{"no trailer", head + "3\r\n{}\n\r\n0\r\n\r\n", 1, false},
		{"no end", head + "3\r\n{}\n\r\n", 1, false},
		{"cut in a line", head + "5\r\n{}\n{\"\r\n", 1, false},
		{"cut in a line, with an end", head + "5\r\n{}\n{\"\r\n0\r\nStrongroom-Outcome: complete\r\n\r\n", 1, false},
		{"another trailer", head + "3\r\n{}\n\r\n0\r\nStrongroom-Outcome: perhaps\r\n\r\n", 1, false},
		{"cut before the head ends", head[:30], 0, false},
		{"refused without a reason", "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			listener, err := listenSocket(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					// The probe of Connect asks nothing.
					if n, _ := conn.Read(make([]byte, 4096)); n > 0 {
						_, _ = conn.Write([]byte(test.answer))
					}
					_ = conn.Close()
				}
			}()
			client, err := Connect(dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			err = client.Export(context.Background(), Filter{}, collect(&got))
			if (err == nil) != test.whole {
				t.Errorf("got %v, want whole: %v", err, test.whole)
			}
			if len(got) != test.lines {
				t.Errorf("got %q, want %d lines", got, test.lines)
			}
		})
	}
}

func TestRequestsAreCheckedBeforeTheyAreRecorded(t *testing.T) {
	source := &fakeSource{}
	_, client := start(t, t.TempDir(), source, func(e AdminEvent) error { t.Errorf("recorded %v", e); return nil })
	tests := []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/audit/tail", "", 400},
		{"GET", "/v1/audit/tail?n=1", "", 400},
		{"GET", "/v1/audit/tail?n=-1&follow=false", "", 400},
		{"GET", "/v1/audit/tail?n=100001&follow=false", "", 400},
		{"GET", "/v1/audit/tail?n=1&n=2&follow=false", "", 400},
		{"GET", "/v1/audit/tail?n=1&follow=maybe", "", 400},
		{"GET", "/v1/audit/tail?n=1&follow=true&until=x", "", 400},
		{"GET", "/v1/audit/search?since=yesterday", "", 400},
		{"GET", "/v1/audit/export?%zz", "", 400},
		{"GET", "/v1/audit/export?colour=red", "", 400},
		{"POST", "/v1/audit/export", "", 405},
		{"GET", "/v1/audit/verify", "", 405},
		{"POST", "/v1/audit/verify", "", 400},
		{"POST", "/v1/audit/verify", "[]", 400},
		{"POST", "/v1/audit/verify", `{"Colour":"red"}`, 400},
		{"POST", "/v1/audit/verify", `{"PublicKey":"` + strings.Repeat("A", maxVerifyBody) + `"}`, 400},
		{"GET", "/v2/audit/tail", "", 404},
		{"GET", "/", "", 404},
	}
	for _, test := range tests {
		req, err := http.NewRequest(test.method, "http://strongroom"+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.status {
			t.Errorf("%s %s %.20s: got %s, want %d", test.method, test.path, test.body, resp.Status, test.status)
		}
	}
	if len(source.seen) != 0 {
		t.Errorf("the source was asked: %q", source.seen)
	}
}

func TestOnlyTheOwnerAndRootAreAnswered(t *testing.T) {
	for _, test := range []struct {
		peer, own uint32
		want      bool
	}{{0, 0, true}, {0, 1000, true}, {1000, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {^uint32(0), 1000, false}} {
		if got := admitted(test.peer, test.own); got != test.want {
			t.Errorf("admitted(%d, %d) = %v", test.peer, test.own, got)
		}
	}
	if _, _, err := peerOf(nil); err == nil {
		t.Error("a connection that is none has a peer")
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, _, err := peerOf(a); err == nil {
		t.Error("a pipe has a peer")
	}
}

func TestTooManyRequests(t *testing.T) {
	server, client := start(t, t.TempDir(), &fakeSource{}, ignore)
	for range maxRequests {
		server.slots <- struct{}{}
	}
	err := client.Export(context.Background(), Filter{}, func([]byte) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("got %v", err)
	}
	<-server.slots
	if err := client.Export(context.Background(), Filter{}, func([]byte) error { return nil }); err != nil {
		t.Errorf("with a slot free: %v", err)
	}
	if len(server.slots) != maxRequests-1 {
		t.Errorf("%d slots are taken", len(server.slots))
	}
}

func TestShutdownLetsFollowersGo(t *testing.T) {
	dir := t.TempDir()
	source := &fakeSource{lines: []string{`{}`}, following: make(chan struct{})}
	server, client := start(t, dir, source, ignore)
	var got []string
	followed := make(chan error)
	go func() { followed <- client.Tail(context.Background(), 1, true, collect(&got)) }()
	<-source.following
	if err := server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-followed; err == nil || err.Error() != errStopping.Error() {
		t.Errorf("the follower got %v", err)
	}
	if len(got) != 1 {
		t.Errorf("the follower got %q", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, SocketName)); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := Connect(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want ErrNotRunning", err)
	}
}

func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	started, resume := make(chan struct{}), make(chan struct{})
	source := &fakeSource{lines: []string{`{}`}, beforeEmit: func() { close(started); <-resume }}
	server, client := start(t, t.TempDir(), source, ignore)
	exported := make(chan error)
	go func() {
		exported <- client.Export(context.Background(), Filter{}, func([]byte) error { return nil })
	}()
	<-started
	stopped := make(chan error)
	go func() { stopped <- server.Shutdown(context.Background()) }()
	<-server.stopping.Done()
	close(resume)
	if err := <-exported; err != nil {
		t.Errorf("the export was broken off: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownBreaksOffWhenItsTimeIsOver(t *testing.T) {
	started, resume := make(chan struct{}), make(chan struct{})
	source := &fakeSource{lines: []string{`{}`}, beforeEmit: func() { close(started); <-resume }}
	server, client := start(t, t.TempDir(), source, ignore)
	exported := make(chan error)
	go func() {
		exported <- client.Export(context.Background(), Filter{}, func([]byte) error { return nil })
	}()
	<-started
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := server.Shutdown(over); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := <-exported; err == nil {
		t.Error("a broken export was taken for a whole one")
	}
	close(resume)
}

func TestConfigMustBeSet(t *testing.T) {
	if _, err := Listen(Config{SocketDir: t.TempDir()}); err == nil {
		t.Error("a Config with unset fields was taken")
	}
}

func TestErrorsAreOneLineOfASCII(t *testing.T) {
	for _, message := range []string{"", "plain", "two\r\nlines", "é – 🔑\x7f\u2028", "bad \xff UTF-8"} {
		encoded := asJSON(errors.New(message))
		for _, b := range encoded {
			if b < 0x20 || b > 0x7e {
				t.Fatalf("%q is %q", message, encoded)
			}
		}
		if message == "" {
			continue
		}
		if got, want := refusal(encoded, "").Error(), strings.ToValidUTF8(message, "\ufffd"); got != want {
			t.Errorf("%q came back as %q", message, got)
		}
	}
}
