package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// Client is a [Source] that asks a running server.
type Client struct {
	dir  string
	http *http.Client
}

// Connect returns a Client for the server on a data folder, or ErrNotRunning when
// there is none. Each request then makes a connection of its own.
func Connect(dir string) (*Client, error) {
	probe, err := dialSocket(dir)
	if err != nil {
		return nil, err
	}
	if err := probe.Close(); err != nil {
		return nil, err
	}
	return &Client{dir: dir, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return dialSocket(dir) },
	}}}, nil
}

// maxLine is the longest line that a client takes, in bytes.
const maxLine = 16 << 20

// Tail implements [Source].
func (c *Client) Tail(ctx context.Context, n int, follow bool, emit func([]byte) error) error {
	if err := checkTail(n); err != nil {
		return err
	}
	query := url.Values{"n": {strconv.Itoa(n)}, "follow": {strconv.FormatBool(follow)}}
	return c.ask(ctx, http.MethodGet, "/v1/audit/tail", query, nil, emit)
}

// Search implements [Source].
func (c *Client) Search(ctx context.Context, f Filter, emit func([]byte) error) error {
	return c.ask(ctx, http.MethodGet, "/v1/audit/search", f.values(), nil, emit)
}

// Export implements [Source].
func (c *Client) Export(ctx context.Context, f Filter, emit func([]byte) error) error {
	return c.ask(ctx, http.MethodGet, "/v1/audit/export", f.values(), nil, emit)
}

// Verify implements [Source].
func (c *Client) Verify(ctx context.Context, opts VerifyOptions, progress func(Progress)) (Report, error) {
	body, err := json.Marshal(opts)
	if err != nil {
		return Report{}, err
	}
	if len(body) > maxVerifyBody {
		return Report{}, fmt.Errorf("the public key and the checkpoint are %d bytes long together; no such thing is", len(body))
	}
	var report *Report
	err = c.ask(ctx, http.MethodPost, "/v1/audit/verify", nil, body, func(line []byte) error {
		var l verifyLine
		if err := json.Unmarshal(line, &l); err != nil {
			return fmt.Errorf("the server's answer: %w", err)
		}
		if l.Progress != nil && progress != nil {
			progress(*l.Progress)
		}
		if l.Report != nil {
			report = l.Report
		}
		return nil
	})
	if err != nil {
		return Report{}, err
	}
	if report == nil {
		return Report{}, errors.New("the server's answer holds no report")
	}
	return *report, nil
}

// ask hands each line of an answer to emit. It returns nil only if the server has
// said that the answer is complete.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body []byte, emit func([]byte) error) error {
	address := url.URL{Scheme: "http", Host: "strongroom", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var wrapped *url.Error // Its text is the URL, which says nothing to a person.
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return fmt.Errorf("ask the server on %s: %w", c.dir, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return err
		}
		return refusal(text, resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		if err := emit(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Error{Message: fmt.Sprintf("the server broke off its answer, which is not complete: %v", err)}
	}
	switch outcome := resp.Trailer.Get(outcomeTrailer); outcome {
	case complete:
		return nil
	case "":
		return &Error{Message: "the server's answer is not complete: it has no end"}
	default:
		return refusal([]byte(outcome), outcome)
	}
}

// wholeLines is [bufio.ScanLines], but for a last line without an end: that one
// was cut, and is an error instead of a line.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// refusal is the error that a server has sent, or otherwise when it sent none.
func refusal(text []byte, otherwise string) error {
	var e Error
	if json.Unmarshal(text, &e) != nil || e.Message == "" {
		return fmt.Errorf("the server refuses: %q", otherwise)
	}
	return &e
}
