package server

import (
	"path/filepath"
	"testing"
	"time"
)

// TestWhatIsOverdueAtAStart: a rotation whose date has passed while no server ran is made
// before the first call is answered.
func TestWhatIsOverdueAtAStart(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	n := &nodes{t: t}
	n.id, n.key = keysIn(t, s, credentialsFile)
	s.Clock().Advance(-100 * day) // as its next start sees it
	k := ask[madeKey](t, n, s, "CreateKey", "{}").KeyMetadata
	ask[struct{}](t, n, s, "EnableKeyRotation", `{"KeyId":"`+k.KeyID+`","RotationPeriodInDays":90}`)
	mustStop(t, s)
	s = mustStart(t, s.cfg)
	made := ask[struct {
		Rotations []struct{ RotationType string }
	}](t, n, s, "ListKeyRotations", `{"KeyId":"`+k.KeyID+`"}`)
	if len(made.Rotations) != 1 || made.Rotations[0].RotationType != "AUTOMATIC" {
		t.Errorf("the first answer after the start shows %v", made.Rotations)
	}
}
