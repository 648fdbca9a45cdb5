package approval

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// lifetime is how long a request waits for its approvals and, with them, for being
// made.
const lifetime = 24 * time.Hour

// maxWaiting bounds the requests that wait.
const maxWaiting = 64

// Act is a change that may need approval.
type Act struct {
	Matter Matter
	// Action is its name in the audit trail.
	Action string
	// Params are all of its parameters that are no secrets.
	Params map[string]string
	// Upon is the state of things that it changes: once that is another one, approvals
	// are void.
	Upon map[string]string
	// Secret is what of it is secret. It is kept as a MAC only.
	Secret secret.Bytes
}

// Request is an act that waits.
type Request struct {
	// ID is the act's: the same act has the same.
	ID     string            `json:"id"`
	Matter Matter            `json:"matter"`
	Action string            `json:"action"`
	Params map[string]string `json:"params"`
	Upon   map[string]string `json:"upon"`
	// Nonce makes the text another one each time that the same act is asked for.
	Nonce string `json:"nonce"`
	// UID is the user of the machine who asked.
	UID     uint32    `json:"uid"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	// Operators are whose approval counts.
	Operators []Operator `json:"operators"`
	Approvals []Approval `json:"approvals"`
}

// Approval is an operator's signature of a request's text.
type Approval struct {
	Operator    string    `json:"operator"`
	Fingerprint string    `json:"fingerprint"` // of the key, as ssh-keygen -l shows it
	Signature   []byte    `json:"signature"`
	Time        time.Time `json:"time"`
}

var requestRecords = store.NewCollection[Request]("approval-request", 1)

// idOf is a MAC of all that an act is: 24 hex digits.
func idOf(key secret.Bytes, act Act) string {
	mac := hmac.New(sha256.New, key)
	writeString := func(s string) { _, _ = fmt.Fprintf(mac, "%d:%s", len(s), s) }
	writeString(string(act.Matter))
	writeString(act.Action)
	for _, m := range []map[string]string{act.Params, act.Upon} {
		_, _ = fmt.Fprintf(mac, "{%d", len(m))
		for _, name := range slices.Sorted(maps.Keys(m)) {
			writeString(name)
			writeString(m[name])
		}
	}
	writeString(string(act.Secret))
	return hex.EncodeToString(mac.Sum(nil)[:12])
}

// Text is what operators read and sign. Values are quoted, so that none can look like
// another line.
func (r Request) Text(deployment string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Strongroom approval request, form 1\ndeployment %s\nrequest    %s\nnonce      %s\naction     %s\n", deployment, r.ID, r.Nonce, r.Action)
	for _, part := range []struct {
		title  string
		values map[string]string
	}{{"parameter", r.Params}, {"upon", r.Upon}} {
		for _, name := range slices.Sorted(maps.Keys(part.values)) {
			if value := part.values[name]; value != "" {
				fmt.Fprintf(&text, "%-10s %s = %q\n", part.title, name, value)
			}
		}
	}
	fmt.Fprintf(&text, "asked by   user %d of the machine, at %s\nexpires    %s\n", r.UID, r.Made.Format(time.RFC3339), r.Expires.Format(time.RFC3339))
	return text.String()
}

// approvers are the operators whose approvals verify, each once, in order.
func (r Request) approvers(deployment string) []string {
	rule := Rule{Operators: r.Operators}
	var names []string
	for _, a := range r.Approvals {
		o, _, err := rule.signer([]byte(r.Text(deployment)), a.Signature)
		if err == nil && !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
	}
	slices.Sort(names)
	return names
}
