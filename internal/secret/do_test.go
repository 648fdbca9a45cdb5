package secret

import "testing"

func TestDoCallsOnce(t *testing.T) {
	calls := 0
	Do(func() { calls++ })
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}
