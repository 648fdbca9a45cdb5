package ship

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/journal"
)

// Sink is a place that records are shipped to.
type Sink struct {
	name string
	// connect opens the sink.
	connect func(ctx context.Context) (io.WriteCloser, error)
	frame   func(e journal.Entry) []byte
	// durable makes a file's contents outlast the machine; nil for what is no file.
	durable bool

	to  io.WriteCloser // nil while it is not open
	out *bufio.Writer
}

// dialTimeout and writeTimeout bound the wait for a syslog receiver.
const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
)

// ParseSink reads a sink's setting:
//
//	stdout
//	file:PATH
//	syslog:unix:PATH
//	syslog:tcp:HOST:PORT
//
// stdout is what "stdout" means; host is what syslog messages say they come from.
func ParseSink(setting string, stdout io.Writer, host string) (*Sink, error) {
	kind, where, _ := strings.Cut(setting, ":")
	switch {
	case setting == "stdout":
		return &Sink{name: setting, frame: line, connect: func(context.Context) (io.WriteCloser, error) { return open{stdout}, nil }}, nil
	case kind == "file" && where != "":
		path, err := filepath.Abs(where)
		if err != nil {
			return nil, err
		}
		return &Sink{name: "file:" + path, frame: line, durable: true, connect: func(context.Context) (io.WriteCloser, error) {
			return openFile(path)
		}}, nil
	case kind == "syslog":
		network, address, _ := strings.Cut(where, ":")
		if network == "tcp" {
			if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
				return nil, fmt.Errorf("%q is not a host and a port", address)
			}
		} else if network != "unix" || address == "" {
			return nil, errors.New("syslog is reached over unix:PATH or tcp:HOST:PORT")
		}
		return &Sink{
			name: setting, frame: syslog(host, network == "tcp"),
			connect: func(ctx context.Context) (io.WriteCloser, error) { return dial(ctx, network, address) },
		}, nil
	}
	return nil, errors.New("there are: stdout, file:PATH, syslog:unix:PATH, syslog:tcp:HOST:PORT")
}

// Name is the setting, with a file's path in full. Positions are kept under it.
func (k *Sink) Name() string { return k.name }

// openFile opens a file to append to. If the last line in it was cut, by a crash
// in the middle of a write, it is ended first: the record is shipped again.
func openFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > 0 && info.Mode().IsRegular() {
		last := make([]byte, 1)
		if _, err = file.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			_, err = file.Write([]byte{'\n'})
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// open is a writer that stays open.
type open struct{ io.Writer }

func (open) Close() error { return nil }

// dial connects to a syslog receiver. A local one may listen for datagrams or for
// a stream.
func dial(ctx context.Context, network, address string) (io.WriteCloser, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	if network == "unix" {
		if conn, err := dialer.DialContext(ctx, "unixgram", address); err == nil {
			return impatient{conn}, nil
		}
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return impatient{conn}, nil
}

// impatient is a connection whose writes end in time.
type impatient struct{ net.Conn }

func (c impatient) Write(p []byte) (int, error) {
	timer := time.AfterFunc(writeTimeout, func() { _ = c.Close() })
	defer timer.Stop()
	return c.Conn.Write(p)
}

func (k *Sink) write(ctx context.Context, e journal.Entry) error {
	if k.to == nil {
		to, err := k.connect(ctx)
		if err != nil {
			return err
		}
		k.to, k.out = to, bufio.NewWriterSize(to, 64<<10)
	}
	message := k.frame(e)
	if c, ok := k.to.(impatient); ok && c.RemoteAddr().Network() == "unixgram" {
		_, err := k.to.Write(message) // a message is a datagram
		return err
	}
	_, err := k.out.Write(message)
	return err
}

// flush hands over what was written. A file is synced and closed, so that one that
// was moved away by a rotation is left alone from then on.
func (k *Sink) flush() error {
	if k.to == nil {
		return nil
	}
	if err := k.out.Flush(); err != nil {
		return err
	}
	if !k.durable {
		return nil
	}
	file := k.to.(*os.File)
	k.to = nil
	return errors.Join(file.Sync(), file.Close())
}

func (k *Sink) close() {
	if k.to != nil {
		_ = k.to.Close() // what was not flushed is shipped again
		k.to = nil
	}
}

// line is a record as a line.
func line(e journal.Entry) []byte { return append(bytes.Clone(e.Record), '\n') }

// Values of a syslog message: facility 13 (log audit) and severity 6
// (informational), RFC 5424 §6.2.1.
const (
	priority = 13*8 + 6
	appName  = "strongroom"
)

// syslog returns what makes a message of a record: RFC 5424, in octet-counting
// frames (RFC 6587 §3.4.1) on a stream.
func syslog(host string, counted bool) func(journal.Entry) []byte {
	host = printASCII(host, 255)
	return func(e journal.Entry) []byte {
		var record struct {
			EventTime time.Time `json:"eventTime"`
			EventName string    `json:"eventName"`
		}
		at, id := e.Committed, "-"
		if json.Unmarshal(e.Record, &record) == nil && !record.EventTime.IsZero() {
			at, id = record.EventTime, printASCII(record.EventName, 32)
		}
		message := fmt.Appendf(nil, "<%d>1 %s %s %s - %s - ", priority, at.UTC().Format("2006-01-02T15:04:05.000000Z"), host, appName, id)
		message = append(message, e.Record...)
		if counted {
			message = append(fmt.Appendf(nil, "%d ", len(message)), message...)
		}
		return message
	}
}

// printASCII is s as a field of a header: printable ASCII without spaces, of that
// length at most, "-" for nothing (RFC 5424 §6).
func printASCII(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
