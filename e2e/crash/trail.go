package crash

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/strongroom/strongroom/e2e/binary"
)

// checkTrail lets the server's own verification of the audit trail and of what is
// stored run, over all of it. Then it exports the trail and looks for each
// acknowledged call: at the folder's end, as nothing can come into a trail that
// verifies behind what was there, and now and then before.
func (f *folder) checkTrail(s *binary.Server, everything bool) error {
	if err := f.verify(); err != nil {
		return f.violate("%v", err)
	}
	if !everything && f.choices.IntN(4) > 0 {
		return nil
	}
	exported, err := s.Audit("export")
	if err != nil {
		return err
	}
	if exported.Code != 0 {
		return f.violate("audit export ended with %d: %s", exported.Code, exported.Stderr)
	}
	recorded, err := readExport(exported.Stdout)
	if err != nil {
		return f.violate("audit export: %v", err)
	}
	for requestID, operation := range f.requests {
		if got, ok := recorded.calls[requestID]; !ok || got != operation {
			_ = f.violate("%s with the acknowledged request id %s is recorded as %q", operation, requestID, got)
		}
	}
	if everything {
		f.report.Records = recorded.records
		if err := f.compareMade(recorded); err != nil {
			_ = f.violate("%v", err)
		}
	}
	return nil
}

// verify runs the server's own verification, through the server if one runs.
func (f *folder) verify() error {
	verified, err := binary.Run(f.run.cfg.Path, "audit", "verify", "--data", f.data)
	if err != nil {
		return err
	}
	if verified.Code != 0 {
		return fmt.Errorf("audit verify ended with %d: %s%s", verified.Code, verified.Stdout, verified.Stderr)
	}
	return nil
}

// compareMade holds the keys and grants that are there, which the ledger has by
// now, against those that a whole trail says were made and not taken away again.
func (f *folder) compareMade(recorded *recorded) error {
	keys, grants := map[string]bool{}, map[string]bool{}
	for _, w := range f.workers {
		if w.multi.id != "" {
			keys[w.multi.id] = true
		}
		for _, k := range w.keys {
			keys[k.id] = true
			for _, g := range k.grants {
				if g.there.acknowledged == granted {
					grants[g.id] = true
				}
			}
		}
	}
	if !maps.Equal(keys, recorded.keys) {
		return fmt.Errorf("%d keys are there, %d by the audit trail: %s", len(keys), len(recorded.keys), difference(keys, recorded.keys))
	}
	if !maps.Equal(grants, recorded.grants) {
		return fmt.Errorf("%d grants are there, %d by the audit trail: %s", len(grants), len(recorded.grants), difference(grants, recorded.grants))
	}
	return nil
}

// difference names what only one of two sets holds.
func difference(there, recorded map[string]bool) string {
	var lines []string
	for id := range there {
		if !recorded[id] {
			lines = append(lines, id+" has no record")
		}
	}
	for id := range recorded {
		if !there[id] {
			lines = append(lines, id+" is not there")
		}
	}
	return strings.Join(lines, ", ")
}

// recorded is what an export says.
type recorded struct {
	records int
	calls   map[string]string // request id → event name
	// keys and grants are those that were made, without grants that were revoked.
	keys, grants map[string]bool
}

// readExport reads an export. A request id that is there twice in one Region is an
// error. What changes keys in two has a record in each, its own the last.
func readExport(export []byte) (*recorded, error) {
	r := &recorded{calls: map[string]string{}, keys: map[string]bool{}, grants: map[string]bool{}}
	inRegion := map[[2]string]string{} // request id and Region → event name
	for line := range strings.Lines(string(export)) {
		var record struct {
			RequestID  string `json:"requestID"`
			EventName  string `json:"eventName"`
			EventType  string `json:"eventType"`
			ErrorCode  string `json:"errorCode"`
			Region     string `json:"awsRegion"`
			Parameters struct {
				GrantID string `json:"grantId"`
			} `json:"requestParameters"`
			Response struct {
				GrantID string `json:"grantId"`
				Key     struct {
					ID string `json:"keyId"`
				} `json:"keyMetadata"`
			} `json:"responseElements"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			return nil, fmt.Errorf("%w in %s", err, line)
		}
		r.records++
		if record.RequestID == "" || record.EventType != "AwsApiCall" {
			continue
		}
		in := [2]string{record.RequestID, record.Region}
		if before, ok := inRegion[in]; ok {
			return nil, fmt.Errorf("request %s is recorded twice, as %s and as %s", record.RequestID, before, record.EventName)
		}
		inRegion[in] = record.EventName
		r.calls[record.RequestID] = record.EventName
		switch {
		case record.ErrorCode != "":
		case record.EventName == "CreateKey":
			r.keys[record.Response.Key.ID] = true
		case record.EventName == "CreateGrant":
			r.grants[record.Response.GrantID] = true
		case record.EventName == "RevokeGrant":
			delete(r.grants, record.Parameters.GrantID)
		}
	}
	return r, nil
}
