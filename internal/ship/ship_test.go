package ship

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// tape is a journal in memory, with frames of two records.
type tape struct {
	mu      sync.Mutex
	first   uint64
	entries []journal.Entry
}

func (r *tape) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range n {
		i := len(r.entries)
		r.entries = append(r.entries, journal.Entry{
			Seq: uint64(i/2 + 1), Index: i % 2, Committed: epoch,
			Record: fmt.Appendf(nil, `{"eventTime":"2026-01-02T03:04:05Z","eventName":"Encrypt","n":%d}`, i),
		})
	}
}

func (r *tape) From(_ context.Context, seq uint64, fn func(journal.Entry) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.Seq >= seq {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *tape) Last(context.Context) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) == 0 {
		return 0, nil
	}
	return r.entries[len(r.entries)-1].Seq, nil
}

func (r *tape) First(context.Context) (uint64, error) { return max(1, r.first), nil }

func newService(t *testing.T, s *store.Store, records Records, setting string, stdout io.Writer) (*Service, *Sink) {
	t.Helper()
	sink, err := ParseSink(setting, stdout, "host name")
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Store: s, Records: records, Clock: clock.NewFake(epoch), Sinks: []*Sink{sink}, Log: slog.New(slog.DiscardHandler)}), sink
}

// steps runs one step as after a start.
func (s *Service) once(t *testing.T, sink *Sink) error {
	t.Helper()
	var p *position
	err := s.step(t.Context(), sink, &p)
	if err != nil {
		sink.close()
	}
	return err
}

func records(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"eventTime":"2026-01-02T03:04:05Z","eventName":"Encrypt","n":%d}`+"\n", i)
	}
	return b.String()
}

func TestFileOverRestartsAndOutages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	st, tape := storetest.New(t), &tape{}
	check := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(path); string(got) != want {
			t.Errorf("got\n%s%v\nwant\n%s", got, err, want)
		}
	}
	tape.add(3)
	s, sink := newService(t, st, tape, "file:"+path, nil)
	if err := s.once(t, sink); err != nil { // new: begins behind what there is
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was made for nothing: %v", err)
	}
	tape.add(4) // 3 fills the frame that was open, which no real journal does
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	check(records(4, 7))
	tape.add(2)
	s, sink = newService(t, st, tape, "file:"+path, nil) // a restart
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	check(records(4, 9))

	// The file is rotated away, and then in nobody's reach.
	if err := errors.Join(os.Rename(path, path+".1"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	tape.add(1)
	if err := s.once(t, sink); err == nil {
		t.Fatal("a folder was written to")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	// A crash has cut the last line.
	if err := os.WriteFile(path, []byte(`{"cut`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	check("{\"cut\n" + records(9, 10))
}

func TestStdoutIsWrittenInStretches(t *testing.T) {
	var out bytes.Buffer
	st, tape := storetest.New(t), &tape{}
	s, sink := newService(t, st, tape, "stdout", &out)
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	const n = 3 * maxStretch / 60
	tape.add(n)
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	if out.String() != records(0, n) {
		t.Errorf("%d bytes, want %d", out.Len(), len(records(0, n)))
	}
}

const syslogHeader = "<110>1 2026-01-02T03:04:05.000000Z hostname strongroom - Encrypt - "

func TestSyslogOverTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	messages := make(chan string)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			for {
				count, err := in.ReadString(' ')
				if err != nil {
					break
				}
				n, err := strconv.Atoi(strings.TrimSpace(count))
				if err != nil {
					messages <- err.Error()
					break
				}
				text := make([]byte, n)
				if _, err := io.ReadFull(in, text); err != nil {
					messages <- err.Error()
					break
				}
				messages <- string(text)
			}
			_ = conn.Close()
		}
	}()
	st, tape := storetest.New(t), &tape{}
	setting := "syslog:tcp:" + listener.Addr().String()
	s, sink := newService(t, st, tape, setting, nil)
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	for round := range 2 { // the second over a connection of its own
		tape.add(2)
		if err := s.once(t, sink); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			want := syslogHeader + strings.TrimSpace(records(2*round+i, 2*round+i+1))
			if got := <-messages; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
		sink.close()
	}
	_ = listener.Close()
	tape.add(1)
	if err := s.once(t, sink); err == nil {
		t.Error("nobody listens, and nothing fails")
	}
}

func TestSyslogOverUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	st, tape := storetest.New(t), &tape{}
	s, sink := newService(t, st, tape, "syslog:unix:"+path, nil)
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	tape.add(2)
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for i := range 2 {
		n, err := socket.Read(buffer)
		if want := syslogHeader + strings.TrimSpace(records(i, i+1)); err != nil || string(buffer[:n]) != want {
			t.Errorf("%q, %v\nwant %q", buffer[:n], err, want)
		}
	}
}

func TestParseSinkRefuses(t *testing.T) {
	for _, setting := range []string{"", "stdout:", "file", "file:", "syslog", "syslog:unix", "syslog:unix:", "syslog:tcp:host", "syslog:tcp::1", "syslog:udp:host:514", "kafka:x"} {
		if sink, err := ParseSink(setting, nil, ""); err == nil {
			t.Errorf("%q is %+v", setting, sink)
		}
	}
}

func TestAFailureIsSaidOnce(t *testing.T) {
	var log bytes.Buffer
	s := New(Config{Clock: clock.NewFake(epoch), Log: slog.New(slog.NewTextHandler(&log, nil))})
	sink := &Sink{name: "stdout"}
	for range 3 {
		s.note(t.Context(), sink, errors.New("broken pipe"))
	}
	if !s.Failing() || strings.Count(log.String(), "broken pipe") != 1 {
		t.Errorf("%s", &log)
	}
	s.note(t.Context(), sink, nil)
	if s.Failing() || !strings.Contains(log.String(), "shipped again") {
		t.Errorf("%s", &log)
	}
}

func TestRunShipsWhatComes(t *testing.T) {
	reader, writer := io.Pipe()
	st, tape := storetest.New(t), &tape{}
	s, _ := newService(t, st, tape, "stdout", writer)
	fake := s.Clock.(*clock.Fake)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	// The position is known before the first record, as after an earlier run.
	if err := s.remember(ctx, s.Sinks[0], position{Seq: 1}); err != nil {
		t.Fatal(err)
	}
	tape.add(1)
	go func() { s.Run(ctx); close(done) }()
	got, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil || got != records(0, 1) {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	fake.Advance(time.Second)
	<-done
}

// TestNeededFrames: what has not been shipped yet is needed, and a sink that missed
// records goes on behind them.
func TestNeededFrames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	st, tape := storetest.New(t), &tape{}
	tape.add(4)
	needed := func(s *Service, want uint64) {
		t.Helper()
		if got, err := s.Needed(t.Context()); err != nil || got != want {
			t.Errorf("frame %d is needed, %v; want %d", got, err, want)
		}
	}
	s, sink := newService(t, st, tape, "file:"+path, nil)
	needed(s, math.MaxUint64)
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	needed(s, 3)
	tape.add(10)
	needed(s, 3)
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	needed(s, 7)
	s.Sinks = nil
	needed(s, math.MaxUint64)

	tape.add(10)
	tape.first, tape.entries = 10, tape.entries[18:]
	s, sink = newService(t, st, tape, "file:"+path, nil)
	if err := s.once(t, sink); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); string(got) != records(4, 14)+records(18, 24) {
		t.Errorf("got\n%s%v", got, err)
	}
	needed(s, 12)
}
