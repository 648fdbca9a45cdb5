package binary

import (
	"fmt"
	"time"
)

// Until asks done again and again until it says true. It gives up when within has
// passed and then names what it waited for. It is for what has no event to wait
// on, such as the effect of a worker inside the server.
func Until(what string, within time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(within)
	for {
		ok, err := done()
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ticker.C:
		case <-deadline:
			return fmt.Errorf("%s did not happen within %s", what, within)
		}
	}
}
