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

// ApprovalMissing is the refusal of a restore, or of a reclaim, that two people must
// approve: the rule of the deployment says so.
type ApprovalMissing struct {
	// Text is what two operators sign.
	Text string
	err  error
}

// Error says what is missing.
func (a *ApprovalMissing) Error() string {
	return "two people must approve this first: " + a.err.Error()
}

// Hint says what to type.
func (a *ApprovalMissing) Hint() string {
	return "Give the same command with --request request.txt, which writes what is to be signed. Two operators:\n  ssh-keygen -Y sign -n " + approval.Namespace +
		" -f KEY request.txt\nThen the same command with --approval FILE for each signature, on the same day (UTC), machine and folder."
}

func (a *ApprovalMissing) Unwrap() error { return a.err }

// approveRestore asks the rule in the restored store for its consent, and returns the
// parameters of the record. Shares need no approval: those who hold them are several.
func (o *operator) approveRestore(ctx context.Context, cfg RestoreConfig, params map[string]string) (map[string]string, error) {
	if len(cfg.Shares) > 0 {
		return params, nil
	}
	return o.approveRollback(ctx, "RestoreBackup", params["backup"], cfg.In.Dir, params, cfg.Approvals)
}

// approveRollback asks the rule for its consent to an act that goes back to an earlier
// state. There is no server that could keep a request, so that the text is that of a
// day, a machine and a folder.
func (o *operator) approveRollback(ctx context.Context, action, id, dir string, params map[string]string, approvals [][]byte) (map[string]string, error) {
	by := o.ownEvent("", nil).Peer
	service, err := o.approvals(by)
	if err != nil {
		return nil, err
	}
	rule, err := service.Rule(ctx)
	if err != nil || !rule.Covers(approval.Restore) {
		return params, err
	}
	machine, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	day := machineClock.Now().UTC().Truncate(24 * time.Hour)
	text := service.Text(approval.Request{
		ID: id, Nonce: machine + ":" + dir, Action: action, Params: params,
		UID: by.UID, Made: day, Expires: day.Add(24 * time.Hour),
	})
	names, err := rule.Check([]byte(text), approvals)
	if err != nil {
		return nil, &ApprovalMissing{text, err}
	}
	params = maps.Clone(params)
	params["approvedBy"] = strings.Join(names, ",")
	return params, nil
}
