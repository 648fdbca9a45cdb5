package front

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/wire"
)

// TestBodyLengths has bodies on either side of every size at which their room
// grows, in both framings and one after the other on one connection.
func TestBodyLengths(t *testing.T) {
	const most = 300_000
	addr, _ := start(t, Config{MaxBodyBytes: most, Handler: func(_ context.Context, req *wire.Request, resp *wire.Response) {
		resp.Status, resp.Body = 200, bytes.Clone(req.Body)
	}})
	c := dial(t, addr)
	r := bufio.NewReader(c)
	for _, n := range []int{0, 1, firstBody - 1, firstBody, firstBody + 1, 2 * firstBody, smallBody - 1, smallBody, smallBody + 1, 3, most - 1, most} {
		body := strings.Repeat("0123456789abcdef", n/16+1)[:n]
		for _, framed := range []string{
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, body),
			fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n", chunk(body)),
		} {
			if _, err := fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: a\r\n"+framed); err != nil {
				t.Fatal(err)
			}
			if resp, got := readAnswer(t, r, "POST"); resp.StatusCode != 200 || got != body {
				t.Fatalf("%d bytes: got %s with %d bytes", n, resp.Status, len(got))
			}
		}
	}
}

func chunk(body string) string {
	if body == "" {
		return ""
	}
	return fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
}

// TestBodiesCutShort ends connections within a body, at every place.
func TestBodiesCutShort(t *testing.T) {
	addr, s := start(t, Config{Handler: unwanted(t)})
	for _, framed := range []string{
		"Content-Length: 4\r\n\r\nabcd",
		"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\nX-A: b\r\n\r\n",
	} {
		raw := "POST / HTTP/1.1\r\nHost: a\r\n" + framed
		for end := strings.Index(raw, "\r\n\r\n") + 4; end < len(raw); end++ {
			c := dial(t, addr)
			fmt.Fprint(c, raw[:end])
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
				t.Errorf("%q is answered with %q", raw[:end], answer)
			}
		}
	}
	s.waitForConns(t, 0)
}

// TestAnnouncedBodiesTakeNoMemory opens connections that announce long bodies and
// send next to nothing of them.
func TestAnnouncedBodiesTakeNoMemory(t *testing.T) {
	const conns, length = 64, 64 << 20
	addr, s := start(t, Config{Handler: unwanted(t), MaxBodyBytes: length, MaxBodyMemory: conns * length})
	before := heap()
	opened := make([]net.Conn, conns)
	for i := range opened {
		opened[i] = dial(t, addr)
		fmt.Fprintf(opened[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("a", 2*firstBody))
	}
	s.waitForConns(t, conns)
	if more := int64(heap()) - int64(before); more > conns*(1<<20) {
		t.Errorf("%d announcements take %d bytes", conns, more)
	}
	for _, c := range opened {
		c.Close()
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMaxBodyMemory(t *testing.T) {
	const length = 2 * smallBody
	entered, leave := make(chan struct{}), make(chan struct{})
	addr, s := start(t, Config{MaxBodyMemory: 2*length + 1, Handler: func(ctx context.Context, req *wire.Request, resp *wire.Response) {
		if req.Target == "/hold" {
			close(entered)
			<-leave
		}
		ok(ctx, req, resp)
	}})
	long := func(target string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", target, length, strings.Repeat("a", length))
	}
	held := make(chan string, 1)
	c := dial(t, addr)
	go func() {
		fmt.Fprint(c, long("/hold"))
		_, body := readAnswer(t, bufio.NewReader(c), "POST")
		held <- body
	}()
	<-entered
	wantStatus(t, send(t, addr, strings.ReplaceAll(long("/"), "Content-Length: 131072", "Content-Length: 262144")+strings.Repeat("a", length)), 503)
	wantStatus(t, send(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"), 200)
	close(leave)
	if body := <-held; body != fmt.Sprintf("POST /hold %d", length) {
		t.Errorf("got %q", body)
	}
	s.waitForConns(t, 0) // what it held is given back
	wantStatus(t, send(t, addr, long("/")), 200)
	if n := s.bodies.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// TestAnswersInRoom has answers on either side of the sizes of room. No handler sees what
// another has written.
func TestAnswersInRoom(t *testing.T) {
	addr, _ := start(t, Config{Handler: func(_ context.Context, req *wire.Request, resp *wire.Response) {
		if room := resp.Room[:cap(resp.Room)]; !bytes.Equal(room, make([]byte, len(room))) {
			t.Errorf("the room of %d bytes is not empty", len(room))
		}
		resp.Status, resp.Body = 200, append(resp.Room, req.Body...)
	}})
	c := dial(t, addr)
	r := bufio.NewReader(c)
	for _, n := range []int{1, usualBody, usualBody + 1, 3, largeBody, largeBody + 1, 3, smallBody, 3} {
		body := strings.Repeat("0123456789abcdef", n/16+1)[:n]
		if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", n, body); err != nil {
			t.Fatal(err)
		}
		if resp, got := readAnswer(t, r, "POST"); resp.StatusCode != 200 || got != body {
			t.Fatalf("%d bytes: got %s with %d bytes", n, resp.Status, len(got))
		}
	}
}

// TestRoomGrows: once an answer was longer there is more room, and nothing is left in what
// there was.
func TestRoomGrows(t *testing.T) {
	s, err := New(Config{Handler: unwanted(t)})
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]int{usualBody: usualBody, usualBody + 1: largeBody, largeBody: largeBody, largeBody + 1: usualBody} {
		room := append(make([]byte, 0, usualBody), "secret"...)
		x := &exchange{room: room[:0]}
		x.resp.Body = append(room, make([]byte, size-len(room))...)
		s.putExchange(x)
		if cap(x.room) != want || len(x.room) != 0 {
			t.Errorf("after %d bytes there is room for %d, want %d", size, cap(x.room), want)
		}
		if bytes.Contains(room, []byte("secret")) {
			t.Errorf("after %d bytes the room still holds them", size)
		}
	}
}
