package kms

import (
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
)

// stateTable is kms.md §6 for the operations that exist. ✓ works, D is
// DisabledException, S is KMSInvalidStateException, – is not applicable.
const stateTable = `
| Operation | Enabled | Disabled | PD | PendingImport | Unavailable | Creating | Updating |
| Encrypt, Decrypt, ReEncrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext | ✓ | D | S | S | S | S | ✓ |
| DescribeKey, GetKeyPolicy, PutKeyPolicy, ListKeyPolicies, ListResourceTags, ListAliases, DeleteAlias | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ |
| CreateAlias | ✓ | ✓ | S | ✓ | ✓ | ✓ | ✓ |
| UpdateAlias | ✓ | ✓ | S | ✓ | ✓ | ✓ | ✓ |
| TagResource, UntagResource, UpdateKeyDescription | ✓ | ✓ | S | ✓ | ✓ | ✓ | ✓ |
| EnableKey, DisableKey | ✓ | ✓ | S | S | ✓ | S | S |
| ScheduleKeyDeletion | ✓ | ✓ | S | ✓ | ✓ | ✓ | S |
| CancelKeyDeletion | S | S | ✓ | S | S | S | S |`

var columns = map[string][]State{
	"Enabled":       {api.KeyStateEnabled},
	"Disabled":      {api.KeyStateDisabled},
	"PD":            {api.KeyStatePendingDeletion, api.KeyStatePendingReplicaDeletion},
	"PendingImport": {api.KeyStatePendingImport},
	"Unavailable":   {api.KeyStateUnavailable},
	"Creating":      {api.KeyStateCreating},
	"Updating":      {api.KeyStateUpdating},
}

// stateMessages complete "<arn> is …".
var stateMessages = map[State]string{
	api.KeyStateDisabled:               "disabled",
	api.KeyStatePendingDeletion:        "pending deletion",
	api.KeyStatePendingReplicaDeletion: "pending replica deletion",
	api.KeyStatePendingImport:          "pending import",
	api.KeyStateUnavailable:            "unavailable",
	api.KeyStateCreating:               "creating",
	api.KeyStateUpdating:               "updating",
}

// TestStates tries every operation on a key in every state, through the pipeline,
// cell by cell of the table.
func TestStates(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	target, _ := h.keyID()
	blob := h.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": "YQ=="})["CiphertextBlob"]
	h.ok(root, "CreateAlias", m{"AliasName": "alias/elsewhere", "TargetKeyId": target})
	aliases := 0
	calls := map[string]func() m{
		"Encrypt":                         func() m { return m{"KeyId": id, "Plaintext": "YQ=="} },
		"Decrypt":                         func() m { return m{"CiphertextBlob": blob} },
		"ReEncrypt":                       func() m { return m{"CiphertextBlob": blob, "DestinationKeyId": target} },
		"GenerateDataKey":                 func() m { return m{"KeyId": id, "KeySpec": "AES_256"} },
		"GenerateDataKeyWithoutPlaintext": func() m { return m{"KeyId": id, "KeySpec": "AES_256"} },
		"DescribeKey":                     func() m { return m{"KeyId": id} },
		"GetKeyPolicy":                    func() m { return m{"KeyId": id} },
		"PutKeyPolicy":                    func() m { return m{"KeyId": id, "Policy": keyPolicy()} },
		"ListKeyPolicies":                 func() m { return m{"KeyId": id} },
		"ListResourceTags":                func() m { return m{"KeyId": id} },
		"ListAliases":                     func() m { return m{"KeyId": id} },
		"DeleteAlias": func() m {
			h.setState(id, api.KeyStateEnabled)
			h.ok(root, "CreateAlias", m{"AliasName": "alias/doomed", "TargetKeyId": id})
			return m{"AliasName": "alias/doomed"}
		},
		"CreateAlias": func() m {
			aliases++
			return m{"AliasName": "alias/" + strings.Repeat("n", aliases), "TargetKeyId": id}
		},
		"UpdateAlias":          func() m { return m{"AliasName": "alias/elsewhere", "TargetKeyId": id} },
		"TagResource":          func() m { return m{"KeyId": id, "Tags": []m{{"TagKey": "a", "TagValue": "b"}}} },
		"UntagResource":        func() m { return m{"KeyId": id, "TagKeys": []string{"a"}} },
		"UpdateKeyDescription": func() m { return m{"KeyId": id, "Description": "d"} },
		"EnableKey":            func() m { return m{"KeyId": id} },
		"DisableKey":           func() m { return m{"KeyId": id} },
		"ScheduleKeyDeletion":  func() m { return m{"KeyId": id} },
		"CancelKeyDeletion":    func() m { return m{"KeyId": id} },
	}
	rows := strings.Split(strings.TrimSpace(stateTable), "\n")
	cells := func(row string) []string {
		parts := strings.Split(strings.Trim(row, "| "), "|")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		return parts
	}
	header := cells(rows[0])
	tried := 0
	for _, row := range rows[1:] {
		row := cells(row)
		for _, operation := range strings.Split(row[0], ", ") {
			for i, cell := range row[1:] {
				for _, state := range columns[header[i+1]] {
					in := calls[operation]()
					h.setState(id, state)
					tried++
					a := h.send(root, operation, in)
					code, message := "", ""
					switch cell {
					case "D":
						code, message = "DisabledException", arn+" is disabled."
					case "S":
						code, message = "KMSInvalidStateException", arn+" is "+stateMessages[state]+"."
						if operation == "CancelKeyDeletion" {
							message = arn + " is not pending deletion."
						}
					}
					if a.code != code || a.message != message {
						t.Errorf("%s of a key that is %s: %q %q, want %q %q", operation, state, a.code, a.message, code, message)
					}
				}
			}
		}
	}
	if want := len(calls) * 8; tried != want {
		t.Errorf("%d cells tried, want %d", tried, want)
	}
	if t.Failed() {
		t.Log(h.log)
	}
}

// TestStatesThatNobodyKnows: a state that the table lacks admits nothing.
func TestStatesThatNobodyKnows(t *testing.T) {
	for g := range groups {
		k := key{keyRecord: keyRecord{State: "Melted"}, ARN: "arn"}
		if k.admits(g) == nil {
			t.Errorf("group %d works on a key in an unknown state", g)
		}
		if len(reactions[g]) != 8 {
			t.Errorf("group %d has %d states, want 8", g, len(reactions[g]))
		}
	}
}

func TestStateChanges(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	is := func(state string, enabled bool) {
		t.Helper()
		k := h.ok(root, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m)
		if k["KeyState"] != state || k["Enabled"] != enabled {
			t.Errorf("KeyState %v, Enabled %v; want %s, %v", k["KeyState"], k["Enabled"], state, enabled)
		}
	}
	is("Enabled", true)
	for range 2 { // idempotent
		h.ok(root, "DisableKey", m{"KeyId": id})
		is("Disabled", false)
	}
	for range 2 {
		h.ok(root, "EnableKey", m{"KeyId": arn})
		is("Enabled", true)
	}
}
