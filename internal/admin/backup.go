package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Backups is how a backup of a deployment is taken. A server implements it, and
// [Client] by asking one.
type Backups interface {
	// CreateBackup writes a backup, in the form of package backup, while the server
	// goes on. What it has written is a backup only if it returns nil.
	CreateBackup(ctx context.Context, out io.Writer) error
}

// backupChunk is how much of a backup is in one line, in bytes.
const backupChunk = 256 << 10

// chunk is one line of a backup's answer.
type chunk struct {
	Data []byte `json:"data"`
}

func (s *Server) parseBackup(r *http.Request) (request, error) {
	_, err := parseQuery(r)
	return request{
		event: "CreateBackup", params: map[string]string{},
		answer: func(ctx context.Context, emit emitter) error {
			return s.cfg.Backups.CreateBackup(ctx, &chunks{emit: emit})
		},
	}, err
}

// chunks emits what is written in lines.
type chunks struct{ emit emitter }

func (c *chunks) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(len(p), n+backupChunk)]
		if err := emitJSON(c.emit, chunk{Data: part}); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// CreateBackup implements [Backups].
func (c *Client) CreateBackup(ctx context.Context, out io.Writer) error {
	return c.ask(ctx, http.MethodGet, "/v1/backup", nil, nil, func(line []byte) error {
		var part chunk
		if err := json.Unmarshal(line, &part); err != nil {
			return fmt.Errorf("the server's answer: %w", err)
		}
		_, err := out.Write(part.Data)
		return err
	})
}
