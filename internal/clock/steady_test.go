package clock

import "testing"

func TestBootGoesOn(t *testing.T) {
	before := Boot().Elapsed()
	c, stop := Boot().After(1)
	defer stop()
	<-c
	if after := Boot().Elapsed(); after <= before {
		t.Errorf("%v passed, and the steady clock went from %v to %v", 1, before, after)
	}
}
