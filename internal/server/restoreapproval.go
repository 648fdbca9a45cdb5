package server

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/approval"
)

// ApprovalMissing is the refusal of a restore that two people must approve: the rule of
// the deployment that the backup is of says so.
type ApprovalMissing struct {
	// Text is what two operators sign.
	Text string
	err  error
}

// Error says what is missing.
func (a *ApprovalMissing) Error() string {
	return "two people must approve this restore first: " + a.err.Error()
}

// Hint says what to type.
func (a *ApprovalMissing) Hint() string {
	return "Give the same command with --request request.txt, which writes what is to be signed. Two operators:\n  ssh-keygen -Y sign -n " + approval.Namespace +
		" -f KEY request.txt\nThen the same command with --approval FILE for each signature, on the same day (UTC), machine and folder."
}

func (a *ApprovalMissing) Unwrap() error { return a.err }

// approveRestore asks the rule in the restored store for its consent, and returns the
// parameters of the record. There is no server that could keep a request, so that the
// text is that of a day, a machine and a folder. Shares need no approval: those who hold
// them are several.
func (o *operator) approveRestore(ctx context.Context, cfg RestoreConfig, params map[string]string) (map[string]string, error) {
	by := o.ownEvent("", nil).Peer
	service, err := o.approvals(by)
	if err != nil {
		return nil, err
	}
	rule, err := service.Rule(ctx)
	if err != nil || !rule.Covers(approval.Restore) || len(cfg.Shares) > 0 {
		return params, err
	}
	machine, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.In.Dir)
	if err != nil {
		return nil, err
	}
	day := machineClock.Now().UTC().Truncate(24 * time.Hour)
	text := service.Text(approval.Request{
		ID: params["backup"], Nonce: machine + ":" + dir, Action: "RestoreBackup", Params: params,
		UID: by.UID, Made: day, Expires: day.Add(24 * time.Hour),
	})
	names, err := rule.Check([]byte(text), cfg.Approvals)
	if err != nil {
		return nil, &ApprovalMissing{text, err}
	}
	params = maps.Clone(params)
	params["approvedBy"] = strings.Join(names, ",")
	return params, nil
}
