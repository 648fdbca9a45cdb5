package totp

import (
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

// TestVectors are those of RFC 6238, appendix B, for SHA-1; their last six digits.
func TestVectors(t *testing.T) {
	key := secret.Bytes("12345678901234567890")
	for seconds, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		step := Step(time.Unix(seconds, 0))
		if got := Code(key, step); got != want {
			t.Errorf("%d: %s, want %s", seconds, got, want)
		}
		if got, ok := Match(key, want, step-1, step+1); !ok || got != step {
			t.Errorf("%d: matches step %d, %v", seconds, got, ok)
		}
		if _, ok := Match(key, want, step+1, step+3); ok {
			t.Errorf("%d: matches later steps", seconds)
		}
	}
	if _, ok := Match(key, "28708", 0, 3); ok {
		t.Error("five digits match")
	}
}
