package crash

import (
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/strongroom/strongroom/e2e/binary"
)

// rotateSeal makes a new version of the domain key. Once the server was killed the
// command may fail, or go on with the folder by itself.
func (f *folder) rotateSeal(killed *atomic.Bool) error {
	version, err := f.seal("rotate")
	if err != nil {
		if killed.Load() {
			return nil
		}
		return err
	}
	f.version = version
	f.report.Rotations++
	return nil
}

// checkSeal looks for the version of the domain key that was acknowledged last.
// Rotations that were not may have made more.
func (f *folder) checkSeal() error {
	version, err := f.seal("status")
	if err == nil && version < f.version {
		err = fmt.Errorf("the domain key has version %d, acknowledged was %d", version, f.version)
	}
	return err
}

// seal runs "strongroom seal verb" and returns the version of the domain key that
// it prints.
func (f *folder) seal(verb string) (int, error) {
	ran, err := binary.Run(f.run.cfg.Path, "seal", verb, "--json", "--data", f.data)
	if err != nil {
		return 0, err
	}
	if ran.Code != 0 {
		return 0, fmt.Errorf("seal %s ended with %d: %s%s", verb, ran.Code, ran.Stdout, ran.Stderr)
	}
	var status struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(ran.Stdout, &status); err != nil {
		return 0, fmt.Errorf("seal %s printed %s: %w", verb, ran.Stdout, err)
	}
	return status.Version, nil
}
