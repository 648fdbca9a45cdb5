package admin

import "context"

const examineRoute = "/v1/doctor"

// Level says how a check of an installation came out.
type Level string

// The levels.
const (
	// Fine needs nothing.
	Fine Level = "fine"
	// Doubtful works, and should be looked at.
	Doubtful Level = "doubtful"
	// Wrong loses keys, lets others in, or keeps the server from serving, now or soon.
	Wrong Level = "wrong"
)

// Finding is what a check of an installation found.
type Finding struct {
	// Check names the check: "disk".
	Check string `json:"check"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Advice is what to do; it may be empty.
	Advice string `json:"advice,omitempty"`
}

// Doctor looks at an installation.
type Doctor interface {
	// Examine says how the deployment is; see [Operator] for what it promises.
	Examine(ctx context.Context) ([]Finding, error)
}

// doctorRows is the command that examines, by its route.
func (s *Server) doctorRows() map[string]commandRow {
	if s.cfg.Doctor == nil {
		return nil
	}
	return map[string]commandRow{
		examineRoute: asking("ExamineInstallation", func(none) map[string]string { return nil },
			func(ctx context.Context, _ none) ([]Finding, error) { return s.cfg.Doctor.Examine(ctx) }),
	}
}

var _ Doctor = (*Client)(nil)

// Examine implements [Doctor].
func (c *Client) Examine(ctx context.Context) ([]Finding, error) {
	return command[none, []Finding](ctx, c, examineRoute, none{})
}
