package iam

import (
	"context"
	"testing"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
)

// TestSimulationEndsInTime: when its time is over a simulation answers what it has, and
// goes on from there.
func TestSimulationEndsInTime(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	sim := &simulation{actions: []string{"kms:A", "kms:B", "kms:C"}, outlines: map[*policy.Document][]policy.StatementOutline{}}
	call, marker := &authz.Call{Operation: "SimulateCustomPolicy"}, ""
	for i, action := range sim.actions {
		results, truncated, next, err := sim.run(over, call, marker, nil)
		if err != nil || len(results) != 1 || results[0].EvalActionName != action || truncated != (i < 2) {
			t.Fatalf("page %d: %+v, truncated %v, %v", i, results, truncated, err)
		}
		marker = next
	}
}
