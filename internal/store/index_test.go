package store

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimeValueSortsAsTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := time.Unix(0, rapid.Int64().Draw(t, "a"))
		b := time.Unix(0, rapid.Int64().Draw(t, "b")).In(time.FixedZone("x", 3600))
		if (TimeValue(a) < TimeValue(b)) != a.Before(b) || (TimeValue(a) == TimeValue(b)) != a.Equal(b) {
			t.Fatalf("%v and %v sort as %x and %x", a, b, TimeValue(a), TimeValue(b))
		}
	})
	early, late := TimeValue(time.Time{}), TimeValue(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if now := TimeValue(time.Unix(0, 0)); early >= now || now >= late {
		t.Errorf("the ends of time are %x and %x", early, late)
	}
}
