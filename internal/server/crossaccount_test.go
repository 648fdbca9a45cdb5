package server

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/wire"
)

// TestUseFromAnotherAccount: a key's owner is told of its last use, and finds it,
// by the record in its own trail; the caller's account has its own, and neither
// sees the other's.
func TestUseFromAnotherAccount(t *testing.T) {
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	const there = "444455556666"
	if _, err := (&operator{s}).CreateAccount(t.Context(), someone, admin.NewAccount{ID: there}); err != nil {
		t.Fatal(err)
	}
	as := func(file string) caller {
		id, key := keysIn(t, s, file)
		return caller{t: t, s: s, id: id, key: key}
	}
	root, foreign := as(credentialsFile), as("credentials-"+there)
	guest := foreign.user("guest")
	foreign.iam("PutUserPolicy", "UserName", "guest", "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}`)
	status, text := root.kms("CreateKey", map[string]any{"Policy": `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + there + `:user/guest"},"Action":"kms:Encrypt","Resource":"*"}]}`})
	key := regexp.MustCompile(`arn:aws:kms:[^"]*`).FindString(text)
	if status != 200 || key == "" {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := guest.kms("Encrypt", map[string]any{"KeyId": key, "Plaintext": "aGVsbG8="}); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	lookup := func(c caller) (ids []string) {
		t.Helper()
		status, text := c.send("cloudtrail", wire.ContentTypeJSON11, "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
			`{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"Encrypt"}]}`)
		var out struct {
			Events []struct {
				EventID   string `json:"EventId"`
				Resources []struct{ ResourceName string }
			}
		}
		if err := json.Unmarshal([]byte(text), &out); status != 200 || err != nil {
			t.Fatalf("%d %s", status, text)
		}
		for _, e := range out.Events {
			ids = append(ids, e.EventID)
			if len(e.Resources) == 0 || e.Resources[0].ResourceName != key {
				t.Errorf("the event's resources are %v", e.Resources)
			}
		}
		return ids
	}
	owners, callers := lookup(root), lookup(foreign)
	if len(owners) != 1 || len(callers) != 1 || owners[0] == callers[0] {
		t.Fatalf("the owner finds %v, the caller's account %v", owners, callers)
	}
	status, text = root.kms("GetKeyLastUsage", map[string]any{"KeyId": key})
	var last struct {
		KeyLastUsage struct {
			Operation         string
			CloudTrailEventID string `json:"CloudTrailEventId"`
		}
	}
	if err := json.Unmarshal([]byte(text), &last); status != 200 || err != nil {
		t.Fatalf("%d %s", status, text)
	}
	if last.KeyLastUsage.Operation != "Encrypt" || !slices.Equal(owners, []string{last.KeyLastUsage.CloudTrailEventID}) {
		t.Errorf("last used by %+v, while the owner finds %v", last.KeyLastUsage, owners)
	}
}
