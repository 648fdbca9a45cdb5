package kms

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
)

// work does what is due now in all regions, as the worker would.
func (h *harness) work() {
	h.t.Helper()
	for _, in := range h.config.Regions {
		for {
			next, err := h.service.doDue(h.t.Context(), in)
			if err != nil {
				h.t.Fatal(err)
			}
			if next.IsZero() || next.After(h.clock.Now()) {
				break
			}
		}
	}
}

// in returns the harness with calls going to another region.
func (h *harness) in(region string) *harness {
	there := *h
	there.region = region
	return &there
}

// status is the answer of GetKeyRotationStatus.
func (h *harness) status(id string) m {
	h.t.Helper()
	return h.ok(root, "GetKeyRotationStatus", m{"KeyId": id})
}

// metadata is the answer of DescribeKey.
func (h *harness) metadata(id string) m {
	h.t.Helper()
	return h.ok(root, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m)
}

// rotations is the list of ListKeyRotations.
func (h *harness) rotations(id string, in m) []m {
	h.t.Helper()
	in["KeyId"] = id
	var list []m
	for _, e := range h.ok(root, "ListKeyRotations", in)["Rotations"].([]any) {
		list = append(list, e.(m))
	}
	return list
}

// seconds is how the wire writes a time.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// edit changes a stored key by hand.
func (h *harness) edit(id string, change func(*keyRecord)) {
	h.t.Helper()
	err := h.store.Update(h.t.Context(), func(tx *store.Tx) error {
		record, err := keyRecords.Get(tx, scope(account, h.region), id)
		if err != nil {
			return err
		}
		change(&record)
		return keyRecords.Put(tx, scope(account, h.region), id, record)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// hmacKey makes a key of another family.
func (h *harness) hmacKey() (id, arn string) {
	h.t.Helper()
	k := h.key(m{"KeySpec": api.KeySpecHmac256, "KeyUsage": api.KeyUsageTypeGenerateVerifyMac})
	return k["KeyId"].(string), k["Arn"].(string)
}

// pending sets a key's state as the operations that lead to it do, as far as these
// tests look.
func (h *harness) pending(id string, state State) { h.edit(id, func(r *keyRecord) { r.State = state }) }

// encrypt returns a ciphertext of "x", in base64.
func (h *harness) encrypt(id string) string {
	h.t.Helper()
	return h.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="})["CiphertextBlob"].(string)
}

// opens checks that a blob decrypts, and returns the id of the material that it did
// with.
func (h *harness) opens(blob string) string {
	h.t.Helper()
	out := h.ok(root, "Decrypt", m{"CiphertextBlob": blob})
	if out["Plaintext"] != "eA==" {
		h.t.Fatalf("Decrypt: %v", out)
	}
	return out["KeyMaterialId"].(string)
}

// service events since the last look, by name.
func (h *harness) events(name string) []m {
	h.t.Helper()
	return slices.DeleteFunc(h.journal.taken(h.t), func(r m) bool { return r["eventName"] != name })
}

// equal compares as JSON.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(g) != string(w) {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// cell is what an operation answers to a key in a state: "" works, D, S or U.
type cell string

// stateColumns are the states of the table in kms.md §6, in its order.
var stateColumns = []State{
	api.KeyStateEnabled, api.KeyStateDisabled, api.KeyStatePendingDeletion, api.KeyStatePendingReplicaDeletion,
	api.KeyStatePendingImport, api.KeyStateUnavailable, api.KeyStateCreating, api.KeyStateUpdating,
}

// refusal returns the code and message of a cell.
func (c cell) refusal(arn string, state State) (code, message string) {
	switch c {
	case "D":
		return "DisabledException", arn + " is disabled."
	case "U":
		return "UnsupportedOperationException", ""
	default:
		return "KMSInvalidStateException", arn + map[State]string{
			api.KeyStatePendingDeletion:        " is pending deletion.",
			api.KeyStatePendingReplicaDeletion: " is pending replica deletion.",
			api.KeyStatePendingImport:          " is pending import.",
			api.KeyStateUnavailable:            " is unavailable.",
			api.KeyStateCreating:               " is creating.",
			api.KeyStateUpdating:               " is updating.",
		}[state]
	}
}

// cells checks a row of the table: make returns a fresh key in state Enabled.
func (h *harness) cells(operation string, row []cell, in m, make func() (id, arn string)) {
	h.t.Helper()
	for i, state := range stateColumns {
		h.t.Run(fmt.Sprint(operation, " ", state), func(t *testing.T) {
			here := *h
			here.t = t
			id, arn := make()
			here.pending(id, state)
			request := m{"KeyId": id}
			for name, value := range in {
				request[name] = value
			}
			if row[i] == "" {
				here.ok(root, operation, request)
				return
			}
			code, message := row[i].refusal(arn, state)
			here.fails(root, operation, request, code, message)
		})
	}
}
