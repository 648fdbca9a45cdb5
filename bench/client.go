package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// client is one keep-alive connection that sends one request over and over.
type client struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
	body    []byte // of the last answer
}

// dial opens a connection for a request.
func dial(ctx context.Context, addr string, request []byte) (*client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10), request: request}, nil
}

// call sends the request and reads the answer. An answer other than 200 is an
// error.
func (c *client) call() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	const version = len("HTTP/1.1 ")
	if len(line) < version+3 {
		return fmt.Errorf("not an answer: %q", line)
	}
	ok := bytes.Equal(line[version:version+3], []byte("200"))
	status := ""
	if !ok {
		status = string(bytes.TrimSpace(line))
	}
	length := -1
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("%s: an answer without a length", status)
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.reader, c.body); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s: %s", status, c.body)
	}
	return nil
}

// measure sends requests, each on a connection of its own, over and over for a
// warm-up of a fifth of duration and then for duration, and returns how long each
// call of the second part took and how long that part took, and what it cost the
// server.
func measure(ctx context.Context, t target, requests [][]byte, duration time.Duration) (*sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clients := make([]*client, len(requests))
	for i, request := range requests {
		c, err := dial(ctx, t.addr(), request)
		if err != nil {
			return nil, err
		}
		defer c.conn.Close()
		clients[i] = c
	}
	from := time.Now().Add(duration / 5)
	to := from.Add(duration)
	took := make([][]time.Duration, len(clients))
	failed := make([]error, len(clients))
	var calling sync.WaitGroup
	for i, c := range clients {
		calling.Go(func() {
			for before := time.Now(); before.Before(to); {
				if failed[i] = c.call(); failed[i] != nil {
					cancel()
					return
				}
				after := time.Now()
				if before.After(from) && after.Before(to) {
					took[i] = append(took[i], after.Sub(before))
				}
				if before = after; ctx.Err() != nil {
					return
				}
			}
		})
	}
	cost, costErr := t.spent(ctx, from, to)
	calling.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if costErr != nil {
		return nil, costErr
	}
	return newSample(took, duration, cost), nil
}
