package cryptoki

import "github.com/strongroom/strongroom/internal/hsm"

// Library is what the helper process serves.
func Library() hsm.Library { return hsm.Library{Open: Open, Probe: Probe} }
